//! The built-in catalog: tables of a cluster that has no frontend of its own.
//!
//! # Overview
//! Databases, tables, partitions and tablets are small records in a tree of a [`SharedDb`]. Beyond the [`Catalog`] port
//! there are the operations of a built-in frontend: DDL, loads, and the queue of tablets that agents have still to
//! make. Open it once per database: which loads run is known in memory only.
//!
//! # Consistency
//! Every operation is one atomic change or one look at a consistent state, unless it says that it goes in steps. A
//! partition names a set of tablets; a restore makes another set, which no partition names until publish.
//!
//! # Crash consistency
//! An operation that has answered is durable; one that has not has happened wholly, or not at all, or as far as its
//! last step that was durable. Loads that ran are
//! forgotten: their versions were never visible, and the next load takes the place of what they left on agents.
//!
//! # Cancellation
//! As a crash: the operation may have happened. Ask again; prepare, publish and discard answer as the first time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tabvault_common::clock::{Clock, Time};
use tabvault_common::ids::{BackendId, Epoch, JobUuid, PartitionId, ReplicaId, TabletId};
use tabvault_common::view::{PartitionView, TableView, TabletView};

use self::load::Loads;
use self::records::Records;
use super::{Catalog, Cut, CutPartition, Decision, PrepareRequest, PreparedTablet, Result, Retired, TabletInfo};
use crate::store::{Part, SharedDb};

mod block;
mod ddl;
mod decide;
mod find;
mod keys;
mod labels;
mod load;
mod make;
mod model;
mod place;
mod prepare;
mod queues;
mod records;
mod retire;
mod sets;
mod show;
mod target;
mod unmade;
mod validate;
mod views;

pub use load::{LoadPlan, LoadedReplica};
pub use target::MadeTarget;

/// See the module.
#[derive(Debug, Clone)]
pub struct LocalCatalog {
    /// Before `part`: trees must be gone when the directory is let go.
    tree: sled::Tree,
    part: Part,
    clock: Arc<dyn Clock>,
    memory: Arc<Mutex<Memory>>,
}

/// What is known in memory only.
#[derive(Debug, Default)]
struct Memory {
    loads: Loads,
    /// Replicas on each backend, hidden ones included.
    placed: BTreeMap<BackendId, u64>,
}

impl LocalCatalog {
    /// The catalog in `db`; `clock` tells since when a version is visible. Blocks while it counts the replicas on each
    /// backend.
    ///
    /// # Errors
    /// `Corrupt` if a record cannot be read; errors of the disk.
    pub fn open(db: &SharedDb, clock: Arc<dyn Clock>) -> Result<Self> {
        let part = db.part("catalog");
        let tree = part.tree("catalog")?;
        let placed = sets::count_placed(&Records::new(tree.clone(), BTreeMap::new()))?;
        let memory = Arc::new(Mutex::new(Memory { loads: Loads::default(), placed }));
        Ok(Self { tree, part, clock, memory })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        locked(&self.memory)
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    async fn look<T: Send + 'static>(&self, look: impl FnOnce(&Records) -> Result<T> + Send + 'static) -> Result<T> {
        let tree = self.tree.clone();
        self.part.read(move || look(&Records::new(tree, BTreeMap::new()))).await
    }

    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Records) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tree, memory) = (self.tree.clone(), Arc::clone(&self.memory));
        self.part
            .write(move || {
                let placed = locked(&memory).placed.clone();
                let mut records = Records::new(tree, placed);
                let answer = change(&mut records)?;
                let placed = records.commit()?;
                locked(&memory).placed = placed;
                Ok(answer)
            })
            .await
    }
}

fn locked(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    // No step under the lock leaves it half changed.
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Catalog for LocalCatalog {
    async fn databases(&self) -> Result<Vec<String>> {
        self.look(show::databases).await
    }

    async fn cut(&self, database: &str) -> Result<Cut> {
        let database = database.to_owned();
        self.look(move |records| show::cut(records, &database)).await
    }

    async fn check_name(&self, what: &str, name: &str) -> Result<()> {
        validate::name(what, name)
    }

    async fn tablets(&self, partition: PartitionId) -> Result<Vec<TabletInfo>> {
        self.look(move |records| show::tablets(records, partition)).await
    }

    async fn partition(&self, partition: PartitionId) -> Result<Option<CutPartition>> {
        self.look(move |records| Ok(find::partition(records, partition)?.map(|(_, found)| found.cut()))).await
    }

    async fn prepare(&self, job: JobUuid, epoch: Epoch, request: &PrepareRequest) -> Result<()> {
        let request = Arc::new(request.clone());
        let begun = Arc::clone(&request);
        let mut left = self.change(move |records| prepare::begin(records, job, epoch, &begun)).await?;
        while let Some(place) = left {
            let request = Arc::clone(&request);
            left = self.change(move |records| prepare::go_on(records, job, epoch, &request, place)).await?;
        }
        Ok(())
    }

    async fn prepared(&self, job: JobUuid, table: u32, partition: u32) -> Result<Vec<PreparedTablet>> {
        self.look(move |records| prepare::prepared(records, job, table, partition)).await
    }

    async fn publish(&self, job: JobUuid, epoch: Epoch) -> Result<Decision> {
        let now = self.now();
        self.change(move |records| decide::publish(records, job, epoch, now)).await
    }

    async fn discard(&self, job: JobUuid, epoch: Epoch) -> Result<Decision> {
        self.change(move |records| decide::discard(records, job, epoch)).await
    }

    async fn garbage(&self, backend: BackendId, limit: usize) -> Result<Vec<TabletId>> {
        self.next_garbage(backend, limit).await
    }

    async fn collected(&self, backend: BackendId, tablets: &[TabletId]) -> Result<()> {
        let tablets = tablets.to_vec();
        self.change(move |records| {
            queues::collected(records, backend, &tablets);
            Ok(())
        })
        .await
    }

    async fn retire(&self, backend: BackendId, others: &[BackendId]) -> Result<Retired> {
        self.retire_backend(backend, others).await
    }

    async fn forget(&self, backend: BackendId) -> Result<()> {
        self.forget_garbage(backend).await
    }

    async fn show_tables(&self, database: &str) -> Result<Vec<TableView>> {
        let database = database.to_owned();
        self.look(move |records| show::show_tables(records, &database)).await
    }

    async fn show_partitions(&self, database: &str, table: &str) -> Result<Vec<PartitionView>> {
        let (database, table) = (database.to_owned(), table.to_owned());
        self.look(move |records| show::show_partitions(records, &database, &table)).await
    }

    async fn show_tablets(
        &self,
        database: &str,
        table: &str,
        partition: Option<&str>,
        after: Option<(TabletId, ReplicaId)>,
        limit: usize,
    ) -> Result<Vec<TabletView>> {
        let (database, table) = (database.to_owned(), table.to_owned());
        let partition = partition.map(str::to_owned);
        self.look(move |records| show::show_tablets(records, &database, &table, partition.as_deref(), after, limit))
            .await
    }
}
