//! The restore as a state machine:
//! `PENDING → SNAPSHOTING → DOWNLOAD → DOWNLOADING → COMMIT → COMMITTING → FINISHED`, and `CANCELLED`.
//!
//! # Overview
//! - PENDING: the snapshot is read and verified, everything that can be refused is checked, the mapping stored; then
//!   the catalog prepares hidden targets.
//! - SNAPSHOTING: agents make the targets and link the present files of what they replace, for reuse.
//! - DOWNLOAD: nothing to wait for; marks the moment at which the targets stand.
//! - DOWNLOADING: every replica's agent brings its files, verified and durable.
//! - COMMIT: nothing to wait for; marks the moment at which everything is local.
//! - COMMITTING: agents adopt the files; then the catalog publishes. This is the commit point.
//!
//! # Cancellation
//! A cancel, or a failure, asks the catalog to discard, and adopts what it answers: had the publish been durable before,
//! the job is FINISHED.

use serde::{Deserialize, Serialize};
use tabvault_common::clock::Time;
use tabvault_common::failure::Failure;
use tabvault_common::ids::{
    BackendId, ClusterId, JobId, JobUuid, Lineage, SchemaHash, TabletId, TabletIdentity, TaskId,
};
use tabvault_common::label::{Label, SnapshotTimestamp};
use tabvault_common::repo::info::ManifestRef;
use tabvault_common::task::TabletVersion;
use tabvault_common::view::{ObjectView, RestoreState};

use super::rows::{Counted, Rows};
use super::{Ask, Asking, Effect, Transition};
use crate::check::mapping::RestorePlan;
use crate::check::properties::RestoreProperties;

pub mod plan;
mod step;
pub mod tasks;
#[cfg(test)]
mod tests;
pub mod view;

/// A restore job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreJob {
    /// The small record that says where the job stands.
    pub head: Head,
    /// What goes where, once it is known.
    pub plan: Option<Plan>,
    /// A row per task.
    pub rows: Rows<Row>,
}

/// What a step of a restore changes.
pub type RestoreTransition = Transition<Head, Plan, Row>;

/// Where a restore stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The job's number.
    pub id: JobId,
    /// Its identity.
    pub uuid: JobUuid,
    /// The cluster that restores.
    pub cluster: ClusterId,
    /// The database the snapshot was taken of.
    pub source_database: String,
    /// The database it is restored into.
    pub database: String,
    /// Which of the slots for jobs of that database it takes.
    #[serde(default)]
    pub slot: u32,
    /// The snapshot's label.
    pub label: Label,
    /// The repository's name.
    pub repository: String,
    /// How it is done.
    pub properties: RestoreProperties,
    /// The state users see.
    pub state: RestoreState,
    /// When it was accepted.
    pub create_time: Time,
    /// When the hidden targets were prepared.
    pub meta_prepared_time: Option<Time>,
    /// When the targets stood on all backends.
    pub snapshot_finished_time: Option<Time>,
    /// When all downloads had ended.
    pub download_finished_time: Option<Time>,
    /// When it ended.
    pub finished_time: Option<Time>,
    /// Whether the plan is stored.
    pub planned: bool,
    /// Whether the catalog is asked to publish.
    pub publishing: bool,
    /// Why the catalog is asked to discard, until it has decided.
    pub cancelling: Option<Failure>,
    /// Why the job was cancelled.
    pub status: Option<Failure>,
    /// Questions that failed.
    pub asking: Asking,
}

/// What goes where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The snapshot's whole timestamp.
    pub timestamp: SnapshotTimestamp,
    /// The checked mapping.
    pub restore: RestorePlan,
}

/// One task: tablets of one manifest that go to one backend; made, then downloaded, then adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The task's number.
    pub task: TaskId,
    /// The backend that gets the replicas.
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
    /// Where the files are described; `None` in a snapshot without data.
    pub manifest: Option<ManifestRef>,
    /// The tablets.
    pub tablets: Vec<RowTablet>,
}

/// How far a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its tablets are to be made.
    Create,
    /// Its tablets stand, empty; their files are to be downloaded.
    Created,
    /// Its files are local, verified and durable; they are to be adopted.
    Downloaded,
    /// Its tablets are whole.
    Adopted,
}

