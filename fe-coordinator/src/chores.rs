//! What the catalog wants of agents beside any job: tablets to make for new partitions, tablets to remove.
//!
//! # Crash consistency
//! The catalog keeps both lists durably until an agent has answered; what a crash interrupts is done again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tabvault_common::clock::{Clock, Time};
use tabvault_common::failure::Failure;
use tabvault_common::ids::{BackendId, JobUuid, TabletId, TaskId};
use tabvault_common::task::{CreateTablets, DropTablets, Task, TaskBody, TaskKey};
use tokio::sync::{Notify, mpsc};

use crate::agents::{Agents, TaskEvent};
use crate::catalog::Catalog;
use crate::catalog::local::LocalCatalog;
use crate::coordinator::{Inner, decommission};

/// Events that wait; senders wait when there are more.
const QUEUE: usize = 256;

/// Tablets per task.
const BATCH: usize = 128;

/// How often the lists are looked at when nobody says that they have grown.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a kind of chore that failed on a backend is left alone.
const REST: Duration = Duration::from_secs(5);

/// How long a backend that is decommissioned and still needed is left alone: all tablets are looked at.
const RETIRE_REST: Duration = Duration::from_secs(60);
/// What that is called among the kinds of chores.
const RETIRE: &str = "retire";

/// Wakes the chores, and tells when some were done.
#[derive(Debug, Default)]
pub(crate) struct ChoreBell {
    pub(crate) due: Notify,
    pub(crate) done: Notify,
}

/// The loop that does the chores.
#[derive(Debug)]
pub(crate) struct Chores {
    catalog: Arc<dyn Catalog>,
    local: Option<Arc<LocalCatalog>>,
    agents: Arc<Agents>,
    clock: Arc<dyn Clock>,
    bell: Arc<ChoreBell>,
    inbox: mpsc::Receiver<TaskEvent>,
    next: u64,
    running: BTreeMap<TaskId, Chore>,
    /// Kinds of chores that failed on a backend, and when they are tried again: one that cannot be done must hold up
    /// neither those of the other kind nor other backends.
    resting: BTreeMap<(BackendId, &'static str), Time>,
}

#[derive(Debug)]
struct Chore {
    backend: BackendId,
    body: TaskBody,
}

impl Chores {
    pub(crate) fn new(inner: &Inner) -> Self {
        let (events, inbox) = mpsc::channel(QUEUE);
        inner.agents.register(JobUuid::HOUSEKEEPING, events);
        Self {
            catalog: inner.catalog.clone(),
            local: inner.local.clone(),
            agents: inner.agents.clone(),
            clock: inner.clock.clone(),
            bell: inner.chores.clone(),
            inbox,
            // Agents remember names of tasks across starts of the coordinator: these are used once.
            next: inner.clock.now().0.saturating_mul(1000),
            running: BTreeMap::new(),
            resting: BTreeMap::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            if let Err(failure) = self.look().await {
                tracing::warn!(kind = failure.kind.as_str(), "housekeeping cannot read the catalog: {failure}");
            }
            let bell = self.bell.clone();
            tokio::select! {
                event = self.inbox.recv() => match event {
                    Some(event) => self.take(event).await,
                    None => return,
                },
                () = bell.due.notified() => {}
                () = self.agents.attached() => {}
                () = self.clock.sleep(INTERVAL) => {}
            }
            // A look asks for the lists of all backends: what waits already is dealt with before the next one.
            for _ in 0..QUEUE {
                let Ok(event) = self.inbox.try_recv() else { break };
                self.take(event).await;
            }
        }
    }

    /// Starts what is to be done on every backend that is alive and has none of our tasks.
    async fn look(&mut self) -> Result<(), Failure> {
        self.let_go().await?;
        for room in self.agents.room() {
            let backend = room.backend;
            if self.running.values().any(|chore| chore.backend == backend) {
                continue;
            }
            if let Some(local) = &self.local {
                let tablets = local.unmade_tablets(backend, BATCH).await?;
                if !tablets.is_empty() && self.start(backend, TaskBody::CreateTablets(CreateTablets { tablets })) {
                    continue;
                }
            }
            let tablets = self.catalog.garbage(backend, BATCH).await?;
            if !tablets.is_empty() {
                self.start(backend, TaskBody::DropTablets(DropTablets { tablets }));
            }
        }
        Ok(())
    }

