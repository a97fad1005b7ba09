//! Steps of a job that are stored together, and what that writes.
//!
//! # Consistency
//! The job in memory is ahead of what is stored from [`Batch::take`] until [`super::Records::save`] has answered;
//! meanwhile nothing of it may show. Steps go into one batch only as long as they fit into one transaction, so that
//! storing several together costs what storing one does.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tabvault_common::failure::Failure;
use tabvault_common::ids::TaskId;

use super::keys;
use super::rows::Stored;
use super::step::{MAX_COMMIT, ROOM_FOR_CLAIMS};
use crate::job::any::{Job, JobTransition};
use crate::job::rows::Rows;
use crate::job::{Effect, Transition};
use crate::store::MAX_OPERATIONS;

/// About what a row's record takes, and each tablet's part of it and of the record beside it, in bytes. What turns out
/// larger is stored all the same, as a large step.
const ROW: usize = 768;
const TOTALS: usize = 24;
const TABLET: usize = 256;

/// What is to be stored of a job.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(super) before: Standing,
    pub(super) head: bool,
    pub(super) plan: bool,
    /// Rows that are new or changed, each with whether its tablets are.
    rows: BTreeMap<TaskId, bool>,
    /// Rows that are no more.
    gone: BTreeSet<TaskId>,
    bytes: usize,
}

/// What of a job decides how its next step is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// Rows that are stored count.
    pub(super) speaks_of_rows: bool,
    pub(super) holds_slot: bool,
    pub(super) has_ended: bool,
}

impl Standing {
    pub(super) fn of(job: &Job) -> Self {
        Self {
            speaks_of_rows: super::speaks_of_rows(job),
            holds_slot: job.holds_slot(),
            has_ended: job.end().is_some(),
        }
    }
}

impl Batch {
    /// Nothing yet, of a job as it is stored.
    #[must_use]
    pub(crate) fn of(job: &Job) -> Self {
        let (rows, gone) = (BTreeMap::new(), BTreeSet::new());
        Self { before: Standing::of(job), head: false, plan: false, rows, gone, bytes: 0 }
    }

    /// Whether there is anything to store.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        !self.head && !self.plan && self.rows.is_empty() && self.gone.is_empty()
    }

    /// Whether it changes where the job stands.
    #[must_use]
    pub(crate) fn head_changes(&self) -> bool {
        self.head
    }

    /// Whether a step can be stored with those that are here: everything before it changed rows only, and all of it fits
    /// into one transaction.
    #[must_use]
    pub(crate) fn fits(&self, job: &Job, transition: &JobTransition) -> bool {
        if self.is_empty() {
            return true;
        }
        let (rows, gone, tablets, plan) = match (job, transition) {
            (Job::Backup(_), JobTransition::Backup(t)) => {
                (t.rows.len(), t.gone.len(), tablets(&t.rows), t.plan.is_some())
            }
            (Job::Restore(_), JobTransition::Restore(t)) => {
                (t.rows.len(), t.gone.len(), tablets(&t.rows), t.plan.is_some())
            }
            (Job::Backup(_), JobTransition::Restore(_)) | (Job::Restore(_), JobTransition::Backup(_)) => return false,
        };
        // At worst, every row is new.
        let operations = self.operations() + 2 * (rows + gone);
        let bytes = self.bytes + rows * ROW + tablets * TABLET;
        !self.head && !plan && operations <= MAX_OPERATIONS && bytes <= MAX_COMMIT / 2
    }

    /// Takes a step of the job over into it; its effects wait until all is stored.
    pub(crate) fn take(&mut self, job: &mut Job, transition: JobTransition) -> Vec<Effect> {
        match (job, transition) {
            (Job::Backup(job), JobTransition::Backup(mut transition)) => {
                let effects = self.note(&job.rows, &mut transition);
                job.apply(transition);
                effects
            }
            (Job::Restore(job), JobTransition::Restore(mut transition)) => {
                let effects = self.note(&job.rows, &mut transition);
                job.apply(transition);
                effects
            }
            (Job::Backup(_), JobTransition::Restore(_)) | (Job::Restore(_), JobTransition::Backup(_)) => {
                debug_assert!(false, "a transition belongs to the job that made it");
                Vec::new()
            }
        }
    }

    fn note<H, P, R: Stored>(&mut self, rows: &Rows<R>, transition: &mut Transition<H, P, R>) -> Vec<Effect> {
        self.head |= transition.head.is_some();
        self.plan |= transition.plan.is_some();
        for task in &transition.gone {
            self.rows.remove(task);
            self.gone.insert(*task);
        }
        for row in &transition.rows {
            let task = row.task();
            let fresh = self.gone.remove(&task) || !rows.get(task).is_some_and(|before| row.has_tablets_of(before));
            *self.rows.entry(task).or_default() |= fresh;
            self.bytes += ROW + row.tablets() * if fresh { TABLET } else { TOTALS };
        }
        std::mem::take(&mut transition.effects)
    }

    /// Whether it is too much for one transaction, as far as can be told before it is encoded.
    pub(super) fn is_large(&self) -> bool {
        self.operations() > MAX_OPERATIONS || self.bytes > MAX_COMMIT
    }

    /// The bytes of its rows, encoded, as far as can be told before; hardly ever too few.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn operations(&self) -> usize {
        let rows: usize = self.rows.values().map(|fresh| 1 + usize::from(*fresh)).sum();
        // With the head, and the record of how it ended.
        rows + 2 * self.gone.len() + 2 + ROOM_FOR_CLAIMS
    }

    /// The records of its rows, encoded one by one.
    pub(super) fn puts<'a>(
        &'a self,
        job: &'a Job,
    ) -> impl Iterator<Item = Result<(String, Bytes), Failure>> + Send + 'a {
        let id = job.id();
        self.rows.iter().flat_map(move |(task, fresh)| {
            let (row, tablets) = match job {
                Job::Backup(job) => records(job.rows.get(*task), *fresh),
                Job::Restore(job) => records(job.rows.get(*task), *fresh),
            };
            let row = row.map(|row| Ok((keys::row(id, *task), row?)));
            let tablets = tablets.map(|tablets| Ok((keys::tablets(id, *task), tablets?)));
            // A row never stands without its tablets.
            tablets.into_iter().chain(row)
        })
    }

    /// The records that go.
    pub(super) fn deletes(&self, job: &Job) -> Vec<String> {
        let id = job.id();
        self.gone.iter().flat_map(|task| [keys::row(id, *task), keys::tablets(id, *task)]).collect()
    }
}

type Encoded = Option<Result<Bytes, Failure>>;

fn records<R: Stored>(row: Option<&R>, fresh: bool) -> (Encoded, Encoded) {
    (row.map(Stored::encode_row), row.filter(|_| fresh).map(Stored::encode_tablets))
}

fn tablets<R: Stored>(rows: &[Box<R>]) -> usize {
    rows.iter().map(|row| row.tablets()).sum()
}
