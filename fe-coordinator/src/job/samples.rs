//! Jobs to try things on: a database with one table `orders` of two partitions `p1` and `p2` (numbers 601 and 602) at
//! version 7, two tablets each (6010, 6011, 6020, 6021), every one with replicas on the backends 1, 2 and 3.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::Duration;

use tabvault_common::clock::Time;
use tabvault_common::digest::Digest;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{
    BackendId, ClusterId, Epoch, JobId, JobUuid, Lineage, PartitionId, ReplicaId, TabletId, TaskId, Version,
};
use tabvault_common::label::SnapshotTimestamp;
use tabvault_common::repo::info::{Content, Info, ManifestRef, ObjectRef};
use tabvault_common::repo::meta::{MetaReader, WholeMeta};
use tabvault_common::request::{BackupRequest, Selection};
use tabvault_common::task::{JobEnd, TabletTotals, TaskResult};
use tabvault_common::view::{BackupState, RestoreState};
use uuid::Uuid;

use super::any::Job;
use super::backup::plan::Planner;
use super::backup::{self, BackupJob};
use super::restore::{self, RestoreJob};
use super::{Asking, Effect, Event};
use crate::catalog::{
    CutPartition, CutTable, PreparePartition, PrepareRequest, PrepareTable, PreparedTablet, ReplicaInfo, TabletInfo,
};
use crate::check::mapping::RestorePlan;
use crate::check::properties::{BackupProperties, RestoreProperties};
use crate::check::samples;

/// When the jobs begin.
pub(crate) const START: Time = Time(1_700_000_000_000);

/// How long they may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3600);

pub(crate) fn uuid() -> JobUuid {
    JobUuid(Uuid::from_u128(0x0001_0001))
}

pub(crate) fn cluster() -> ClusterId {
    ClusterId(Uuid::from_u128(7))
}

pub(crate) fn lineage(tablet: TabletId) -> Lineage {
    Lineage(Uuid::from_u128(u128::from(tablet.0)))
}

/// What was asked for by whoever began the job of [`backup_head`].
pub(crate) fn backup_request() -> BackupRequest {
    BackupRequest {
        database: "shop".into(),
        label: "nightly".into(),
        repository: "repo".into(),
        selection: Selection::All,
        properties: Default::default(),
    }
}

pub(crate) fn backup_head() -> backup::Head {
    backup::Head {
        id: JobId(10_001),
        uuid: uuid(),
        cluster: cluster(),
        database: "shop".into(),
        label: "nightly".parse().unwrap(),
        repository: "repo".into(),
        properties: BackupProperties { timeout: TIMEOUT, ..BackupProperties::default() },
        state: BackupState::Pending,
        create_time: START,
        snapshot_finished_time: None,
        upload_finished_time: None,
        finished_time: None,
        chosen: false,
        parent: None,
        planned: false,
        next_task: 1,
        retaking: Vec::new(),
        slot: 0,
        retakes: 0,
        silent: BTreeSet::new(),
        meta: None,
        timestamp: None,
        cancelling: None,
        status: None,
        unclean: false,
        asking: Asking::default(),
    }
}

pub(crate) fn restore_head() -> restore::Head {
    restore::Head {
        id: JobId(10_001),
        uuid: uuid(),
        cluster: cluster(),
        source_database: "shop".into(),
        database: "shop".into(),
        label: "nightly".parse().unwrap(),
        repository: "repo".into(),
        properties: RestoreProperties {
            backup_timestamp: "2023-11-14-22-13-20-000".into(),
            replication_num: None,
            reserve_replica: false,
            reserve_dynamic_partition_enable: false,
            allow_load: false,
            timeout: TIMEOUT,
            meta_version: None,
            clean_tables: false,
            clean_partitions: false,
            atomic_restore: false,
            force_replace: false,
        },
        state: RestoreState::Pending,
        create_time: START,
        meta_prepared_time: None,
        snapshot_finished_time: None,
        download_finished_time: None,
        finished_time: None,
        planned: false,
        slot: 0,
        publishing: false,
        cancelling: None,
        status: None,
        asking: Asking::default(),
    }
}

/// The table `orders`.
pub(crate) fn orders() -> CutTable {
    let mut table = samples::table("orders", &["p1", "p2"]);
    for partition in &mut table.partitions {
        partition.def.buckets = 2;
    }
    table
}

pub(crate) fn plan() -> backup::Plan {
    backup::Plan { cut: samples::cut("shop", vec![orders()]) }
}

