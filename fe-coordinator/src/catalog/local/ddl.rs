//! Databases, tables and partitions as their users make and drop them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{TableId, Version};
use tabvault_common::request::CreateTableRequest;
use tabvault_common::schema::{IndexDef, PartitionDef, Partitioning, TableDef, ViewDef};

use super::model::{Database, Partition, Table};
use super::records::Records;
use super::sets::{self, Purpose};
use super::{LocalCatalog, Memory, Result, find, keys, labels, locked, make, validate, views};
use crate::catalog::{BackendRoom, TableState};

impl LocalCatalog {
    /// CREATE DATABASE.
    ///
    /// # Errors
    /// `AlreadyExists` unless `if_not_exists`; `InvalidArgument` for a name that cannot be one.
    pub async fn create_database(&self, name: &str, if_not_exists: bool) -> Result<()> {
        let name = name.to_owned();
        self.change(move |records| create_database(records, &name, if_not_exists)).await
    }

    /// DROP DATABASE, with all its tables and views.
    ///
    /// # Errors
    /// `NotFound` "Unknown database 'd'"; `FailedPrecondition` while a restore writes to it; `Busy` while something is
    /// loaded into it.
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        let (name, memory) = (name.to_owned(), Arc::clone(&self.memory));
        self.change(move |records| drop_database(records, &memory, &name)).await
    }

    /// CREATE TABLE. Its partitions show [`Version::INITIAL`]; the tablets wait to be made by the agents of the
    /// chosen backends ([`LocalCatalog::unmade_tablets`]). Fingerprints of indexes that are zero are computed; no
    /// index at all means the base index.
    ///
    /// # Errors
    /// `NotFound` for the database; `AlreadyExists` unless `if_not_exists`; `InvalidArgument` with what is wrong in the
    /// definition; `ResourceExhausted` "failed to find N different hosts to create table …".
    pub async fn create_table(&self, request: &CreateTableRequest, backends: &[BackendRoom]) -> Result<()> {
        let (request, backends, now) = (request.clone(), backends.to_vec(), self.now());
        self.change(move |records| create_table(records, request, &backends, now)).await
    }

    /// DROP TABLE.
    ///
    /// # Errors
    /// `NotFound`; `FailedPrecondition` "Table T's state is not NORMAL: RESTORE"; `Busy` while something is loaded into
    /// it.
    pub async fn drop_table(&self, database: &str, table: &str) -> Result<()> {
        let (database, table, memory) = (database.to_owned(), table.to_owned(), Arc::clone(&self.memory));
        self.change(move |records| {
            let (database, table) = find::changeable(records, &database, &table)?;
            refuse_while_loading(&memory, "drop", &table, &find::partitions(records, &table)?)?;
            make::drop_table(records, &database, &table)
        })
        .await
    }

    /// ALTER TABLE … ADD PARTITION.
    ///
    /// # Errors
    /// As [`LocalCatalog::create_table`]; `FailedPrecondition` for a table that is not NORMAL.
    pub async fn add_partition(
        &self,
        database: &str,
        table: &str,
        partition: &PartitionDef,
        backends: &[BackendRoom],
    ) -> Result<()> {
        let (database, table) = (database.to_owned(), table.to_owned());
        let (partition, backends, now) = (partition.clone(), backends.to_vec(), self.now());
        self.change(move |records| {
            let (_, table) = find::changeable(records, &database, &table)?;
            add_partitions(records, &table, vec![partition], &backends, now)
        })
        .await
    }

    /// ALTER TABLE … DROP PARTITION.
    ///
    /// # Errors
    /// `NotFound` "Unknown partition p in table t"; `FailedPrecondition` for a table that is not NORMAL or not
    /// partitioned; `Busy` while something is loaded into it.
    pub async fn drop_partition(&self, database: &str, table: &str, partition: &str) -> Result<()> {
        let (database, table, partition) = (database.to_owned(), table.to_owned(), partition.to_owned());
        let memory = Arc::clone(&self.memory);
        self.change(move |records| {
            let (_, table) = find::changeable(records, &database, &table)?;
            let found = find::named_partition(records, &table, &partition)?;
            if table.def.partitioning == Partitioning::None {
                let name = &table.def.name;
                let message = format!("Table {name} is not partitioned: its one partition goes with DROP TABLE");
                return Err(Failure::fatal(Kind::FailedPrecondition, message));
            }
            refuse_while_loading(&memory, "drop a partition of", &table, std::slice::from_ref(&found))?;
            make::drop_partition(records, table.id, &found)
        })
        .await
    }

    /// ALTER TABLE … ADD ROLLUP, all or none. The table must be empty: files are not understood here, so that a rollup of
    /// them cannot be computed; loads into it fill all its indexes. Its partitions get new tablets, which wait to be
    /// made. Fingerprints are computed.
    ///
    /// # Errors
    /// `NotFound`; `InvalidArgument` with what is wrong in a rollup; `FailedPrecondition` for a table that is not NORMAL
    /// or has data; `Busy` while something is loaded into it; `ResourceExhausted` for too few hosts.
    pub async fn add_rollups(
        &self,
        database: &str,
        table: &str,
        rollups: &[IndexDef],
        backends: &[BackendRoom],
    ) -> Result<()> {
        let (database, table) = (database.to_owned(), table.to_owned());
        let (rollups, backends) = (rollups.to_vec(), backends.to_vec());
        let memory = Arc::clone(&self.memory);
        self.change(move |records| {
            let (database, table) = find::changeable(records, &database, &table)?;
            refuse_while_loading(&memory, "add a rollup to", &table, &find::partitions(records, &table)?)?;
            add_rollups(records, &database, table, rollups, &backends)
        })
        .await
    }

    /// ALTER TABLE … SET. `default.replication_num` is the number of replicas of partitions that do not say otherwise;
    /// all others are kept as they are given.
    ///
    /// # Errors
    /// `NotFound`; `FailedPrecondition` for a table that is not NORMAL; `InvalidArgument` for a number that is none.
    pub async fn set_table_properties(
        &self,
        database: &str,
        table: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<()> {
        let (database, table, properties) = (database.to_owned(), table.to_owned(), properties.clone());
        self.change(move |records| {
            let (database, mut table) = find::changeable(records, &database, &table)?;
            set_properties(&mut table.def, properties)?;
            records.put(keys::table(database.id, &table.def.name), &table)
        })
        .await
    }
}