    /// Lets backends that are decommissioned go: what is on them, and them when nothing is. A coordinator that died may
    /// have left them anywhere in between.
    async fn let_go(&mut self) -> Result<(), Failure> {
        for backend in self.agents.leaving() {
            if self.running.values().any(|chore| chore.backend == backend) || self.agents.is_busy(backend) {
                continue;
            }
            if self.agents.is_alive(backend) {
                let tablets = self.catalog.garbage(backend, BATCH).await?;
                if !tablets.is_empty() {
                    self.start(backend, TaskBody::DropTablets(DropTablets { tablets }));
                    continue;
                }
            } else if !self.agents.is_dead(backend) {
                continue;
            }
            if self.resting.get(&(backend, RETIRE)).is_some_and(|again| *again > self.clock.now()) {
                continue;
            }
            match decommission::retire(&self.agents, &*self.catalog, backend).await {
                // What left just now is removed first, where somebody is there to do it.
                Ok(retired) if retired.replicas > 0 && self.agents.is_alive(backend) => self.bell.due.notify_one(),
                Ok(_) => decommission::forget(&self.agents, &*self.catalog, backend).await?,
                Err(failure) => {
                    self.agents.waits_for(backend, failure.message);
                    self.resting.insert((backend, RETIRE), self.clock.now().after(RETIRE_REST));
                }
            }
        }
        Ok(())
    }

    /// Starts a chore, unless its kind has failed on the backend just now.
    fn start(&mut self, backend: BackendId, body: TaskBody) -> bool {
        if self.resting.get(&(backend, body.name())).is_some_and(|again| *again > self.clock.now()) {
            return false;
        }
        let task = TaskId(self.next);
        self.next += 1;
        self.running.insert(task, Chore { backend, body });
        self.agents.dispatch(backend, JobUuid::HOUSEKEEPING, task);
        true
    }

    async fn take(&mut self, event: TaskEvent) {
        match event {
            TaskEvent::Wanted(backend, task) => match self.running.get(&task) {
                Some(chore) => {
                    let key = TaskKey { job: JobUuid::HOUSEKEEPING, task, attempt: 1 };
                    let task = Task { key, epoch: self.agents.epoch(), body: chore.body.clone() };
                    self.agents.deliver(chore.backend, task);
                }
                // Given up when the backend did not answer.
                None => self.agents.forget(backend, JobUuid::HOUSEKEEPING, task),
            },
            TaskEvent::Reported(report, stored) => {
                let Some(chore) = self.running.remove(&report.key.task) else {
                    let _ = stored.send(());
                    return;
                };
                let kind = (chore.backend, chore.body.name());
                let kept = match report.outcome {
                    Ok(_) => self.done(chore).await,
                    Err(failure) => Err(failure),
                };
                if let Err(failure) = kept {
                    // It stays on the catalog's list and comes again, not at once.
                    tracing::warn!(task = %report.key, kind = failure.kind.as_str(), "housekeeping failed: {failure}");
                    self.resting.insert(kind, self.clock.now().after(REST));
                }
                let _ = stored.send(());
                self.bell.done.notify_waiters();
            }
            TaskEvent::Progress(_) => {}
            TaskEvent::Restarted(_, stored) => {
                let _ = stored.send(());
            }
            TaskEvent::Dead(backend) => self.running.retain(|_, chore| chore.backend != backend),
        }
    }

    async fn done(&self, chore: Chore) -> Result<(), Failure> {
        match (chore.body, &self.local) {
            (TaskBody::CreateTablets(body), Some(local)) => {
                let tablets: Vec<TabletId> = body.tablets.iter().map(|tablet| tablet.tablet).collect();
                local.made(chore.backend, &tablets).await
            }
            (TaskBody::DropTablets(body), _) => self.catalog.collected(chore.backend, &body.tablets).await,
            _ => Ok(()),
        }
    }
}
