//! A job's rows, with what is asked of all of them kept up to date as they change: no event looks at every row.
//!
//! # Consistency
//! A row changes only by being put anew, so that sums and sets always are what a recount would find.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Index;

use tabvault_common::clock::Time;
use tabvault_common::ids::{BackendId, TaskId};

#[cfg(test)]
mod tests;

/// Number of stages that a row may be in, of either kind of job.
pub const STAGES: usize = 4;

/// What is counted of a row.
pub trait Counted {
    /// The row's number.
    fn task(&self) -> TaskId;
    /// Its backend, if that is still needed for it.
    fn needs(&self) -> Option<BackendId>;
    /// The place of its stage in the order of stages, below [`STAGES`].
    fn place(&self) -> usize;
    /// Bytes of its tablets.
    fn bytes(&self) -> u64;
    /// Not sent again before this moment.
    fn not_before(&self) -> Option<Time>;
    /// Whether it failed last.
    fn failed(&self) -> bool;
}

/// Rows by number, with their sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows<R> {
    /// In boxes: a third of the places in a tree stay empty.
    rows: BTreeMap<TaskId, Box<R>>,
    stages: [Stage; STAGES],
    /// Rows that still need a backend, by backend.
    backends: BTreeMap<BackendId, BTreeSet<TaskId>>,
    /// Rows that wait for a moment, the next first.
    waiting: BTreeSet<(Time, TaskId)>,
    failed: BTreeSet<TaskId>,
    #[cfg(test)]
    visits: tests::Visits,
}

/// The rows of one stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Stage {
    tasks: BTreeSet<TaskId>,
    bytes: u64,
}

impl<R> Default for Rows<R> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            stages: Default::default(),
            backends: BTreeMap::new(),
            waiting: BTreeSet::new(),
            failed: BTreeSet::new(),
            #[cfg(test)]
            visits: tests::Visits::default(),
        }
    }
}

impl<R: Counted> Rows<R> {
    /// Adds a row, in place of the one that has its number.
    pub fn put(&mut self, row: impl Into<Box<R>>) {
        let row = row.into();
        self.remove(row.task());
        self.count(&row);
        self.rows.insert(row.task(), row);
    }

    /// Takes a row out.
    pub fn remove(&mut self, task: TaskId) -> Option<R> {
        let row = *self.rows.remove(&task)?;
        let stage = &mut self.stages[row.place()];
        stage.tasks.remove(&task);
        stage.bytes -= row.bytes();
        if let Some(backend) = row.needs()
            && let Some(tasks) = self.backends.get_mut(&backend)
        {
            tasks.remove(&task);
            if tasks.is_empty() {
                self.backends.remove(&backend);
            }
        }
        if let Some(at) = row.not_before() {
            self.waiting.remove(&(at, task));
        }
        self.failed.remove(&task);
        Some(row)
    }

    /// Changes a row, if it is there.
    pub fn change(&mut self, task: TaskId, change: impl FnOnce(&mut R)) {
        if let Some(mut row) = self.remove(task) {
            change(&mut row);
            self.put(row);
        }
    }

    fn count(&mut self, row: &R) {
        let task = row.task();
        let stage = &mut self.stages[row.place()];
        stage.tasks.insert(task);
        stage.bytes += row.bytes();
        if let Some(backend) = row.needs() {
            self.backends.entry(backend).or_default().insert(task);
        }
        if let Some(at) = row.not_before() {
            self.waiting.insert((at, task));
        }
        if row.failed() {
            self.failed.insert(task);
        }
    }

    /// A row by its number.
    #[must_use]
    pub fn get(&self, task: TaskId) -> Option<&R> {
        let row = self.rows.get(&task).map(AsRef::as_ref);
        #[cfg(test)]
        self.visits.count(usize::from(row.is_some()));
        row
    }

    /// Whether there is a row of this number.
    #[must_use]
    pub fn contains(&self, task: TaskId) -> bool {
        self.rows.contains_key(&task)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All rows, by number. Whoever takes an event does not call this.
    pub fn values(&self) -> impl Iterator<Item = &R> + Clone {
        #[cfg(test)]
        self.visits.count(self.rows.len());
        self.rows.values().map(AsRef::as_ref)
    }

    /// All numbers.
    pub fn keys(&self) -> impl Iterator<Item = TaskId> {
        self.rows.keys().copied()
    }

    /// How many rows are in the stage at `place`.
    #[must_use]
    pub fn count_in(&self, place: usize) -> usize {
        self.stages[place].tasks.len()
    }

    /// Bytes of the rows in the stage at `place`.
    #[must_use]
    pub fn bytes_in(&self, place: usize) -> u64 {
        self.stages[place].bytes
    }

    /// Bytes of all rows.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.stages.iter().map(|stage| stage.bytes).sum()
    }

    /// The first `limit` rows in the stages at `places`, by number.
    #[must_use]
    pub fn first_in(&self, places: &[usize], limit: usize) -> Vec<TaskId> {
        let mut found: Vec<TaskId> =
            places.iter().flat_map(|place| self.stages[*place].tasks.iter().copied().take(limit)).collect();
        found.sort_unstable();
        found.truncate(limit);
        found
    }

    /// The rows that still need a backend, by number.
    pub fn on(&self, backend: BackendId) -> impl Iterator<Item = &R> {
        self.backends.get(&backend).into_iter().flatten().filter_map(|task| self.get(*task))
    }

    /// The backends that rows still need.
    #[must_use]
    pub fn backends(&self) -> BTreeSet<BackendId> {
        self.backends.keys().copied().collect()
    }

    /// The rows that wait for a moment, the next first.
    pub fn waiting(&self) -> impl Iterator<Item = (Time, &R)> {
        self.waiting.iter().filter_map(|(at, task)| Some((*at, self.get(*task)?)))
    }

    /// The rows that failed last, by number.
    pub fn failed(&self) -> impl Iterator<Item = &R> {
        self.failed.iter().filter_map(|task| self.get(*task))
    }

    /// How many rows were looked at.
    #[cfg(test)]
    pub(crate) fn visits(&self) -> usize {
        self.visits.counted()
    }
}

impl<R: Counted> FromIterator<R> for Rows<R> {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Self {
        let mut all = Self::default();
        rows.into_iter().for_each(|row| all.put(row));
        all
    }
}

impl<R> Index<&TaskId> for Rows<R> {
    type Output = R;

    fn index(&self, task: &TaskId) -> &R {
        &self.rows[task]
    }
}
