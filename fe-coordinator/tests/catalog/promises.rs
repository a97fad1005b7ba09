//! The conformance suite, and that crashes between any two operations change nothing.

use async_trait::async_trait;
use tabvault_common::clock::{ManualClock, Time};
use tabvault_common::ids::{BackendId, Epoch, JobUuid, PartitionId, ReplicaId, TabletId, Version};
use tabvault_common::request::CreateTableRequest;
use tabvault_common::schema::{PartitionDef, TableDef};
use tabvault_common::view::{PartitionView, TableView, TabletView};
use tabvault_fe_coordinator::catalog::conformance::{self, EPOCH, Fixture, partition, table};
use tabvault_fe_coordinator::catalog::{
    BackendRoom, Catalog, Cut, CutPartition, Decision, LocalCatalog, PreparePartition, PrepareRequest, PrepareTable,
    PreparedTablet, Result, TabletInfo, TabletSize,
};
use tokio::sync::{Mutex, MutexGuard};

use super::common::{Home, backends, open};

struct Local(LocalCatalog);

#[async_trait]
impl Fixture for Local {
    fn catalog(&self) -> &dyn Catalog {
        &self.0
    }

    fn backends(&self) -> Vec<BackendRoom> {
        backends(3)
    }

    async fn create_database(&self, name: &str) -> Result<()> {
        self.0.create_database(name, false).await
    }

    async fn create_table(&self, database: &str, table: &TableDef, partitions: &[PartitionDef]) -> Result<()> {
        create_table(&self.0, database, table, partitions).await
    }
}

async fn create_table(
    catalog: &LocalCatalog,
    database: &str,
    table: &TableDef,
    partitions: &[PartitionDef],
) -> Result<()> {
    let request = CreateTableRequest {
        database: database.to_owned(),
        table: table.clone(),
        partitions: partitions.to_vec(),
        if_not_exists: false,
    };
    catalog.create_table(&request, &backends(3)).await
}

/// A catalog that is closed and opened again before every operation.
#[derive(Debug)]
struct Restarting {
    dir: tempfile::TempDir,
    one: Mutex<Option<LocalCatalog>>,
}

impl Restarting {
    async fn restart(&self) -> MutexGuard<'_, Option<LocalCatalog>> {
        let mut catalog = self.one.lock().await;
        drop(catalog.take());
        *catalog = Some(open(self.dir.path(), &ManualClock::new(Time(5))));
        catalog
    }
}

macro_rules! anew {
    ($this:ident.$operation:ident($($argument:expr),*)) => {
        $this.restart().await.as_ref().unwrap().$operation($($argument),*).await
    };
}

#[async_trait]
impl Catalog for Restarting {
    async fn databases(&self) -> Result<Vec<String>> {
        anew!(self.databases())
    }
    async fn cut(&self, database: &str) -> Result<Cut> {
        anew!(self.cut(database))
    }
    async fn check_name(&self, what: &str, name: &str) -> Result<()> {
        anew!(self.check_name(what, name))
    }
    async fn tablets(&self, partition: PartitionId) -> Result<Vec<TabletInfo>> {
        anew!(self.tablets(partition))
    }
    async fn partition(&self, partition: PartitionId) -> Result<Option<CutPartition>> {
        anew!(self.partition(partition))
    }
    async fn prepare(&self, job: JobUuid, epoch: Epoch, request: &PrepareRequest) -> Result<()> {
        anew!(self.prepare(job, epoch, request))
    }
    async fn prepared(&self, job: JobUuid, table: u32, partition: u32) -> Result<Vec<PreparedTablet>> {
        anew!(self.prepared(job, table, partition))
    }
    async fn publish(&self, job: JobUuid, epoch: Epoch) -> Result<Decision> {
        anew!(self.publish(job, epoch))
    }
    async fn discard(&self, job: JobUuid, epoch: Epoch) -> Result<Decision> {
        anew!(self.discard(job, epoch))
    }
    async fn garbage(&self, backend: BackendId, limit: usize) -> Result<Vec<TabletId>> {
        anew!(self.garbage(backend, limit))
    }
    async fn collected(&self, backend: BackendId, tablets: &[TabletId]) -> Result<()> {
        anew!(self.collected(backend, tablets))
    }
    async fn show_tables(&self, database: &str) -> Result<Vec<TableView>> {
        anew!(self.show_tables(database))
    }
    async fn show_partitions(&self, database: &str, table: &str) -> Result<Vec<PartitionView>> {
        anew!(self.show_partitions(database, table))
    }
    async fn show_tablets(
        &self,
        database: &str,
        table: &str,
        partition: Option<&str>,
        after: Option<(TabletId, ReplicaId)>,
        limit: usize,
    ) -> Result<Vec<TabletView>> {
        anew!(self.show_tablets(database, table, partition, after, limit))
    }
}

