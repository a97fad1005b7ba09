//! Jobs as values: a head, a plan, and a row per task.
//!
//! # Overview
//! `step` is pure: job, event and time give the records that change and the effects to perform. It does no I/O, knows
//! no clock, and never waits. The runner persists the changes, then performs the effects; what an effect brings comes
//! back as an event.
//!
//! # Consistency
//! An event that is repeated, late or meant for an earlier attempt changes nothing.
//!
//! # Crash consistency
//! `resume` names the effects that a job in its stored state waits for. All of them are idempotent, so a coordinator
//! that starts performs them again, whether or not its predecessor did.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tabvault_common::clock::Time;
use tabvault_common::failure::Failure;
use tabvault_common::ids::{BackendId, PartitionId, TaskId};
use tabvault_common::repo::info::{ObjectRef, SnapshotName};
use tabvault_common::task::{JobEnd, TaskResult};

use crate::catalog::Decision;
use crate::repository::remote::{InfoWrite, TombstoneWrite};

pub mod any;
pub mod backup;
pub mod restore;
pub mod rows;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod simulation;
mod throughput;

pub use throughput::Throughput;

/// How often one task may fail before the job does.
pub const MAX_TASK_FAILURES: u32 = 8;

/// Most tablets in one task: a row of that many fits into one record of the job store.
pub const MAX_TABLETS_PER_TASK: usize = 128;

/// Most bytes in one task, unless one tablet alone has more: what is lost when an agent dies is at most this.
pub const MAX_BYTES_PER_TASK: u64 = 4 << 30;

/// Most files in one task, unless one tablet alone has more: what an agent must remember of each while it transfers them
/// takes memory.
pub const MAX_FILES_PER_TASK: u64 = 65_536;

/// Something to do after the changes are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send the present attempt of a task to its backend.
    Dispatch(TaskId),
    /// Let a backend release the snapshots of a task; nobody waits for the answer.
    Release(TaskId),
    /// Ask the repository or the catalog; the answer comes back as an event.
    Ask(Ask),
    /// Go on from a state in which there is nothing to wait for.
    Continue,
    /// Tell all agents that the job has ended.
    EndOnAgents(JobEnd),
}

/// A question to the repository or the catalog, or a thing for them to do. All are idempotent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Backup: choose the parent, and see that the label is free.
    ChooseParent,
    /// Backup: write the intent, then take the cut and plan.
    Plan,
    /// Backup: plan a partition again at its present version.
    TakePartition(PartitionId),
    /// Backup: remove the intent of a job that was cancelled before its commit point.
    RemoveIntent,
    /// Backup: write the meta.
    WriteMeta,
    /// Backup: write the info by create-if-absent.
    WriteInfo,
    /// Backup: write a tombstone at the info's name by create-if-absent.
    WriteTombstone,
    /// Restore: read and verify info and meta, check and map.
    ReadSnapshot,
    /// Restore: make hidden targets.
    Prepare,
    /// Restore: the commit point.
    Publish,
    /// Restore: its opposite.
    Discard,
}

/// What an [`Ask`] brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To `ChooseParent`.
    Chosen(Option<SnapshotName>),
    /// To `Plan`, when the parent was no snapshot any more, or none that can be read: the intent does not protect it for
    /// certain, and nothing was planned.
    ParentGone,
    /// To `Plan`: the intent stands, and what the rows share with the parent it protects.
    Planned(Box<backup::Plan>, Vec<backup::Row>),
    /// To `TakePartition`; `None`: it was dropped.
    PartitionPlanned(Option<Vec<backup::Row>>),
    /// To `RemoveIntent`.
    Done,
    /// To `WriteMeta`.
    MetaWritten(ObjectRef),
    /// To `WriteInfo`.
    Info(InfoWrite),
    /// To `WriteTombstone`.
    Tombstone(TombstoneWrite),
    /// To `ReadSnapshot`.
    Mapped(Box<restore::Plan>),
    /// To `Prepare`.
    Prepared(Vec<restore::Row>),
    /// To `Publish` and `Discard`.
    Decided(Decision),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nothing but time has passed, or [`Effect::Continue`] was performed.
    Tick,
    /// An [`Effect::Ask`] ended.
    Answered(Ask, Result<Answer, Failure>),
    /// An agent reported a task.
    Reported {
        /// The task.
        task: TaskId,
        /// Which attempt.
        attempt: u32,
        /// How it ended.
        outcome: Result<TaskResult, Failure>,
    },
    /// A backend's agent came back as a new process: what the old one was doing is lost.
    BackendRestarted(BackendId),
    /// A backend's agent has been silent for longer than the cluster waits.
    BackendDead(BackendId),
    /// Somebody wants the job ended.
    Cancel {
        /// Who or what, for the status.
        by: String,
    },
}

