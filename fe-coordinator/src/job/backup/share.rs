//! What a backup shares with an earlier snapshot, its parent. Pure.
//!
//! A manifest of the parent is shared whole if every tablet in it is backed up now as what it is there: same tablet,
//! lineage and version, in the same place of the same table. Such tablets become rows that are uploaded already, and no
//! backend hears of them. All others are uploaded, and their rows name the manifests in which the parent has them, so
//! that files which are there need not be stored again. Tablets that lie in one manifest go, as far as replicas allow,
//! into one task: they share packs, and whether a pack is still worth keeping is decided per task.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tabvault_common::ids::{BackendId, ClusterId, PartitionId, TabletId, TaskId, Version};
use tabvault_common::repo::info::{Content, Info, ManifestRef};
use tabvault_common::repo::meta::{IndexMeta, PartitionMeta, TabletMeta, WholeMeta};

use super::plan::chunks;
use super::{Row, RowTablet, Stage};
use crate::catalog::Cut;
use crate::job::{MAX_BYTES_PER_TASK, MAX_TABLETS_PER_TASK};

#[cfg(test)]
mod tests;

/// Most parent manifests that one row names: what keeps a row within one record of the job store. With more, files of
/// the others are stored again.
pub const MAX_PARENTS: usize = 16;

/// Rows that share with the snapshot of `info` and `meta` what can be shared, in the place of `rows`, the plan of all of
/// `cut`; numbered from 1. Beside its answer it takes some 24 bytes for each tablet of the parent.
#[must_use]
pub fn share(cut: &Cut, cluster: ClusterId, rows: Vec<Row>, info: &Info, meta: &WholeMeta) -> Vec<Row> {
    // Numbers of tablets mean nothing in another cluster, and without data there is nothing to share.
    if info.job.cluster != cluster || info.content != Content::All {
        return rows;
    }
    let parent = Parent::new(cut, info, meta);
    let whole = parent.whole(&rows);
    let mut shared: BTreeMap<u32, Row> = BTreeMap::new();
    let mut left: BTreeMap<PartitionId, Vec<Row>> = BTreeMap::new();
    for mut row in rows {
        let tablets = std::mem::take(&mut row.tablets).into_iter();
        let rest = tablets.filter_map(|tablet| {
            let known = parent.same(row.partition, row.version, &tablet);
            let Some(known) = known.filter(|known| whole.contains(&known.manifest)) else { return Some(tablet) };
            let manifest = info.manifests[known.manifest as usize];
            let uploaded = || {
                let tablets = Vec::with_capacity(manifest.tablets as usize);
                Row { stage: Stage::Uploaded(manifest), tablets, ..row.clone() }
            };
            shared.entry(known.manifest).or_insert_with(uploaded).tablets.push(known.taken(tablet));
            None
        });
        let rest: Vec<RowTablet> = rest.collect();
        if !rest.is_empty() {
            left.entry(row.partition).or_default().push(Row { tablets: rest, ..row });
        }
    }
    let rest = left.into_values().flat_map(|rows| parent.regroup(rows));
    let mut rows: Vec<Row> = shared.into_values().chain(rest).collect();
    for (row, number) in rows.iter_mut().zip(1..) {
        row.task = TaskId(number);
        row.tablets.sort_unstable_by_key(|tablet| (tablet.index, tablet.position));
        // They are kept as long as the job runs.
        row.tablets.shrink_to_fit();
    }
    rows
}

/// The tablets of a parent snapshot, by number.
struct Parent<'a> {
    manifests: &'a [ManifestRef],
    partitions: Vec<&'a PartitionMeta>,
    /// Where each tablet stands, sorted by its number.
    spots: Vec<(TabletId, Spot)>,
    /// Where the tablets of a partition that is backed up now would have to stand in the parent.
    places: HashMap<PartitionId, Place<'a>>,
}