/// Makes a database.
pub(super) fn create_database(records: &mut Records, name: &str, if_not_exists: bool) -> Result<()> {
    if records.get::<Database>(&keys::database(name))?.is_some() {
        if if_not_exists {
            return Ok(());
        }
        return Err(Failure::fatal(Kind::AlreadyExists, format!("Database {name} already exist")));
    }
    validate::name("database", name)?;
    let database = Database { id: records.new_id()?, restores: Vec::new() };
    records.put(keys::database(name), &database)
}

/// Refuses to do what is `doing` while agents bring files into partitions: into tablets that were dropped they would bring
/// them all the same, and nobody would know of those.
fn refuse_while_loading(memory: &Mutex<Memory>, doing: &str, table: &Table, partitions: &[Partition]) -> Result<()> {
    let loads = &locked(memory).loads;
    let Some(partition) = partitions.iter().find(|partition| loads.is_running(partition.id)) else { return Ok(()) };
    let (name, partition) = (&table.def.name, &partition.def.name);
    let message = format!("{doing} table {name}: a load into partition {partition} is running, wait for its end");
    Err(Failure::transient(Kind::Busy, message))
}

fn drop_database(records: &mut Records, memory: &Mutex<Memory>, name: &str) -> Result<()> {
    let database = find::database(records, name)?;
    let tables = records.list::<Table>(&keys::tables(database.id))?;
    for (_, table) in &tables {
        find::refuse_unless_normal(table)?;
        refuse_while_loading(memory, "drop", table, &find::partitions(records, table)?)?;
    }
    if let Some(job) = database.restores.first() {
        let message = format!("drop database {name}: restore {job} writes to it, cancel it or wait for its end");
        return Err(Failure::fatal(Kind::FailedPrecondition, message));
    }
    for (_, table) in &tables {
        make::drop_table(records, &database, table)?;
    }
    labels::forget(records, database.id)?;
    for (number, _) in records.list::<ViewDef>(&keys::views(database.id))? {
        records.delete(format!("{}{number}", keys::views(database.id)));
    }
    records.delete(keys::database(name));
    Ok(())
}

