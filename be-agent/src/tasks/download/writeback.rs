//! Files on their way to the disk while more of them are written: without it the disk would rest while small files are
//! made, and the processor while the sync at the end waits for all of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tabvault_common::durable::SyncFs;
use tokio::sync::Notify;

use super::want::Target;
use crate::context::TaskContext;
use crate::files;
use crate::store::Result;

/// Bytes that are worth a sync: some tenths of a second of a disk's time.
const EVERY: u64 = 64 << 20;

/// Among temporary files, whose names are numbers.
const LOST: &str = "lost";

/// The disks that a download writes to.
#[derive(Debug)]
pub(super) struct Disks {
    synced: Vec<SyncFs>,
    targets: Arc<Vec<Target>>,
}

impl Disks {
    /// Watches every disk that is about to be written to.
    pub(super) async fn open(context: &TaskContext, targets: &Arc<Vec<Target>>) -> Result<Arc<Self>> {
        let (shared, targets) = (Arc::clone(&context.shared), Arc::clone(targets));
        let opened = context.blocking(move || {
            let roots: BTreeSet<usize> = targets.iter().map(|target| target.root).collect();
            let synced = roots.into_iter().map(|root| SyncFs::open(shared.work.root(root)?)).collect::<Result<_>>()?;
            Ok(Arc::new(Self { synced, targets }))
        });
        opened.await
    }

    /// Makes durable what was written so far. If that fails nothing is kept, by the time this answers and even if nobody
    /// waits for the answer: the kernel tells of lost bytes once, and may show them to the next attempt. Blocks.
    pub(super) fn sync(&self) -> Result<()> {
        let synced = self.synced.iter().try_for_each(SyncFs::sync);
        if synced.is_err() {
            self.targets.iter().try_for_each(forget)?;
        }
        synced
    }
}

/// Puts what was fetched where the next attempt removes it, in one step: somebody may still be writing there.
fn forget(target: &Target) -> Result<()> {
    files::make_dir(&target.temporary)?;
    files::rename(&target.dir, &target.temporary.join(LOST))?;
    files::make_dir(&target.dir)
}

/// Syncs disks now and again.
#[derive(Debug, Default)]
pub(super) struct Writeback {
    written: AtomicU64,
    ended: AtomicBool,
    due: Notify,
}

impl Writeback {
    /// More bytes were written that nobody waits for: small files, and the ends of large ones.
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
    /// Bytes that were written may be lost: see [`Disks::sync`].
    pub(super) async fn run(&self, context: &TaskContext, disks: &Arc<Disks>) -> Result<()> {
        loop {
            self.due.notified().await;
            if self.ended.load(Ordering::Acquire) {
                return Ok(());
            }
            let disks = Arc::clone(disks);
            context.waiting(move || disks.sync()).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use std::fs;

    use tabvault_common::ids::{ClusterId, Lineage, TabletId, TabletIdentity, Version};

    use super::*;

    #[test]
    fn nothing_is_kept_of_what_may_be_lost() {
        let home = tempfile::tempdir().unwrap();
        let [dir, temporary, reuse] = ["dir", "dir.tmp", "reuse"].map(|name| home.path().join(name));
        let source = TabletIdentity {
            cluster: ClusterId::random(),
            tablet: TabletId(1),
            lineage: Lineage::random(),
            version: Version(2),
        };
        let target = Target { source, root: 0, dir, temporary, reuse };
        fs::create_dir(&target.dir).unwrap();
        fs::write(target.dir.join("file"), b"bytes").unwrap();
        forget(&target).unwrap();
        assert_eq!(fs::read_dir(&target.dir).unwrap().count(), 0);
        assert!(target.temporary.join(LOST).join("file").exists());
    }
}
