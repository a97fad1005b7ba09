//! The backends and what their agents are doing.
//!
//! # Overview
//! Per backend a queue of task names and a window of tasks that were sent and not reported. A task is built only when
//! the window has room: the job is told that it is wanted and answers with [`Agents::deliver`]. So the memory of queues
//! is some bytes a task, whatever the tasks carry.
//!
//! # Crash consistency
//! Only a backend's identity and the incarnation of its agent are durable. Everything else is rebuilt: a job that
//! resumes dispatches its tasks again, an agent that attaches is sent again what it had not reported.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tabvault_common::clock::{Clock, Time};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, ClusterId, Epoch, JobUuid, TaskId};
use tabvault_common::settings::{AgentSettings, Configuration, RepositorySettings};
use tabvault_common::task::{JobEnd, Task, TaskKey, TaskProgress, TaskReport};
use tabvault_proto::session::{Heartbeat, Hello};
use tokio::sync::{Notify, mpsc, oneshot};

use self::identity::Standing;
use self::queue::Queue;
use crate::inbox::tell;
use crate::store::JobStore;

mod identity;
mod leaving;
mod queue;
mod roll;
mod settings;
mod windows;

/// What the registry tells whoever runs tasks.
#[derive(Debug)]
pub enum TaskEvent {
    /// The backend has room for this task: build it and [`Agents::deliver`] it, or [`Agents::forget`] it.
    Wanted(BackendId, TaskId),
    /// An agent reports; acknowledged by answering once the report is stored.
    Reported(TaskReport, oneshot::Sender<()>),
    /// How far a task is.
    Progress(TaskProgress),
    /// The backend's agent is a new process, or was taken for dead; answered once that is stored.
    Restarted(BackendId, oneshot::Sender<()>),
    /// The backend has been silent for too long.
    Dead(BackendId),
}

/// What goes down an agent's stream.
#[derive(Debug)]
pub enum ToAgent {
    /// Run this.
    Task(Box<Task>),
    /// The report is stored.
    Acknowledge(TaskKey),
    /// The job has ended.
    JobEnded(JobUuid, JobEnd),
    /// Keep to this from now on.
    Configure(Box<Configuration>),
}

/// The backends of a cluster.
#[derive(Debug)]
pub struct Agents {
    store: Arc<dyn JobStore>,
    clock: Arc<dyn Clock>,
    cluster: ClusterId,
    epoch: Epoch,
    /// A backend silent for this long is dead.
    patience: Duration,
    state: Mutex<State>,
    /// A queue has grown or a window has room.
    pump: Notify,
    /// Somebody attached, or was declared dead.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    backends: BTreeMap<BackendId, Backend>,
    /// Backends whose queue has grown, or whose window has room again.
    ripe: BTreeSet<BackendId>,
    sources: HashMap<JobUuid, mpsc::Sender<TaskEvent>>,
    /// What is set for all agents.
    settings: AgentSettings,
    /// What repositories allow all agents together, by the location of their directories.
    repositories: BTreeMap<String, RepositorySettings>,
}

#[derive(Debug, Default)]
struct Backend {
    host: String,
    version: String,
    beat: Heartbeat,
    /// What is set for this agent alone.
    settings: AgentSettings,
    /// For people.
    last_heard: Option<Time>,
    /// Looks in a row, a part of the patience apart, since which nothing was heard.
    unheard: u32,
    /// The stream of the attached agent, and the number of the attachment.
    stream: Option<(u64, mpsc::UnboundedSender<ToAgent>)>,
    attachments: u64,
    declared_dead: bool,
    /// It is decommissioned: what it waits for before it is forgotten.
    leaving: Option<String>,
    /// Whether it leaves is being decided: nobody goes on with it meanwhile.
    deciding: bool,
    queue: Queue,
    /// What the window holds, each with the attempt that was sent; 0 while the task is being built.
    sent: BTreeMap<(JobUuid, TaskId), u32>,
    /// Reports that are being stored. While the job store takes its time the agent's stream is not read, which is no
    /// silence of the agent's.
    storing: u32,
}

impl Backend {
    fn heard(&mut self, now: Time) {
        self.last_heard = Some(now);
        self.unheard = 0;
    }
}

