//! What runners share, and a job that runs as others see it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tabvault_common::clock::Clock;
use tabvault_common::ids::{BackendId, JobId};
use tabvault_common::view::JobView;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::agents::Agents;
use crate::asks::Asks;
use crate::inbox::tell;
use crate::records::Records;
use crate::repository::registry::Repositories;

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
    pub(super) cancel: mpsc::Sender<(String, oneshot::Sender<()>)>,
    pub(super) view: watch::Receiver<Arc<JobView>>,
    pub(super) backends: watch::Receiver<BTreeSet<BackendId>>,
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
        tell(&self.cancel, |stored| (by.to_owned(), stored)).await.is_some()
    }
}
