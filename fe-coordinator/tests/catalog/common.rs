//! Catalogs and tables to test with.

use std::path::Path;
use std::sync::Arc;

use tabvault_common::clock::{ManualClock, Time};
use tabvault_common::failure::Failure;
use tabvault_common::ids::{BackendId, JobUuid, TabletId};
use tabvault_common::request::CreateTableRequest;
use tabvault_common::schema::{PartitionDef, TableDef};
use tabvault_fe_coordinator::catalog::local::{LoadPlan, LoadedReplica};
use tabvault_fe_coordinator::catalog::{BackendRoom, LocalCatalog};
use tabvault_fe_coordinator::store::SharedDb;

pub(crate) struct Home {
    pub(crate) catalog: LocalCatalog,
    pub(crate) clock: ManualClock,
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) fn open(dir: &Path, clock: &ManualClock) -> LocalCatalog {
    LocalCatalog::open(&SharedDb::open(dir).unwrap(), Arc::new(clock.clone())).unwrap()
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(Time(1_753_970_521_042));
        let catalog = open(dir.path(), &clock);
        Self { catalog, clock, dir }
    }

    /// A catalog with the database `d`.
    pub(crate) async fn with_database() -> Self {
        let home = Self::new();
        home.catalog.create_database("d", false).await.unwrap();
        home
    }

    /// As after a restart of the process.
    pub(crate) fn reopen(self) -> Self {
        let Self { catalog, clock, dir } = self;
        drop(catalog);
        let catalog = open(dir.path(), &clock);
        Self { catalog, clock, dir }
    }

    pub(crate) async fn create(&self, table: TableDef, partitions: &[PartitionDef]) -> Result<(), Failure> {
        self.catalog.create_table(&create(table, partitions), &backends(3)).await
    }

    /// Tells the catalog that every backend has made what it was asked to.
    pub(crate) async fn make_all(&self) {
        for room in backends(3) {
            let wanted = self.catalog.unmade_tablets(room.backend, usize::MAX).await.unwrap();
            let tablets: Vec<TabletId> = wanted.iter().map(|tablet| tablet.tablet).collect();
            self.catalog.made(room.backend, &tablets).await.unwrap();
        }
    }

    /// Loads `bytes` per tablet into a partition with all replicas.
    pub(crate) async fn load(&self, table: &str, partition: Option<&str>, bytes: u64) {
        let load = JobUuid::random();
        let plan = self.catalog.begin_load(load, "d", table, partition).await.unwrap();
        self.catalog.commit_load(load, &everywhere(&plan, bytes)).await.unwrap();
    }
}

pub(crate) fn create(table: TableDef, partitions: &[PartitionDef]) -> CreateTableRequest {
    CreateTableRequest { database: "d".to_owned(), table, partitions: partitions.to_vec(), if_not_exists: false }
}

pub(crate) fn everywhere(plan: &LoadPlan, bytes: u64) -> Vec<LoadedReplica> {
    let replicas =
        plan.tablets.iter().flat_map(|tablet| tablet.replicas.iter().map(|replica| (tablet.tablet, replica.backend)));
    replicas.map(|(tablet, backend)| LoadedReplica { tablet, backend, files: 2, bytes }).collect()
}

/// Backends 1 to `count`, each on a host of its own, with equal room.
pub(crate) fn backends(count: u64) -> Vec<BackendRoom> {
    (1..=count).map(|number| room(number, &format!("host{number}"), 1 << 40)).collect()
}

pub(crate) fn room(number: u64, host: &str, available_bytes: u64) -> BackendRoom {
    BackendRoom { backend: BackendId(number), host: host.to_owned(), available_bytes }
}
