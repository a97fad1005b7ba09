//! How many replicas partitions get.

use tabvault_common::failure::Failure;

use super::{SnapshotPartition, mismatch};
use crate::check::properties::RestoreProperties;

/// `replication_num` of a new table where nothing says otherwise.
const DEFAULT: u32 = 3;

/// The number that a new table gets unless `reserve_replica` says otherwise.
pub(super) fn asked(properties: &RestoreProperties) -> u32 {
    properties.replication_num.unwrap_or(DEFAULT)
}

/// For a partition that is made: `otherwise` where the properties say nothing.
pub(super) fn of_new(partition: &SnapshotPartition, properties: &RestoreProperties, otherwise: Option<u32>) -> u32 {
    if properties.reserve_replica {
        partition.def.replication_num
    } else {
        properties.replication_num.or(otherwise).unwrap_or(DEFAULT)
    }
}

/// For a partition that is here already: it keeps its number, and the properties must not ask for another.
pub(super) fn of_existing(
    table: &str,
    partition: &SnapshotPartition,
    here: u32,
    properties: &RestoreProperties,
) -> Result<u32, Failure> {
    let (wanted, way) = if properties.reserve_replica {
        (Some(partition.def.replication_num), "leave reserve_replica out")
    } else {
        (properties.replication_num, "leave replication_num out")
    };
    match wanted {
        Some(wanted) if wanted != here => {
            let name = &partition.def.name;
            let says = if properties.reserve_replica { "" } else { " by the property replication_num" };
            Err(mismatch(format!(
                "Partition {name} of table {table} has different replication num '{here}' with partition in \
                 repository, which is {wanted}{says}; {way} to keep {here}"
            )))
        }
        _ => Ok(here),
    }
}

pub(super) fn notices(properties: &RestoreProperties) -> Vec<String> {
    match properties.replication_num {
        Some(number) if properties.reserve_replica => vec![format!(
            "\"replication_num\" = \"{number}\" says nothing beside reserve_replica: every partition gets the number \
             of replicas that it had"
        )],
        _ => Vec::new(),
    }
}
