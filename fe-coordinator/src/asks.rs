//! Performs the questions that jobs ask of the repository and the catalog.
//!
//! Each is idempotent: what a crash interrupts is asked again, and the answer is the same or better.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use tabvault_common::clock::Clock;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::{BackendId, Epoch, PartitionId, Version};
use tabvault_common::label::SnapshotTimestamp;
use tabvault_common::repo::info::{Content, Info};
use tabvault_common::repo::meta::{TabletMeta, WholeMeta};
use tabvault_common::request::{BackupRequest, RestoreRequest};

use crate::agents::Agents;
use crate::catalog::{Catalog, Cut, PrepareRequest, TabletSize};
use crate::check::mapping::{
    RestorePlan, SnapshotIndex, SnapshotPartition, SnapshotTable, SnapshotTables, map_restore,
};
use crate::check::properties::RestoreProperties;
use crate::check::select::select;
use crate::job::any::Job;
use crate::job::backup::{self, BackupJob};
use crate::job::restore::{self, RestoreJob};
use crate::job::{Answer, Ask};
use crate::records::{Records, Request};
use crate::repository::InfoWrite;
use crate::repository::registry::Repositories;

mod found;
mod parent;

pub(crate) use found::Found;
pub(crate) use parent::Published;

/// The repository and the catalog, for jobs.
#[derive(Debug)]
pub(crate) struct Asks {
    /// The cluster's tables.
    pub(crate) catalog: Arc<dyn Catalog>,
    /// The repositories.
    pub(crate) repositories: Arc<Repositories>,
    /// The backends.
    pub(crate) agents: Arc<Agents>,
    /// The job store, for what the user asked for.
    pub(crate) records: Records,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// This leadership.
    pub(crate) epoch: Epoch,
    /// A job over more tablets is refused: rows of all tablets are kept in memory.
    pub(crate) max_tablets: u64,
    /// What was published lately.
    pub(crate) published: Published,
    /// What the last backup found out before it began.
    pub(crate) found: Found,
}

