//! Making and unmaking tables, partitions and sets of tablets.

use std::collections::BTreeMap;

use tabvault_common::clock::Time;
use tabvault_common::ids::{BackendId, Lineage, PartitionId, ReplicaId, TableId, TabletId, Version};
use tabvault_common::schema::{PartitionDef, TableDef};
use tabvault_common::task::TabletVersion;

use super::model::{Database, Partition, Replica, Table, Tablet, Unmade};
use super::records::Records;
use super::{Result, keys, place};
use crate::catalog::BackendRoom;

/// A new set of tablets.
pub(super) struct TabletSet {
    pub(super) number: u64,
    pub(super) tablets: u64,
}

/// What a new set of tablets is for.
pub(super) enum Purpose<'a> {
    /// An empty partition: the tablets are queued for the agents to make.
    Empty,
    /// A restore, which has the tablets made itself and gives them this version. They may take over files of the
    /// partition whose place they take.
    Restore { version: Version, replaces: Option<&'a Partition> },
}

/// Makes the tablets of a partition: for each index its buckets, each with replicas on different hosts.
pub(super) fn tablet_set(
    records: &mut Records,
    table: &TableDef,
    partition: &PartitionDef,
    backends: &[BackendRoom],
    purpose: &Purpose<'_>,
) -> Result<TabletSet> {
    place::check(&table.name, backends, partition.replication_num)?;
    let (version, replaced) = match purpose {
        Purpose::Empty => (Version::default(), BTreeMap::new()),
        Purpose::Restore { version, replaces } => (*version, reusable(records, *replaces)?),
    };
    let number = records.new_id()?;
    let mut tablets = 0;
    for (index, def) in (0_u32..).zip(&table.indexes) {
        for position in 0..partition.buckets {
            let reuse = replaced.get(&(index, position)).filter(|(old, _)| old.schema_hash == def.schema_hash);
            let preferred = reuse.map_or(&[][..], |(_, backends)| backends.as_slice());
            let chosen = place::choose(backends, partition.replication_num, preferred, &mut records.placed);
            let id = TabletId(records.new_id()?);
            let mut replicas = Vec::with_capacity(chosen.len());
            for backend in chosen {
                replicas.push(Replica {
                    id: ReplicaId(records.new_id()?),
                    backend,
                    version,
                    version_count: 1,
                    data_size: 0,
                    file_count: 0,
                });
                if matches!(purpose, Purpose::Empty) {
                    records.put(keys::unmade(backend, id), &Unmade { set: number, index, position })?;
                }
            }
            let tablet = Tablet {
                id,
                index,
                position,
                schema_hash: def.schema_hash,
                lineage: Lineage::random(),
                reuse: reuse.cloned(),
                replicas,
            };
            records.put(keys::tablet(number, index, position), &tablet)?;
            tablets += 1;
        }
    }
    Ok(TabletSet { number, tablets })
}

/// By index and position: the tablets of a partition at its visible version, and which backends have them so.
fn reusable(
    records: &Records,
    partition: Option<&Partition>,
) -> Result<BTreeMap<(u32, u32), (TabletVersion, Vec<BackendId>)>> {
    let mut found = BTreeMap::new();
    let Some(partition) = partition else { return Ok(found) };
    for (_, tablet) in records.list::<Tablet>(&keys::tablets(partition.set))? {
        let current = tablet.replicas.iter().filter(|replica| replica.version == partition.version);
        let backends: Vec<BackendId> = current.map(|replica| replica.backend).collect();
        if !backends.is_empty() {
            let at = TabletVersion { tablet: tablet.id, version: partition.version, schema_hash: tablet.schema_hash };
            found.insert((tablet.index, tablet.position), (at, backends));
        }
    }
    Ok(found)
}

/// Gives a set of tablets up: its replicas become garbage.
pub(super) fn drop_set(records: &mut Records, set: u64) -> Result<()> {
    for (_, tablet) in records.list::<Tablet>(&keys::tablets(set))? {
        records.delete(keys::tablet(set, tablet.index, tablet.position));
        for replica in tablet.replicas {
            records.delete(keys::unmade(replica.backend, tablet.id));
            // Garbage even if it was never made: an agent may be making it at this moment.
            records.put(keys::garbage(replica.backend, tablet.id), &())?;
            if let Some(count) = records.placed.get_mut(&replica.backend) {
                *count = count.saturating_sub(1);
            }
        }
    }
    Ok(())
}

/// Adds a partition that shows `set` at `version`.
pub(super) fn add_partition(
    records: &mut Records,
    table: TableId,
    def: PartitionDef,
    set: &TabletSet,
    version: Version,
    now: Time,
) -> Result<()> {
    let id = PartitionId(records.new_id()?);
    let partition =
        Partition { id, def, version, since: now, set: set.number, tablets: set.tablets, data_size: 0, file_count: 0 };
    records.put(keys::partition_table(id), &table)?;
    records.put(keys::partition(table, id), &partition)
}

/// Removes a partition with its tablets.
pub(super) fn drop_partition(records: &mut Records, table: TableId, partition: &Partition) -> Result<()> {
    drop_set(records, partition.set)?;
    records.delete(keys::partition(table, partition.id));
    records.delete(keys::partition_table(partition.id));
    Ok(())
}

/// Removes all partitions of a table with their tablets.
pub(super) fn drop_partitions(records: &mut Records, table: TableId) -> Result<()> {
    for (_, partition) in records.list::<Partition>(&keys::partitions(table))? {
        drop_partition(records, table, &partition)?;
    }
    Ok(())
}

/// Removes a table with all that is in it.
pub(super) fn drop_table(records: &mut Records, database: &Database, table: &Table) -> Result<()> {
    drop_partitions(records, table.id)?;
    records.delete(keys::table(database.id, &table.def.name));
    Ok(())
}

/// How many replicas each backend has.
pub(super) fn count_placed(records: &Records) -> Result<BTreeMap<BackendId, u64>> {
    let mut placed = BTreeMap::new();
    for tablet in records.scan::<Tablet>(keys::TABLET_SETS) {
        for replica in tablet?.1.replicas {
            *placed.entry(replica.backend).or_default() += 1;
        }
    }
    Ok(placed)
}
