//! A catalog whose changes count.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use tabvault_common::ids::{BackendId, Epoch, JobUuid, PartitionId, ReplicaId, TabletId};
use tabvault_common::view::{PartitionView, TableView, TabletView};
use tabvault_fe_coordinator::catalog::{
    Catalog, Cut, CutPartition, Decision, PrepareRequest, PreparedTablet, Result, Retired, TabletInfo,
};

use super::Crash;

#[derive(Debug)]
pub(super) struct CrashCatalog {
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) crash: Crash,
}

impl CrashCatalog {
    /// A dead coordinator hears nothing: its tasks are dropped while they wait.
    async fn write<T>(&self, what: &str, write: impl Future<Output = T>) -> T {
        match self.crash.write(format!("catalog {what}"), write).await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Catalog for CrashCatalog {
    async fn databases(&self) -> Result<Vec<String>> {
        self.catalog.databases().await
    }

    async fn cut(&self, database: &str) -> Result<Cut> {
        self.catalog.cut(database).await
    }

    async fn check_name(&self, what: &str, name: &str) -> Result<()> {
        self.catalog.check_name(what, name).await
    }

    async fn tablets(&self, partition: PartitionId) -> Result<Vec<TabletInfo>> {
        self.catalog.tablets(partition).await
    }

    async fn partition(&self, partition: PartitionId) -> Result<Option<CutPartition>> {
        self.catalog.partition(partition).await
    }

    async fn prepare(&self, job: JobUuid, epoch: Epoch, request: &PrepareRequest) -> Result<()> {
        self.write("prepare", self.catalog.prepare(job, epoch, request)).await
    }

    async fn prepared(&self, job: JobUuid, table: u32, partition: u32) -> Result<Vec<PreparedTablet>> {
        self.catalog.prepared(job, table, partition).await
    }

    async fn publish(&self, job: JobUuid, epoch: Epoch) -> Result<Decision> {
        self.write("publish", self.catalog.publish(job, epoch)).await
    }

    async fn discard(&self, job: JobUuid, epoch: Epoch) -> Result<Decision> {
        self.write("discard", self.catalog.discard(job, epoch)).await
    }

    async fn garbage(&self, backend: BackendId, limit: usize) -> Result<Vec<TabletId>> {
        if self.crash.chores_rest() {
            return Ok(Vec::new());
        }
        self.catalog.garbage(backend, limit).await
    }

    async fn collected(&self, backend: BackendId, tablets: &[TabletId]) -> Result<()> {
        self.write("collected", self.catalog.collected(backend, tablets)).await
    }

    async fn retire(&self, backend: BackendId, others: &[BackendId]) -> Result<Retired> {
        self.write("retire", self.catalog.retire(backend, others)).await
    }

    async fn forget(&self, backend: BackendId) -> Result<()> {
        self.write("forget", self.catalog.forget(backend)).await
    }

    async fn show_tables(&self, database: &str) -> Result<Vec<TableView>> {
        self.catalog.show_tables(database).await
    }

    async fn show_partitions(&self, database: &str, table: &str) -> Result<Vec<PartitionView>> {
        self.catalog.show_partitions(database, table).await
    }

    async fn show_tablets(
        &self,
        database: &str,
        table: &str,
        partition: Option<&str>,
        after: Option<(TabletId, ReplicaId)>,
        limit: usize,
    ) -> Result<Vec<TabletView>> {
        self.catalog.show_tablets(database, table, partition, after, limit).await
    }
}
