//! What a running task has at hand.
//!
//! # Cancellation
//! A task is cancelled by dropping its future. What cannot be dropped half-way (work on a blocking thread, a call into
//! the store, giving up a multipart upload) is tracked: a task has stopped only when all of that has ended, too, so that
//! whoever waits for it may remove its files.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tabvault_broker::storage::{ObjectWriter, Storage};
use tabvault_common::durable;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::task::TaskKey;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::StorageOpener;
use crate::digest_cache::DigestCache;
use crate::gate::{Gate, Place};
use crate::journal::Journals;
use crate::load::LoadStore;
use crate::memory::list::{self, Listed};
use crate::memory::{Memory, Reservation};
use crate::progress::Progress;
use crate::store::{Result, TabletStore};
use crate::work_dir::WorkDirs;

/// What all tasks of an agent share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn TabletStore>,
    pub(crate) loads: Option<Arc<dyn LoadStore>>,
    pub(crate) work: WorkDirs,
    pub(crate) journals: Journals,
    pub(crate) digests: DigestCache,
    pub(crate) storage: StorageOpener,
    pub(crate) memory: Memory,
    /// For what tasks know of their files, apart from `memory`: whoever holds of this may wait for that.
    pub(crate) lists: Memory,
    /// The most transfers that may ever be in flight: one task needs no more futures.
    pub(crate) parallel: usize,
    pub(crate) watermark: u64,
}

impl Shared {
    /// Waits until what a task remembers of `files` files, `bytes` in all, may be held beside what is in flight. It comes
    /// before any of the task's transfers.
    ///
    /// # Errors
    /// `ResourceExhausted` with what to change if there will never be so much room.
    pub(crate) async fn list(&self, files: u64, bytes: u64) -> Result<Listed> {
        list::reserve(&self.lists, &self.memory, files, bytes).await
    }

    /// Refuses to go on if the disk of `dir` would have less than the watermark left after `more` bytes. Blocks.
    pub(crate) fn require_space(&self, dir: &Path, more: u64) -> Result<()> {
        let available = durable::free_space(dir)?.available;
        if available.saturating_sub(more) >= self.watermark {
            return Ok(());
        }
        let message = format!(
            "the disk of {} has {available} bytes free, and {more} are to come: {} must stay free",
            dir.display(),
            self.watermark
        );
        Err(Failure::fatal(Kind::NoSpace, message))
    }
}

/// What one attempt of a task has at hand.
#[derive(Debug, Clone)]
pub(crate) struct TaskContext {
    pub(crate) key: TaskKey,
    pub(crate) shared: Arc<Shared>,
    pub(crate) progress: Arc<Progress>,
    /// Where its transfers wait for their turn.
    pub(crate) transfers: Gate,
    /// Asks work on blocking threads to end soon.
    pub(crate) stop: CancellationToken,
    /// Everything that outlives the task's future.
    pub(crate) tracker: TaskTracker,
}

impl TaskContext {
    /// Runs `work` where it may block, when a core is allowed for it. It must not wait for other such work.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let core = self.shared.storage.throttle().cores().enter().await?;
        let work = move || {
            let _core = core;
            work()
        };
        joined(self.tracker.spawn_blocking(work)).await
    }

    /// Runs `work` where it may block; it waits for a disk rather than computes, and needs no core for that.
    pub(crate) async fn waiting<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        joined(self.tracker.spawn_blocking(work)).await
    }

    /// Runs `work` to its end even if the task is cancelled meanwhile: a store's calls are not to be dropped half-way.
    pub(crate) async fn to_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        joined(self.tracker.spawn(work)).await
    }

    /// As [`Shared::require_space`], for the work directory of a root.
    pub(crate) async fn require_space(&self, root: usize, more: u64) -> Result<()> {
        let (shared, dir) = (Arc::clone(&self.shared), self.shared.work.root(root)?.to_owned());
        self.blocking(move || shared.require_space(&dir, more)).await
    }

    /// Waits until a transfer that holds `bytes` of memory may begin.
    pub(crate) async fn transfer(&self, bytes: u64) -> Result<Slot> {
        // Memory first, everywhere: who waits for a permit holds memory that nobody with a permit waits for.
        let memory = self.shared.memory.reserve(bytes).await?;
        self.permit(memory).await
    }

    /// The second half of [`TaskContext::transfer`], for whoever needs memory earlier.
    pub(crate) async fn permit(&self, memory: Reservation) -> Result<Slot> {
        Ok(Slot { memory, _place: self.transfers.enter().await? })
    }

    /// Begins the object `path`.
    pub(crate) async fn writer(&self, storage: &Arc<dyn Storage>, path: &str, hint: Option<u64>) -> Result<Writer> {
        let inner = storage.writer(path, hint).await?;
        Ok(Writer { inner: Some(inner), tracker: self.tracker.clone() })
    }
}

/// Memory and a place among the transfers in flight, until dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    memory: Reservation,
    _place: Place,
}

impl Slot {
    /// Ends the transfer and keeps its memory.
    pub(crate) fn leave(self) -> Reservation {
        self.memory
    }
}

/// An object being written that gives up by itself when it is dropped.
pub(crate) struct Writer {
    inner: Option<Box<dyn ObjectWriter>>,
    tracker: TaskTracker,
}

impl Writer {
    pub(crate) async fn write(&mut self, data: Bytes) -> Result<()> {
        match &mut self.inner {
            Some(inner) => inner.write(data).await,
            None => Err(Failure::fatal(Kind::Internal, "write to an object that was closed")),
        }
    }

    pub(crate) async fn close(mut self) -> Result<()> {
        match self.inner.take() {
            Some(inner) => inner.close().await,
            None => Err(Failure::fatal(Kind::Internal, "close an object that was closed")),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        // Without a runtime the process is ending; what is left is the bucket lifecycle's.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        self.tracker.spawn_on(
            async move {
                if let Err(error) = inner.abort().await {
                    tracing::warn!(%error, "could not abort an interrupted upload");
                }
            },
            &runtime,
        );
    }
}

async fn joined<T>(handle: JoinHandle<Result<T>>) -> Result<T> {
    handle.await.unwrap_or_else(|error| Err(broken(error)))
}

/// What it means that a part of a task did not end by itself.
pub(crate) fn broken(error: JoinError) -> Failure {
    if !error.is_panic() {
        return Failure::transient(Kind::Cancelled, "the task was stopped");
    }
    let panic = error.into_panic();
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("no message");
    tracing::error!(panic = text, "a task panicked");
    Failure::transient(Kind::Internal, format!("the task panicked: {text}"))
}
