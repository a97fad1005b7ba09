//! A store of tablets whose changes count.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tabvault_be_agent::store::{DataRoot, PinnedTablet, Result, TabletStore, Usage};
use tabvault_common::ids::{JobUuid, TabletId};
use tabvault_common::task::{CreateTablet, JobEnd, TabletMapping, TabletVersion};

use super::Crash;

#[derive(Debug)]
pub(super) struct CrashTablets {
    pub(super) store: Arc<dyn TabletStore>,
    pub(super) crash: Crash,
}

impl CrashTablets {
    async fn write<T>(&self, what: &str, write: impl Future<Output = T>) -> T {
        match self.crash.write(format!("tablets {what}"), write).await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl TabletStore for CrashTablets {
    fn roots(&self) -> &[DataRoot] {
        self.store.roots()
    }

    async fn usage(&self) -> Result<Usage> {
        self.store.usage().await
    }

    async fn pin(&self, at: TabletVersion) -> Result<PinnedTablet> {
        self.write("pin", self.store.pin(at)).await
    }

    async fn create(&self, job: JobUuid, tablet: &CreateTablet) -> Result<()> {
        self.write("create", self.store.create(job, tablet)).await
    }

    async fn root_of(&self, tablet: TabletId) -> Result<usize> {
        self.store.root_of(tablet).await
    }

    async fn adopt(&self, job: JobUuid, mapping: &TabletMapping, directory: &Path) -> Result<()> {
        self.write("adopt", self.store.adopt(job, mapping, directory)).await
    }

    async fn settle(&self, job: JobUuid, end: JobEnd) -> Result<()> {
        // It is said until the coordinator knows that it was heard, and of jobs that own nothing; that is no change.
        let changes = self.store.jobs().await?.contains(&job);
        let settle = self.store.settle(job, end);
        if changes { self.write("settle", settle).await } else { settle.await }
    }

    async fn jobs(&self) -> Result<Vec<JobUuid>> {
        self.store.jobs().await
    }

    async fn drop_tablet(&self, tablet: TabletId) -> Result<()> {
        self.write("drop", self.store.drop_tablet(tablet)).await
    }
}
