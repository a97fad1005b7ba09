//! One job's messages, handled one after the other.

use std::collections::HashMap;
use std::sync::Arc;

use tabvault_common::failure::Failure;
use tabvault_common::ids::{JobUuid, TaskId};
use tabvault_common::task::{JobEnd, Task, TaskKey, TaskReport};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::{Message, Worker, busy};
use crate::context::{TaskContext, broken};
use crate::tasks;

/// The loop of one job: lives from the first message about it until the job has ended.
pub(super) struct JobLoop {
    job: JobUuid,
    worker: Arc<Worker>,
    messages: mpsc::Receiver<Message>,
    /// The newest attempt of each task.
    tasks: HashMap<TaskId, Attempt>,
}

/// An attempt that was begun and may have ended.
struct Attempt {
    number: u32,
    stop: CancellationToken,
    body: AbortHandle,
    /// Ends when nothing of the attempt runs any more and its report, if any, is stored.
    ended: JoinHandle<()>,
}

impl Attempt {
    async fn abort(self) {
        self.stop.cancel();
        self.body.abort();
        if let Err(error) = self.ended.await {
            tracing::error!(%error, "the supervisor of a task broke");
        }
    }
}

impl JobLoop {
    pub(super) fn new(job: JobUuid, worker: Arc<Worker>, messages: mpsc::Receiver<Message>) -> Self {
        Self { job, worker, messages, tasks: HashMap::new() }
    }

    pub(super) async fn run(mut self) {
        while let Some(message) = self.messages.recv().await {
            match message {
                Message::Task(task) => self.take(*task).await,
                Message::End(end) => {
                    self.end(end).await;
                    if self.worker.retire(self.job, &self.messages) {
                        return;
                    }
                }
                Message::Shutdown => {
                    self.abort_all().await;
                    return;
                }
            }
        }
    }

    /// Runs a task unless this attempt, or a later one, is known already.
    async fn take(&mut self, task: Task) {
        let key = task.key;
        if let Some(known) = self.tasks.get(&key.task) {
            if known.number > key.attempt {
                tracing::debug!(%key, known = known.number, "ignored a superseded attempt");
                return;
            }
            if known.number == key.attempt && !known.ended.is_finished() {
                return;
            }
            if known.number == key.attempt && self.worker.results.resend(&key) {
                return;
            }
            // Either a later attempt, or one whose report was acknowledged and lost: tasks are idempotent.
        }
        if let Some(older) = self.tasks.remove(&key.task) {
            older.abort().await;
            self.worker.results.forget_before(self.job, key.task, key.attempt);
        }
        self.forget_chores();
        match self.start(task) {
            Some(attempt) => {
                self.tasks.insert(key.task, attempt);
            }
            None => self.worker.results.store(busy(key)),
        }
    }

    /// Housekeeping never ends, and would be remembered for ever. Its names are used once: what was acknowledged is
    /// not sent again.
    fn forget_chores(&mut self) {
        if self.job == JobUuid::HOUSEKEEPING {
            let (job, results) = (self.job, &self.worker.results);
            self.tasks.retain(|task, attempt| {
                let key = TaskKey { job, task: *task, attempt: attempt.number };
                !attempt.ended.is_finished() || results.waits(&key)
            });
        }
    }

    fn start(&self, task: Task) -> Option<Attempt> {
        let key = task.key;
        let worker = Arc::clone(&self.worker);
        let accepted = worker.pools.accept(key)?;
        let context = TaskContext {
            key,
            shared: Arc::clone(&worker.shared),
            progress: Arc::clone(&accepted.progress),
            transfers: tasks::transfers(worker.shared.storage.throttle(), &task.body),
            stop: CancellationToken::new(),
            tracker: TaskTracker::new(),
        };
        let (stop, tracker) = (context.stop.clone(), context.tracker.clone());
        let kind = task.body.name();
        let span = tracing::info_span!("task", job = %key.job, task = %key.task, attempt = key.attempt, kind);
        let body = tokio::spawn(
            {
                let worker = Arc::clone(&worker);
                async move {
                    let _running = worker.pools.enter(&task.body).await;
                    tasks::run(&context, task.body).await
                }
            }
            .instrument(span.clone()),
        );
        let abort = body.abort_handle();
        let supervise = async move {
            let outcome = match body.await {
                Ok(outcome) => Some(outcome),
                Err(error) if error.is_cancelled() => None,
                Err(error) => Some(Err(broken(error))),
            };
            tracker.close();
            tracker.wait().await;
            drop(accepted);
            if let Some(outcome) = outcome {
                note(kind, outcome.as_ref().err());
                worker.results.store(TaskReport { key, outcome });
            }
        };
        let ended = tokio::spawn(supervise.instrument(span));
        Some(Attempt { number: key.attempt, stop, body: abort, ended })
    }

    /// Stops everything of the job and removes what it left. What fails shows in the next heartbeat, and the
    /// coordinator says it again.
    async fn end(&mut self, end: JobEnd) {
        self.abort_all().await;
        self.worker.results.forget_job(self.job);
        match self.sweep(end).await {
            Ok(()) => tracing::info!(job = %self.job, ?end, "the job has ended here"),
            Err(error) => tracing::warn!(job = %self.job, %error, "could not remove all that the job left"),
        }
    }

    async fn sweep(&self, end: JobEnd) -> Result<(), Failure> {
        let (shared, job) = (Arc::clone(&self.worker.shared), self.job);
        shared.store.settle(job, end).await?;
        let removed = tokio::task::spawn_blocking(move || {
            shared.work.remove_job(job)?;
            shared.journals.remove_job(job)
        });
        removed.await.unwrap_or_else(|error| Err(broken(error)))
    }

    async fn abort_all(&mut self) {
        for attempt in self.tasks.values() {
            attempt.stop.cancel();
            attempt.body.abort();
        }
        for (_, attempt) in self.tasks.drain() {
            attempt.abort().await;
        }
    }
}

fn note(kind: &'static str, failure: Option<&Failure>) {
    let outcome = failure.map_or("ok", |failure| failure.kind.as_str());
    metrics::counter!("tabvault_agent_tasks_ended_total", "kind" => kind, "outcome" => outcome).increment(1);
    match failure {
        None => tracing::info!("the task is done"),
        Some(error) => tracing::warn!(%error, "the task failed"),
    }
}
