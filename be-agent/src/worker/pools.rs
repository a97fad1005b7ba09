//! How many tasks run at once, and how far they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tabvault_common::task::{ExportStep, TaskBody, TaskKey, TaskProgress};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::progress::Progress;

/// The pools and everything accepted for them.
#[derive(Debug)]
pub(super) struct Pools {
    light: Arc<Semaphore>,
    heavy: Arc<Semaphore>,
    max_tasks: usize,
    accepted: Arc<Mutex<HashMap<TaskKey, Arc<Progress>>>>,
}

impl Pools {
    pub(super) fn new(light: usize, heavy: usize, max_tasks: usize) -> Self {
        let (light, heavy) = (Arc::new(Semaphore::new(light)), Arc::new(Semaphore::new(heavy)));
        Self { light, heavy, max_tasks, accepted: Arc::default() }
    }

    /// Takes a task in; `None` if there are too many already.
    pub(super) fn accept(&self, key: TaskKey) -> Option<Accepted> {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if accepted.len() >= self.max_tasks {
            return None;
        }
        let progress = Arc::new(Progress::default());
        accepted.insert(key, Arc::clone(&progress));
        metrics::gauge!("tabvault_agent_tasks").set(accepted.len() as f64);
        Some(Accepted { key, progress, all: Arc::clone(&self.accepted) })
    }

    /// Waits until a task of this kind may run.
    pub(super) async fn enter(&self, body: &TaskBody) -> Option<OwnedSemaphorePermit> {
        let pool = match body {
            // It must not wait behind what it is to stop.
            TaskBody::Export(export) if export.step == ExportStep::Discard => &self.light,
            TaskBody::Upload(_) | TaskBody::Download(_) | TaskBody::Load(_) | TaskBody::Export(_) => &self.heavy,
            TaskBody::MakeSnapshot(_)
            | TaskBody::Release(_)
            | TaskBody::CreateTablets(_)
            | TaskBody::Adopt(_)
            | TaskBody::DropTablets(_) => &self.light,
        };
        Arc::clone(pool).acquire_owned().await.ok()
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    pub(super) fn progress(&self) -> Vec<TaskProgress> {
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |(key, progress): (&TaskKey, &Arc<Progress>)| {
            let (done, total) = progress.read();
            TaskProgress { key: *key, done, total }
        };
        accepted.iter().map(read).collect()
    }
}

/// A task's place among the accepted ones, until dropped.
#[derive(Debug)]
pub(super) struct Accepted {
    key: TaskKey,
    pub(super) progress: Arc<Progress>,
    all: Arc<Mutex<HashMap<TaskKey, Arc<Progress>>>>,
}

impl Drop for Accepted {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&self.key);
        metrics::gauge!("tabvault_agent_tasks").set(all.len() as f64);
    }
}