/// Where a tablet stands among the parent's partitions: which of them, which of its indexes, which position there.
#[derive(Clone, Copy)]
struct Spot {
    partition: u32,
    index: u32,
    position: u32,
}

/// A tablet of the parent.
struct Known<'a> {
    meta: &'a TabletMeta,
    manifest: u32,
    partition: &'a PartitionMeta,
    index: &'a IndexMeta,
    position: u32,
}

/// Names that a manifest carries.
struct Place<'a> {
    table: &'a str,
    partition: &'a str,
    indexes: Vec<&'a str>,
}

impl Known<'_> {
    /// The tablet as the parent counts it.
    fn taken(&self, tablet: RowTablet) -> RowTablet {
        let TabletMeta { files, bytes, shown, .. } = *self.meta;
        RowTablet { files, bytes, shown: tablet.shown.or(shown), ..tablet }
    }
}

impl<'a> Parent<'a> {
    fn new(cut: &'a Cut, info: &'a Info, meta: &'a WholeMeta) -> Self {
        let mut places = HashMap::new();
        for table in &cut.tables {
            for partition in &table.partitions {
                let indexes = table.def.indexes.iter().map(|index| index.name.as_str()).collect();
                let (table, name) = (table.def.name.as_str(), partition.def.name.as_str());
                places.insert(partition.id, Place { table, partition: name, indexes });
            }
        }
        let partitions: Vec<&PartitionMeta> = meta.tables.iter().flat_map(|table| &table.partitions).collect();
        let tablets = partitions.iter().flat_map(|partition| &partition.indexes).map(|index| index.tablets.len()).sum();
        let mut spots = Vec::with_capacity(tablets);
        for (known, partition) in partitions.iter().zip(0..) {
            for (known, index) in known.indexes.iter().zip(0..) {
                for (tablet, position) in known.tablets.iter().zip(0..) {
                    spots.push((tablet.tablet, Spot { partition, index, position }));
                }
            }
        }
        spots.sort_unstable_by_key(|(tablet, _)| *tablet);
        Self { manifests: &info.manifests, partitions, spots, places }
    }