/// Makes a table with its first partitions.
pub(super) fn create_table(
    records: &mut Records,
    request: CreateTableRequest,
    backends: &[BackendRoom],
    now: Time,
) -> Result<()> {
    let database = find::database(records, &request.database)?;
    let mut def = request.table;
    let key = keys::table(database.id, &def.name);
    if records.get::<Table>(&key)?.is_some() {
        if request.if_not_exists {
            return Ok(());
        }
        return Err(Failure::fatal(Kind::AlreadyExists, format!("Table {} already exist", def.name)));
    }
    views::refuse_taken(records, &database, &def.name)?;
    validate::table(&mut def)?;
    if def.partitioning == Partitioning::None && request.partitions.len() != 1 {
        let message = format!(
            "Table {} is not partitioned and has {} partitions, exactly one is right",
            def.name,
            request.partitions.len()
        );
        return Err(Failure::fatal(Kind::InvalidArgument, message));
    }
    let table = Table { id: TableId(records.new_id()?), def, state: TableState::Normal, restore: None };
    records.put(key, &table)?;
    add_partitions(records, &table, request.partitions, backends, now)
}

/// Makes empty partitions of a table.
pub(super) fn add_partitions(
    records: &mut Records,
    table: &Table,
    new: Vec<PartitionDef>,
    backends: &[BackendRoom],
    now: Time,
) -> Result<()> {
    let present: Vec<PartitionDef> =
        find::partitions(records, table)?.into_iter().map(|partition| partition.def).collect();
    validate::partitions(&table.def, &present, &new)?;
    for partition in new {
        let set = sets::make(records, &table.def, &partition, backends, &Purpose::Empty)?;
        make::add_partition(records, table.id, partition, &set, Version::INITIAL, now)?;
    }
    Ok(())
}

fn add_rollups(
    records: &mut Records,
    database: &Database,
    mut table: Table,
    rollups: Vec<IndexDef>,
    backends: &[BackendRoom],
) -> Result<()> {
    let partitions = find::partitions(records, &table)?;
    if let Some(loaded) = partitions.iter().find(|partition| partition.version > Version::INITIAL) {
        let (name, loaded) = (&table.def.name, &loaded.def.name);
        let message = format!(
            "Table {name} has data in partition {loaded}: a rollup can be added to an empty table only, since files are not \
             understood here; make another table with CREATE TABLE … ROLLUP and load into it"
        );
        return Err(Failure::fatal(Kind::FailedPrecondition, message));
    }
    table.def.indexes.extend(rollups);
    validate::table(&mut table.def)?;
    let defs: Vec<PartitionDef> = partitions.iter().map(|partition| partition.def.clone()).collect();
    validate::partitions(&table.def, &[], &defs)?;
    for partition in partitions {
        // Made anew as a whole: numbers of tablets are in the order of their sets.
        let set = sets::make(records, &table.def, &partition.def, backends, &Purpose::Empty)?;
        sets::drop(records, partition.set)?;
        let changed = Partition { set: set.number, tablets: set.tablets, ..partition };
        records.put(keys::partition(table.id, changed.id), &changed)?;
    }
    records.put(keys::table(database.id, &table.def.name), &table)
}

fn set_properties(def: &mut TableDef, properties: BTreeMap<String, String>) -> Result<()> {
    for (name, value) in properties {
        match name.as_str() {
            "default.replication_num" => {
                let number = value.parse().ok().filter(|number| *number > 0);
                def.replication_num = number.ok_or_else(|| {
                    let message = format!("Invalid property '{name}': {value}, a number of at least 1 is right");
                    Failure::fatal(Kind::InvalidArgument, message)
                })?;
            }
            "replication_num" => {
                let message = format!(
                    "The replication_num of partitions that exist cannot be changed: set default.replication_num of \
                     table {} for those to come",
                    def.name
                );
                return Err(Failure::fatal(Kind::Unsupported, message));
            }
            _ => {
                def.properties.insert(name, value);
            }
        }
    }
    Ok(())
}
