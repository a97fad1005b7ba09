//! EXPLAIN BACKUP and EXPLAIN RESTORE: what a job would move, and what it would be refused for.
//!
//! # Overview
//! The checks are those of [`Coordinator::backup`] and [`Coordinator::restore`], but the first refusal does not hide
//! the others: each is listed, and what can be said nevertheless is said. Nothing is stored, claimed or written.
//!
//! Numbers of a backup are estimates, because the catalog knows files and bytes of each tablet, not of each file: the
//! files of a tablet count as of equal size, and travel in packs if that is at most the pack threshold (1 MiB). A pack
//! holds up to its target (32 MiB, or `max_file_size`) and costs one request, as does an object up to 32 MiB; a larger
//! one costs two and one per part of max(16 MiB, size / 9000). A manifest per task, and four for the label's listing,
//! intent, meta and info come on top. What does not compress is assumed throughout, so the numbers are upper ones. Of an
//! incremental backup what is shared with the parent as a whole is left out, and of the rest all files count: which of
//! them the parent has, only the backends can tell.
//!
//! Numbers of a restore are read from the snapshot's manifest references and are exact. Requests are at most one per
//! manifest, pack and object and one more per 16 MiB, for each replica: ranges that lie side by side are fetched
//! together, and files that a backend already holds are linked and not fetched.

use std::collections::BTreeSet;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::BackendId;
use tabvault_common::label::Label;
use tabvault_common::repo::info::Info;
use tabvault_common::repo::layout;
use tabvault_common::repo::meta::WholeMeta;
use tabvault_common::request::{BackupRequest, RestoreRequest};
use tabvault_common::view::JobKind;

use super::Coordinator;
use crate::catalog::Cut;
use crate::check::mapping::RestorePlan;
use crate::check::properties::{BackupProperties, RestoreProperties};
use crate::job::backup::plan::Planner;
use crate::job::backup::{Row, Stage};
use crate::repository::Repository;

mod parent;
#[cfg(test)]
mod tests;

/// Largest object that is stored by one request.
const SINGLE_PUT: u64 = 32 << 20;
/// Least bytes of a part, and most bytes of one range that a restore reads.
const PART: u64 = 16 << 20;
/// Most parts that an object is cut into.
const MAX_PARTS: u64 = 9000;
/// Requests of a backup beside its data: the look at the repository, the listing of the label, intent, meta and info.
const BACKUP_REQUESTS: u64 = 5;
/// What an incremental one asks beside that: its parent's info before the intent stands and after, and its meta.
const PARENT_REQUESTS: u64 = 3;
/// Requests of a restore beside its data: the listing of the label, info and meta.
const RESTORE_REQUESTS: u64 = 3;

/// What a job would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Explanation {
    /// Why it would be refused: every reason that was found. None: it would be accepted.
    pub refusals: Vec<Failure>,
    /// What the user should know about it.
    pub notices: Vec<String>,
    /// What it would move; `None` where a refusal leaves nothing to be counted.
    pub work: Option<Work>,
    /// The backends that would read or take the data.
    pub backends: BTreeSet<BackendId>,
}

/// How much a job would move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Tables.
    pub tables: u64,
    /// Partitions.
    pub partitions: u64,
    /// Tablets, each once whatever its number of replicas.
    pub tablets: u64,
    /// Files of one replica of each tablet.
    pub files: u64,
    /// Bytes of those files.
    pub bytes: u64,
    /// Files among them that travel in packs.
    pub packed_files: u64,
    /// Packs.
    pub packs: u64,
    /// Files that are objects of their own.
    pub objects: u64,
    /// Requests to the repository, at most; a search for a parent that is not remembered aside.
    pub requests: u64,
}

impl Explanation {
    /// What `result` holds; its failure is one of the refusals.
    fn take<T>(&mut self, result: Result<T, Failure>) -> Option<T> {
        result.map_err(|failure| self.refusals.push(failure)).ok()
    }
}

