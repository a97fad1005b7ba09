//! Reports until the coordinator has acknowledged them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tabvault_common::ids::{JobUuid, TaskId};
use tabvault_common::task::{TaskKey, TaskReport};
use tokio::sync::watch;

/// Every report carries the number of its last wish to be sent; a connection sends what is above the last number it
/// has sent, so that a new connection sends all of them.
///
/// Of every task at most one report is kept, and all go with their job.
#[derive(Debug)]
pub(crate) struct Results {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    reports: BTreeMap<TaskKey, (u64, TaskReport)>,
    last: u64,
}

impl Inner {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

impl Default for Results {
    fn default() -> Self {
        Self { inner: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Results {
    /// Keeps a report and has it sent.
    pub(crate) fn store(&self, report: TaskReport) {
        let mut inner = self.locked();
        let number = inner.next();
        inner.reports.insert(report.key, (number, report));
        drop(inner);
        self.changed.send_replace(number);
    }

    /// Has the report of `key` sent again, if there is one.
    pub(crate) fn resend(&self, key: &TaskKey) -> bool {
        let mut inner = self.locked();
        if !inner.reports.contains_key(key) {
            return false;
        }
        let number = inner.next();
        inner.reports.entry(*key).and_modify(|(wished, _)| *wished = number);
        drop(inner);
        self.changed.send_replace(number);
        true
    }

    /// Whether the report of `key` waits to be acknowledged.
    pub(crate) fn waits(&self, key: &TaskKey) -> bool {
        self.locked().reports.contains_key(key)
    }

    /// The coordinator has stored this report.
    pub(crate) fn acknowledge(&self, key: &TaskKey) {
        self.locked().reports.remove(key);
    }

    /// Forgets what lower attempts than `attempt` reported.
    pub(crate) fn forget_before(&self, job: JobUuid, task: TaskId, attempt: u32) {
        self.locked().reports.retain(|key, _| (key.job, key.task) != (job, task) || key.attempt >= attempt);
    }

    /// Forgets all reports of a job.
    pub(crate) fn forget_job(&self, job: JobUuid) {
        self.locked().reports.retain(|key, _| key.job != job);
    }

    /// How many reports wait to be acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.locked().reports.len()
    }

    /// The next report to send on a connection that has sent those up to `sent`, with its number.
    pub(crate) fn next_after(&self, sent: u64) -> Option<(u64, TaskReport)> {
        let inner = self.locked();
        inner.reports.values().filter(|(number, _)| *number > sent).min_by_key(|(number, _)| *number).cloned()
    }

    /// Changes whenever there is something to send.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use tabvault_common::task::TaskResult;

    use super::*;

    fn report(task: u64, attempt: u32) -> TaskReport {
        let job = JobUuid(uuid::Uuid::nil());
        TaskReport { key: TaskKey { job, task: TaskId(task), attempt }, outcome: Ok(TaskResult::Done) }
    }

    fn all(results: &Results) -> Vec<(u64, u32)> {
        let mut sent = 0;
        let mut keys = Vec::new();
        while let Some((number, report)) = results.next_after(sent) {
            sent = number;
            keys.push((report.key.task.0, report.key.attempt));
        }
        keys
    }

    #[test]
    fn a_new_connection_sends_everything_that_is_not_acknowledged() {
        let results = Results::default();
        for task in [3, 1, 2] {
            results.store(report(task, 1));
        }
        assert_eq!(all(&results), [(3, 1), (1, 1), (2, 1)]);
        results.acknowledge(&report(1, 1).key);
        assert_eq!(all(&results), [(3, 1), (2, 1)]);
    }

    #[test]
    fn a_report_is_sent_again_on_the_same_connection_when_wished() {
        let results = Results::default();
        results.store(report(1, 1));
        results.store(report(2, 1));
        assert!(results.resend(&report(1, 1).key));
        assert_eq!(results.next_after(2).unwrap().1, report(1, 1));
        assert!(!results.resend(&report(9, 1).key));
    }

    #[test]
    fn lower_attempts_and_ended_jobs_are_forgotten() {
        let results = Results::default();
        results.store(report(1, 1));
        results.store(report(2, 1));
        results.forget_before(JobUuid(uuid::Uuid::nil()), TaskId(1), 2);
        assert_eq!(all(&results), [(2, 1)]);
        results.forget_job(JobUuid(uuid::Uuid::nil()));
        assert_eq!(all(&results), []);
    }
}
