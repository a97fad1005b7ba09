//! What agents have to keep to: each its own settings, those of all, and its share of what repositories allow.
//!
//! # Consistency
//! What an agent is told is computed and sent under one lock, so that it hears everything in the order in which it came
//! to be, and last what holds. A repository's allowance is shared evenly by the agents that are attached: shares change
//! when agents come and go.
//!
//! # Crash consistency
//! Settings are durable before any agent hears of them; a new leader tells each agent when it attaches.

use std::collections::BTreeMap;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::BackendId;
use tabvault_common::settings::{AgentSettings, Configuration, RepositorySettings};

use super::{Agents, State, ToAgent, identity};
use crate::store::{Committed, JobStore, Transaction};

#[cfg(test)]
mod tests;

/// What is set for all agents.
const ALL: &str = "agent-settings";

/// What is set for all agents.
pub(super) async fn of_all(store: &dyn JobStore) -> Result<AgentSettings, Failure> {
    let Some(value) = store.get(ALL).await? else { return Ok(AgentSettings::default()) };
    serde_json::from_slice(&value)
        .map_err(|error| Failure::fatal(Kind::Corrupt, format!("the job store's record {ALL} is damaged: {error}")))
}

impl Agents {
    /// Changes what is set for one agent. The caller sees to it that changes follow each other.
    ///
    /// # Errors
    /// `NotFound` "Unknown backend 'n'"; those of `change`; what the store says.
    pub(crate) async fn set_agent(
        &self,
        backend: BackendId,
        change: impl Fn(AgentSettings) -> Result<AgentSettings, Failure> + Send + Sync,
    ) -> Result<(), Failure> {
        self.known(backend)?;
        let after = identity::set(&*self.store, self.epoch, backend, change).await?;
        let mut state = self.state();
        if let Some(known) = state.backends.get_mut(&backend) {
            known.settings = after;
        }
        state.tell(backend);
        Ok(())
    }

    /// Changes what is set for all agents. The caller sees to it that changes follow each other.
    ///
    /// # Errors
    /// Those of `change`; what the store says.
    pub(crate) async fn set_all(
        &self,
        change: impl Fn(AgentSettings) -> Result<AgentSettings, Failure> + Send + Sync,
    ) -> Result<(), Failure> {
        let after = change(of_all(&*self.store).await?)?;
        let value = serde_json::to_vec(&after).map_err(|error| Failure::fatal(Kind::Internal, error.to_string()))?;
        let transaction = Transaction { put: vec![(ALL.to_owned(), value.into())], ..Transaction::default() };
        // Without an expectation there is no conflict.
        let (Committed::Done | Committed::Conflict { .. }) = self.store.commit(self.epoch, transaction).await?;
        let mut state = self.state();
        state.settings = after;
        state.tell_all();
        Ok(())
    }

    /// Takes what repositories allow all agents together, by the location of their directories.
    pub(crate) fn limit_repositories(&self, allowed: BTreeMap<String, RepositorySettings>) {
        let mut state = self.state();
        if state.repositories != allowed {
            state.repositories = allowed;
            state.tell_all();
        }
    }

    /// What is set for all agents, and for each that has settings of its own.
    pub(crate) fn settings(&self) -> (AgentSettings, BTreeMap<BackendId, AgentSettings>) {
        let state = self.state();
        let own = state.backends.iter().map(|(id, backend)| (*id, backend.settings));
        (state.settings, own.filter(|(_, settings)| *settings != AgentSettings::default()).collect())
    }
}

impl State {
    /// Tells an agent what it has to keep to.
    pub(super) fn tell(&self, backend: BackendId) {
        let Some(backend) = self.backends.get(&backend) else { return };
        let Some((_, stream)) = &backend.stream else { return };
        let attached = self.backends.values().filter(|backend| backend.stream.is_some()).count();
        let share = |(location, allowed): (&String, &RepositorySettings)| (location.clone(), allowed.share(attached));
        let repositories = self.repositories.iter().map(share).collect();
        let configuration = Configuration { agent: backend.settings.or(self.settings), repositories };
        // An error means that the stream has just ended: whoever attaches is told again.
        let _ = stream.send(ToAgent::Configure(Box::new(configuration)));
    }

    fn tell_all(&self) {
        self.backends.keys().for_each(|backend| self.tell(*backend));
    }

    /// Tells all agents their new shares, because some have come or gone.
    pub(super) fn share_anew(&self) {
        if !self.repositories.is_empty() {
            self.tell_all();
        }
    }
}