impl Coordinator {
    /// What BACKUP would do, and why it would be refused. Changes nothing.
    pub async fn explain_backup(&self, request: &BackupRequest) -> Explanation {
        let mut explained = Explanation::default();
        let properties = explained.take(BackupProperties::parse(&request.properties)).unwrap_or_default();
        let label: Option<Label> = explained.take(request.label.parse());
        let repository = explained.take(self.inner.repositories.open(&request.repository).await);
        if let Some(repository) = &repository {
            explained.take(repository.writable());
            explained.take(repository.check().await);
        }
        explained.take(self.check_slot(&request.database).await);
        let cut = explained.take(self.inner.asks.cut(request).await);
        if let (Some(repository), Some(label)) = (&repository, &label) {
            explained.take(self.check_label(repository, label).await);
        }
        if let Some(cut) = cut {
            self.explain_cut(&cut, repository.as_deref(), &properties, &mut explained).await;
        }
        explained
    }

    async fn explain_cut(
        &self,
        cut: &Cut,
        repository: Option<&Repository>,
        properties: &BackupProperties,
        explained: &mut Explanation,
    ) {
        let asks = &self.inner.asks;
        let alive = asks.alive().await;
        let mut planner = Planner::new(&alive, properties.content);
        let mut tablets = 0;
        for table in &cut.tables {
            for partition in &table.partitions {
                let Some(of_partition) = explained.take(self.inner.catalog.tablets(partition.id).await) else {
                    continue;
                };
                tablets += of_partition.len() as u64;
                if explained.take(asks.admit(tablets)).is_none() {
                    return;
                }
                explained.take(planner.partition(&table.def.name, partition, &of_partition));
            }
        }
        let mut rows = planner.finish();
        if let Some(repository) = repository {
            rows = self.explain_parent(cut, repository, properties, rows, explained).await;
        }
        let mut work = uploads(&rows, properties);
        work.tables = cut.tables.len() as u64;
        work.partitions = cut.tables.iter().map(|table| table.partitions.len() as u64).sum();
        work.tablets = tablets;
        explained.work = Some(work);
        rows.retain(|row| !matches!(row.stage, Stage::Uploaded(_)));
        explained.backends = rows.iter().map(|row| row.backend).collect();
        for backend in explained.backends.difference(&alive) {
            let tablets: usize = rows.iter().filter(|row| row.backend == *backend).map(|row| row.tablets.len()).sum();
            explained.notices.push(format!(
                "backend {backend} is not alive and has the only complete replica of {tablets} tablets: the job would \
                 wait for it"
            ));
        }
    }

    /// What RESTORE would do, and why it would be refused. Changes nothing.
    pub async fn explain_restore(&self, request: &RestoreRequest) -> Explanation {
        let mut explained = Explanation::default();
        // With a wrong property the snapshot can still be looked at, as long as the timestamp says which.
        let properties = explained.take(RestoreProperties::parse(&request.properties)).or_else(|| {
            let mut timestamp = request.properties.clone();
            timestamp.retain(|name, _| name == "backup_timestamp");
            RestoreProperties::parse(&timestamp).ok()
        });
        let label: Option<Label> = explained.take(request.label.parse());
        let into = request.into.as_ref().unwrap_or(&request.database);
        explained.take(self.check_slot(into).await);
        let repository = explained.take(self.inner.repositories.open(&request.repository).await);
        let (Some(properties), Some(label), Some(repository)) = (properties, label, repository) else {
            return explained;
        };
        let Some(info) = explained.take(repository.read_info(&label, &properties.backup_timestamp).await) else {
            return explained;
        };
        explained.work = Some(whole(&info));
        if explained.take(self.inner.asks.admit(info.totals.tablets)).is_none() {
            return explained;
        }
        let Some(meta) = explained.take(repository.read_meta(&info).await) else { return explained };
        let manifests = manifests(&meta);
        let plan = self.inner.asks.map_read(&info, meta, request, &properties).await;
        match explained.take(plan) {
            None => explained.notices.push("the numbers are those of the whole snapshot".to_owned()),
            Some(plan) => {
                explained.work = explained.take(downloads(&info, &manifests, &plan));
                explained.backends = plan.prepare.backends.iter().map(|room| room.backend).collect();
                explained.notices.extend(plan.notices);
            }
        }
        explained
    }

