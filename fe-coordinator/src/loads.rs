//! Loads into and exports out of the built-in store: answered while the caller waits.
//!
//! # Consistency
//! A load is visible on all replicas or not at all: every replica of every tablet takes the files, all replicas of a
//! tablet must have taken the same, and then the catalog makes the version visible in one step. An export shows nothing
//! under the target's name before all of it is there.
//!
//! # Crash consistency
//! A load that a crash interrupts was never visible; the next one replaces what it left on agents.
//!
//! # Cancellation
//! Both go on when the caller has gone: a half-made load must not block its partition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, JobUuid, TabletId, Version};
use tabvault_common::label::Label;
use tabvault_common::request::{CreateTableRequest, ExportRequest, ExportSummary, LoadRequest, LoadSummary};
use tabvault_common::schema::{IndexDef, PartitionDef, Partitioning};
use tabvault_common::task::{
    Export, ExportStep, ExportTablet, JobEnd, Load, LoadTablet, LoadedTablet, TabletVersion, TaskBody, TaskResult,
};

use crate::catalog::local::{LoadPlan, LoadedReplica, LocalCatalog};
use crate::catalog::{CutPartition, TableState, TabletInfo};
use crate::coordinator::{Coordinator, Inner};
use crate::task_group::TaskGroup;

mod locations;

/// How long DDL waits for agents.
const PATIENCE: Duration = Duration::from_secs(10);

impl Coordinator {
    /// The built-in catalog.
    ///
    /// # Errors
    /// `Unsupported` where the embedding cluster has one of its own.
    pub fn local(&self) -> Result<&Arc<LocalCatalog>, Failure> {
        let why = "this cluster's tables are made and loaded by its own frontend";
        self.inner().local.as_ref().ok_or_else(|| Failure::fatal(Kind::Unsupported, why))
    }

    /// CREATE TABLE in the built-in catalog; answers when the backends that are alive have made its tablets.
    ///
    /// # Errors
    /// The refusals of CREATE TABLE.
    pub async fn create_table(&self, request: &CreateTableRequest) -> Result<(), Failure> {
        self.agents().gathered().await;
        self.local()?.create_table(request, &self.agents().room()).await?;
        self.tablets_made().await
    }

    /// ALTER TABLE … ADD PARTITION in the built-in catalog; answers when the backends that are alive have made its
    /// tablets.
    ///
    /// # Errors
    /// The refusals of ADD PARTITION.
    pub async fn add_partition(&self, database: &str, table: &str, partition: PartitionDef) -> Result<(), Failure> {
        self.agents().gathered().await;
        self.local()?.add_partition(database, table, &partition, &self.agents().room()).await?;
        self.tablets_made().await
    }

    /// ALTER TABLE … ADD ROLLUP in the built-in catalog; answers when the backends that are alive have made its tablets.
    ///
    /// # Errors
    /// As of [`LocalCatalog::add_rollups`].
    pub async fn add_rollups(&self, database: &str, table: &str, rollups: &[IndexDef]) -> Result<(), Failure> {
        self.agents().gathered().await;
        self.local()?.add_rollups(database, table, rollups, &self.agents().room()).await?;
        self.tablets_made().await
    }

    /// Waits, for a while, until agents have made what the catalog has on its list: a backup begun right after finds the
    /// tablets. What is not made by then is made later.
    async fn tablets_made(&self) -> Result<(), Failure> {
        let (local, inner) = (self.local()?, self.inner());
        let deadline = inner.clock.now().after(PATIENCE);
        for room in inner.agents.room() {
            loop {
                let done = inner.chores.done.notified();
                if local.unmade_tablets(room.backend, 1).await?.is_empty() || inner.clock.now() >= deadline {
                    break;
                }
                inner.chores.due.notify_one();
                tokio::select! {
                    () = done => {}
                    () = inner.clock.sleep(PATIENCE / 20) => {}
                }
            }
        }
        Ok(())
    }

    /// LOAD: brings a directory's files into a partition; answers when they are visible.
    ///
    /// # Errors
    /// Unknown names, a busy partition, what agents say of the directory; nothing of a failed load is visible.
    pub async fn load(&self, request: LoadRequest) -> Result<LoadSummary, Failure> {
        self.load_as(request, None).await
    }

    /// As [`Self::load`], under a label: a label that a visible load of the database has is refused, so that asking
    /// again after a lost answer loads nothing twice.
    ///
    /// # Errors
    /// As of [`Self::load`]; `AlreadyExists` "Label \[l\] has already been used"; `Busy` while a load with it runs.
    pub async fn load_labelled(&self, label: Label, request: LoadRequest) -> Result<LoadSummary, Failure> {
        self.load_as(request, Some(label)).await
    }

    async fn load_as(&self, request: LoadRequest, label: Option<Label>) -> Result<LoadSummary, Failure> {
        let (inner, local) = (self.inner().clone(), self.local()?.clone());
        self.to_the_end(async move { load(&inner, &local, &request, label.as_ref()).await }).await
    }

