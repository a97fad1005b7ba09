//! Runs one job: persists what a step changes, then performs its effects. The order stands here and nowhere else.
//!
//! # Overview
//! One loop per job takes events. Nothing in the loop waits for the outside but the job store: questions to the
//! repository and the catalog are asked by tasks of their own, whose answers come back as events.
//!
//! Events that wait together are thought through one after the other and stored together, in one transaction, as far as
//! they fit into one ([`Batch`]): the reports of a hundred agents cost one sync of the disk. Only then are their effects
//! performed, and their senders answered.
//!
//! # Crash consistency
//! A step whose changes are stored but whose effects were not performed is completed by [`Job::resume`] at the next
//! start. A step whose changes were not stored never happened: nobody was told of it.
//!
//! # Cancellation
//! The loop ends when the job is over, when the leadership is lost, or when the coordinator shuts down; in the latter
//! cases the job stays as it is stored.

use std::collections::{BTreeSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, JobId, TaskId};
use tabvault_common::task::Task;
use tabvault_common::view::{JobKind, JobView};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::agents::TaskEvent;
use crate::job::any::{Job, JobTransition};
use crate::job::{Answer, Ask, Effect, Event, Throughput};
use crate::records::Batch;

mod running;
#[cfg(test)]
mod tests;

pub(crate) use running::{Context, Running};

/// Events that wait for a job; senders wait when there are more.
const QUEUE: usize = 1024;

