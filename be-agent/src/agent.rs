//! The façade: an agent that an embedder starts beside its storage engine.
//!
//! # Crash consistency
//! An agent may be killed at any instant. What its tasks were doing is done again when the coordinator sends them
//! again; what they left on disk is named in heartbeats until the coordinator says that the job has ended.

use std::sync::Arc;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{AgentUuid, BackendId, ClusterId, Epoch};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::AgentConfig;
use crate::context::{Shared, broken};
use crate::digest_cache::DigestCache;
use crate::journal::Journals;
use crate::load::LoadStore;
use crate::memory::Memory;
use crate::session::Session;
use crate::state::State;
use crate::store::TabletStore;
use crate::throttle::MAX_REQUESTS_IN_FLIGHT;
use crate::work_dir::WorkDirs;
use crate::worker::Worker;

/// One part in so many of the memory budget is for lists of files.
const LISTS_SHARE: u64 = 4;

/// Starts agents.
#[derive(Debug)]
pub struct Agent;

impl Agent {
    /// Starts an agent for `store`; `loads` is the same store if it takes Load and Export tasks. Returns at once: the
    /// coordinator is dialled in the background, for ever. Needs a tokio runtime.
    ///
    /// # Errors
    /// `InvalidArgument` for a configuration that cannot work, `Busy` if another process holds the state directory,
    /// or what the disk says.
    pub async fn start(
        config: AgentConfig,
        store: Arc<dyn TabletStore>,
        loads: Option<Arc<dyn LoadStore>>,
    ) -> Result<AgentHandle, Failure> {
        config.validate()?;
        let work = WorkDirs::new(store.roots());
        let (state, journals, digests) = prepare(config.state_dir.clone(), work.clone()).await?;
        let lists = config.memory_budget / LISTS_SHARE;
        let memory = Memory::new(config.memory_budget - lists);
        config.storage.throttle().begin(config.settings, config.parallel_transfers);
        let shared = Arc::new(Shared {
            store,
            loads,
            work,
            journals,
            digests,
            storage: config.storage.clone(),
            memory: memory.clone(),
            lists: Memory::new(lists),
            parallel: config.parallel_transfers.max(MAX_REQUESTS_IN_FLIGHT as usize),
            watermark: config.free_space_watermark,
        });
        let worker = Worker::new(Arc::clone(&shared), config.light_tasks, config.heavy_tasks, config.max_tasks);
        let remembered = state.now();
        let status = watch::Sender::new(AgentStatus {
            agent: remembered.agent,
            cluster: remembered.cluster,
            backend: remembered.backend,
            highest_epoch: remembered.highest_epoch,
            attached_to: None,
            last_error: None,
        });
        let (stop, observed) = (CancellationToken::new(), status.subscribe());
        let session = Session::new(config, state, shared, Arc::clone(&worker), status, stop.clone());
        let running = tokio::spawn(async move {
            session.run().await;
            worker.shutdown().await;
        });
        Ok(AgentHandle { stop, status: observed, memory, running: Some(running) })
    }
}

/// Opens the state directory and removes what a restart of the machine may have torn.
async fn prepare(dir: std::path::PathBuf, work: WorkDirs) -> Result<(State, Journals, DigestCache), Failure> {
    let prepared = tokio::task::spawn_blocking(move || {
        let state = State::open(&dir)?;
        let journals = Journals::new(state.journal_dir());
        work.prepare()?;
        if state.rebooted() {
            work.forget_snapshots()?;
            journals.forget()?;
        }
        let digests = DigestCache::open(&state.digests(), state.rebooted());
        state.remember_boot()?;
        Ok((state, journals, digests))
    });
    prepared.await.unwrap_or_else(|error| Err(broken(error)))
}

/// What an agent is and what it is attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStatus {
    /// The identity of its state directory.
    pub agent: AgentUuid,
    /// Its cluster, once known.
    pub cluster: Option<ClusterId>,
    /// Its number in that cluster, once known.
    pub backend: Option<BackendId>,
    /// The highest epoch of a coordinator that it has listened to.
    pub highest_epoch: Epoch,
    /// The address of the coordinator it is attached to.
    pub attached_to: Option<String>,
    /// Why the last attempt to attach failed or the last stream ended.
    pub last_error: Option<Failure>,
}

/// A running agent. Dropping it stops the agent without waiting.
#[derive(Debug)]
pub struct AgentHandle {
    stop: CancellationToken,
    status: watch::Receiver<AgentStatus>,
    memory: Memory,
    running: Option<JoinHandle<()>>,
}

impl AgentHandle {
    /// The number of this backend in its cluster; `None` until a coordinator has given it one.
    #[must_use]
    pub fn backend_id(&self) -> Option<BackendId> {
        self.status.borrow().backend
    }

    /// What the agent is attached to.
    #[must_use]
    pub fn status(&self) -> AgentStatus {
        self.status.borrow().clone()
    }

    /// The budget that transfers share.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Returns when the agent is attached to a coordinator. Cancel safe; bound it by a time-out.
    ///
    /// # Errors
    /// `Cancelled` if the agent ends first.
    pub async fn wait_attached(&self) -> Result<(), Failure> {
        let mut status = self.status.clone();
        let attached = status.wait_for(|status| status.attached_to.is_some()).await;
        attached.map(drop).map_err(|_| Failure::fatal(Kind::Cancelled, "the agent has ended"))
    }

    /// Detaches, stops every task and waits until nothing runs any more and the state directory is free.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take()
            && let Err(error) = running.await
        {
            tracing::error!(%error, "the agent did not end by itself");
        }
    }
}

impl Drop for AgentHandle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