/// A tablet of `table` with replicas of 100 bytes on `backends` that are as far as the partition.
pub(crate) fn tablet(table: &CutTable, partition: PartitionId, bucket: u32, backends: &[u64]) -> TabletInfo {
    let version = table.partitions.iter().find(|p| p.id == partition).unwrap().visible_version;
    let tablet = TabletId(partition.0 * 10 + u64::from(bucket));
    let replica = |backend: &u64| ReplicaInfo {
        replica: ReplicaId(tablet.0 * 10 + backend),
        backend: BackendId(*backend),
        version,
        data_size: 100,
        file_count: 2,
    };
    TabletInfo {
        tablet,
        index: 0,
        position: bucket,
        schema_hash: table.def.indexes[0].schema_hash,
        lineage: lineage(tablet),
        replicas: backends.iter().map(replica).collect(),
    }
}

/// The rows of a backup of `orders`, or of one partition of it.
pub(crate) fn rows_of(content: Content, only: Option<PartitionId>) -> Vec<backup::Row> {
    let alive = [1, 2, 3].map(BackendId).into();
    let mut planner = Planner::new(&alive, content);
    let table = orders();
    for partition in table.partitions.iter().filter(|p| only.is_none_or(|only| p.id == only)) {
        let tablets = [0, 1].map(|bucket| tablet(&table, partition.id, bucket, &[1, 2, 3]));
        planner.partition("orders", partition, &tablets).unwrap();
    }
    planner.finish()
}

/// Task 1 is tablet 6010 on backend 1, 2 is 6011 on 2, 3 is 6021 on 1, 4 is 6020 on 3.
pub(crate) fn rows() -> Vec<backup::Row> {
    rows_of(Content::All, None)
}

pub(crate) fn manifest(seed: u64) -> ManifestRef {
    ManifestRef {
        job: uuid(),
        digest: Digest::of(&seed.to_le_bytes()),
        size: 10,
        tablets: 1,
        files: 2,
        bytes: 100,
        stored_bytes: 50,
        objects: 0,
        packs: 1,
    }
}

pub(crate) fn object(seed: u64) -> ObjectRef {
    ObjectRef { job: uuid(), digest: Digest::of(&seed.to_le_bytes()), size: 10 }
}

pub(crate) fn totals(tablets: &[u64]) -> Vec<TabletTotals> {
    tablets.iter().map(|tablet| TabletTotals { tablet: TabletId(*tablet), files: 2, bytes: 100 }).collect()
}

pub(crate) fn transient() -> Failure {
    Failure::transient(Kind::Unreachable, "the other side is away")
}

pub(crate) fn fatal(kind: Kind) -> Failure {
    Failure::fatal(kind, "it is wrong")
}

/// A job that is driven by hand.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) job: Job,
    pub(crate) now: Time,
}

impl Run {
    pub(crate) fn backup() -> Self {
        Self { job: Job::Backup(Box::new(BackupJob::new(backup_head()))), now: START }
    }

    pub(crate) fn restore() -> Self {
        Self { job: Job::Restore(Box::new(RestoreJob::new(restore_head()))), now: START }
    }

    /// One step: the state after it and the effects, or `-` if it changed nothing and asked for nothing.
    pub(crate) fn on(&mut self, event: Event) -> String {
        let transition = self.job.step(event, self.now);
        let (still, effects) = (transition.changes_nothing(), transition.effects().to_vec());
        self.job.apply(transition);
        if still && effects.is_empty() {
            return "-".into();
        }
        format!("{}: {}", self.job.state(), words(&effects)).trim_end_matches([':', ' ']).to_owned()
    }

    /// A report of the attempt that is running.
    pub(crate) fn report(&mut self, task: u64, outcome: Result<TaskResult, Failure>) -> String {
        let event = self.reported(task, outcome);
        self.on(event)
    }

    pub(crate) fn reported(&self, task: u64, outcome: Result<TaskResult, Failure>) -> Event {
        let attempt = self.job.attempt(TaskId(task)).map_or(1, |(_, attempt)| attempt);
        Event::Reported { task: TaskId(task), attempt, outcome }
    }

    /// Time passes until the job wants its tick, and the tick comes.
    pub(crate) fn tick_when_due(&mut self) -> String {
        self.now = self.job.next_tick().unwrap().max(self.now);
        self.on(Event::Tick)
    }

    /// Another coordinator loads the job.
    pub(crate) fn restart(&mut self) -> String {
        words(&self.job.resume())
    }

    pub(crate) fn as_backup(&self) -> &BackupJob {
        match &self.job {
            Job::Backup(job) => job,
            Job::Restore(_) => panic!("it is a restore"),
        }
    }

