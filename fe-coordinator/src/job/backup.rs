//! The backup as a state machine:
//! `PENDING → SNAPSHOTING → UPLOAD_SNAPSHOT → UPLOADING → SAVE_META → UPLOAD_INFO → FINISHED`, and `CANCELLED`.
//!
//! # Overview
//! - PENDING: the parent of an incremental backup is chosen, and the choice stored; then the intent is written, and when
//!   it stands the cut is taken and planned, with what is shared with the parent that the intent protects ([`share`]).
//! - SNAPSHOTING: every row's tablets are pinned on its backend. A replica that fails is replaced by another at the same
//!   version; where there is none, the whole partition is planned again at its present version.
//! - UPLOAD_SNAPSHOT: nothing to wait for; marks the moment at which the snapshot stands.
//! - UPLOADING: every row's snapshots are uploaded and described by one manifest; its links are released at once.
//! - SAVE_META: the meta, a pure function of plan and rows, is written under its digest.
//! - UPLOAD_INFO: the info is written by create-if-absent. This is the commit point.
//!
//! # Cancellation
//! Before UPLOAD_INFO is stored no info can have been written, so a cancel ends the job at once. From then on it writes
//! a tombstone at the info's name and adopts whatever stands there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{
    BackendId, ClusterId, JobId, JobUuid, Lineage, PartitionId, SchemaHash, TabletId, TaskId, Version,
};
use tabvault_common::label::{Label, SnapshotTimestamp};
use tabvault_common::repo::info::{ManifestRef, ObjectRef, SnapshotName};
use tabvault_common::repo::meta::Shown;
use tabvault_common::view::BackupState;

use super::rows::{Counted, Rows};
use super::{Asking, Effect, Transition};
use crate::catalog::{Cut, CutPartition, CutTable};
use crate::check::properties::BackupProperties;

pub mod objects;
pub mod plan;
pub mod share;
mod step;
#[cfg(test)]
mod tests;
pub mod view;

/// A backup job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupJob {
    /// The small record that says where the job stands.
    pub head: Head,
    /// What is backed up, once it is known.
    pub plan: Option<Plan>,
    /// A row per task.
    pub rows: Rows<Row>,
    /// Where each partition stands in the plan: its table, and its place there.
    places: BTreeMap<PartitionId, (usize, usize)>,
}

/// What a step of a backup changes.
pub type BackupTransition = Transition<Head, Plan, Row>;

/// Where a backup stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The job's number.
    pub id: JobId,
    /// Its identity in the repository.
    pub uuid: JobUuid,
    /// The cluster that makes the snapshot.
    pub cluster: ClusterId,
    /// The database.
    pub database: String,
    /// Which of the slots for jobs of that database it takes.
    #[serde(default)]
    pub slot: u32,
    /// The snapshot's label.
    pub label: Label,
    /// The repository's name.
    pub repository: String,
    /// How it is made.
    pub properties: BackupProperties,
    /// The state users see.
    pub state: BackupState,
    /// When it was accepted.
    pub create_time: Time,
    /// When all snapshots stood.
    pub snapshot_finished_time: Option<Time>,
    /// When all uploads had ended.
    pub upload_finished_time: Option<Time>,
    /// When it ended.
    pub finished_time: Option<Time>,
    /// Whether `parent` is decided; only then is the intent written.
    #[serde(default)]
    pub chosen: bool,
    /// The snapshot to share objects with, if any. Given up for good, and never changed otherwise, if it is gone before
    /// anything of it was used.
    pub parent: Option<SnapshotName>,
    /// Whether plan and rows are stored.
    pub planned: bool,
    /// The number of the next new row.
    pub next_task: u64,
    /// Partitions that are being planned again.
    pub retaking: Vec<PartitionId>,
    /// How often partitions were planned again.
    pub retakes: u32,
    /// Backends that fell silent while the job ran and were not heard of since: others are preferred.
    pub silent: BTreeSet<BackendId>,
    /// The meta, once written.
    pub meta: Option<ObjectRef>,
    /// The name the info gets, once chosen.
    pub timestamp: Option<SnapshotTimestamp>,
    /// The wish to cancel, from UPLOAD_INFO on, until the outcome is known.
    pub cancelling: Option<Failure>,
    /// Why it was cancelled.
    pub status: Option<Failure>,
    /// Whether an ended job left something in the repository that is its to remove.
    pub unclean: bool,
    /// Questions that failed.
    pub asking: Asking,
}

