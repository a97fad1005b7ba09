//! How a prepared restore is cut into tasks. Pure.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, TabletIdentity, TaskId};
use tabvault_common::repo::info::{Info, ManifestRef};
use tabvault_common::repo::meta::{PartitionMeta, TabletMeta, WholeMeta};

use super::{Row, RowTablet, Stage};
use crate::catalog::{PreparedPartition, PreparedTablet};
use crate::check::mapping::RestorePlan;
use crate::job::{MAX_BYTES_PER_TASK, MAX_TABLETS_PER_TASK};

#[cfg(test)]
mod tests;

/// The rows of a restore: every replica of every prepared tablet in exactly one, tablets of one manifest and one
/// backend together.
///
/// # Errors
/// `Corrupt` when the meta does not hold what the plan was made from, `Internal` when the catalog prepared something
/// else than it was asked for.
pub fn rows(
    plan: &RestorePlan,
    info: &Info,
    meta: &WholeMeta,
    prepared: Vec<PreparedPartition>,
) -> Result<Vec<Row>, Failure> {
    let mut groups: BTreeMap<(BackendId, Option<u32>), Vec<RowTablet>> = BTreeMap::new();
    check_all_prepared(plan, &prepared)?;
    // One goes while the rows of the next are made.
    for partition in prepared {
        let source = source(plan, meta, &partition)?;
        check_whole(plan, &partition, source)?;
        for tablet in &partition.tablets {
            let from = position(plan, &partition, source, tablet)?;
            let identity = TabletIdentity {
                cluster: info.job.cluster,
                tablet: from.tablet,
                lineage: from.lineage,
                version: source.visible_version,
            };
            for backend in &tablet.backends {
                let near = |(_, backends): &&(_, Vec<BackendId>)| backends.contains(backend);
                let row = RowTablet {
                    source: identity.clone(),
                    target: tablet.tablet,
                    schema_hash: tablet.schema_hash,
                    lineage: tablet.lineage,
                    reuse: tablet.reuse.as_ref().filter(near).map(|(at, _)| *at),
                    bytes: from.bytes,
                };
                groups.entry((*backend, from.manifest)).or_default().push(row);
            }
        }
    }
    let mut rows = Vec::new();
    for ((backend, manifest), tablets) in groups {
        let manifest = manifest.map(|n| info.manifest(n).copied()).transpose()?;
        cut(&mut rows, backend, manifest, tablets);
    }
    Ok(rows)
}

/// Whether every partition that was asked for was prepared, once.
fn check_all_prepared(plan: &RestorePlan, prepared: &[PreparedPartition]) -> Result<(), Failure> {
    let asked = plan.prepare.tables.iter().zip(0_u32..);
    let asked: BTreeSet<_> = asked.flat_map(|(t, n)| (0_u32..).zip(&t.partitions).map(move |(p, _)| (n, p))).collect();
    let given: BTreeSet<_> = prepared.iter().map(|p| (p.table, p.partition)).collect();
    if given == asked && prepared.len() == asked.len() { Ok(()) } else { Err(unasked()) }
}

/// Whether every tablet of the source has a target, and every target a replica.
fn check_whole(plan: &RestorePlan, partition: &PreparedPartition, source: &PartitionMeta) -> Result<(), Failure> {
    let map = plan.index_map.get(partition.table as usize).ok_or_else(unasked)?;
    let buckets = |index: &usize| source.indexes.get(*index).map_or(0, |index| index.tablets.len());
    let asked = (0_u32..).zip(map).flat_map(|(n, index)| (0_u32..).take(buckets(index)).map(move |at| (n, at)));
    let placed = partition.tablets.iter().all(|tablet| !tablet.backends.is_empty());
    let given: BTreeSet<_> = partition.tablets.iter().map(|tablet| (tablet.index, tablet.position)).collect();
    let once = given.len() == partition.tablets.len();
    if placed && once && given.into_iter().eq(asked) { Ok(()) } else { Err(unasked()) }
}

fn cut(rows: &mut Vec<Row>, backend: BackendId, manifest: Option<ManifestRef>, tablets: Vec<RowTablet>) {
    let (mut room, first) = (None, rows.len());
    for tablet in tablets {
        let bytes = tablet.bytes;
        if let (Some((count, left)), Some(row)) = (room.as_mut(), rows.last_mut())
            && *count < MAX_TABLETS_PER_TASK
            && bytes <= *left
        {
            (*count, *left) = (*count + 1, *left - bytes);
            row.tablets.push(tablet);
            continue;
        }
        room = Some((1_usize, MAX_BYTES_PER_TASK.saturating_sub(bytes)));
        rows.push(Row {
            task: TaskId(rows.len() as u64 + 1),
            backend,
            attempt: 1,
            failures: 0,
            not_before: None,
            error: None,
            stage: Stage::Create,
            manifest,
            tablets: vec![tablet],
        });
    }
    // They are kept as long as the job runs.
    rows[first..].iter_mut().for_each(|row| row.tablets.shrink_to_fit());
}

fn source<'a>(
    plan: &RestorePlan,
    meta: &'a WholeMeta,
    partition: &PreparedPartition,
) -> Result<&'a PartitionMeta, Failure> {
    let source = plan.sources.get(partition.table as usize).and_then(|table| table.get(partition.partition as usize));
    let &(table, partition) = source.ok_or_else(unasked)?;
    let found = meta.tables.get(table).and_then(|table| table.partitions.get(partition));
    found.ok_or_else(|| Failure::fatal(Kind::Corrupt, "the meta of the snapshot changed since it was checked"))
}

fn position<'a>(
    plan: &RestorePlan,
    partition: &PreparedPartition,
    source: &'a PartitionMeta,
    tablet: &PreparedTablet,
) -> Result<&'a TabletMeta, Failure> {
    let map = plan.index_map.get(partition.table as usize).ok_or_else(unasked)?;
    let index = *map.get(tablet.index as usize).ok_or_else(unasked)?;
    let tablets = source.indexes.get(index).map(|index| &index.tablets);
    tablets.and_then(|tablets| tablets.get(tablet.position as usize)).ok_or_else(unasked)
}

fn unasked() -> Failure {
    Failure::fatal(Kind::Internal, "the catalog prepared other targets than it was asked for")
}
