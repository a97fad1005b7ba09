//! Which replica of each tablet is read, and how tablets are put together into tasks. Pure.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, TaskId};
use tabvault_common::repo::info::Content;
use tabvault_common::repo::meta::Shown;

use super::{Row, RowTablet, Stage};
use crate::catalog::{CutPartition, CutTable, TabletInfo};
use crate::job::{MAX_BYTES_PER_TASK, MAX_FILES_PER_TASK, MAX_TABLETS_PER_TASK};

#[cfg(test)]
mod tests;

/// Plans partitions one after another, spreading bytes over the backends.
#[derive(Debug)]
pub struct Planner<'a> {
    alive: &'a BTreeSet<BackendId>,
    content: Content,
    load: BTreeMap<BackendId, u64>,
    rows: Vec<Row>,
}

impl<'a> Planner<'a> {
    /// A planner that prefers replicas on backends that are `alive`.
    #[must_use]
    pub fn new(alive: &'a BTreeSet<BackendId>, content: Content) -> Self {
        Self { alive, content, load: BTreeMap::new(), rows: Vec::new() }
    }

    /// Plans a partition of `table` whose tablets are `tablets`.
    ///
    /// # Errors
    /// `FailedPrecondition` when a tablet has no replica that covers the visible version.
    pub fn partition(&mut self, table: &str, partition: &CutPartition, tablets: &[TabletInfo]) -> Result<(), Failure> {
        let mut groups: BTreeMap<BackendId, Vec<RowTablet>> = BTreeMap::new();
        for info in tablets {
            let (backend, tablet) = self.choose(table, partition, info)?;
            *self.load.entry(backend).or_default() += tablet.bytes.max(1);
            groups.entry(backend).or_default().push(tablet);
        }
        for (backend, tablets) in groups {
            for tablets in chunks(tablets) {
                let stage = match self.content {
                    Content::All => Stage::Snapshot,
                    Content::MetadataOnly => Stage::Described,
                };
                self.rows.push(Row {
                    task: TaskId(self.rows.len() as u64 + 1),
                    partition: partition.id,
                    version: partition.visible_version,
                    version_time: partition.version_time,
                    backend,
                    attempt: 1,
                    failures: 0,
                    not_before: None,
                    error: None,
                    stage,
                    tablets,
                    parents: Vec::new(),
                });
            }
        }
        Ok(())
    }

    /// The rows, numbered from 1.
    #[must_use]
    pub fn finish(self) -> Vec<Row> {
        self.rows
    }

    fn choose(
        &self,
        table: &str,
        partition: &CutPartition,
        info: &TabletInfo,
    ) -> Result<(BackendId, RowTablet), Failure> {
        let mut covering: Vec<_> = info.replicas.iter().filter(|r| r.version >= partition.visible_version).collect();
        let load = |backend| self.load.get(&backend).copied().unwrap_or(0);
        covering.sort_by_key(|r| (!self.alive.contains(&r.backend), load(r.backend), r.backend));
        let Some((chosen, others)) = covering.split_first() else {
            return Err(Failure::fatal(
                Kind::FailedPrecondition,
                format!(
                    "tablet {} of partition {} of table {table} has no replica with version {}: leave the table out \
                     with EXCLUDE ({table}), or repair the tablet",
                    info.tablet, partition.def.name, partition.visible_version
                ),
            ));
        };
        let with_data = self.content == Content::All;
        let shown = with_data && chosen.version == partition.visible_version;
        let tablet = RowTablet {
            tablet: info.tablet,
            index: info.index,
            position: info.position,
            schema_hash: info.schema_hash,
            lineage: info.lineage,
            files: if with_data { chosen.file_count } else { 0 },
            bytes: if with_data { chosen.data_size } else { 0 },
            shown: shown.then_some(Shown { files: chosen.file_count, bytes: chosen.data_size }),
            others: others.iter().map(|r| r.backend).collect(),
        };
        Ok((chosen.backend, tablet))
    }
}

/// Whether `rows`, all of one partition, hold just the tablets that its definition speaks of. Definitions and tablets
/// are asked for one after the other, and a partition may be planned again much later.
///
/// # Errors
/// `FailedPrecondition` naming the table when it was altered in between.
pub fn check_unaltered<'a>(
    table: &CutTable,
    partition: &CutPartition,
    rows: impl IntoIterator<Item = &'a Row>,
) -> Result<(), Failure> {
    let planned = rows.into_iter().flat_map(|row| &row.tablets);
    let mut planned: Vec<_> = planned.map(|tablet| (tablet.index, tablet.position, tablet.schema_hash)).collect();
    planned.sort_unstable();
    let buckets = partition.def.buckets;
    let defined = table.def.indexes.iter().zip(0_u32..);
    let defined = defined.flat_map(|(def, n)| (0..buckets).map(move |bucket| (n, bucket, def.schema_hash)));
    if planned.into_iter().eq(defined) {
        return Ok(());
    }
    let (table, partition) = (&table.def.name, &partition.def.name);
    let why = format!("table {table} was altered while its partition {partition} was backed up: back it up again");
    Err(Failure::fatal(Kind::FailedPrecondition, why))
}

/// Cuts tablets into pieces that fit one task.
pub(super) fn chunks(tablets: Vec<RowTablet>) -> Vec<Vec<RowTablet>> {
    let mut pieces: Vec<Vec<RowTablet>> = Vec::new();
    let (mut bytes, mut files) = (0, 0);
    for tablet in tablets {
        match pieces.last_mut() {
            Some(piece)
                if piece.len() < MAX_TABLETS_PER_TASK
                    && bytes + tablet.bytes <= MAX_BYTES_PER_TASK
                    && files + tablet.files <= MAX_FILES_PER_TASK =>
            {
                (bytes, files) = (bytes + tablet.bytes, files + tablet.files);
                piece.push(tablet);
            }
            _ => {
                (bytes, files) = (tablet.bytes, tablet.files);
                pieces.push(vec![tablet]);
            }
        }
    }
    // They are kept as long as the job runs.
    pieces.iter_mut().for_each(Vec::shrink_to_fit);
    pieces
}
