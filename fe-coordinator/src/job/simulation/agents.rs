//! Agents: what they are sent, what they hold, what they report until it is heard.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, TabletId, TaskId, Version};
use tabvault_common::task::{TabletTotals, Task, TaskBody, TaskKey, TaskResult};

use super::Dice;
use super::catalog::Catalog;
use super::repository::Repository;

/// How an attempt ended.
pub(super) type Report = (TaskKey, Result<TaskResult, Failure>);

#[derive(Debug, Default)]
pub(super) struct Agent {
    pub(super) away: bool,
    /// The process is a new one and the coordinator has not stored that.
    pub(super) is_new: bool,
    /// Tasks that arrived and were not begun.
    pub(super) inbox: Vec<Task>,
    /// Reports that were not acknowledged.
    pub(super) reports: Vec<Report>,
    newest: BTreeMap<TaskId, u32>,
    snapshots: BTreeSet<(TabletId, Version)>,
    created: BTreeSet<TabletId>,
    downloaded: BTreeSet<TabletId>,
    pub(super) adopted: BTreeSet<TabletId>,
}

impl Agent {
    /// A new process: what was under way is lost, and what was not synced may be.
    pub(super) fn restart(&mut self, dice: &mut Dice) {
        self.is_new = true;
        self.inbox.clear();
        self.reports.clear();
        self.newest.clear();
        if dice.one_in(2) {
            self.snapshots.clear();
        }
        if dice.one_in(4) {
            self.downloaded.clear();
        }
    }

    /// Its disk loses downloads though it answered that they were there.
    pub(super) fn lose_downloads(&mut self) {
        self.downloaded.clear();
    }

    /// Runs a task that arrived; the report waits to be sent.
    pub(super) fn work(
        &mut self,
        n: usize,
        me: BackendId,
        catalog: &Catalog,
        repository: &mut Repository,
        failure: Option<Failure>,
    ) {
        let task = self.inbox.remove(n);
        let key = task.key;
        let newest = self.newest.entry(key.task).or_insert(key.attempt);
        if *newest > key.attempt {
            return;
        }
        *newest = key.attempt;
        let outcome = match failure {
            Some(failure) => Err(failure),
            None => self.perform(key, task.body, me, catalog, repository),
        };
        self.reports.retain(|(known, _)| known.task != key.task);
        self.reports.push((key, outcome));
    }

    fn perform(
        &mut self,
        key: TaskKey,
        body: TaskBody,
        me: BackendId,
        catalog: &Catalog,
        repository: &mut Repository,
    ) -> Result<TaskResult, Failure> {
        let gone = |what: &str| Failure::fatal(Kind::NotFound, format!("{what} is not here"));
        match body {
            TaskBody::MakeSnapshot(task) => {
                let (mut tablets, mut failed) = (Vec::new(), Vec::new());
                for at in task.tablets {
                    let known = self.snapshots.contains(&(at.tablet, at.version));
                    if known || catalog.covers(at.tablet, me, at.version) {
                        self.snapshots.insert((at.tablet, at.version));
                        tablets.push(TabletTotals { tablet: at.tablet, files: 3, bytes: 120 });
                    } else {
                        failed.push((at.tablet, gone("the version")));
                    }
                }
                Ok(TaskResult::Snapshotted { tablets, failed })
            }
            TaskBody::Upload(task) => {
                let here = |t: &_| {
                    let t: &tabvault_common::task::UploadTablet = t;
                    self.snapshots.contains(&(t.identity.tablet, t.identity.version))
                };
                if !task.tablets.iter().all(here) {
                    return Err(gone("a snapshot"));
                }
                Ok(TaskResult::Uploaded { manifest: repository.put_manifest(me, key, &task) })
            }
            TaskBody::Release(task) => {
                for at in task.tablets {
                    self.snapshots.remove(&(at.tablet, at.version));
                }
                Ok(TaskResult::Done)
            }
            TaskBody::CreateTablets(task) => {
                self.created.extend(task.tablets.iter().map(|tablet| tablet.tablet));
                Ok(TaskResult::Done)
            }
            TaskBody::Download(task) => {
                let targets: Vec<_> = task.tablets.iter().map(|tablet| tablet.target).collect();
                assert!(targets.iter().all(|target| self.created.contains(target)), "downloaded before it was made");
                self.downloaded.extend(targets);
                Ok(TaskResult::Downloaded { bytes: 100, reused_bytes: 0 })
            }
            TaskBody::Adopt(task) => {
                for tablet in task.tablets {
                    if !self.downloaded.contains(&tablet.target) && !self.adopted.contains(&tablet.target) {
                        return Err(gone("a download"));
                    }
                    self.adopted.insert(tablet.target);
                }
                Ok(TaskResult::Done)
            }
            TaskBody::DropTablets(_) | TaskBody::Load(_) | TaskBody::Export(_) => panic!("no job sends this"),
        }
    }

    /// The job has ended.
    pub(super) fn end(&mut self) {
        self.inbox.clear();
        self.reports.clear();
        self.snapshots.clear();
    }
}