/// How long to wait before trying again to write to a job store that fails.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// What tasks do is shown at most this often: a view names all that the job is about.
const REFRESH: Duration = Duration::from_millis(250);

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
    let batch = Batch::of(&job);
    let runner = Runner {
        context,
        job: Arc::new(job),
        batch,
        effects: Vec::new(),
        released: Vec::new(),
        wanted: Vec::new(),
        live: Throughput::default(),
        inbox,
        cancels,
        view,
        backends,
        shown: Time::default(),
        outdated: false,
        asking: JoinSet::new(),
        own: VecDeque::new(),
        answered: Vec::new(),
    };
    let stop = runner.context.stop.clone();
    tokio::spawn(
        async move {
            match runner.run().await {
                Ok(()) => {}
                // Shut down; what it was about to store, the next start stores.
                Err(failure) if stop.is_cancelled() && failure.kind != Kind::Stale => {
                    tracing::debug!("runner stops with the coordinator: {failure}");
                }
                Err(failure) => tracing::warn!(kind = failure.kind.as_str(), "runner stops: {failure}"),
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
    /// As it will be stored when `batch` is. Shared with questions that read all of it.
    job: Arc<Job>,
    /// What is not stored yet.
    batch: Batch,
    /// What is to be done when it is.
    effects: Vec<Effect>,
    released: Vec<(BackendId, Task)>,
    /// Tasks for which backends have room.
    wanted: Vec<(BackendId, TaskId)>,
    live: Throughput,
    inbox: mpsc::Receiver<TaskEvent>,
    cancels: mpsc::Receiver<(String, oneshot::Sender<()>)>,
    view: watch::Sender<Arc<JobView>>,
    /// Whom the job needs.
    backends: watch::Sender<BTreeSet<BackendId>>,
    /// When the view was made last.
    shown: Time,
    /// Whether something has changed since.
    outdated: bool,
    asking: JoinSet<(Ask, Result<Answer, Failure>)>,
    /// Events that the job gave itself.
    own: VecDeque<Event>,
    /// Who waits to hear that the present events are stored.
    answered: Vec<oneshot::Sender<()>>,
}

impl Runner {
    async fn run(mut self) -> Result<(), Failure> {
        let effects = Arc::make_mut(&mut self.job).resume();
        self.perform(&effects);
        self.show();
        let stop = self.context.stop.clone();
        while !self.job.is_over() {
            let mut next = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                event = self.next() => event,
            };
            // Bounded, so that whoever does not wait in the inbox is heard as well.
            let mut room = QUEUE;
            while let Some(event) = next {
                self.take(event).await?;
                room -= 1;
                next = if self.job.is_over() || room == 0 { None } else { self.waiting() };
            }
            self.store().await?;
        }
        self.context.agents.end(self.job.uuid(), self.job.end());
        metrics::counter!("tabvault_fe_jobs_total", "kind" => kind_name(&self.job), "state" => self.job.state())
            .increment(1);
        let view = self.job.view(&self.live);
        // Removing its records takes a while, and nobody needs its rows any more.
        drop(self.job);
        self.context.records.archive(&view, self.context.kept_jobs).await
    }

    /// The next event, or `None` when something was dealt with that is no event for the job.
    async fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.own.pop_front() {
            return Some(event);
        }
        let clock = self.context.clock.clone();
        let refresh = self.outdated.then(|| self.shown.after(REFRESH));
        let tick = self.job.next_tick().into_iter().chain(refresh).min().map(|at| clock.now().until(at));
        let sleep = async move {
            match tick {
                Some(span) => clock.sleep(span).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // None come any more once the job has ended on the agents.
            Some(event) = self.inbox.recv() => self.on_task_event(event),
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
            () = sleep => {
                self.refresh();
                Some(Event::Tick)
            }
        }
    }

    /// The next event of a task that waits already.
    fn waiting(&mut self) -> Option<Event> {
        for _ in 0..QUEUE {
            let event = self.inbox.try_recv().ok()?;
            if let Some(event) = self.on_task_event(event) {
                return Some(event);
            }
        }
        None
    }

    fn on_task_event(&mut self, event: TaskEvent) -> Option<Event> {
        match event {
            TaskEvent::Wanted(backend, task) => {
                self.wanted.push((backend, task));
                None
            }
            TaskEvent::Progress(progress) => {
                let now = self.context.clock.now();
                self.live.report(progress.key.task, progress.done, progress.total, now);
                self.outdated = true;
                self.refresh();
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

    /// Builds the tasks that are wanted and sends them. Those that cannot be built now are reported as failed, so that
    /// they are tried again.
    async fn deliver(&mut self) {
        if self.wanted.is_empty() {
            return;
        }
        let epoch = self.context.agents.epoch();
        let access = self.context.repositories.access(self.job.repository()).await;
        for (backend, task) in std::mem::take(&mut self.wanted) {
            match &access {
                Ok(access) => match self.job.task(task, epoch, access.clone()) {
                    Some((backend, task)) => self.context.agents.deliver(backend, task),
                    // Its row may be gone altogether, taken from another replica meanwhile.
                    None => self.context.agents.forget(backend, self.job.uuid(), task),
                },
                Err(failure) => {
                    self.context.agents.forget(backend, self.job.uuid(), task);
                    if let Some((_, attempt)) = self.job.attempt(task) {
                        // It says nothing of what the backend has, and somebody may add again what is missing.
                        let outcome = Err(Failure::transient(Kind::Unreachable, &failure.message));
                        self.own.push_back(Event::Reported { task, attempt, outcome });
                    }
                }
            }
        }
    }

    /// One step, thought but not stored; what does not fit beside it is stored first.
    async fn take(&mut self, event: Event) -> Result<(), Failure> {
        let transition = self.job.step(event, self.context.clock.now());
        if !self.batch.fits(&self.job, &transition) {
            // Whoever sent this event is the last of those who wait, and is answered when its own step is stored.
            let own = self.answered.pop();
            self.store().await?;
            self.answered.extend(own);
        }
        self.released.extend(self.released(&transition));
        if transition.changes_nothing() {
            self.effects.extend_from_slice(transition.effects());
            return Ok(());
        }
        let before = self.job.state();
        let effects = self.batch.take(Arc::make_mut(&mut self.job), transition);
        self.effects.extend(effects);
        if self.job.state() != before {
            tracing::info!(from = before, to = self.job.state(), "state changed");
        }
        Ok(())
    }

    /// Persists the steps that were taken, then acts.
    async fn store(&mut self) -> Result<(), Failure> {
        let batch = &self.batch;
        let (changed, head) = (!batch.is_empty(), batch.head_changes());
        if changed {
            self.persist().await?;
            self.batch = Batch::of(&self.job);
            self.backends.send_replace(self.job.backends());
        }
        for (backend, task) in std::mem::take(&mut self.released) {
            self.context.agents.deliver(backend, task);
        }
        let effects = std::mem::take(&mut self.effects);
        self.perform(&effects);
        self.outdated |= changed;
        // A job's state shows at once, before whoever asked for it is answered.
        if head {
            self.show()
        } else {
            self.refresh()
        }
        for stored in self.answered.drain(..) {
            let _ = stored.send(());
        }
        self.deliver().await;
        Ok(())
    }

    /// Writes until the store takes it: a job whose store fails stands still, it does not end.
    async fn persist(&self) -> Result<(), Failure> {
        loop {
            match self.context.records.save(&self.batch, &self.job).await {
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

    /// Shows what has changed, if that was not done just now.
    fn refresh(&mut self) {
        if self.outdated && self.shown.after(REFRESH) <= self.context.clock.now() {
            self.show();
        }
    }

    fn show(&mut self) {
        self.outdated = false;
        self.shown = self.context.clock.now();
        self.view.send_replace(Arc::new(self.job.view(&self.live)));
    }
}