    /// Refuses a label that a snapshot has or a running job is about to give.
    async fn check_label(&self, repository: &crate::repository::Repository, label: &Label) -> Result<(), Failure> {
        let taken = repository.label_exists(label).await?;
        let name = repository.name();
        let making = self.running().values().map(super::Running::view).find(|job| {
            job.kind == JobKind::Backup && !job.ended && job.repository == name && job.label == label.as_str()
        });
        let by = making.map(|job| format!(": job {} is making it", job.id));
        if !taken && by.is_none() {
            return Ok(());
        }
        let why = format!("Snapshot with name '{label}' already exist in repository{}", by.unwrap_or_default());
        Err(Failure::fatal(Kind::AlreadyExists, why))
    }
}

/// What agents would upload for these tasks.
fn uploads(rows: &[Row], properties: &BackupProperties) -> Work {
    let pack_target = layout::PACK_TARGET.min(properties.max_file_size);
    let of_parent = if properties.shares() { PARENT_REQUESTS } else { 0 };
    let mut work = Work { requests: BACKUP_REQUESTS + of_parent, ..Work::default() };
    // Definitions alone are in no manifest, and what is shared is there already.
    for row in rows.iter().filter(|row| !row.is_done()) {
        let (mut packed, mut packed_bytes) = (0, 0);
        for tablet in row.tablets.iter().filter(|tablet| tablet.files > 0) {
            work.files += tablet.files;
            work.bytes += tablet.bytes;
            let size = tablet.bytes.div_ceil(tablet.files);
            if size <= layout::PACK_THRESHOLD {
                packed += tablet.files;
                packed_bytes += tablet.bytes;
            } else {
                work.objects += tablet.files;
                work.requests += tablet.files * put_requests(size);
            }
        }
        let by_entries = packed.div_ceil(layout::PACK_MAX_ENTRIES as u64);
        let packs = packed_bytes.div_ceil(pack_target).max(by_entries);
        work.packed_files += packed;
        work.packs += packs;
        // Each pack, and the task's manifest.
        work.requests += packs + 1;
    }
    work
}

/// Requests that store an object of so many bytes.
fn put_requests(size: u64) -> u64 {
    if size <= SINGLE_PUT {
        return 1;
    }
    2 + size.div_ceil(PART.max(size.div_ceil(MAX_PARTS)))
}

/// All of a snapshot, read once.
fn whole(info: &Info) -> Work {
    let totals = &info.totals;
    let data = totals.packs + totals.objects + totals.stored_bytes / PART + info.manifests.len() as u64;
    Work {
        tables: totals.tables,
        partitions: totals.partitions,
        tablets: totals.tablets,
        files: totals.files,
        bytes: totals.bytes,
        packed_files: totals.files.saturating_sub(totals.objects),
        packs: totals.packs,
        objects: totals.objects,
        requests: RESTORE_REQUESTS + data,
    }
}

/// The manifests of each partition and its number of tablets, placed as in [`RestorePlan::sources`].
fn manifests(meta: &WholeMeta) -> Vec<Vec<(BTreeSet<u32>, u64)>> {
    let of_partition = |partition: &tabvault_common::repo::meta::PartitionMeta| {
        let tablets = || partition.indexes.iter().flat_map(|index| &index.tablets);
        (tablets().filter_map(|tablet| tablet.manifest).collect(), tablets().count() as u64)
    };
    meta.tables.iter().map(|table| table.partitions.iter().map(of_partition).collect()).collect()
}

/// What agents would download for this plan. A manifest speaks of one partition.
fn downloads(info: &Info, manifests: &[Vec<(BTreeSet<u32>, u64)>], plan: &RestorePlan) -> Result<Work, Failure> {
    let mut work = Work { requests: RESTORE_REQUESTS, tables: plan.sources.len() as u64, ..Work::default() };
    for (table, sources) in plan.prepare.tables.iter().zip(&plan.sources) {
        for (partition, &(from, at)) in table.partitions.iter().zip(sources) {
            let Some((of_partition, tablets)) = manifests.get(from).and_then(|table| table.get(at)) else { continue };
            work.partitions += 1;
            work.tablets += tablets;
            for manifest in of_partition {
                let manifest = info.manifest(*manifest)?;
                work.files += manifest.files;
                work.bytes += manifest.bytes;
                work.packed_files += manifest.files.saturating_sub(manifest.objects);
                work.packs += manifest.packs;
                work.objects += manifest.objects;
                let once = 1 + manifest.packs + manifest.objects + manifest.stored_bytes / PART;
                work.requests += once * u64::from(partition.def.replication_num);
            }
        }
    }
    Ok(work)
}
