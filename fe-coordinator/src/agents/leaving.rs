//! Backends that are decommissioned.
//!
//! # Crash consistency
//! The mark is durable before anything else happens; whoever leads next goes on. A backend that is forgotten leaves its
//! number and its agent's identity behind, so that neither comes to mean another one.

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{AgentUuid, BackendId, JobUuid};

use super::identity::{self, Standing};
use super::{Agents, TaskEvent};

#[cfg(test)]
mod tests;

impl Agents {
    /// From now on the backend takes no replicas. Whether it leaves is open until [`Agents::stay`] or
    /// [`Agents::decided`].
    ///
    /// # Errors
    /// `NotFound` "Unknown backend 'n'".
    pub(crate) async fn leave(&self, backend: BackendId) -> Result<(), Failure> {
        self.known(backend)?;
        identity::stand(&*self.store, self.epoch, backend, Standing::Leaving).await?;
        if let Some(backend) = self.state().backends.get_mut(&backend) {
            backend.leaving.get_or_insert_default();
            backend.deciding = true;
        }
        // Whoever waits for it to attach waits no more.
        self.changed.notify_waiters();
        Ok(())
    }

    /// The backend takes replicas again.
    ///
    /// # Errors
    /// `NotFound` "Unknown backend 'n'", also where it was forgotten meanwhile.
    pub(crate) async fn stay(&self, backend: BackendId) -> Result<(), Failure> {
        identity::stand(&*self.store, self.epoch, backend, Standing::Serving).await?;
        if let Some(backend) = self.state().backends.get_mut(&backend) {
            backend.leaving = None;
            backend.deciding = false;
        }
        Ok(())
    }

    /// The backend leaves.
    pub(crate) fn decided(&self, backend: BackendId) {
        if let Some(backend) = self.state().backends.get_mut(&backend) {
            backend.deciding = false;
        }
    }

    /// The backends that leave and are not forgotten.
    pub(crate) fn leaving(&self) -> Vec<BackendId> {
        let state = self.state();
        state.backends.iter().filter(|(_, b)| b.leaving.is_some() && !b.deciding).map(|(id, _)| *id).collect()
    }

    /// Notes, for people, what a backend that is decommissioned waits for.
    pub(crate) fn waits_for(&self, backend: BackendId, why: String) {
        if let Some(leaving) = self.state().backends.get_mut(&backend).and_then(|backend| backend.leaving.as_mut()) {
            *leaving = why;
        }
    }

    /// Whether the backend has been silent for so long that it is taken for dead.
    pub(crate) fn is_dead(&self, backend: BackendId) -> bool {
        self.state().backends.get(&backend).is_some_and(|backend| backend.declared_dead)
    }

    /// Whether somebody waits for the backend to do something, beside housekeeping.
    pub(crate) fn is_busy(&self, backend: BackendId) -> bool {
        self.state().backends.get(&backend).is_some_and(|backend| {
            let mut tasks = backend.queue.iter().chain(backend.sent.keys());
            tasks.any(|(job, _)| *job != JobUuid::HOUSEKEEPING)
        })
    }

    /// Forgets a backend on which nothing is left, or that is gone for good. Its agent is not let in again.
    pub(crate) async fn forget_backend(&self, backend: BackendId) -> Result<(), Failure> {
        identity::stand(&*self.store, self.epoch, backend, Standing::Gone).await?;
        let sources: Vec<_> = {
            let mut state = self.state();
            state.backends.remove(&backend);
            Self::count_attached(&state);
            state.sources.values().cloned().collect()
        };
        tracing::info!(%backend, "backend was decommissioned");
        for source in sources {
            // What does not fit is only not explained to whoever waits for that backend.
            let _ = source.try_send(TaskEvent::Dead(backend));
        }
        self.changed.notify_waiters();
        Ok(())
    }

    /// Whether the agent stood for a backend that was decommissioned: it is not let in again.
    ///
    /// # Errors
    /// What the store says.
    pub async fn was_decommissioned(&self, agent: AgentUuid) -> Result<bool, Failure> {
        let known = identity::all(&*self.store).await?;
        Ok(known.iter().any(|(_, record)| record.agent == agent && record.standing == Standing::Gone))
    }

    pub(super) fn known(&self, backend: BackendId) -> Result<(), Failure> {
        if self.state().backends.contains_key(&backend) {
            return Ok(());
        }
        let why = format!("Unknown backend '{backend}': SHOW BACKENDS lists those that exist");
        Err(Failure::fatal(Kind::NotFound, why))
    }
}
