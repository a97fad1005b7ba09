//! Which attempt of which task runs.
//!
//! # Overview
//! Every job has a loop of its own ([`job`]) that handles what the coordinator says about it one message after the
//! other. Tasks of all jobs share two pools, so that a long transfer keeps no snapshot waiting. What a task reports is
//! kept in [`results`] until the coordinator has acknowledged it.
//!
//! # Consistency
//! Of one task at most one attempt runs; a higher one begins only after the lower has stopped. When a job has ended
//! nothing of it runs, and what it left is gone before anything later is done for it.
//!
//! # Crash consistency
//! Nothing here is durable: the coordinator sends again what was not acknowledged, and every task is idempotent.
//!
//! # Cancellation
//! [`Worker::shutdown`] stops everything and waits.

mod job;
mod pools;
mod results;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::JobUuid;
use tabvault_common::task::{JobEnd, Task, TaskKey, TaskProgress, TaskReport};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::context::Shared;
use pools::Pools;
pub(crate) use results::Results;

/// Messages that may wait for one job's loop.
const INBOX: usize = 4096;
/// Jobs that may be dealt with at once.
const MAX_JOBS: usize = 1024;
/// Reports that may wait to be acknowledged; further tasks are ignored, and the coordinator sends them again.
const MAX_REPORTS: usize = 65_536;

/// See the module.
#[derive(Debug)]
pub(crate) struct Worker {
    shared: Arc<Shared>,
    pools: Pools,
    /// What waits to be acknowledged.
    pub(crate) results: Results,
    jobs: Mutex<HashMap<JobUuid, mpsc::Sender<Message>>>,
    loops: TaskTracker,
}

/// What is to be done for a job.
#[derive(Debug)]
enum Message {
    Task(Box<Task>),
    End(JobEnd),
    Shutdown,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, light: usize, heavy: usize, max_tasks: usize) -> Arc<Self> {
        Arc::new(Self {
            shared,
            pools: Pools::new(light, heavy, max_tasks),
            results: Results::default(),
            jobs: Mutex::default(),
            loops: TaskTracker::new(),
        })
    }

    /// Takes a task. What becomes of it is reported.
    pub(crate) fn submit(self: &Arc<Self>, task: Task) {
        let key = task.key;
        if self.results.len() >= MAX_REPORTS {
            tracing::warn!(%key, "ignored a task: too many reports wait to be acknowledged");
            return;
        }
        if self.send(key.job, Message::Task(Box::new(task))).is_err() {
            self.results.store(busy(key));
        }
    }

    /// Stops a job's tasks and removes what it left. Lost if too much waits already: the job's leftovers then show in
    /// the next heartbeat, and the coordinator says it again.
    pub(crate) fn end(self: &Arc<Self>, job: JobUuid, end: JobEnd) {
        if self.send(job, Message::End(end)).is_err() {
            tracing::warn!(%job, "too much waits to end the job now");
        }
    }

    /// The jobs that are dealt with now.
    pub(crate) fn jobs(&self) -> BTreeSet<JobUuid> {
        self.locked().keys().copied().collect()
    }

    /// How many tasks wait or run.
    pub(crate) fn accepted(&self) -> u64 {
        self.pools.accepted()
    }

    /// How far every running task is.
    pub(crate) fn progress(&self) -> Vec<TaskProgress> {
        self.pools.progress()
    }

    /// Stops everything and waits for it.
    pub(crate) async fn shutdown(&self) {
        let inboxes: Vec<_> = {
            let jobs = self.locked();
            self.loops.close();
            jobs.values().cloned().collect()
        };
        for inbox in inboxes {
            // A loop that is gone needs no telling.
            let _ = inbox.send(Message::Shutdown).await;
        }
        self.loops.wait().await;
    }

    fn send(self: &Arc<Self>, job: JobUuid, message: Message) -> Result<(), ()> {
        let mut jobs = self.locked();
        if self.loops.is_closed() {
            return Err(());
        }
        if let Some(inbox) = jobs.get(&job) {
            return inbox.try_send(message).map_err(drop);
        }
        if jobs.len() >= MAX_JOBS {
            return Err(());
        }
        let (inbox, messages) = mpsc::channel(INBOX);
        inbox.try_send(message).map_err(drop)?;
        jobs.insert(job, inbox);
        self.loops.spawn(job::JobLoop::new(job, Arc::clone(self), messages).run());
        Ok(())
    }

    /// Forgets a job's loop unless something came for it meanwhile.
    fn retire(&self, job: JobUuid, messages: &mpsc::Receiver<Message>) -> bool {
        let mut jobs = self.locked();
        let idle = messages.is_empty();
        if idle {
            jobs.remove(&job);
        }
        idle
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<JobUuid, mpsc::Sender<Message>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The report of a task for which there is no room.
fn busy(key: TaskKey) -> TaskReport {
    let message = format!("task {key} was not begun: too many tasks wait on this agent");
    TaskReport { key, outcome: Err(Failure::transient(Kind::Busy, message)) }
}