    pub(crate) fn as_restore(&self) -> &RestoreJob {
        match &self.job {
            Job::Restore(job) => job,
            Job::Backup(_) => panic!("it is a backup"),
        }
    }
}

pub(crate) fn words(effects: &[Effect]) -> String {
    let word = |effect: &Effect| match effect {
        Effect::Dispatch(task) => format!("send {task}"),
        Effect::Release(task) => format!("release {task}"),
        Effect::Ask(ask) => format!("ask {ask:?}"),
        Effect::Continue => "continue".to_owned(),
        Effect::EndOnAgents(JobEnd::Published) => "tell published".to_owned(),
        Effect::EndOnAgents(JobEnd::Discarded) => "tell discarded".to_owned(),
    };
    effects.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// A snapshot of `orders` as a restore reads it: each of its four manifests has one tablet.
pub(crate) fn snapshot(content: Content) -> (Info, WholeMeta) {
    let mut job = BackupJob::new(backup_head());
    job.head.properties.content = content;
    job.head.planned = true;
    job.set_plan(plan());
    for mut row in rows_of(content, None) {
        if content == Content::All {
            row.stage = backup::Stage::Uploaded(manifest(row.task.0));
        }
        job.rows.put(row);
    }
    let meta = job.meta().unwrap();
    job.head.meta = Some(meta.reference());
    job.head.timestamp = Some(SnapshotTimestamp::at(START));
    let info = job.info(Epoch(1), START).unwrap();
    let whole = MetaReader::verified(meta.bytes, &info.meta).unwrap().read_whole().unwrap();
    (info, whole)
}

/// An earlier snapshot of `orders` as it is now, made by another job: `base`, of which every tablet has a manifest.
pub(crate) fn parent() -> (Info, WholeMeta) {
    let (mut info, meta) = snapshot(Content::All);
    info.job.uuid = JobUuid(Uuid::from_u128(0xba5e));
    info.label = "base".parse().unwrap();
    for (manifest, seed) in info.manifests.iter_mut().zip(100..) {
        *manifest = ManifestRef { job: info.job.uuid, ..self::manifest(seed) };
    }
    (info, meta)
}

/// What restoring all of `orders` as a new table asks of the catalog.
pub(crate) fn restore_plan(version: Version) -> RestorePlan {
    let table = orders();
    let partition =
        |p: &CutPartition| PreparePartition { def: p.def.clone(), existing: None, version, sizes: Vec::new() };
    let partitions = table.partitions.iter().map(partition).collect();
    RestorePlan {
        prepare: PrepareRequest {
            database: "shop".into(),
            tables: vec![PrepareTable {
                def: table.def.clone(),
                existing: None,
                replace_whole: false,
                partitions,
                drop_partitions: Vec::new(),
            }],
            views: Vec::new(),
            drop_tables: Vec::new(),
            allow_load: false,
            backends: Vec::new(),
        },
        sources: vec![vec![(0, 0), (0, 1)]],
        index_map: vec![vec![0]],
        objects: Vec::new(),
        notices: Vec::new(),
        replication_num: 2,
        bytes: 400,
    }
}

/// Hidden targets 9000 to 9003 of two partitions, each with replicas on two of the backends 1, 2 and 3.
pub(crate) fn prepared() -> Vec<Vec<PreparedTablet>> {
    let tablet = |number: u64, position: u32| PreparedTablet {
        tablet: TabletId(9000 + number),
        index: 0,
        position,
        schema_hash: orders().def.indexes[0].schema_hash,
        lineage: lineage(TabletId(9000 + number)),
        backends: vec![BackendId(1 + number % 3), BackendId(1 + (number + 1) % 3)],
        reuse: None,
    };
    vec![vec![tablet(0, 0), tablet(1, 1)], vec![tablet(2, 0), tablet(3, 1)]]
}

pub(crate) fn mapped() -> restore::Plan {
    restore::Plan { timestamp: SnapshotTimestamp::at(START), restore: restore_plan(Version(7)) }
}

/// The rows that such targets of the sample's plan are cut into.
pub(crate) fn planned(
    info: &Info,
    meta: &WholeMeta,
    prepared: &[Vec<PreparedTablet>],
) -> Result<Vec<restore::Row>, Failure> {
    let plan = restore_plan(Version(7));
    let mut planner = restore::plan::Planner::new(&plan, info, meta);
    for (number, tablets) in (0_u32..).zip(prepared) {
        planner.partition(0, number, tablets)?;
    }
    planner.finish()
}

pub(crate) fn restore_rows(content: Content) -> Vec<restore::Row> {
    let (info, meta) = snapshot(content);
    planned(&info, &meta, &prepared()).unwrap()
}
