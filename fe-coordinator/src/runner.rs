//! Runs one job: persists what a step changes, then performs its effects. The order stands here and nowhere else.
//!
//! # Overview
//! One loop per job takes events one at a time. Nothing in the loop waits for the outside but the job store: questions
//! to the repository and the catalog are asked by tasks of their own, whose answers come back as events.
//!
//! # Crash consistency
//! A step whose changes are stored but whose effects were not performed is completed by [`Job::resume`] at the next
//! start. A step whose changes were not stored never happened.
//!
//! # Cancellation
//! The loop ends when the job is over, when the leadership is lost, or when the coordinator shuts down; in the latter
//! cases the job stays as it is stored.

use std::collections::{BTreeSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tabvault_common::clock::{Clock, Time};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, JobId, TaskId};
use tabvault_common::task::Task;
use tabvault_common::view::{JobKind, JobView};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::agents::{Agents, TaskEvent};
use crate::asks::Asks;
use crate::job::any::{Job, JobTransition};
use crate::job::{Answer, Ask, Effect, Event, Throughput};
use crate::records::Records;
use crate::repository::registry::Repositories;

/// Events that wait for a job; senders wait when there are more.
const QUEUE: usize = 1024;

/// How long to wait before trying again to write to a job store that fails.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Progress alone is shown at most this often: a view is made from all rows.
const REFRESH: Duration = Duration::from_millis(250);

/// What all runners share.
#[derive(Debug)]
pub(crate) struct Context {
    /// The job store.
    pub(crate) records: Records,
    /// The backends.
    pub(crate) agents: Arc<Agents>,
    /// The repositories.
    pub(crate) repositories: Arc<Repositories>,
    /// Repository and catalog, for questions.
    pub(crate) asks: Arc<Asks>,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// How many ended jobs of a kind are kept for SHOW.
    pub(crate) kept_jobs: usize,
    /// Ends everything: shutdown or loss of leadership.
    pub(crate) stop: CancellationToken,
}

/// A job that runs, as others see it.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    /// The job's number.
    pub(crate) id: JobId,
    cancel: mpsc::Sender<(String, oneshot::Sender<()>)>,
    view: watch::Receiver<Arc<JobView>>,
    backends: watch::Receiver<BTreeSet<BackendId>>,
}

impl Running {
    /// Whether it needs a backend.
    #[must_use]
    pub(crate) fn needs(&self, backend: BackendId) -> bool {
        self.backends.borrow().contains(&backend)
    }

    /// The job as it is now.
    #[must_use]
    pub(crate) fn view(&self) -> Arc<JobView> {
        self.view.borrow().clone()
    }

    /// Told whenever the view changes.
    #[must_use]
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<JobView>> {
        self.view.clone()
    }

    /// Asks the job to end; answers when the wish is stored, or with `false` when the job's runner stopped before.
    pub(crate) async fn cancel(&self, by: &str) -> bool {
        let (stored, heard) = oneshot::channel();
        self.cancel.send((by.to_owned(), stored)).await.is_ok() && heard.await.is_ok()
    }
}

/// Starts the loop of a job that was just stored or just loaded. `over` is told when it needs no runner any more.
pub(crate) fn start(context: Arc<Context>, job: Job, over: mpsc::UnboundedSender<JobId>) -> Running {
    let (cancel, cancels) = mpsc::channel(8);
    let (view, seen) = watch::channel(Arc::new(job.view(&Throughput::default())));
    let (backends, needed) = watch::channel(job.backends());
    let running = Running { id: job.id(), cancel, view: seen, backends: needed };
    let (events, inbox) = mpsc::channel(QUEUE);
    context.agents.register(job.uuid(), events);
    let id = job.id();
    let span = tracing::info_span!("job", id = %id, uuid = %job.uuid(), kind = ?job.kind(), label = job.label());
    let runner = Runner {
        context,
        job,
        live: Throughput::default(),
        inbox,
        cancels,
        view,
        backends,
        shown: Time::default(),
        asking: JoinSet::new(),
        own: VecDeque::new(),
        answered: Vec::new(),
    };
    tokio::spawn(
        async move {
            if let Err(failure) = runner.run().await {
                tracing::warn!(kind = failure.kind.as_str(), "runner stops: {failure}");
            }
            let _ = over.send(id);
        }
        .instrument(span),
    );
    running
}

