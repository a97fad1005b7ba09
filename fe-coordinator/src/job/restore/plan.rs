//! How a prepared restore is cut into tasks. Pure.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, TabletIdentity, TaskId};
use tabvault_common::repo::info::Info;
use tabvault_common::repo::meta::{PartitionMeta, TabletMeta, WholeMeta};

use super::{Row, RowTablet, Stage};
use crate::catalog::PreparedTablet;
use crate::check::mapping::RestorePlan;
use crate::job::{MAX_BYTES_PER_TASK, MAX_TABLETS_PER_TASK};

#[cfg(test)]
mod tests;

/// Cuts a restore into tasks: every replica of every prepared tablet in exactly one row, tablets of one manifest and one
/// backend together.
pub struct Planner<'a> {
    plan: &'a RestorePlan,
    info: &'a Info,
    meta: &'a WholeMeta,
    groups: BTreeMap<(BackendId, Option<u32>), Group>,
}

impl<'a> Planner<'a> {
    /// For a plan, and the snapshot that it was made from.
    #[must_use]
    pub fn new(plan: &'a RestorePlan, info: &'a Info, meta: &'a WholeMeta) -> Self {
        Self { plan, info, meta, groups: BTreeMap::new() }
    }

    /// Adds what was prepared for the partition at these positions of the plan's request.
    ///
    /// # Errors
    /// `Corrupt` when the meta does not hold what the plan was made from, `Internal` when the catalog prepared something
    /// else than it was asked for.
    pub fn partition(&mut self, table: u32, partition: u32, prepared: &[PreparedTablet]) -> Result<(), Failure> {
        let place = (self.plan.sources.get(table as usize)).and_then(|table| table.get(partition as usize));
        let source = source(self.meta, *place.ok_or_else(unasked)?)?;
        let map = self.plan.index_map.get(table as usize).ok_or_else(unasked)?;
        check_whole(map, source, prepared)?;
        let mut touched = BTreeSet::new();
        for tablet in prepared {
            let from = position(map, source, tablet)?;
            let identity = TabletIdentity {
                cluster: self.info.job.cluster,
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
                let group = (*backend, from.manifest);
                self.groups.entry(group).or_default().add(row);
                touched.insert(group);
            }
        }
        // Most groups are whole by now, many of them small, and all are kept as long as the job runs: what they do not
        // fill is given back while the next partition can use it.
        for group in touched {
            self.groups.entry(group).and_modify(Group::shrink_last);
        }
        Ok(())
    }

    /// The rows, numbered from 1.
    ///
    /// # Errors
    /// `Corrupt` when the snapshot names a manifest that it does not list.
    pub fn finish(self) -> Result<Vec<Row>, Failure> {
        let mut rows = Vec::new();
        for ((backend, manifest), group) in self.groups {
            let manifest = manifest.map(|n| self.info.manifest(n).copied()).transpose()?;
            let numbers = rows.len() as u64 + 1..;
            rows.extend(numbers.zip(group.tasks).map(|(number, tablets)| Row {
                task: TaskId(number),
                backend,
                attempt: 1,
                failures: 0,
                not_before: None,
                error: None,
                stage: Stage::Create,
                manifest,
                tablets,
            }));
        }
        Ok(rows)
    }
}

/// The tablets of one manifest and one backend, cut into tasks while they come: a list of all of them would grow to
/// twice its size before it is cut.
#[derive(Default)]
struct Group {
    tasks: Vec<Vec<RowTablet>>,
    /// Bytes that the last task has room for.
    left: u64,
}

impl Group {
    fn add(&mut self, tablet: RowTablet) {
        let bytes = tablet.bytes;
        match self.tasks.last_mut() {
            Some(last) if last.len() < MAX_TABLETS_PER_TASK && bytes <= self.left => {
                self.left -= bytes;
                last.push(tablet);
            }
            _ => {
                self.shrink_last();
                self.left = MAX_BYTES_PER_TASK.saturating_sub(bytes);
                self.tasks.push(vec![tablet]);
            }
        }
    }

    fn shrink_last(&mut self) {
        if let Some(last) = self.tasks.last_mut() {
            last.shrink_to_fit();
        }
    }
}

/// Whether every tablet of the source has a target, and every target a replica. `map` leads from the indexes of the
/// target to those of the source.
fn check_whole(map: &[usize], source: &PartitionMeta, prepared: &[PreparedTablet]) -> Result<(), Failure> {
    let buckets = |index: &usize| source.indexes.get(*index).map_or(0, |index| index.tablets.len());
    let asked = (0_u32..).zip(map).flat_map(|(n, index)| (0_u32..).take(buckets(index)).map(move |at| (n, at)));
    let placed = prepared.iter().all(|tablet| !tablet.backends.is_empty());
    let given: BTreeSet<_> = prepared.iter().map(|tablet| (tablet.index, tablet.position)).collect();
    let once = given.len() == prepared.len();
    if placed && once && given.into_iter().eq(asked) { Ok(()) } else { Err(unasked()) }
}

fn source(meta: &WholeMeta, (table, partition): (usize, usize)) -> Result<&PartitionMeta, Failure> {
    let found = meta.tables.get(table).and_then(|table| table.partitions.get(partition));
    found.ok_or_else(|| Failure::fatal(Kind::Corrupt, "the meta of the snapshot changed since it was checked"))
}

fn position<'a>(map: &[usize], source: &'a PartitionMeta, tablet: &PreparedTablet) -> Result<&'a TabletMeta, Failure> {
    let index = *map.get(tablet.index as usize).ok_or_else(unasked)?;
    let tablets = source.indexes.get(index).map(|index| &index.tablets);
    tablets.and_then(|tablets| tablets.get(tablet.position as usize)).ok_or_else(unasked)
}

fn unasked() -> Failure {
    Failure::fatal(Kind::Internal, "the catalog prepared other targets than it was asked for")
}