impl Asks {
    /// What performs `ask` for `job` as it stands now.
    pub(crate) fn prepare(
        self: &Arc<Self>,
        job: &Arc<Job>,
        ask: Ask,
    ) -> impl Future<Output = Result<Answer, Failure>> + Send + 'static {
        let (this, job) = (self.clone(), snapshot(job, ask));
        async move {
            match &*job {
                Job::Backup(job) => this.backup(job, ask).await,
                Job::Restore(job) => this.restore(job, ask).await,
            }
        }
    }

    async fn backup(&self, job: &BackupJob, ask: Ask) -> Result<Answer, Failure> {
        match ask {
            Ask::ChooseParent => self.choose(job).await,
            Ask::Plan => self.plan(job).await,
            Ask::TakePartition(partition) => self.take_partition(job, partition).await,
            Ask::RemoveIntent => {
                // Who drops a repository leaves what is in it to others.
                if self.repositories.exists(&job.head.repository).await? {
                    let repository = self.repositories.open(&job.head.repository).await?;
                    repository.remove_intent(job.head.uuid).await?;
                }
                Ok(Answer::Done)
            }
            Ask::WriteMeta => {
                let repository = self.repositories.open(&job.head.repository).await?;
                let meta = job.meta()?;
                let (reference, now) = (meta.reference(), self.clock.now());
                BackupJob::check_info_size(job.info_with(reference, SnapshotTimestamp::at(now), self.epoch, now)?)?;
                Ok(Answer::MetaWritten(repository.put_by_digest(job.head.uuid, meta.bytes).await?))
            }
            Ask::WriteInfo => {
                let repository = self.repositories.open(&job.head.repository).await?;
                let info = job.info(self.epoch, self.clock.now())?;
                let (name, content) = (info.name(), info.content);
                let write = repository.write_info(info).await?;
                self.found.outdate();
                if content == Content::All && matches!(write, InfoWrite::Written | InfoWrite::OursAlready) {
                    self.published.remember(&job.head.repository, &job.head.database, name);
                }
                Ok(Answer::Info(write))
            }
            Ask::WriteTombstone => {
                let repository = self.repositories.open(&job.head.repository).await?;
                let Some(timestamp) = &job.head.timestamp else { return Err(foreign(ask)) };
                let reason = job.head.cancelling.as_ref().map_or("cancelled", |why| why.message.as_str());
                let (label, uuid) = (&job.head.label, job.head.uuid);
                Ok(Answer::Tombstone(repository.write_tombstone(label, timestamp, uuid, reason).await?))
            }
            Ask::ReadSnapshot | Ask::Prepare | Ask::Publish | Ask::Discard => Err(foreign(ask)),
        }
    }

    async fn restore(&self, job: &RestoreJob, ask: Ask) -> Result<Answer, Failure> {
        match ask {
            Ask::ReadSnapshot => {
                let Request::Restore(request) = self.records.request(job.head.id).await? else {
                    return Err(foreign(ask));
                };
                let (info, restore) = self.map(&request, &job.head.properties).await?;
                Ok(Answer::Mapped(Box::new(restore::Plan { timestamp: info.timestamp, restore })))
            }
            Ask::Prepare => {
                let Some(plan) = &job.plan else { return Err(foreign(ask)) };
                self.catalog.prepare(job.head.uuid, self.epoch, &plan.restore.prepare).await?;
                let repository = self.repositories.open(&job.head.repository).await?;
                let info = repository.read_info(&job.head.label, plan.timestamp.as_str()).await?;
                let meta = repository.read_meta(&info).await?;
                let mut planner = restore::plan::Planner::new(&plan.restore, &info, &meta);
                for (table, wanted) in (0_u32..).zip(&plan.restore.prepare.tables) {
                    for (partition, _) in (0_u32..).zip(&wanted.partitions) {
                        // One after another: all of a large restore's together would take much memory.
                        let prepared = self.catalog.prepared(job.head.uuid, table, partition).await?;
                        planner.partition(table, partition, &prepared)?;
                    }
                }
                Ok(Answer::Prepared(planner.finish()?))
            }
            Ask::Publish => Ok(Answer::Decided(self.catalog.publish(job.head.uuid, self.epoch).await?)),
            Ask::Discard => Ok(Answer::Decided(self.catalog.discard(job.head.uuid, self.epoch).await?)),
            Ask::ChooseParent
            | Ask::Plan
            | Ask::TakePartition(_)
            | Ask::RemoveIntent
            | Ask::WriteMeta
            | Ask::WriteInfo
            | Ask::WriteTombstone => Err(foreign(ask)),
        }
    }

    /// The selected part of a database, as it is now.
    pub(crate) async fn cut(&self, request: &BackupRequest) -> Result<Cut, Failure> {
        select(&self.catalog.cut(&request.database).await?, &request.selection)
    }

    async fn plan(&self, job: &BackupJob) -> Result<Answer, Failure> {
        let Request::Backup(request) = self.records.request(job.head.id).await? else {
            return Err(foreign(Ask::Plan));
        };
        let Some(shared) = self.write_intent(job).await? else { return Ok(Answer::ParentGone) };
        let cut = self.cut(&request).await?;
        let alive = self.alive().await;
        let mut planner = backup::plan::Planner::new(&alive, job.head.properties.content);
        let mut tablets = 0;
        for table in &cut.tables {
            for partition in &table.partitions {
                let of_partition = self.catalog.tablets(partition.id).await?;
                tablets += of_partition.len() as u64;
                self.admit(tablets)?;
                planner.partition(&table.def.name, partition, &of_partition)?;
            }
        }
        let rows = shared.share(&cut, job.head.cluster, planner.finish());
        Ok(Answer::Planned(Box::new(backup::Plan { cut }), rows))
    }

    async fn take_partition(&self, job: &BackupJob, id: PartitionId) -> Result<Answer, Failure> {
        let Some(partition) = self.catalog.partition(id).await? else {
            return Ok(Answer::PartitionPlanned(None));
        };
        let tables = job.plan.iter().flat_map(|plan| &plan.cut.tables);
        let table = tables.into_iter().find(|table| table.partitions.iter().any(|p| p.id == id));
        let name = table.map_or("", |table| table.def.name.as_str());
        let alive = self.alive().await;
        let mut planner = backup::plan::Planner::new(&alive, job.head.properties.content);
        planner.partition(name, &partition, &self.catalog.tablets(id).await?)?;
        Ok(Answer::PartitionPlanned(Some(self.share_again(job, planner.finish()).await?)))
    }

    /// Refuses a job over so many tablets that it would take too much memory.
    pub(crate) fn admit(&self, tablets: u64) -> Result<(), Failure> {
        if tablets <= self.max_tablets {
            return Ok(());
        }
        let why = format!(
            "the job has more than {} tablets: back up fewer tables at a time, or raise max_tablets_per_job",
            self.max_tablets
        );
        Err(Failure::fatal(Kind::ResourceExhausted, why))
    }

    /// The backends whose agents are attached, once those that are known had the time to attach.
    pub(crate) async fn alive(&self) -> BTreeSet<BackendId> {
        self.agents.gathered().await;
        self.agents.room().into_iter().map(|room| room.backend).collect()
    }

    /// Reads and verifies a snapshot and checks everything that can be refused about restoring it.
    pub(crate) async fn map(
        &self,
        request: &RestoreRequest,
        properties: &RestoreProperties,
    ) -> Result<(Info, RestorePlan), Failure> {
        let repository = self.repositories.open(&request.repository).await?;
        let label = request.label.parse()?;
        let info = repository.read_info(&label, &properties.backup_timestamp).await?;
        self.admit(info.totals.tablets)?;
        let meta = repository.read_meta(&info).await?;
        let plan = self.map_read(&info, meta, request, properties).await?;
        Ok((info, plan))
    }

    /// As [`Self::map`], of a snapshot that has been read and verified.
    pub(crate) async fn map_read(
        &self,
        info: &Info,
        meta: WholeMeta,
        request: &RestoreRequest,
        properties: &RestoreProperties,
    ) -> Result<RestorePlan, Failure> {
        let into = request.into.as_ref().unwrap_or(&request.database);
        let local = match self.catalog.cut(into).await {
            Ok(cut) => Some(cut),
            Err(failure) if failure.kind == Kind::NotFound && failure.retry == Retry::Never => None,
            Err(failure) => return Err(failure),
        };
        let snapshot = tables(info, meta);
        self.agents.gathered().await;
        let plan = map_restore(&snapshot, local.as_ref(), request, properties, &self.agents.room())?;
        self.check_names(&plan.prepare, local.is_none()).await?;
        Ok(plan)
    }

    /// Refuses names that this cluster cannot have, whether the user chose them or the snapshot brings them.
    async fn check_names(&self, request: &PrepareRequest, new_database: bool) -> Result<(), Failure> {
        for (what, name) in request.new_names(new_database) {
            let way = match what {
                "database" | "table" => "restore it under another name with AS",
                "rollup" => "leave its table out",
                _ => "leave it out",
            };
            self.catalog.check_name(what, name).await.map_err(|failure| {
                let message = format!("{}; {way}", failure.message);
                Failure { message, ..failure }
            })?;
        }
        Ok(())
    }
}