/// What a step changes, and what is to be done after that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition<Head, Plan, Row> {
    /// The new head, if it changed.
    pub head: Option<Head>,
    /// The plan, when it is made.
    pub plan: Option<Plan>,
    /// Rows that are new or changed; in boxes, because those of a whole plan pass through several hands.
    pub rows: Vec<Box<Row>>,
    /// Rows that are no more.
    pub gone: Vec<TaskId>,
    /// In this order.
    pub effects: Vec<Effect>,
}

/// When a question is asked again that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskAgain {
    /// The question.
    pub ask: Ask,
    /// How often it failed.
    pub failures: u32,
    /// Not before this moment.
    pub at: Time,
    /// Whether it is waiting for `at`; otherwise it has been asked.
    pub waiting: bool,
    /// Why it failed last.
    pub error: String,
}

/// Most bytes of a message that is kept with a row or a head, so that each fits into one record of the job store.
const MAX_MESSAGE: usize = 2048;

/// As [`MAX_MESSAGE`], for questions that failed: a head may keep one for each partition that is planned again.
const MAX_ASK_MESSAGE: usize = 256;

/// The message as it is kept: cut where it is too long for a record.
fn kept(message: &str) -> String {
    within(message, MAX_MESSAGE)
}

fn within(message: &str, most: usize) -> String {
    let mut end = message.len().min(most);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].to_owned()
}

/// The failure with its message as it is kept.
fn kept_failure(failure: Failure) -> Failure {
    Failure { message: kept(&failure.message), ..failure }
}

/// How long to wait after the given number of failures in a row: doubling from one second to a minute.
#[must_use]
pub fn backoff(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(Duration::from_secs(60))
}

/// The questions of a job that failed and are to be asked again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Asking(Vec<AskAgain>);

impl Asking {
    fn answered(&mut self, ask: Ask) {
        self.0.retain(|again| again.ask != ask);
    }

    fn failed(&mut self, ask: Ask, error: &Failure, now: Time) {
        let failures = 1 + self.0.iter().find(|again| again.ask == ask).map_or(0, |again| again.failures);
        self.answered(ask);
        let at = now.after(backoff(failures));
        self.0.push(AskAgain { ask, failures, at, waiting: true, error: within(&error.message, MAX_ASK_MESSAGE) });
    }

    /// Whether the question failed and is not being asked at present.
    fn is_waiting(&self, ask: Ask) -> bool {
        self.0.iter().any(|again| again.ask == ask && again.waiting)
    }

    /// Nothing that failed is asked again.
    fn clear(&mut self) {
        self.0.clear();
    }

    fn failures(&self, ask: Ask) -> u32 {
        self.0.iter().find(|again| again.ask == ask).map_or(0, |again| again.failures)
    }

    /// The questions whose time has come; they count as asked.
    fn due(&mut self, now: Time) -> Vec<Ask> {
        let due = self.0.iter_mut().filter(|again| again.waiting && again.at <= now);
        due.map(|again| {
            again.waiting = false;
            again.ask
        })
        .collect()
    }

    /// The next moment at which one is due.
    fn next(&self) -> Option<Time> {
        self.0.iter().filter(|again| again.waiting).map(|again| again.at).min()
    }

    /// Nothing is waited for any more: everything was asked again by a coordinator that started.
    fn restarted(&mut self) {
        for again in &mut self.0 {
            again.waiting = false;
        }
    }

    /// Why the last of them failed, for people.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.0.last().map(|again| again.error.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_doubles_up_to_a_minute() {
        let waits: Vec<u64> = (1..=9).map(|n| backoff(n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = "ä".repeat(3000);
        assert_eq!(kept(&long), "ä".repeat(MAX_MESSAGE / 2));
        assert_eq!(kept(&format!("a{long}")).len(), MAX_MESSAGE - 1);
        assert_eq!(kept("short"), "short");
    }
}
