//! A step while it is thought out: what changes, over the job as it is.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::clock::Time;
use tabvault_common::ids::{BackendId, TaskId};

use super::super::{BackupJob, BackupTransition, Head, Plan, Row};
use crate::job::rows::Counted;
use crate::job::{Ask, Effect};

/// The job as it will be, while a step is thought out.
pub(super) struct Draft<'a> {
    pub(super) job: &'a BackupJob,
    pub(super) now: Time,
    pub(super) head: Head,
    pub(super) plan: Option<Plan>,
    pub(super) rows: BTreeMap<TaskId, Box<Row>>,
    pub(super) gone: BTreeSet<TaskId>,
    pub(super) effects: Vec<Effect>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(job: &'a BackupJob, now: Time) -> Self {
        let (rows, gone, effects) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        Self { job, now, head: job.head.clone(), plan: None, rows, gone, effects }
    }

    pub(super) fn finish(self) -> BackupTransition {
        let head = (self.head != self.job.head).then_some(self.head);
        let rows = self.rows.into_values().collect();
        let gone = self.gone.into_iter().collect();
        BackupTransition { head, plan: self.plan, rows, gone, effects: self.effects }
    }

    pub(super) fn row(&self, task: TaskId) -> Option<&Row> {
        if self.gone.contains(&task) {
            return None;
        }
        self.rows.get(&task).map(AsRef::as_ref).or_else(|| self.job.rows.get(task))
    }

    /// Whether the row is as it was before this step.
    pub(super) fn is_untouched(&self, task: TaskId) -> bool {
        !self.rows.contains_key(&task) && !self.gone.contains(&task)
    }

    /// The rows that still need a backend.
    pub(super) fn rows_on(&self, backend: BackendId) -> impl Iterator<Item = &Row> {
        let untouched = self.job.rows.on(backend).filter(|row| self.is_untouched(row.task));
        untouched.chain(self.rows.values().map(AsRef::as_ref).filter(move |row: &&Row| row.needs() == Some(backend)))
    }

    /// How many rows are in the stage at `place`, without a look at those that this step leaves alone.
    pub(super) fn count_in(&self, place: usize) -> usize {
        let touched = self.rows.keys().chain(&self.gone).filter_map(|task| self.job.rows.get(*task));
        let before = touched.filter(|row| row.place() == place).count();
        let now = self.rows.values().filter(|row| row.place() == place).count();
        self.job.rows.count_in(place) - before + now
    }

    pub(super) fn put(&mut self, row: Row) {
        self.gone.remove(&row.task);
        self.rows.insert(row.task, Box::new(row));
    }

    pub(super) fn remove(&mut self, task: TaskId) {
        self.rows.remove(&task);
        if self.job.rows.contains(task) {
            self.gone.insert(task);
        }
    }

    pub(super) fn ask(&mut self, ask: Ask) {
        self.effects.push(Effect::Ask(ask));
    }

    pub(super) fn dispatch(&mut self, row: Row) {
        self.effects.push(Effect::Dispatch(row.task));
        self.put(row);
    }
}