#[async_trait]
impl Fixture for Restarting {
    fn catalog(&self) -> &dyn Catalog {
        self
    }

    fn backends(&self) -> Vec<BackendRoom> {
        backends(3)
    }

    async fn create_database(&self, name: &str) -> Result<()> {
        anew!(self.create_database(name, false))
    }

    async fn create_table(&self, database: &str, table: &TableDef, partitions: &[PartitionDef]) -> Result<()> {
        let catalog = self.restart().await;
        create_table(catalog.as_ref().unwrap(), database, table, partitions).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_catalog_keeps_the_promises() {
    let home = Home::new();
    conformance::all(&Local(home.catalog)).await.unwrap();
}

#[tokio::test]
async fn the_local_catalog_keeps_the_promises_when_it_restarts_before_every_operation() {
    let dir = tempfile::tempdir().unwrap();
    conformance::all(&Restarting { dir, one: Mutex::new(None) }).await.unwrap();
}

fn into_existing(there: &Cut, allow_load: bool) -> PrepareRequest {
    let there = &there.tables[0];
    let partitions = there.partitions.iter().map(|part| PreparePartition {
        def: part.def.clone(),
        existing: Some(part.id),
        version: Version(7),
        sizes: vec![vec![TabletSize { files: 2, bytes: 5 }; 3]; 2],
    });
    PrepareRequest {
        database: "d".to_owned(),
        tables: vec![PrepareTable {
            def: there.def.clone(),
            existing: Some(there.id),
            replace_whole: false,
            partitions: partitions.collect(),
            drop_partitions: Vec::new(),
        }],
        views: Vec::new(),
        drop_tables: Vec::new(),
        allow_load,
        backends: backends(3),
    }
}

#[tokio::test]
async fn targets_are_placed_where_the_tablets_they_replace_can_be_reused() {
    let home = Home::with_database().await;
    home.create(table("t"), &[partition("p", 0, 10)]).await.unwrap();
    home.make_all().await;
    home.load("t", Some("p"), 100).await;
    let cut = home.catalog.cut("d").await.unwrap();
    let old = home.catalog.tablets(cut.tables[0].partitions[0].id).await.unwrap();
    let job = JobUuid::random();
    home.catalog.prepare(job, EPOCH, &into_existing(&cut, false)).await.unwrap();
    let prepared = home.catalog.prepared(job, 0, 0).await.unwrap();
    for (new, old) in prepared.iter().zip(old) {
        let (at, on) = new.reuse.clone().unwrap();
        assert_eq!((at.tablet, at.version, at.schema_hash), (old.tablet, Version(2), old.schema_hash));
        assert_eq!(on, old.replicas.iter().map(|replica| replica.backend).collect::<Vec<_>>());
        assert_eq!(new.backends.iter().collect::<std::collections::BTreeSet<_>>(), on.iter().collect());
    }
}

#[tokio::test]
async fn what_no_backend_has_made_yet_is_not_reused() {
    let home = Home::with_database().await;
    home.create(table("t"), &[partition("p", 0, 10)]).await.unwrap();
    let cut = home.catalog.cut("d").await.unwrap();
    let job = JobUuid::random();
    home.catalog.prepare(job, EPOCH, &into_existing(&cut, false)).await.unwrap();
    let prepared = home.catalog.prepared(job, 0, 0).await.unwrap();
    assert!(prepared.iter().all(|tablet| tablet.reuse.is_none()));
}

#[tokio::test]
async fn a_table_in_a_restore_takes_no_ddl_and_loads_only_if_allowed() {
    for allow_load in [false, true] {
        let home = Home::with_database().await;
        home.create(table("t"), &[partition("p", 0, 10)]).await.unwrap();
        let cut = home.catalog.cut("d").await.unwrap();
        let job = JobUuid::random();
        home.catalog.prepare(job, EPOCH, &into_existing(&cut, allow_load)).await.unwrap();

        let home = home.reopen();
        let catalog = &home.catalog;
        let more = partition("q", 10, 20);
        for refusal in [
            catalog.drop_table("d", "t").await,
            catalog.add_partition("d", "t", &more, &backends(3)).await,
            catalog.drop_partition("d", "t", "p").await,
            catalog.set_table_properties("d", "t", &std::collections::BTreeMap::new()).await,
            catalog.drop_database("d").await,
        ] {
            assert_eq!(refusal.unwrap_err().message, "Table t's state is not NORMAL: RESTORE");
        }
        let load = JobUuid::random();
        let begun = catalog.begin_load(load, "d", "t", Some("p")).await;
        if !allow_load {
            assert_eq!(begun.unwrap_err().message, "Table t's state is not NORMAL: RESTORE");
            continue;
        }
        let late = JobUuid::random();
        catalog.commit_load(load, &super::common::everywhere(&begun.unwrap(), 1)).await.unwrap();
        let plan = catalog.begin_load(late, "d", "t", Some("p")).await.unwrap();
        catalog.publish(job, EPOCH).await.unwrap();
        let refusal = catalog.commit_load(late, &super::common::everywhere(&plan, 1)).await.unwrap_err();
        assert!(refusal.message.contains("replaced its partition meanwhile, load again"), "{refusal}");
        home.load("t", Some("p"), 1).await;
        let after = home.catalog.table("d", "t").await.unwrap();
        assert_eq!(after.partitions[0].visible_version, Version(8), "loads go on from the restored version");
    }
}

#[tokio::test]
async fn a_load_into_a_partition_that_a_restore_drops_meanwhile_is_refused() {
    let home = Home::with_database().await;
    home.create(table("t"), &[partition("p", 0, 10), partition("q", 10, 20)]).await.unwrap();
    let mut request = into_existing(&home.catalog.cut("d").await.unwrap(), true);
    let other = request.tables[0].partitions.pop().unwrap();
    assert_eq!(other.def.name, "q");
    request.tables[0].drop_partitions.extend(other.existing);
    let (job, load) = (JobUuid::random(), JobUuid::random());
    home.catalog.prepare(job, EPOCH, &request).await.unwrap();
    let plan = home.catalog.begin_load(load, "d", "t", Some("q")).await.unwrap();
    home.catalog.publish(job, EPOCH).await.unwrap();
    let refusal = home.catalog.commit_load(load, &super::common::everywhere(&plan, 1)).await.unwrap_err();
    assert!(refusal.message.contains("dropped meanwhile"), "{refusal}");
}

#[tokio::test]
async fn a_new_table_in_a_restore_takes_no_load_even_if_allowed() {
    let home = Home::with_database().await;
    home.create(table("t"), &[partition("p", 0, 10)]).await.unwrap();
    let mut request = into_existing(&home.catalog.cut("d").await.unwrap(), true);
    request.tables[0].existing = None;
    request.tables[0].def = table("new");
    request.tables[0].partitions[0].existing = None;
    home.catalog.prepare(JobUuid::random(), EPOCH, &request).await.unwrap();
    let refusal = home.catalog.begin_load(JobUuid::random(), "d", "new", Some("p")).await.unwrap_err();
    assert_eq!(refusal.message, "Table new's state is not NORMAL: RESTORE");
}
