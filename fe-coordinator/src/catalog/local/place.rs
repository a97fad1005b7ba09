//! Where new replicas go.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::BackendId;

use crate::catalog::{BackendRoom, Result};

/// Refuses a number of replicas for which there are too few hosts.
pub(super) fn check(table: &str, backends: &[BackendRoom], replication_num: u32) -> Result<()> {
    let hosts = hosts(backends);
    if hosts >= replication_num as usize {
        return Ok(());
    }
    let alive = match (backends.len(), hosts) {
        (0, _) => "no backend is alive; start one".to_owned(),
        (1, _) => "only 1 backend is alive; set replication_num to 1".to_owned(),
        (many, hosts) if many == hosts => {
            format!("only {many} backends are alive; set replication_num to at most {hosts}")
        }
        (many, hosts) => {
            format!("only {many} backends on {hosts} hosts are alive; set replication_num to at most {hosts}")
        }
    };
    let message = format!("failed to find {replication_num} different hosts to create table {table}: {alive}");
    Err(Failure::fatal(Kind::ResourceExhausted, message))
}

/// Number of different machines.
pub(super) fn hosts(backends: &[BackendRoom]) -> usize {
    backends.iter().map(|room| room.host.as_str()).collect::<BTreeSet<_>>().len()
}

/// Chooses `replication_num` backends on different hosts, for which [`check`] must have found enough: those preferred
/// first, then those with the fewest replicas for the room that they have. Counts what it chose in `placed`.
pub(super) fn choose(
    backends: &[BackendRoom],
    replication_num: u32,
    preferred: &[BackendId],
    placed: &mut BTreeMap<BackendId, u64>,
) -> Vec<BackendId> {
    let count = |room: &BackendRoom| placed.get(&room.backend).copied().unwrap_or_default();
    let mut order: Vec<(bool, u64, &BackendRoom)> =
        backends.iter().map(|room| (!preferred.contains(&room.backend), count(room), room)).collect();
    order.sort_by(|(other, count, room), (other_b, count_b, room_b)| {
        other.cmp(other_b).then(fuller(*count, room, *count_b, room_b)).then(room.backend.cmp(&room_b.backend))
    });
    let mut hosts = BTreeSet::new();
    let mut chosen = Vec::new();
    for (_, _, room) in order {
        if chosen.len() < replication_num as usize && hosts.insert(room.host.as_str()) {
            chosen.push(room.backend);
        }
    }
    for backend in &chosen {
        *placed.entry(*backend).or_default() += 1;
    }
    chosen
}

/// Compares replicas per free byte after one more, without rounding.
fn fuller(count: u64, room: &BackendRoom, count_b: u64, room_b: &BackendRoom) -> Ordering {
    let load = (u128::from(count) + 1) * u128::from(room_b.available_bytes.max(1));
    let load_b = (u128::from(count_b) + 1) * u128::from(room.available_bytes.max(1));
    load.cmp(&load_b)
}
