//! Files on their way to the disk while more of them are written: without it the disk would rest while small files are
//! made, and the processor while the sync at the end waits for all of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tabvault_common::durable::SyncFs;
use tokio::sync::Notify;

use super::want::Target;
use crate::context::TaskContext;
use crate::store::Result;

/// Bytes in small files that are worth a sync: some tenths of a second of a disk's time.
const EVERY: u64 = 64 << 20;

/// The disks of a download.
pub(super) type Disks = Arc<Vec<SyncFs>>;

/// Watches every disk that is about to be written to.
pub(super) async fn open(context: &TaskContext, targets: &Arc<Vec<Target>>) -> Result<Disks> {
    let (shared, targets) = (Arc::clone(&context.shared), Arc::clone(targets));
    let opened = context.blocking(move || {
        let roots: BTreeSet<usize> = targets.iter().map(|target| target.root).collect();
        roots.into_iter().map(|root| SyncFs::open(shared.work.root(root)?)).collect::<Result<_>>()
    });
    opened.await.map(Arc::new)
}

/// Syncs disks now and again.
#[derive(Debug, Default)]
pub(super) struct Writeback {
    written: AtomicU64,
    ended: AtomicBool,
    due: Notify,
}

impl Writeback {
    /// More bytes were written to small files; large ones go past the page cache.
    pub(super) fn wrote(&self, bytes: u64) {
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        if before / EVERY != (before + bytes) / EVERY {
            self.due.notify_one();
        }
    }

    /// Nothing more will be written.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.due.notify_one();
    }

    /// Syncs whenever it is worth it, until the end. Nothing of it runs any more when it answers.
    ///
    /// # Errors
    /// Bytes that were written may be lost: see [`SyncFs::begin`].
    pub(super) async fn run(&self, context: &TaskContext, disks: &Disks) -> Result<()> {
        loop {
            self.due.notified().await;
            if self.ended.load(Ordering::Acquire) {
                return Ok(());
            }
            let disks = Arc::clone(disks);
            context.waiting(move || disks.iter().try_for_each(SyncFs::begin)).await?;
        }
    }
}