    /// The tablet at any version.
    fn known(&self, tablet: &RowTablet) -> Option<Known<'a>> {
        let found = self.spots.binary_search_by_key(&tablet.tablet, |(known, _)| *known).ok()?;
        let Spot { partition, index, position } = self.spots[found].1;
        let partition = self.partitions[partition as usize];
        let index = &partition.indexes[index as usize];
        let meta = &index.tablets[position as usize];
        let manifest = meta.manifest.filter(|n| (*n as usize) < self.manifests.len())?;
        (meta.lineage == tablet.lineage).then_some(Known { meta, manifest, partition, index, position })
    }

    /// The tablet if it is there as what it is now.
    fn same(&self, partition: PartitionId, version: Version, tablet: &RowTablet) -> Option<Known<'a>> {
        let place = self.places.get(&partition)?;
        self.known(tablet).filter(|known| {
            known.partition.visible_version == version
                && known.index.schema_hash == tablet.schema_hash
                && known.position == tablet.position
                && place.indexes.get(tablet.index as usize) == Some(&known.index.name.as_str())
                && (place.table, place.partition) == (known.partition.table.as_str(), known.partition.def.name.as_str())
        })
    }

    /// The manifests of which every tablet is backed up now as what it is there.
    fn whole(&self, rows: &[Row]) -> BTreeSet<u32> {
        let mut found: BTreeMap<(u32, PartitionId), u64> = BTreeMap::new();
        for row in rows {
            for known in row.tablets.iter().filter_map(|tablet| self.same(row.partition, row.version, tablet)) {
                *found.entry((known.manifest, row.partition)).or_default() += 1;
            }
        }
        let whole = found.into_iter().filter(|((manifest, _), tablets)| {
            *tablets == self.manifests[*manifest as usize].tablets && *tablets <= MAX_TABLETS_PER_TASK as u64
        });
        whole.map(|((manifest, _), _)| manifest).collect()
    }

    /// The rows of one partition anew, so that what the parent has in one manifest comes together.
    fn regroup(&self, rows: Vec<Row>) -> Vec<Row> {
        let Some(first) = rows.first() else { return rows };
        let template =
            Row { tablets: Vec::new(), error: None, parents: Vec::new(), stage: first.stage.clone(), ..*first };
        let mut groups: BTreeMap<Option<u32>, Vec<(BackendId, RowTablet)>> = BTreeMap::new();
        for row in rows {
            for tablet in row.tablets {
                let manifest = self.known(&tablet).map(|known| known.manifest);
                groups.entry(manifest).or_default().push((row.backend, tablet));
            }
        }
        // With the parent's first, so that what is new fills up their tasks.
        let mut of_backend: BTreeMap<BackendId, Vec<Group>> = BTreeMap::new();
        let (new, known): (Vec<_>, Vec<_>) = groups.into_iter().partition(|(manifest, _)| manifest.is_none());
        for (manifest, tablets) in known.into_iter().chain(new) {
            let tablets = if manifest.is_some() { together(tablets) } else { tablets };
            let mut split: BTreeMap<BackendId, Vec<RowTablet>> = BTreeMap::new();
            for (backend, tablet) in tablets {
                split.entry(backend).or_default().push(tablet);
            }
            for (backend, tablets) in split {
                of_backend.entry(backend).or_default().push(Group { manifest, tablets });
            }
        }
        let mut rows = Vec::new();
        for (backend, groups) in of_backend {
            for piece in pieces(groups) {
                let manifests: BTreeSet<u32> = piece.iter().filter_map(|group| group.manifest).collect();
                let parents = manifests.into_iter().take(MAX_PARENTS).map(|n| self.manifests[n as usize]).collect();
                let tablets = piece.into_iter().flat_map(|group| group.tablets).collect();
                rows.push(Row { backend, parents, tablets, ..template.clone() });
            }
        }
        rows
    }
}

/// Tablets on one backend that lie in one manifest of the parent, or in none.
struct Group {
    manifest: Option<u32>,
    tablets: Vec<RowTablet>,
}

/// The tablets with as many as possible on the backend that most of them were planned on.
fn together(tablets: Vec<(BackendId, RowTablet)>) -> Vec<(BackendId, RowTablet)> {
    let mut planned: BTreeMap<BackendId, usize> = BTreeMap::new();
    for (backend, _) in &tablets {
        *planned.entry(*backend).or_default() += 1;
    }
    let Some((home, _)) = planned.into_iter().rev().max_by_key(|(_, count)| *count) else { return tablets };
    let moved = tablets.into_iter().map(|(backend, mut tablet)| match tablet.others.iter_mut().find(|b| **b == home) {
        Some(other) => {
            *other = backend;
            (home, tablet)
        }
        None => (backend, tablet),
    });
    moved.collect()
}

/// Groups put together into tasks; one that is too large for a task is cut.
fn pieces(groups: Vec<Group>) -> Vec<Vec<Group>> {
    let mut pieces: Vec<Vec<Group>> = Vec::new();
    let (mut tablets, mut bytes) = (0, 0);
    for Group { manifest, tablets: all } in groups {
        for some in chunks(all) {
            let size = some.iter().map(|tablet| tablet.bytes).sum::<u64>();
            let fits = tablets + some.len() <= MAX_TABLETS_PER_TASK && bytes + size <= MAX_BYTES_PER_TASK;
            let group = Group { manifest, tablets: some };
            let count = group.tablets.len();
            match pieces.last_mut().filter(|_| fits) {
                Some(piece) => {
                    (tablets, bytes) = (tablets + count, bytes + size);
                    piece.push(group);
                }
                None => {
                    (tablets, bytes) = (count, size);
                    pieces.push(vec![group]);
                }
            }
        }
    }
    pieces
}