/// What is backed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The selected part of the cut.
    pub cut: Cut,
}

impl Plan {
    /// All partitions with their tables.
    pub fn partitions(&self) -> impl Iterator<Item = (&CutTable, &CutPartition)> {
        self.cut.tables.iter().flat_map(|table| table.partitions.iter().map(move |partition| (table, partition)))
    }
}

/// One task: tablets of one partition on one backend, first pinned, then uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The task's number.
    pub task: TaskId,
    /// The partition.
    pub partition: PartitionId,
    /// The version that is backed up.
    pub version: Version,
    /// When that version became visible.
    pub version_time: Time,
    /// The backend whose replicas are read.
    pub backend: BackendId,
    /// The attempt that is running or next.
    pub attempt: u32,
    /// How often it failed.
    pub failures: u32,
    /// Not sent again before this moment.
    pub not_before: Option<Time>,
    /// Why it failed last, until it ends well.
    pub error: Option<String>,
    /// How far it is.
    pub stage: Stage,
    /// The tablets, ordered by index and position.
    pub tablets: Vec<RowTablet>,
    /// The parent's manifests that hold these tablets at other versions; at most [`share::MAX_PARENTS`].
    pub parents: Vec<ManifestRef>,
}

/// How far a row is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its snapshots are to be made.
    Snapshot,
    /// Its snapshots stand, and in UPLOADING are to be uploaded.
    Snapshotted,
    /// Its manifest is written.
    Uploaded(ManifestRef),
    /// Nothing is to be done: the backup is of definitions only.
    Described,
}

/// A tablet in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowTablet {
    /// Its number.
    pub tablet: TabletId,
    /// A position in the table's indexes.
    pub index: u32,
    /// Its bucket.
    pub position: u32,
    /// Its schema.
    pub schema_hash: SchemaHash,
    /// The history its version counts in.
    pub lineage: Lineage,
    /// Files, exactly once snapshotted.
    pub files: u64,
    /// Bytes, exactly once snapshotted.
    pub bytes: u64,
    /// Its size as the catalog shows it at the row's version; `None` if a later one was there already.
    #[serde(default)]
    pub shown: Option<Shown>,
    /// Other backends with a replica that covers the version: not tried yet, or left because they fell silent.
    pub others: Box<[BackendId]>,
}

impl Row {
    /// Bytes of its tablets.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tablets.iter().map(|tablet| tablet.bytes).sum()
    }

    /// Whether nothing is left to do for it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Uploaded(_) | Stage::Described)
    }

    /// Whether a task for it is to run while the job is in `state`.
    #[must_use]
    pub fn is_active(&self, state: BackupState) -> bool {
        active(state).contains(&self.place())
    }
}

/// Places of stages in [`Rows`].
const SNAPSHOT: usize = 0;
const SNAPSHOTTED: usize = 1;
const DONE: usize = 2;

impl Counted for Row {
    fn task(&self) -> TaskId {
        self.task
    }

    fn needs(&self) -> Option<BackendId> {
        (!self.is_done()).then_some(self.backend)
    }

    fn place(&self) -> usize {
        match self.stage {
            Stage::Snapshot => SNAPSHOT,
            Stage::Snapshotted => SNAPSHOTTED,
            Stage::Uploaded(_) | Stage::Described => DONE,
        }
    }

    fn bytes(&self) -> u64 {
        self.bytes()
    }

    fn not_before(&self) -> Option<Time> {
        self.not_before
    }

    fn failed(&self) -> bool {
        self.error.is_some()
    }
}

/// The stages whose tasks run while the job is in `state`.
fn active(state: BackupState) -> &'static [usize] {
    match state {
        BackupState::Snapshoting => &[SNAPSHOT],
        BackupState::Uploading => &[SNAPSHOT, SNAPSHOTTED],
        BackupState::Pending
        | BackupState::UploadSnapshot
        | BackupState::SaveMeta
        | BackupState::UploadInfo
        | BackupState::Finished
        | BackupState::Cancelled => &[],
    }
}