impl Agents {
    /// The backends known from before, none attached yet.
    pub async fn load(
        store: Arc<dyn JobStore>,
        clock: Arc<dyn Clock>,
        cluster: ClusterId,
        epoch: Epoch,
        patience: Duration,
    ) -> Result<Arc<Self>, Failure> {
        let mut state = State { settings: settings::of_all(&*store).await?, ..State::default() };
        for (id, record) in identity::all(&*store).await? {
            let leaving = match record.standing {
                Standing::Serving => None,
                Standing::Leaving => Some(String::new()),
                Standing::Gone => continue,
            };
            let (host, settings, last_heard) = (record.host, record.settings, Some(clock.now()));
            let backend = Backend { host, settings, last_heard, leaving, ..Backend::default() };
            state.backends.insert(id, backend);
        }
        let state = Mutex::new(state);
        Ok(Arc::new(Self {
            store,
            clock,
            cluster,
            epoch,
            patience,
            state,
            pump: Notify::new(),
            changed: Notify::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// This leadership.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Lets an agent in: finds its backend, tells running jobs if it is a new process, and hands out what it had not
    /// reported.
    ///
    /// # Errors
    /// `FailedPrecondition` for an agent of another cluster, `Stale` if the agent has seen a higher epoch.
    pub async fn attach(&self, hello: &Hello) -> Result<Attachment, Failure> {
        if let Some(other) = hello.cluster.filter(|cluster| *cluster != self.cluster) {
            let why = format!("agent {} belongs to cluster {other}, this is cluster {}", hello.agent, self.cluster);
            return Err(Failure::fatal(Kind::FailedPrecondition, why));
        }
        if hello.highest_epoch > self.epoch {
            let why = format!("agent {} has seen epoch {}, this is {}", hello.agent, hello.highest_epoch, self.epoch);
            return Err(Failure::fatal(Kind::Stale, why));
        }
        let (id, new_process) = identity::admit(&*self.store, self.epoch, hello).await?;
        let was_dead = self.state().backends.get(&id).is_some_and(|backend| backend.declared_dead);
        if new_process || was_dead {
            self.restarted(id).await;
        }
        if new_process {
            identity::remember(&*self.store, self.epoch, id, hello).await?;
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        let number = {
            let mut state = self.state();
            let backend = state.backends.entry(id).or_default();
            backend.attachments += 1;
            backend.host.clone_from(&hello.host);
            backend.version.clone_from(&hello.version);
            backend.beat = hello.state.clone();
            backend.heard(self.clock.now());
            backend.declared_dead = false;
            backend.stream = Some((backend.attachments, sender));
            let again = std::mem::take(&mut backend.sent);
            for task in again.into_keys().rev() {
                backend.queue.push_front(task);
            }
            let number = backend.attachments;
            // Before any task.
            state.tell(id);
            state.ripe.insert(id);
            Self::count_attached(&state);
            number
        };
        tracing::info!(backend = %id, host = %hello.host, "agent attached");
        self.pump.notify_one();
        self.changed.notify_waiters();
        Ok(Attachment { backend: id, number, receiver })
    }

    /// Waits until every running job has stored that the backend's agent is a new process.
    async fn restarted(&self, backend: BackendId) {
        let sources: Vec<_> = self.state().sources.values().cloned().collect();
        for source in sources {
            // `None` means that the job ended meanwhile.
            let _ = tell(&source, |stored| TaskEvent::Restarted(backend, stored)).await;
        }
    }

    /// The stream with this number has ended.
    pub fn detach(&self, backend: BackendId, number: u64) {
        let mut state = self.state();
        if let Some(backend) = state.backends.get_mut(&backend)
            && backend.stream.as_ref().is_some_and(|(n, _)| *n == number)
        {
            backend.stream = None;
        }
        Self::count_attached(&state);
    }

    /// A sign of life.
    pub fn heartbeat(&self, backend: BackendId, beat: Heartbeat) {
        if let Some(backend) = self.state().backends.get_mut(&backend) {
            backend.beat = beat;
            backend.heard(self.clock.now());
        }
    }

    /// Takes a report to the one who sent the task. The answer comes when it is stored; a report that nobody waits for
    /// is answered at once.
    pub async fn reported(&self, backend: BackendId, report: TaskReport) {
        let key = report.key;
        let source = {
            let mut state = self.state();
            if let Some(backend) = state.backends.get_mut(&backend) {
                // A late report of an earlier attempt does not answer the one that was sent since.
                let name = (key.job, key.task);
                if backend.sent.get(&name).is_some_and(|sent| (1..=key.attempt).contains(sent)) {
                    backend.sent.remove(&name);
                }
                backend.storing += 1;
            }
            state.sources.get(&key.job).cloned()
        };
        if let Some(source) = source
            && tell(&source, |stored| TaskEvent::Reported(report, stored)).await.is_none()
        {
            tracing::debug!(%key, "the job ended before it took the report");
        }
        {
            let mut state = self.state();
            state.ripe.insert(backend);
            if let Some(backend) = state.backends.get_mut(&backend) {
                backend.storing = backend.storing.saturating_sub(1);
                backend.heard(self.clock.now());
            }
        }
        self.send(backend, ToAgent::Acknowledge(key));
        self.pump.notify_one();
    }

    /// Takes progress to the one who sent the task; dropped where the receiver is busy.
    pub fn progress(&self, progress: TaskProgress) {
        // Half of the queue is kept for what must get through: whoever waits to send that holds up all jobs.
        if let Some(source) = self.state().sources.get(&progress.key.job)
            && source.capacity() > source.max_capacity() / 2
        {
            let _ = source.try_send(TaskEvent::Progress(progress));
        }
    }

    /// From now on events for `job` go to `source`; first of all, which backends do not answer already.
    pub fn register(&self, job: JobUuid, source: mpsc::Sender<TaskEvent>) {
        let mut state = self.state();
        for (id, _) in state.backends.iter().filter(|(_, backend)| backend.declared_dead) {
            // What does not fit is only not explained to whoever waits for that backend.
            let _ = source.try_send(TaskEvent::Dead(*id));
        }
        state.sources.insert(job, source);
    }

    /// Whether somebody runs tasks under this name.
    #[must_use]
    pub fn is_registered(&self, job: JobUuid) -> bool {
        self.state().sources.contains_key(&job)
    }

    /// Tells one agent that a job has ended.
    pub fn tell_ended(&self, backend: BackendId, job: JobUuid, end: JobEnd) {
        self.send(backend, ToAgent::JobEnded(job, end));
    }

    fn send(&self, backend: BackendId, message: ToAgent) {
        if let Some((_, stream)) = self.state().backends.get(&backend).and_then(|backend| backend.stream.as_ref()) {
            // An error means that the stream has just ended: whoever attaches is told again.
            let _ = stream.send(message);
        }
    }
}

/// An agent that was let in.
#[derive(Debug)]
pub struct Attachment {
    /// Its backend.
    pub backend: BackendId,
    /// Tells this attachment from a later one.
    pub number: u64,
    /// What to send down its stream.
    pub receiver: mpsc::UnboundedReceiver<ToAgent>,
}
