//! The frontend, and what a backup asks of it.
//!
//! # Crash consistency
//! A change is made to a copy of [`Tables`]; the copy is written to the file, whole and durably, and then takes the
//! place of what is in memory. So every change happens at once or not at all, whatever it consists of.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tabvault_common::clock::{Clock, Time};
use tabvault_common::durable;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, Epoch, JobUuid, PartitionId, ReplicaId, TableId, TabletId, Version};
use tabvault_common::schema::{PartitionDef, TableDef};
use tabvault_common::view::{PartitionView, TableView, TabletView};
use tabvault_fe_coordinator::catalog::{
    BackendRoom, Catalog, Cut, CutPartition, CutTable, Decision, PrepareRequest, PreparedTablet, Result, TabletInfo,
    ranges,
};
use tokio::sync::Mutex;

use super::restore;
use super::tables::{Partition, Tables};

/// A frontend with its tables.
#[derive(Debug)]
pub(crate) struct Frontend {
    file: PathBuf,
    clock: Arc<dyn Clock>,
    tables: Mutex<Tables>,
}

impl Frontend {
    /// The frontend whose tables are in `file`, which need not be there yet.
    pub(crate) fn open(file: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let tables = match std::fs::read(file) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| Failure::fatal(Kind::Corrupt, format!("read {}: {error}", file.display())))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Tables::default(),
            Err(error) => return Err(Failure::io(format_args!("read {}", file.display()), &error)),
        };
        durable::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
        Ok(Self { file: file.to_owned(), clock, tables: Mutex::new(tables) })
    }

    // The file is small: a frontend with many tables would write a log, and not on the runtime's threads.
    async fn change<T: Send>(&self, change: impl FnOnce(&mut Tables, Time) -> Result<T> + Send) -> Result<T> {
        let mut tables = self.tables.lock().await;
        let mut next = tables.clone();
        let answer = change(&mut next, self.clock.now())?;
        let text = serde_json::to_vec(&next)
            .map_err(|error| Failure::fatal(Kind::Internal, format!("spell the tables: {error}")))?;
        durable::write_file(&self.file, &text)?;
        *tables = next;
        Ok(answer)
    }

    /// The frontend's own CREATE DATABASE.
    pub(crate) async fn create_database(&self, name: &str) -> Result<()> {
        self.change(|tables, _| {
            tables.databases.entry(name.to_owned()).or_default();
            Ok(())
        })
        .await
    }

    /// The frontend's own CREATE TABLE. Its backends make the tablets when they first hear of them.
    pub(crate) async fn create_table(
        &self,
        database: &str,
        table: &TableDef,
        partitions: &[PartitionDef],
        backends: &[BackendRoom],
    ) -> Result<TableId> {
        self.change(|tables, now| tables.create_table(database, table, partitions, backends, now)).await
    }

    /// The frontend's own DROP TABLE.
    pub(crate) async fn drop_table(&self, database: &str, table: &str) -> Result<()> {
        self.change(|tables, _| {
            tables.table(database, table)?.refuse_unless_normal()?;
            tables.drop_table(database, table);
            Ok(())
        })
        .await
    }

    /// The frontend's own end of a load: all replicas of a partition have `version`, so readers see it from now on.
    pub(crate) async fn show_version(&self, partition: PartitionId, version: Version) -> Result<()> {
        self.change(|tables, now| {
            let part = tables.partition_mut(partition).ok_or_else(|| dropped(partition))?;
            (part.version, part.since) = (version, now);
            for replica in part.tablets.iter_mut().flat_map(|tablet| &mut tablet.replicas) {
                replica.version = version;
            }
            Ok(())
        })
        .await
    }
}

fn dropped(partition: PartitionId) -> Failure {
    Failure::fatal(Kind::NotFound, format!("partition {partition} was dropped"))
}

#[async_trait]
impl Catalog for Frontend {
    async fn databases(&self) -> Result<Vec<String>> {
        Ok(self.tables.lock().await.databases.keys().cloned().collect())
    }

    async fn cut(&self, name: &str) -> Result<Cut> {
        let tables = self.tables.lock().await;
        let database = tables.database(name)?;
        let table = |table: &super::tables::Table| CutTable {
            id: table.id,
            def: table.def.clone(),
            state: table.state,
            partitions: table.partitions.iter().map(Partition::cut).collect(),
        };
        let cut = database.tables.values().map(table).collect();
        Ok(Cut { database: name.to_owned(), tables: cut, views: database.views.clone() })
    }

    async fn check_name(&self, what: &str, name: &str) -> Result<()> {
        if !name.trim().is_empty() {
            return Ok(());
        }
        Err(Failure::fatal(
            Kind::InvalidArgument,
            format!("Incorrect {what} name '{name}': at least one sign is right"),
        ))
    }

