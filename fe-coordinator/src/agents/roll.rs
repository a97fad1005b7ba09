//! Who is there: which backends are alive, how much room they have, how they are shown.

use std::collections::BTreeSet;

use tabvault_common::ids::BackendId;
use tabvault_common::view::BackendView;

use super::{Agents, Backend, State};
use crate::catalog::BackendRoom;

impl Agents {
    /// Whether the backend's agent is attached.
    #[must_use]
    pub fn is_alive(&self, backend: BackendId) -> bool {
        self.state().backends.get(&backend).is_some_and(|backend| backend.stream.is_some())
    }

    /// The backends whose agents are attached and that take replicas, with the room they have.
    #[must_use]
    pub fn room(&self) -> Vec<BackendRoom> {
        let state = self.state();
        let mut hosts = BTreeSet::new();
        let alive = state.backends.iter().filter(|(_, backend)| backend.stream.is_some() && backend.leaving.is_none());
        alive
            .map(|(id, backend)| {
                // Several agents that call themselves alike, as on one machine, count as different ones.
                let host = backend.host.clone();
                let host = if hosts.insert(host.clone()) { host } else { format!("{host}#{id}") };
                BackendRoom { backend: *id, host, available_bytes: backend.beat.available_bytes }
            })
            .collect()
    }

    /// Waits until an agent attaches.
    pub async fn attached(&self) {
        self.changed.notified().await;
    }

    /// Notes that agents may have come or gone.
    pub(super) fn count_attached(state: &State) {
        state.share_anew();
        let attached = state.backends.values().filter(|backend| backend.stream.is_some()).count();
        metrics::gauge!("tabvault_fe_backends_alive").set(u32::try_from(attached).unwrap_or(u32::MAX));
    }

    /// Waits until every backend that is known and not decommissioned has attached to this coordinator or is declared dead. A coordinator that
    /// has just started would otherwise place tablets and tasks as if the cluster were empty.
    pub async fn gathered(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let missing =
                |backend: &Backend| backend.attachments == 0 && !backend.declared_dead && backend.leaving.is_none();
            if !self.state().backends.values().any(missing) {
                return;
            }
            changed.await;
        }
    }

    /// The backends for people.
    #[must_use]
    pub fn show(&self) -> Vec<BackendView> {
        let one = |(id, backend): (&BackendId, &Backend)| BackendView {
            id: *id,
            host: backend.host.clone(),
            alive: backend.stream.is_some(),
            last_heartbeat: backend.last_heard,
            tablets: backend.beat.tablets,
            used_bytes: backend.beat.used_bytes,
            available_bytes: backend.beat.available_bytes,
            running_tasks: backend.beat.running_tasks,
            version: backend.version.clone(),
            error: error(backend),
        };
        self.state().backends.iter().map(one).collect()
    }
}

/// What people should know of a backend.
fn error(backend: &Backend) -> Option<String> {
    let detached = backend.stream.is_none().then_some("its agent is not attached");
    match (&backend.leaving, detached) {
        (None, detached) => detached.map(str::to_owned),
        (Some(why), None) if why.is_empty() => Some("it is being decommissioned".to_owned()),
        (Some(why), None) => Some(format!("it is being decommissioned: {why}")),
        (Some(_), Some(detached)) => Some(format!("it is being decommissioned; {detached}")),
    }
}