/// The kind's name in metrics.
fn kind_name(job: &Job) -> &'static str {
    match job.kind() {
        JobKind::Backup => "backup",
        JobKind::Restore => "restore",
    }
}

struct Runner {
    context: Arc<Context>,
    job: Job,
    live: Throughput,
    inbox: mpsc::Receiver<TaskEvent>,
    cancels: mpsc::Receiver<(String, oneshot::Sender<()>)>,
    view: watch::Sender<Arc<JobView>>,
    /// Whom the job needs.
    backends: watch::Sender<BTreeSet<BackendId>>,
    /// When the view was made last.
    shown: Time,
    asking: JoinSet<(Ask, Result<Answer, Failure>)>,
    /// Events that the job gave itself.
    own: VecDeque<Event>,
    /// Who waits to hear that the present event is stored.
    answered: Vec<oneshot::Sender<()>>,
}

impl Runner {
    async fn run(mut self) -> Result<(), Failure> {
        let effects = self.job.resume();
        self.perform(&effects);
        self.show();
        let stop = self.context.stop.clone();
        while !self.job.is_over() {
            let event = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                event = self.next() => event,
            };
            let Some(event) = event else { continue };
            self.take(event).await?;
        }
        self.context.agents.end(self.job.uuid(), self.job.end());
        metrics::counter!("tabvault_fe_jobs_total", "kind" => kind_name(&self.job), "state" => self.job.state())
            .increment(1);
        let view = self.job.view(&self.live);
        self.context.records.archive(&self.job, &view, self.context.kept_jobs).await
    }

    /// The next event, or `None` when something was dealt with that is no event for the job.
    async fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.own.pop_front() {
            return Some(event);
        }
        let clock = self.context.clock.clone();
        let tick = self.job.next_tick().map(|at| clock.now().until(at));
        let sleep = async move {
            match tick {
                Some(span) => clock.sleep(span).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = self.inbox.recv() => match event {
                Some(event) => self.on_task_event(event).await,
                None => None,
            },
            Some((by, stored)) = self.cancels.recv() => {
                self.answered.push(stored);
                Some(Event::Cancel { by })
            }
            Some(done) = self.asking.join_next() => match done {
                Ok((ask, answer)) => Some(Event::Answered(ask, answer)),
                Err(error) => {
                    tracing::error!("a question to the repository or the catalog ended without an answer: {error}");
                    None
                }
            },
            () = sleep => Some(Event::Tick),
        }
    }

    async fn on_task_event(&mut self, event: TaskEvent) -> Option<Event> {
        match event {
            TaskEvent::Wanted(backend, task) => {
                self.deliver(backend, task).await;
                None
            }
            TaskEvent::Progress(progress) => {
                let now = self.context.clock.now();
                self.live.report(progress.key.task, progress.done, progress.total, now);
                if self.shown.after(REFRESH) <= now {
                    self.show();
                }
                None
            }
            TaskEvent::Reported(report, stored) => {
                self.answered.push(stored);
                self.live.ended(report.key.task);
                let (task, attempt) = (report.key.task, report.key.attempt);
                if let Err(failure) = &report.outcome {
                    metrics::counter!("tabvault_fe_task_failures_total", "kind" => failure.kind.as_str()).increment(1);
                    tracing::warn!(%task, attempt, kind = failure.kind.as_str(), "task failed: {failure}");
                }
                Some(Event::Reported { task, attempt, outcome: report.outcome })
            }
            TaskEvent::Restarted(backend, stored) => {
                self.answered.push(stored);
                Some(Event::BackendRestarted(backend))
            }
            TaskEvent::Dead(backend) => Some(Event::BackendDead(backend)),
        }
    }

    /// Builds a task and sends it. One that cannot be built now is reported as failed, so that it is tried again.
    async fn deliver(&mut self, backend: BackendId, task: TaskId) {
        let epoch = self.context.agents.epoch();
        match self.context.repositories.access(self.job.repository()).await {
            Ok(access) => match self.job.task(task, epoch, access) {
                Some((backend, task)) => self.context.agents.deliver(backend, task),
                // Its row may be gone altogether, taken from another replica meanwhile.
                None => self.context.agents.forget(backend, self.job.uuid(), task),
            },
            Err(failure) => {
                self.context.agents.forget(backend, self.job.uuid(), task);
                if let Some((_, attempt)) = self.job.attempt(task) {
                    self.own.push_back(Event::Reported { task, attempt, outcome: Err(failure) });
                }
            }
        }
    }

    /// One step: think, persist, take over, act.
    async fn take(&mut self, event: Event) -> Result<(), Failure> {
        let before = self.job.state();
        let transition = self.job.step(event, self.context.clock.now());
        self.persist(&transition).await?;
        let released = self.released(&transition);
        self.job.apply(&transition);
        self.backends.send_replace(self.job.backends());
        if self.job.state() != before {
            tracing::info!(from = before, to = self.job.state(), "state changed");
        }
        for (backend, task) in released {
            self.context.agents.deliver(backend, task);
        }
        self.perform(transition.effects());
        self.show();
        for stored in self.answered.drain(..) {
            let _ = stored.send(());
        }
        Ok(())
    }

    /// Writes until the store takes it: a job whose store fails stands still, it does not end.
    async fn persist(&self, transition: &JobTransition) -> Result<(), Failure> {
        loop {
            match self.context.records.save(&self.job, transition).await {
                Ok(()) => return Ok(()),
                Err(failure) if failure.kind == Kind::Stale => {
                    self.context.stop.cancel();
                    return Err(failure.context("another coordinator leads"));
                }
                Err(failure) => {
                    tracing::error!(kind = failure.kind.as_str(), "the job store does not take a step: {failure}");
                    tokio::select! {
                        () = self.context.stop.cancelled() => return Err(failure),
                        () = self.context.clock.sleep(STORE_RETRY) => {}
                    }
                }
            }
        }
    }

    /// The releases among the effects, built from the rows as they are before the step removes them.
    fn released(&self, transition: &JobTransition) -> Vec<(BackendId, Task)> {
        let epoch = self.context.agents.epoch();
        let release = |effect: &Effect| match effect {
            Effect::Release(task) => self.job.release(*task, epoch),
            Effect::Dispatch(_) | Effect::Ask(_) | Effect::Continue | Effect::EndOnAgents(_) => None,
        };
        transition.effects().iter().filter_map(release).collect()
    }

    fn perform(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Dispatch(task) => {
                    if let Some((backend, _)) = self.job.attempt(*task) {
                        self.context.agents.dispatch(backend, self.job.uuid(), *task);
                    }
                }
                Effect::Release(_) => {}
                Effect::Continue => self.own.push_back(Event::Tick),
                Effect::EndOnAgents(end) => self.context.agents.end(self.job.uuid(), Some(*end)),
                Effect::Ask(ask) => {
                    let (asks, ask) = (self.context.asks.clone(), *ask);
                    let question = AssertUnwindSafe(asks.prepare(&self.job, ask)).catch_unwind();
                    let span = tracing::info_span!("ask", ?ask);
                    // A question that panics is asked again like one that fails: its job must not wait for ever.
                    let panicked =
                        |_| Err(Failure::transient(Kind::Internal, "the coordinator failed to ask; see its log"));
                    self.asking.spawn(async move { (ask, question.await.unwrap_or_else(panicked)) }.instrument(span));
                }
            }
        }
    }

    fn show(&mut self) {
        self.shown = self.context.clock.now();
        self.view.send_replace(Arc::new(self.job.view(&self.live)));
    }
}