    async fn tablets(&self, partition: PartitionId) -> Result<Vec<TabletInfo>> {
        let tables = self.tables.lock().await;
        let found = tables.partitions().find(|found| found.id == partition);
        found.map(|found| found.tablets.clone()).ok_or_else(|| dropped(partition))
    }

    async fn partition(&self, partition: PartitionId) -> Result<Option<CutPartition>> {
        Ok(self.tables.lock().await.partitions().find(|found| found.id == partition).map(Partition::cut))
    }

    async fn prepare(&self, job: JobUuid, epoch: Epoch, request: &PrepareRequest) -> Result<()> {
        self.change(|tables, _| restore::prepare(tables, job, epoch, request)).await
    }

    async fn prepared(&self, job: JobUuid, table: u32, partition: u32) -> Result<Vec<PreparedTablet>> {
        restore::prepared(&*self.tables.lock().await, job, table, partition)
    }

    async fn publish(&self, job: JobUuid, epoch: Epoch) -> Result<Decision> {
        self.change(|tables, now| restore::publish(tables, job, epoch, now)).await
    }

    async fn discard(&self, job: JobUuid, epoch: Epoch) -> Result<Decision> {
        self.change(|tables, _| restore::discard(tables, job, epoch)).await
    }

    async fn garbage(&self, backend: BackendId, limit: usize) -> Result<Vec<TabletId>> {
        let tables = self.tables.lock().await;
        Ok(tables.garbage.get(&backend).into_iter().flatten().take(limit).copied().collect())
    }

    async fn collected(&self, backend: BackendId, collected: &[TabletId]) -> Result<()> {
        self.change(|tables, _| {
            if let Some(garbage) = tables.garbage.get_mut(&backend) {
                garbage.retain(|tablet| !collected.contains(tablet));
            }
            Ok(())
        })
        .await
    }

    async fn show_tables(&self, database: &str) -> Result<Vec<TableView>> {
        let tables = self.tables.lock().await;
        let view = |table: &super::tables::Table| {
            let sums = table.partitions.iter().map(Partition::sums);
            let (data_size, file_count) = sums.fold((0, 0), |(a, b), (bytes, files)| (a + bytes, b + files));
            TableView {
                name: table.def.name.clone(),
                state: table.state.as_str().to_owned(),
                partitions: table.partitions.len() as u64,
                tablets: table.partitions.iter().map(|part| part.tablets.len() as u64).sum(),
                data_size,
                file_count,
            }
        };
        Ok(tables.database(database)?.tables.values().map(view).collect())
    }

    async fn show_partitions(&self, database: &str, table: &str) -> Result<Vec<PartitionView>> {
        let tables = self.tables.lock().await;
        let table = tables.table(database, table)?;
        let view = |part: &Partition| {
            let (data_size, file_count) = part.sums();
            PartitionView {
                id: part.id,
                name: part.def.name.clone(),
                visible_version: part.version,
                visible_version_time: part.since,
                state: table.state.as_str().to_owned(),
                partition_key: table.def.partition_columns().join(", "),
                range: ranges::text(&part.def.range),
                distribution_key: table.def.distribution.join(", "),
                buckets: part.def.buckets,
                tablet_count: part.tablets.len() as u64,
                replication_num: part.def.replication_num,
                data_size,
                file_count,
            }
        };
        Ok(table.partitions.iter().map(view).collect())
    }

    async fn show_tablets(
        &self,
        database: &str,
        table: &str,
        partition: Option<&str>,
        after: Option<(TabletId, ReplicaId)>,
        limit: usize,
    ) -> Result<Vec<TabletView>> {
        let tables = self.tables.lock().await;
        let table = tables.table(database, table)?;
        let chosen = |part: &&Partition| partition.is_none_or(|name| part.def.name == name);
        let mut parts = table.partitions.iter().filter(chosen).peekable();
        if let (Some(name), None) = (partition, parts.peek()) {
            let message = format!("Unknown partition {name} in table {}", table.def.name);
            return Err(Failure::fatal(Kind::NotFound, message));
        }
        let mut views = Vec::new();
        for tablet in parts.flat_map(|part| &part.tablets) {
            views.extend(tablet.replicas.iter().map(|replica| TabletView {
                tablet: tablet.tablet,
                replica: replica.replica,
                backend: replica.backend,
                schema_hash: tablet.schema_hash,
                version: replica.version,
                version_count: 1,
                data_size: replica.data_size,
                file_count: replica.file_count,
                state: table.state.as_str().to_owned(),
            }));
        }
        views.retain(|view| after.is_none_or(|after| (view.tablet, view.replica) > after));
        views.sort_by_key(|view| (view.tablet, view.replica));
        views.truncate(limit);
        Ok(views)
    }
}
