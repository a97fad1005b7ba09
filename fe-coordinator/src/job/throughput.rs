//! How fast a job moves: what running tasks say of themselves, kept in memory only.

use std::collections::{BTreeMap, VecDeque};

use tabvault_common::clock::Time;
use tabvault_common::ids::TaskId;
use tabvault_common::view::MAX_TASKS_SHOWN;

/// Rates are taken over this many milliseconds.
const WINDOW_MS: u64 = 10_000;
/// At most this many samples are kept.
const MAX_SAMPLES: usize = 64;

/// Progress of a job's running tasks and the rate at which it grows.
#[derive(Debug, Clone, Default)]
pub struct Throughput {
    tasks: BTreeMap<TaskId, (u64, u64)>,
    moved: u64,
    samples: VecDeque<(Time, u64)>,
}

impl Throughput {
    /// A running task has dealt with `done` of `total` bytes.
    pub fn report(&mut self, task: TaskId, done: u64, total: u64, now: Time) {
        let before = self.tasks.insert(task, (done, total)).map_or(0, |(done, _)| done);
        self.moved += done.saturating_sub(before);
        if self.samples.len() == MAX_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((now, self.moved));
        while self.samples.front().is_some_and(|(at, _)| at.0 + WINDOW_MS < now.0) {
            self.samples.pop_front();
        }
    }

    /// A task runs no more.
    pub fn ended(&mut self, task: TaskId) {
        self.tasks.remove(&task);
    }

    /// Progress of the first of the tasks that are `wanted`, as many as are shown.
    pub(super) fn shown(&self, wanted: impl Fn(TaskId) -> bool) -> Vec<(TaskId, u64, u64)> {
        let tasks = self.tasks.iter().filter(|(task, _)| wanted(**task));
        tasks.map(|(task, (done, total))| (*task, *done, *total)).take(MAX_TASKS_SHOWN).collect()
    }

    /// Bytes that the tasks that are `wanted` have dealt with.
    pub(super) fn done(&self, wanted: impl Fn(TaskId) -> bool) -> u64 {
        self.tasks.iter().filter(|(task, _)| wanted(**task)).map(|(_, (done, _))| done).sum()
    }

    /// Bytes per second over the last seconds.
    pub(super) fn bytes_per_second(&self) -> u64 {
        match (self.samples.front(), self.samples.back()) {
            (Some((from, first)), Some((to, last))) if to.0 > from.0 => (last - first) * 1000 / (to.0 - from.0),
            _ => 0,
        }
    }

    /// Seconds until `total` bytes should have been dealt with.
    pub(super) fn eta(&self, done: u64, total: u64, ended: bool) -> Option<u64> {
        let rate = self.bytes_per_second();
        (!ended && rate > 0 && done < total).then(|| (total - done).div_ceil(rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut live = Throughput::default();
        live.report(TaskId(1), 0, 100, Time(0));
        live.report(TaskId(1), 60, 100, Time(2000));
        live.report(TaskId(2), 40, 50, Time(4000));
        assert_eq!(live.bytes_per_second(), 25);
        assert_eq!(live.eta(100, 150, false), Some(2));
        live.report(TaskId(2), 50, 50, Time(60_000));
        assert_eq!(live.bytes_per_second(), 0);
    }

    #[test]
    fn a_task_that_starts_again_does_not_count_backwards() {
        let mut live = Throughput::default();
        live.report(TaskId(1), 90, 100, Time(0));
        live.report(TaskId(1), 10, 100, Time(1000));
        live.report(TaskId(1), 30, 100, Time(2000));
        assert_eq!(live.bytes_per_second(), 10);
    }
}