/// What a question needs of the job, so that the job can go on meanwhile.
fn snapshot(job: &Arc<Job>, ask: Ask) -> Arc<Job> {
    match &**job {
        // All of it; hardly anything happens to the job while these are asked.
        Job::Backup(_) if matches!(ask, Ask::WriteMeta | Ask::WriteInfo) => Arc::clone(job),
        Job::Backup(job) => {
            let mut small = BackupJob::new(job.head.clone());
            small.plan.clone_from(&job.plan);
            Arc::new(Job::Backup(Box::new(small)))
        }
        // It has no rows yet: should something happen to it meanwhile, that costs what a copy would.
        Job::Restore(_) if matches!(ask, Ask::ReadSnapshot | Ask::Prepare) => Arc::clone(job),
        Job::Restore(job) => Arc::new(Job::Restore(Box::new(RestoreJob::new(job.head.clone())))),
    }
}

fn foreign(ask: Ask) -> Failure {
    Failure::fatal(Kind::Internal, format!("{ask:?} was asked by a job to which it does not belong"))
}

/// What a restored tablet is shown to hold: what the one that was backed up was.
fn size(tablet: &TabletMeta) -> TabletSize {
    match tablet.shown {
        Some(shown) => TabletSize { files: shown.files, bytes: shown.bytes },
        None => TabletSize { files: tablet.files, bytes: tablet.bytes },
    }
}

/// A verified snapshot as the checks take it.
fn tables(info: &Info, meta: WholeMeta) -> SnapshotTables {
    let partition = |partition: tabvault_common::repo::meta::PartitionMeta| SnapshotPartition {
        // Without data there is nothing to show at the snapshot's version: the tables begin empty.
        version: match info.content {
            Content::All => partition.visible_version,
            Content::MetadataOnly => Version::INITIAL,
        },
        bytes: partition.indexes.iter().flat_map(|index| &index.tablets).map(|tablet| tablet.bytes).sum(),
        indexes: partition
            .indexes
            .into_iter()
            .map(|index| SnapshotIndex {
                name: index.name,
                schema_hash: index.schema_hash,
                tablets: u32::try_from(index.tablets.len()).unwrap_or(u32::MAX),
                sizes: index.tablets.iter().map(size).collect(),
            })
            .collect(),
        def: partition.def,
    };
    let table = |table: tabvault_common::repo::meta::TableMeta| SnapshotTable {
        def: table.def,
        partitions: table.partitions.into_iter().map(partition).collect(),
    };
    SnapshotTables {
        database: info.database.clone(),
        label: info.label.to_string(),
        timestamp: info.timestamp.to_string(),
        format_version: meta.header.format_version,
        content: info.content,
        tables: meta.tables.into_iter().map(table).collect(),
        views: meta.views,
    }
}