impl BackupJob {
    /// A job that was just accepted.
    #[must_use]
    pub fn new(head: Head) -> Self {
        Self { head, plan: None, rows: Rows::default(), places: BTreeMap::new() }
    }

    /// Gives it what is backed up.
    pub fn set_plan(&mut self, plan: Plan) {
        let partitions = plan.cut.tables.iter().enumerate().flat_map(|(at, table)| {
            table.partitions.iter().enumerate().map(move |(place, partition)| (partition.id, (at, place)))
        });
        self.places = partitions.collect();
        self.plan = Some(plan);
    }

    /// Takes over what a step changed. What a coordinator makes of that shows to nobody before it is stored.
    pub fn apply(&mut self, transition: BackupTransition) {
        if let Some(head) = transition.head {
            self.head = head;
        }
        if let Some(plan) = transition.plan {
            self.set_plan(plan);
        }
        for task in transition.gone {
            self.rows.remove(task);
        }
        for row in transition.rows {
            self.rows.put(row);
        }
    }

    /// What a coordinator that has just started does for the job in its stored state.
    #[must_use]
    pub fn resume(&self) -> Vec<Effect> {
        use super::Ask;
        let rows = || self.rows.first_in(active(self.head.state), usize::MAX).into_iter();
        let dispatch = || rows().map(Effect::Dispatch);
        let retake = || self.head.retaking.iter().map(|partition| Effect::Ask(Ask::TakePartition(*partition)));
        match self.head.state {
            BackupState::Pending if self.head.chosen => vec![Effect::Ask(Ask::Plan)],
            BackupState::Pending => vec![Effect::Ask(Ask::ChooseParent)],
            BackupState::Snapshoting | BackupState::Uploading => dispatch().chain(retake()).collect(),
            BackupState::UploadSnapshot => vec![Effect::Continue],
            BackupState::SaveMeta => vec![Effect::Ask(Ask::WriteMeta)],
            BackupState::UploadInfo if self.head.cancelling.is_some() => vec![Effect::Ask(Ask::WriteTombstone)],
            BackupState::UploadInfo => vec![Effect::Ask(Ask::WriteInfo)],
            BackupState::Cancelled if self.head.unclean => vec![Effect::Ask(Ask::RemoveIntent)],
            BackupState::Finished | BackupState::Cancelled => Vec::new(),
        }
    }

    /// Forgets what the predecessor of a starting coordinator was waiting for: [`BackupJob::resume`] does all of it.
    pub fn restarted(&mut self) {
        self.head.asking.restarted();
        let waiting: Vec<TaskId> = self.rows.waiting().map(|(_, row)| row.task).collect();
        for task in waiting {
            self.rows.change(task, |row| row.not_before = None);
        }
    }

    /// The moment at which the job fails for want of time.
    #[must_use]
    pub fn deadline(&self) -> Time {
        self.head.create_time.after(self.head.properties.timeout)
    }

    /// When [`super::Event::Tick`] is due next, if nothing else happens.
    #[must_use]
    pub fn next_tick(&self) -> Option<Time> {
        let open = !self.head.state.is_final() && self.head.cancelling.is_none();
        let deadline = open.then(|| self.deadline());
        let state = self.head.state;
        let row = match active(state) {
            [] => None,
            _ => self.rows.waiting().find(|(_, row)| row.is_active(state)).map(|(at, _)| at),
        };
        row.into_iter().chain(deadline).chain(self.head.asking.next()).min()
    }

    /// Whether the job occupies its database: no more once it has ended or only waits for a tombstone.
    #[must_use]
    pub fn holds_slot(&self) -> bool {
        !self.head.state.is_final() && self.head.cancelling.is_none()
    }

    /// The failure of a job that took too long.
    fn too_late(timeout: Duration) -> Failure {
        Failure::fatal(
            Kind::TimedOut,
            format!("the job took longer than its timeout of {} s; set the property timeout higher", timeout.as_secs()),
        )
    }
}