    /// EXPORT: writes the visible files of a table or partition out as the tree they came from.
    ///
    /// # Errors
    /// Unknown names, a table that is not readable, a target that is not empty; a failed export leaves nothing behind.
    pub async fn export(&self, request: ExportRequest) -> Result<ExportSummary, Failure> {
        self.local()?;
        let inner = self.inner().clone();
        self.to_the_end(async move { export(&inner, &request).await }).await
    }

    /// Runs `work` whether or not the caller waits for it, for as long as this coordinator leads.
    pub(crate) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        let stop = self.inner().stop.clone();
        match tokio::spawn(stop.run_until_cancelled_owned(work)).await {
            Ok(Some(result)) => result,
            Ok(None) => Err(Failure::transient(Kind::Cancelled, "the coordinator stops: ask again when one leads")),
            Err(error) => Err(Failure::fatal(Kind::Internal, format!("the work broke off: {error}"))),
        }
    }
}

async fn load(
    inner: &Inner,
    local: &LocalCatalog,
    request: &LoadRequest,
    label: Option<&Label>,
) -> Result<LoadSummary, Failure> {
    let id = JobUuid::random();
    inner.agents.gathered().await;
    let made = local.ensure_load_target(request, &inner.agents.room()).await?;
    let result = load_into(inner, local, request, id, label).await;
    if result.is_err()
        && let Err(failure) = local.undo_load_target(request, made).await
    {
        tracing::warn!(load = %id, "remove what was made for the load: {failure}");
    }
    inner.chores.due.notify_one();
    result
}

async fn load_into(
    inner: &Inner,
    local: &LocalCatalog,
    request: &LoadRequest,
    id: JobUuid,
    label: Option<&Label>,
) -> Result<LoadSummary, Failure> {
    let partition = request.partition.as_deref();
    let plan = local.begin_load(id, &request.database, &request.table, partition).await?;
    if let Some(label) = label
        && let Err(failure) = local.label_load(id, &request.database, label).await
    {
        local.abort_load(id);
        return Err(failure);
    }
    let mut group = TaskGroup::new(inner.agents.clone(), inner.clock.clone(), id);
    let result = match take_files(&mut group, &plan, request).await {
        Ok((replicas, summary)) => local.commit_load(id, &replicas).await.map(|_| summary),
        Err(failure) => Err(failure),
    };
    let end = if result.is_ok() { JobEnd::Published } else { JobEnd::Discarded };
    inner.agents.end(id, Some(end));
    if result.is_err() {
        local.abort_load(id);
    }
    result
}

async fn take_files(
    group: &mut TaskGroup,
    plan: &LoadPlan,
    request: &LoadRequest,
) -> Result<(Vec<LoadedReplica>, LoadSummary), Failure> {
    // Every index takes all files: what is in them is not understood here, so that nothing of them could be left out.
    let mut by_backend: BTreeMap<(BackendId, u32), Vec<LoadTablet>> = BTreeMap::new();
    for info in &plan.tablets {
        for replica in &info.replicas {
            check_replica(request, info, replica.backend, replica.version, plan.version)?;
            by_backend.entry((replica.backend, info.index)).or_default().push(LoadTablet {
                tablet: info.tablet,
                schema_hash: info.schema_hash,
                bucket: info.position,
                lineage: info.lineage,
            });
        }
    }
    let backends: Vec<BackendId> = by_backend.keys().map(|(backend, _)| *backend).collect();
    let body = |tablets| {
        let source = request.source.clone();
        TaskBody::Load(Load { source, version: plan.version, buckets: plan.buckets, tablets })
    };
    let tasks = by_backend.into_iter().map(|((backend, _), tablets)| (backend, body(tablets))).collect();
    let results = group.run(tasks).await?;
    let mut replicas = Vec::new();
    let mut agreed: BTreeMap<TabletId, (BackendId, LoadedTablet)> = BTreeMap::new();
    for (backend, result) in backends.into_iter().zip(results) {
        let TaskResult::Loaded { tablets } = result else { return Err(odd(backend, &result)) };
        for loaded in tablets {
            let (first, other) = *agreed.entry(loaded.tablet).or_insert((backend, loaded));
            if other.digest != loaded.digest {
                let why = format!(
                    "load {}: backends {first} and {backend} did not see the same files for tablet {}: files changed \
                     while they were loaded, or the directory is not the same on both; load again when it rests",
                    request.source.location, loaded.tablet
                );
                return Err(Failure::fatal(Kind::FailedPrecondition, why));
            }
            let (files, bytes) = (loaded.files, loaded.bytes);
            replicas.push(LoadedReplica { tablet: loaded.tablet, backend, files, bytes });
        }
    }
    let base = plan.tablets.iter().filter(|info| info.index == 0).filter_map(|info| agreed.get(&info.tablet));
    let sum = |(files, bytes): (u64, u64), (_, t): &(BackendId, LoadedTablet)| {
        (files + t.loaded_files, bytes + t.loaded_bytes)
    };
    let (files, bytes) = base.fold((0, 0), sum);
    Ok((replicas, LoadSummary { version: plan.version, files, bytes }))
}

