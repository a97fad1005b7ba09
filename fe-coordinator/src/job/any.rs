//! A job of either kind, for those who run, store and show jobs without caring which.

use std::collections::BTreeSet;

use tabvault_common::access::StorageAccess;
use tabvault_common::clock::Time;
use tabvault_common::ids::{BackendId, Epoch, JobId, JobUuid, TaskId};
use tabvault_common::task::{JobEnd, Task};
use tabvault_common::view::{BackupState, JobKind, JobView, RestoreState};

use super::backup::{BackupJob, BackupTransition};
use super::restore::{RestoreJob, RestoreTransition};
use super::{Effect, Event, Throughput};

/// A backup or a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// A backup.
    Backup(Box<BackupJob>),
    /// A restore.
    Restore(Box<RestoreJob>),
}

/// What a step changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobTransition {
    /// Of a backup.
    Backup(BackupTransition),
    /// Of a restore.
    Restore(RestoreTransition),
}

impl JobTransition {
    /// What to do after the changes are stored.
    #[must_use]
    pub fn effects(&self) -> &[Effect] {
        match self {
            Self::Backup(transition) => &transition.effects,
            Self::Restore(transition) => &transition.effects,
        }
    }
}

impl JobTransition {
    /// Whether there is nothing to store.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        match self {
            Self::Backup(t) => t.head.is_none() && t.plan.is_none() && t.rows.is_empty() && t.gone.is_empty(),
            Self::Restore(t) => t.head.is_none() && t.plan.is_none() && t.rows.is_empty() && t.gone.is_empty(),
        }
    }
}

impl Job {
    /// One step.
    #[must_use]
    pub fn step(&self, event: Event, now: Time) -> JobTransition {
        match self {
            Self::Backup(job) => JobTransition::Backup(job.step(event, now)),
            Self::Restore(job) => JobTransition::Restore(job.step(event, now)),
        }
    }

    /// Takes over what a step of this very job changed; nothing of it may show before it is stored. A transition of the
    /// other kind changes nothing.
    pub fn apply(&mut self, transition: JobTransition) {
        match (self, transition) {
            (Self::Backup(job), JobTransition::Backup(transition)) => job.apply(transition),
            (Self::Restore(job), JobTransition::Restore(transition)) => job.apply(transition),
            (Self::Backup(_), JobTransition::Restore(_)) | (Self::Restore(_), JobTransition::Backup(_)) => {
                debug_assert!(false, "a transition belongs to the job that made it");
            }
        }
    }

    /// What a coordinator that has just started does for the job.
    pub fn resume(&mut self) -> Vec<Effect> {
        match self {
            Self::Backup(job) => {
                job.restarted();
                job.resume()
            }
            Self::Restore(job) => {
                job.restarted();
                job.resume()
            }
        }
    }

    /// When [`Event::Tick`] is due next, if nothing else happens.
    #[must_use]
    pub fn next_tick(&self) -> Option<Time> {
        match self {
            Self::Backup(job) => job.next_tick(),
            Self::Restore(job) => job.next_tick(),
        }
    }

    /// Backup or restore.
    #[must_use]
    pub fn kind(&self) -> JobKind {
        match self {
            Self::Backup(_) => JobKind::Backup,
            Self::Restore(_) => JobKind::Restore,
        }
    }

    /// The job's number.
    #[must_use]
    pub fn id(&self) -> JobId {
        match self {
            Self::Backup(job) => job.head.id,
            Self::Restore(job) => job.head.id,
        }
    }

    /// The job's identity.
    #[must_use]
    pub fn uuid(&self) -> JobUuid {
        match self {
            Self::Backup(job) => job.head.uuid,
            Self::Restore(job) => job.head.uuid,
        }
    }

    /// The database whose slot it takes.
    #[must_use]
    pub fn database(&self) -> &str {
        match self {
            Self::Backup(job) => &job.head.database,
            Self::Restore(job) => &job.head.database,
        }
    }

    /// The repository's name.
    #[must_use]
    pub fn repository(&self) -> &str {
        match self {
            Self::Backup(job) => &job.head.repository,
            Self::Restore(job) => &job.head.repository,
        }
    }

