//! Whether there are hosts and disks enough for the replicas of a restore.

use std::collections::BTreeMap;

use tabvault_common::failure::{Failure, Kind};

use super::Target;
use crate::catalog::BackendRoom;
use crate::check::properties::RestoreProperties;

/// Replicas of one tablet go to different hosts.
pub(super) fn check_hosts(
    targets: &[Target],
    backends: &[BackendRoom],
    properties: &RestoreProperties,
) -> Result<(), Failure> {
    let hosts = by_host(backends).len();
    let too_many = |number: u32| usize::try_from(number).unwrap_or(usize::MAX) > hosts;
    for target in targets {
        let table = &target.prepare;
        let Some(partition) = table.partitions.iter().find(|p| too_many(p.def.replication_num)) else { continue };
        let (name, number, count) = (&table.def.name, partition.def.replication_num, backends.len());
        let way = if hosts == 0 {
            "start backends".to_owned()
        } else if partition.existing.is_some() {
            format!("partition {} keeps its number of replicas, so add backends on other hosts", partition.def.name)
        } else if properties.reserve_replica {
            format!(
                "take \"replication_num\" = \"{hosts}\" in place of reserve_replica, or add backends on other hosts"
            )
        } else {
            format!("set \"replication_num\" = \"{hosts}\" or less, or add backends on other hosts")
        };
        return Err(Failure::fatal(
            Kind::ResourceExhausted,
            format!(
                "failed to find {number} different hosts to create table {name}: there are {count} backends on {hosts} \
                 hosts; {way}"
            ),
        ));
    }
    Ok(())
}

/// A host holds at most one replica of everything, so no more of its room counts.
pub(super) fn check_space(targets: &[Target], backends: &[BackendRoom], database: &str) -> Result<(), Failure> {
    let (mut once, mut needed) = (0_u64, 0_u64);
    for target in targets {
        for (partition, &bytes) in target.prepare.partitions.iter().zip(&target.bytes) {
            once = once.saturating_add(bytes);
            needed = needed.saturating_add(bytes.saturating_mul(u64::from(partition.def.replication_num)));
        }
    }
    let by_host = by_host(backends);
    let room = by_host.values().fold(0_u64, |sum, &available| sum.saturating_add(available.min(once)));
    if needed <= room {
        return Ok(());
    }
    let available = by_host.values().fold(0_u64, |sum, &available| sum.saturating_add(available));
    let (hosts, needed, once, room, available) = (by_host.len(), size(needed), size(once), size(room), size(available));
    Err(Failure::fatal(
        Kind::NoSpace,
        format!(
            "not enough disk space to restore into database {database}: {once} with all replicas take {needed}, and of \
             {available} available on {hosts} hosts {room} can be used; free disk space, add backends, restore fewer \
             tables, or set a smaller replication_num"
        ),
    ))
}

fn by_host(backends: &[BackendRoom]) -> BTreeMap<&str, u64> {
    let mut hosts = BTreeMap::new();
    for backend in backends {
        let room: &mut u64 = hosts.entry(backend.host.as_str()).or_default();
        *room = room.saturating_add(backend.available_bytes);
    }
    hosts
}

/// Bytes for a sentence, such as `1.5 GiB`.
fn size(bytes: u64) -> String {
    let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        None => format!("{bytes} bytes"),
        Some((unit, name)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
    }
}
