//! What `load` makes where it is told a name that is new.

use std::collections::BTreeMap;

use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{PartitionId, TableId, Version};
use tabvault_common::request::{CreateTableRequest, LoadRequest};
use tabvault_common::schema::{
    Column, KeyType, PartitionDef, PartitionRange, PartitionValue, Partitioning, TableDef, ViewDef,
};

use super::model::{Database, Partition, Table};
use super::records::Records;
use super::{LocalCatalog, Result, ddl, find, keys, load, locked, make, place};
use crate::catalog::{BackendRoom, TableState};

/// Buckets of what a load makes and nobody gave a number for.
const DEFAULT_BUCKETS: u32 = 4;
/// Replicas of what a load makes and nobody gave a number for, where there are as many hosts.
const DEFAULT_REPLICATION_NUM: u32 = 3;

impl LocalCatalog {
    /// Sees to it that what a load goes into is there. With [`LoadRequest::create`] the database, the table or the
    /// partition are made if they are new, with the buckets (default 4) and replicas (default 3, or as many as there
    /// are hosts if those are fewer) that the request gives:
    /// - without a partition `path VARCHAR(65533)`, `content STRING`, UNIQUE KEY(path), one partition named as the
    ///   table;
    /// - with a partition p `part VARCHAR(128)` before them, UNIQUE KEY(part, path), PARTITION BY LIST(part), p holds
    ///   the value "p".
    ///
    /// # Errors
    /// `NotFound` for what is not there and may not be made; `InvalidArgument` if a partition must be named and is not;
    /// `FailedPrecondition` for a new partition of a table that loads did not make or that is in a restore;
    /// `ResourceExhausted` for too few hosts.
    ///
    /// Answers with what it made, for [`LocalCatalog::undo_load_target`].
    pub async fn ensure_load_target(&self, request: &LoadRequest, backends: &[BackendRoom]) -> Result<MadeTarget> {
        let (request, backends, now) = (request.clone(), backends.to_vec(), self.now());
        self.change(move |records| {
            let before = look(records, &request)?;
            ensure(records, &request, &backends, now)?;
            let after = look(records, &request)?;
            Ok(MadeTarget {
                database: before.0.is_none(),
                table: after.1.filter(|_| before.1.is_none()),
                partition: after.2.filter(|_| before.2.is_none()),
            })
        })
        .await
    }

    /// Takes back what [`LocalCatalog::ensure_load_target`] made for a load that failed, as far as nobody has used it:
    /// what holds data by now, or is being loaded into, stays.
    ///
    /// # Errors
    /// Errors of the disk.
    pub async fn undo_load_target(&self, request: &LoadRequest, made: MadeTarget) -> Result<()> {
        let (request, memory) = (request.clone(), std::sync::Arc::clone(&self.memory));
        self.change(move |records| {
            let unused = |partition: &Partition| {
                partition.version == Version::INITIAL && !locked(&memory).loads.is_running(partition.id)
            };
            undo(records, &request, made, unused)
        })
        .await
    }
}

/// What a load had to make before it could begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MadeTarget {
    database: bool,
    table: Option<TableId>,
    partition: Option<PartitionId>,
}

/// The database, table and partition that a load goes into, as far as they are there.
fn look(records: &Records, request: &LoadRequest) -> Result<(Option<()>, Option<TableId>, Option<PartitionId>)> {
    let Some(database) = records.get::<Database>(&keys::database(&request.database))? else {
        return Ok((None, None, None));
    };
    let Some(table) = records.get::<Table>(&keys::table(database.id, &request.table))? else {
        return Ok((Some(()), None, None));
    };
    let partition = load::target(records, &table, request.partition.as_deref()).ok();
    Ok((Some(()), Some(table.id), partition.map(|partition| partition.id)))
}