/// A load must reach every replica, and each must have everything before it.
fn check_replica(
    request: &LoadRequest,
    info: &TabletInfo,
    backend: BackendId,
    has: Version,
    makes: Version,
) -> Result<(), Failure> {
    // A replica that was never made is made by the first load.
    if has.next() >= makes || Version::INITIAL.next() == makes {
        return Ok(());
    }
    let why = format!(
        "load into table {}: the replica of tablet {} on backend {backend} has version {has} and misses loads before {makes}",
        request.table, info.tablet
    );
    Err(Failure::fatal(Kind::FailedPrecondition, why))
}

async fn export(inner: &Inner, request: &ExportRequest) -> Result<ExportSummary, Failure> {
    inner.agents.gathered().await;
    let cut = inner.catalog.cut(&request.database).await?;
    let table = cut.tables.iter().find(|table| table.def.name == request.table);
    let table = table.ok_or_else(|| Failure::fatal(Kind::NotFound, format!("Unknown table '{}'", request.table)))?;
    // A new table shows its partitions when the restore has published them.
    if table.state == TableState::Restore && table.partitions.is_empty() {
        return Err(in_restore(&request.table));
    }
    let wanted = |p: &&CutPartition| request.partition.as_ref().is_none_or(|name| *name == p.def.name);
    let partitions: Vec<&CutPartition> = table.partitions.iter().filter(wanted).collect();
    if let (true, Some(name)) = (partitions.is_empty(), &request.partition) {
        let why = format!("Unknown partition {name} in table {}", request.table);
        return Err(Failure::fatal(Kind::NotFound, why));
    }
    let split = request.partition.is_none() && table.def.partitioning != Partitioning::None;
    let mut by_backend: BTreeMap<BackendId, Vec<ExportTablet>> = BTreeMap::new();
    for partition in partitions {
        let directory = if split { partition.def.name.clone() } else { String::new() };
        for info in inner.catalog.tablets(partition.id).await?.into_iter().filter(|info| info.index == 0) {
            let backend = readable(inner, table.state, &request.table, &info, partition.visible_version)?;
            let (tablet, schema_hash) = (info.tablet, info.schema_hash);
            let at = TabletVersion { tablet, version: partition.visible_version, schema_hash };
            by_backend.entry(backend).or_default().push(ExportTablet { at, directory: directory.clone() });
        }
    }
    let id = JobUuid::random();
    let mut group = TaskGroup::new(inner.agents.clone(), inner.clock.clone(), id);
    let step = |step: ExportStep, by_backend: &BTreeMap<BackendId, Vec<ExportTablet>>| {
        let body = |(backend, tablets): (&BackendId, &Vec<ExportTablet>)| {
            let body = Export { target: request.target.clone(), step, tablets: tablets.clone() };
            (*backend, TaskBody::Export(body))
        };
        by_backend.iter().map(body).collect::<Vec<_>>()
    };
    let written = match group.run(step(ExportStep::Write, &by_backend)).await {
        Ok(results) => group.run(step(ExportStep::Publish, &by_backend)).await.map(|_| results),
        Err(failure) => Err(failure),
    };
    let result = match written {
        Ok(results) => Ok(results.iter().fold(ExportSummary { files: 0, bytes: 0 }, |sum, result| match result {
            TaskResult::Exported { files, bytes } => {
                ExportSummary { files: sum.files + files, bytes: sum.bytes + bytes }
            }
            _ => sum,
        })),
        Err(failure) => {
            // Whoever still writes is told to stop before the others tidy up.
            if let Err(untidy) = group.run(step(ExportStep::Discard, &by_backend)).await {
                tracing::warn!(export = %id, "remove what the export had written: {untidy}");
            }
            Err(failure)
        }
    };
    inner.agents.end(id, Some(JobEnd::Published));
    result
}

/// The backend to read a tablet from.
fn readable(
    inner: &Inner,
    state: TableState,
    table: &str,
    info: &TabletInfo,
    version: Version,
) -> Result<BackendId, Failure> {
    let mut covering = info.replicas.iter().filter(|replica| replica.version >= version);
    if let Some(replica) = covering.clone().find(|replica| inner.agents.is_alive(replica.backend)) {
        return Ok(replica.backend);
    }
    Err(match (state, covering.next()) {
        (TableState::Restore, None) => in_restore(table),
        (_, Some(replica)) => {
            let why = format!("tablet {} of table {table}: backend {} is not alive", info.tablet, replica.backend);
            Failure::transient(Kind::Unreachable, why)
        }
        (_, None) => {
            let why = format!("tablet {} of table {table} has no replica with version {version}", info.tablet);
            Failure::fatal(Kind::FailedPrecondition, why)
        }
    })
}

fn in_restore(table: &str) -> Failure {
    let why = format!("Table {table}'s state is not NORMAL: RESTORE. It can be read when the restore has ended");
    Failure::fatal(Kind::FailedPrecondition, why)
}

fn odd(backend: BackendId, result: &TaskResult) -> Failure {
    Failure::fatal(Kind::Internal, format!("backend {backend} answered a load with {result:?}"))
}
