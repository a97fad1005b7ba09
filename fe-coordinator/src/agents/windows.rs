//! Queues and windows: which tasks wait for a backend, and which it has.

use tabvault_common::ids::{BackendId, JobUuid, TaskId};
use tabvault_common::task::{JobEnd, Task};

use super::{Agents, TaskEvent, ToAgent};

#[cfg(test)]
mod tests;

/// How often silence is looked for while the patience lasts.
const LOOKS: u32 = 4;

/// Most tasks sent to one backend and not reported.
const WINDOW: usize = 32;

impl Agents {
    /// Queues a task for a backend, once.
    pub fn dispatch(&self, backend: BackendId, job: JobUuid, task: TaskId) {
        {
            let mut state = self.state();
            state.ripe.insert(backend);
            let backend = state.backends.entry(backend).or_default();
            backend.sent.remove(&(job, task));
            backend.queue.push_back((job, task));
        }
        self.pump.notify_one();
    }

    /// Sends a task that was wanted.
    pub fn deliver(&self, backend: BackendId, task: Task) {
        let name = (task.key.job, task.key.task);
        if let Some(sent) = self.state().backends.get_mut(&backend).and_then(|backend| backend.sent.get_mut(&name)) {
            *sent = task.key.attempt;
        }
        self.send(backend, ToAgent::Task(Box::new(task)));
    }

    /// A task that was wanted is not to be sent after all.
    pub fn forget(&self, backend: BackendId, job: JobUuid, task: TaskId) {
        {
            let mut state = self.state();
            state.ripe.insert(backend);
            if let Some(backend) = state.backends.get_mut(&backend) {
                backend.sent.remove(&(job, task));
            }
        }
        self.pump.notify_one();
    }

    /// No task of `job` is wanted any more: agents stop them and remove what the job left.
    pub fn end(&self, job: JobUuid, end: Option<JobEnd>) {
        let backends: Vec<BackendId> = {
            let mut state = self.state();
            state.sources.remove(&job);
            for backend in state.backends.values_mut() {
                backend.queue.remove_job(job);
                backend.sent.retain(|(j, _), _| *j != job);
            }
            let backends: Vec<BackendId> = state.backends.keys().copied().collect();
            state.ripe.extend(&backends);
            backends
        };
        for backend in backends {
            if let Some(end) = end {
                self.send(backend, ToAgent::JobEnded(job, end));
            }
        }
        self.pump.notify_one();
    }

    /// Moves queued tasks into windows and notices silence, for as long as the coordinator leads.
    ///
    /// Only this loop waits for jobs to take what it tells them, so a job may dispatch from its own loop.
    pub async fn run(&self) {
        let mut look = self.clock.sleep(self.patience / LOOKS);
        loop {
            let ripe = std::mem::take(&mut self.state().ripe);
            for backend in ripe {
                self.fill_window(backend).await;
            }
            tokio::select! {
                () = self.pump.notified() => {}
                // Not begun anew by every report: silence must be noticed in a busy cluster, too.
                () = &mut look => {
                    look = self.clock.sleep(self.patience / LOOKS);
                    self.check_silence().await;
                }
            }
        }
    }

    async fn fill_window(&self, backend: BackendId) {
        while let Some((job, task)) = self.next_wanted(backend) {
            let source = self.state().sources.get(&job).cloned();
            let told = match source {
                Some(source) => source.send(TaskEvent::Wanted(backend, task)).await.is_ok(),
                None => false,
            };
            if !told {
                self.state().backends.entry(backend).or_default().sent.remove(&(job, task));
            }
        }
    }

    fn next_wanted(&self, backend: BackendId) -> Option<(JobUuid, TaskId)> {
        let mut state = self.state();
        let backend = state.backends.get_mut(&backend)?;
        if backend.stream.is_none() || backend.sent.len() >= WINDOW {
            return None;
        }
        let next = backend.queue.pop_front()?;
        backend.sent.insert(next, 0);
        Some(next)
    }

    /// One look: declares backends dead that have been silent for too long, and closes streams on which nothing is
    /// heard.
    ///
    /// Looks are counted rather than time: a coordinator that stood still itself, on a machine that was overloaded or
    /// suspended, has heard nobody meanwhile, and finds what all of them said only when it goes on.
    async fn check_silence(&self) {
        let (dead, sources) = {
            let mut state = self.state();
            let mut dead = Vec::new();
            for (id, backend) in &mut state.backends {
                backend.unheard = if backend.storing == 0 { backend.unheard.saturating_add(1) } else { 0 };
                if backend.unheard > LOOKS && !backend.declared_dead {
                    backend.stream = None;
                    backend.declared_dead = true;
                    dead.push(*id);
                }
            }
            Self::count_attached(&state);
            (dead, state.sources.values().cloned().collect::<Vec<_>>())
        };
        for backend in dead {
            tracing::warn!(%backend, "backend does not answer");
            for source in &sources {
                let _ = source.send(TaskEvent::Dead(backend)).await;
            }
            self.changed.notify_waiters();
        }
    }
}