    /// The snapshot's label.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Self::Backup(job) => job.head.label.as_str(),
            Self::Restore(job) => job.head.label.as_str(),
        }
    }

    /// The state's word.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self {
            Self::Backup(job) => job.head.state.as_str(),
            Self::Restore(job) => job.head.state.as_str(),
        }
    }

    /// Which of its database's slots the job takes, from 0.
    #[must_use]
    pub fn slot(&self) -> u32 {
        match self {
            Self::Backup(job) => job.head.slot,
            Self::Restore(job) => job.head.slot,
        }
    }

    /// Gives a job that is not stored yet its slot.
    pub(crate) fn set_slot(&mut self, slot: u32) {
        match self {
            Self::Backup(job) => job.head.slot = slot,
            Self::Restore(job) => job.head.slot = slot,
        }
    }

    /// Whether the job occupies its database.
    #[must_use]
    pub fn holds_slot(&self) -> bool {
        match self {
            Self::Backup(job) => job.holds_slot(),
            Self::Restore(job) => job.holds_slot(),
        }
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<JobEnd> {
        match self {
            Self::Backup(job) => match job.head.state {
                BackupState::Finished => Some(JobEnd::Published),
                BackupState::Cancelled => Some(JobEnd::Discarded),
                BackupState::Pending
                | BackupState::Snapshoting
                | BackupState::UploadSnapshot
                | BackupState::Uploading
                | BackupState::SaveMeta
                | BackupState::UploadInfo => None,
            },
            Self::Restore(job) => match job.head.state {
                RestoreState::Finished => Some(JobEnd::Published),
                RestoreState::Cancelled => Some(JobEnd::Discarded),
                RestoreState::Pending
                | RestoreState::Snapshoting
                | RestoreState::Download
                | RestoreState::Downloading
                | RestoreState::Commit
                | RestoreState::Committing => None,
            },
        }
    }

    /// Whether nothing at all is left to do, not even cleaning up.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self {
            Self::Backup(job) => job.head.state.is_final() && !job.head.unclean,
            Self::Restore(job) => job.head.state.is_final(),
        }
    }

    /// The attempt of a row that is running or next, and its backend.
    #[must_use]
    pub fn attempt(&self, task: TaskId) -> Option<(BackendId, u32)> {
        match self {
            Self::Backup(job) => job.rows.get(task).map(|row| (row.backend, row.attempt)),
            Self::Restore(job) => job.rows.get(task).map(|row| (row.backend, row.attempt)),
        }
    }

    /// The task that lets go of a row's snapshots, and where it goes.
    #[must_use]
    pub fn release(&self, task: TaskId, epoch: Epoch) -> Option<(BackendId, Task)> {
        match self {
            Self::Backup(job) => job.rows.get(task).map(|row| (row.backend, job.release(row, epoch))),
            Self::Restore(_) => None,
        }
    }

    /// The task that a row asks for at present, and where it goes. `None` when nothing is to be done for it (any more).
    #[must_use]
    pub fn task(&self, task: TaskId, epoch: Epoch, repository: StorageAccess) -> Option<(BackendId, Task)> {
        match self {
            Self::Backup(job) => {
                let row = job.rows.get(task).filter(|row| row.is_active(job.head.state))?;
                Some((row.backend, job.task(row, epoch, repository)?))
            }
            Self::Restore(job) => {
                let row = job.rows.get(task).filter(|row| row.is_active(job.head.state))?;
                Some((row.backend, job.task(row, epoch, repository)?))
            }
        }
    }

    /// The backends that have still to do something for it, or that it writes to.
    #[must_use]
    pub fn backends(&self) -> BTreeSet<BackendId> {
        match self {
            Self::Backup(job) if job.head.state.is_final() => BTreeSet::new(),
            Self::Restore(job) if job.head.state.is_final() => BTreeSet::new(),
            Self::Backup(job) => job.rows.backends(),
            Self::Restore(job) => job.rows.backends(),
        }
    }

    /// The job for people.
    #[must_use]
    pub fn view(&self, live: &Throughput) -> JobView {
        match self {
            Self::Backup(job) => job.view(live),
            Self::Restore(job) => job.view(live),
        }
    }
}