/// A tablet in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowTablet {
    /// As the manifest names it.
    pub source: TabletIdentity,
    /// The local tablet.
    pub target: TabletId,
    /// Its schema.
    pub schema_hash: SchemaHash,
    /// The history it starts.
    pub lineage: Lineage,
    /// A tablet of the same backend that probably holds many of the files.
    pub reuse: Option<TabletVersion>,
    /// Plain bytes to come.
    pub bytes: u64,
}

impl Row {
    /// Bytes of its tablets.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tablets.iter().map(|tablet| tablet.bytes).sum()
    }

    /// Whether a task for it is to run while the job is in `state`.
    #[must_use]
    pub fn is_active(&self, state: RestoreState) -> bool {
        active(state).contains(&self.place())
    }
}

/// Places of stages in [`Rows`].
const CREATE: usize = 0;
const CREATED: usize = 1;
const DOWNLOADED: usize = 2;
const ADOPTED: usize = 3;

impl Counted for Row {
    fn task(&self) -> TaskId {
        self.task
    }

    /// To the end: what it wrote is there.
    fn needs(&self) -> Option<BackendId> {
        Some(self.backend)
    }

    fn place(&self) -> usize {
        match self.stage {
            Stage::Create => CREATE,
            Stage::Created => CREATED,
            Stage::Downloaded => DOWNLOADED,
            Stage::Adopted => ADOPTED,
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
fn active(state: RestoreState) -> &'static [usize] {
    match state {
        RestoreState::Snapshoting => &[CREATE],
        RestoreState::Downloading => &[CREATED],
        RestoreState::Committing => &[CREATED, DOWNLOADED],
        RestoreState::Pending
        | RestoreState::Download
        | RestoreState::Commit
        | RestoreState::Finished
        | RestoreState::Cancelled => &[],
    }
}

impl RestoreJob {
    /// A job that was just accepted.
    #[must_use]
    pub fn new(head: Head) -> Self {
        Self { head, plan: None, rows: Rows::default() }
    }

    /// Takes over what a step changed. What a coordinator makes of that shows to nobody before it is stored.
    pub fn apply(&mut self, transition: RestoreTransition) {
        if let Some(head) = transition.head {
            self.head = head;
        }
        if let Some(plan) = transition.plan {
            self.plan = Some(plan);
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
        if self.head.cancelling.is_some() && !self.head.state.is_final() {
            return vec![Effect::Ask(Ask::Discard)];
        }
        let active = self.rows.first_in(active(self.head.state), usize::MAX).into_iter();
        match self.head.state {
            RestoreState::Pending if self.head.planned => vec![Effect::Ask(Ask::Prepare)],
            RestoreState::Pending => vec![Effect::Ask(Ask::ReadSnapshot)],
            RestoreState::Committing if self.head.publishing => vec![Effect::Ask(Ask::Publish)],
            RestoreState::Snapshoting | RestoreState::Downloading | RestoreState::Committing => {
                active.map(Effect::Dispatch).collect()
            }
            RestoreState::Download | RestoreState::Commit => vec![Effect::Continue],
            RestoreState::Finished | RestoreState::Cancelled => Vec::new(),
        }
    }

    /// Forgets what the predecessor of a starting coordinator was waiting for: [`RestoreJob::resume`] does all of it.
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
            [_, ..] if open => self.rows.waiting().find(|(_, row)| row.is_active(state)).map(|(at, _)| at),
            _ => None,
        };
        row.into_iter().chain(deadline).chain(self.head.asking.next()).min()
    }

    /// Whether the job occupies its database.
    #[must_use]
    pub fn holds_slot(&self) -> bool {
        !self.head.state.is_final()
    }

    /// What the job is about, once it is known.
    #[must_use]
    pub fn objects(&self) -> Vec<ObjectView> {
        let Some(plan) = &self.plan else { return Vec::new() };
        let views = plan.restore.prepare.views.iter();
        let views = views.map(|view| ObjectView { table: view.name.clone(), partitions: Vec::new(), alias: None });
        plan.restore.objects.iter().cloned().chain(views).collect()
    }
}