fn undo(
    records: &mut Records,
    request: &LoadRequest,
    made: MadeTarget,
    unused: impl Fn(&Partition) -> bool,
) -> Result<()> {
    let Some(database) = records.get::<Database>(&keys::database(&request.database))? else { return Ok(()) };
    let table = records.get::<Table>(&keys::table(database.id, &request.table))?;
    if let Some(table) = table.filter(|table| table.state == TableState::Normal) {
        let partitions = find::partitions(records, &table)?;
        if made.table == Some(table.id) && partitions.iter().all(&unused) {
            make::drop_table(records, &database, &table)?;
        } else if let Some(partition) =
            partitions.iter().find(|partition| made.partition == Some(partition.id) && unused(partition))
        {
            make::drop_partition(records, table.id, partition)?;
        }
    }
    let empty = records.list::<Table>(&keys::tables(database.id))?.is_empty()
        && records.list::<ViewDef>(&keys::views(database.id))?.is_empty();
    if made.database && empty && database.restores.is_empty() {
        records.delete(keys::database(&request.database));
    }
    Ok(())
}

fn ensure(records: &mut Records, request: &LoadRequest, backends: &[BackendRoom], now: Time) -> Result<()> {
    if request.create {
        ddl::create_database(records, &request.database, true)?;
    }
    let database = find::database(records, &request.database)?;
    let Some(table) = records.get::<Table>(&keys::table(database.id, &request.table))? else {
        return create_table(records, request, backends, now);
    };
    let missing = match load::target(records, &table, request.partition.as_deref()) {
        Ok(_) => return Ok(()),
        Err(failure) => failure,
    };
    let (Some(partition), true, true) = (
        &request.partition,
        request.create && missing.kind == Kind::NotFound,
        table.def.partitioning != Partitioning::None,
    ) else {
        return Err(missing);
    };
    find::refuse_unless_normal(&table)?;
    if table.def.partitioning != Partitioning::List(vec!["part".to_owned()]) {
        let message = format!(
            "Unknown partition {partition} in table {}: a load makes partitions only of a table PARTITION BY LIST(part), \
             add it by ALTER TABLE",
            table.def.name
        );
        return Err(Failure::fatal(Kind::FailedPrecondition, message));
    }
    let def = list_partition(
        partition,
        request.buckets.unwrap_or(table.def.buckets),
        request.replication_num.unwrap_or(table.def.replication_num),
    );
    ddl::add_partitions(records, &table, vec![def], backends, now)
}

fn create_table(records: &mut Records, request: &LoadRequest, backends: &[BackendRoom], now: Time) -> Result<()> {
    if !request.create {
        return find::table(records, &request.database, &request.table).map(|_| ());
    }
    let hosts = u32::try_from(place::hosts(backends)).unwrap_or(u32::MAX);
    // With no host at all the refusal names the number that was wanted.
    let usual = if hosts == 0 { DEFAULT_REPLICATION_NUM } else { DEFAULT_REPLICATION_NUM.min(hosts) };
    let buckets = request.buckets.unwrap_or(DEFAULT_BUCKETS);
    let replication_num = request.replication_num.unwrap_or(usual);
    let mut columns = vec![column("path", "VARCHAR(65533)", false), column("content", "STRING", true)];
    let mut keys = vec!["path".to_owned()];
    let (partitioning, partition) = match &request.partition {
        None => {
            let name = request.table.clone();
            let whole = PartitionDef { name, range: PartitionRange::Whole, buckets, replication_num };
            (Partitioning::None, whole)
        }
        Some(name) => {
            columns.insert(0, column("part", "VARCHAR(128)", false));
            keys.insert(0, "part".to_owned());
            (Partitioning::List(vec!["part".to_owned()]), list_partition(name, buckets, replication_num))
        }
    };
    let table = TableDef {
        name: request.table.clone(),
        columns,
        key_type: KeyType::Unique,
        keys,
        partitioning,
        distribution: vec!["path".to_owned()],
        buckets,
        replication_num,
        indexes: Vec::new(),
        properties: BTreeMap::new(),
        comment: String::new(),
    };
    let create = CreateTableRequest {
        database: request.database.clone(),
        table,
        partitions: vec![partition],
        if_not_exists: false,
    };
    ddl::create_table(records, create, backends, now)
}

fn list_partition(name: &str, buckets: u32, replication_num: u32) -> PartitionDef {
    let range = PartitionRange::List(vec![vec![PartitionValue::Literal(name.to_owned())]]);
    PartitionDef { name: name.to_owned(), range, buckets, replication_num }
}

fn column(name: &str, data_type: &str, nullable: bool) -> Column {
    Column {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        nullable,
        default: None,
        aggregation: None,
        comment: String::new(),
    }
}
