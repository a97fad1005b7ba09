//! CREATE, ALTER and DROP TABLE, and SHOW CREATE TABLE: from a statement to a definition and back.

use std::collections::BTreeMap;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::SchemaHash;
use tabvault_common::request::CreateTableRequest;
use tabvault_common::schema::{
    Column, IndexDef, KeyType, PartitionDef, PartitionRange, PartitionValue, Partitioning, TableDef,
};

use super::databases::forgiven;
use super::{done, noted, table, text};
use crate::catalog::CutTable;
use crate::catalog::ranges::Span;
use crate::sql::answer::Answer;
use crate::sql::error::SqlError;
use crate::sql::session::Session;
use crate::sql::statement::{
    AlterTable, CreateTable, Distribution, KeyClause, ObjectName, PartitionClause, PartitionValues, Rollup, Statement,
    TableChange,
};

/// Buckets where none are said, as in Doris.
const DEFAULT_BUCKETS: u32 = 10;
/// Replicas where none are said.
const DEFAULT_REPLICAS: u32 = 3;
const REPLICATION_NUM: &str = "replication_num";

impl Session {
    pub(super) async fn create_table(&self, create: &CreateTable) -> Result<Answer, SqlError> {
        self.admin().await?;
        let database = self.meant(create.table.database.as_deref())?;
        let request = create_request(create, database)?;
        match self.coordinator.create_table(&request).await {
            Ok(()) => Ok(done()),
            Err(failure) => Err(self.unknown(failure, database, &[]).await),
        }
    }

    pub(super) async fn drop_table(&self, name: &ObjectName, if_exists: bool) -> Result<Answer, SqlError> {
        self.admin().await?;
        let database = self.meant(name.database.as_deref())?;
        match self.coordinator.local()?.drop_table(database, &name.name).await {
            Ok(()) => Ok(done()),
            Err(failure) => {
                let error = self.unknown(failure, database, &[&name.name]).await;
                forgiven(error, if_exists)
            }
        }
    }

    pub(super) async fn alter_table(&self, alter: &AlterTable) -> Result<Answer, SqlError> {
        self.admin().await?;
        let database = self.meant(alter.table.database.as_deref())?;
        let name = alter.table.name.as_str();
        let local = self.coordinator.local()?;
        let before = match local.table(database, name).await {
            Ok(before) => before,
            Err(failure) => return Err(self.unknown(failure, database, &[name]).await),
        };
        let has = |partition: &str| before.partitions.iter().any(|p| p.def.name == partition);
        match &alter.change {
            TableChange::Set(properties) => local.set_table_properties(database, name, properties).await?,
            TableChange::AddPartition { partition, .. } if partition.if_not_exists && has(&partition.name) => {
                return Ok(noted(vec![format!("Partition {} of table {name} already exist", partition.name)]));
            }
            TableChange::AddPartition { partition, distribution } => {
                let new = new_partition(&before, partition, distribution.as_ref())?;
                self.coordinator.add_partition(database, name, new).await?;
            }
            TableChange::DropPartition { name: partition, if_exists } => {
                if *if_exists && !has(partition) {
                    return Ok(noted(vec![format!("Unknown partition {partition} in table {name}")]));
                }
                local.drop_partition(database, name, partition).await?;
            }
            TableChange::AddRollups(rollups) => {
                let rollups: Vec<IndexDef> = rollups.iter().map(new_index).collect();
                self.coordinator.add_rollups(database, name, &rollups).await?;
            }
        }
        Ok(done())
    }

    pub(super) async fn show_create_table(&self, name: &ObjectName) -> Result<Answer, SqlError> {
        let cut = self.look(name.database.as_deref()).await?;
        let Some(found) = cut.tables.iter().find(|table| table.def.name == name.name) else {
            // A view's is shown as well, as MySQL does.
            return match cut.views.iter().any(|view| view.name == name.name) {
                true => self.show_create_view(name).await,
                false => Err(SqlError::unknown_table(&name.name)),
            };
        };
        let statement = Statement::CreateTable(create_statement(found));
        Ok(table(&["Table", "Create Table"], vec![vec![text(&name.name), text(statement.to_lines())]]))
    }
}

/// What CREATE TABLE asks of the catalog.
pub(super) fn create_request(create: &CreateTable, database: &str) -> Result<CreateTableRequest, Failure> {
    let name = create.table.name.clone();
    let mut properties = create.properties.clone();
    let replication_num = replicas(&mut properties)?.unwrap_or(DEFAULT_REPLICAS);
    let buckets = create.distribution.buckets.unwrap_or(DEFAULT_BUCKETS);
    let (key_type, keys) = keys(create);
    let indexes = if create.rollups.is_empty() { Vec::new() } else { indexes(&name, create) };
    let table = TableDef {
        name: name.clone(),
        columns: create.columns.clone(),
        key_type,
        keys,
        partitioning: create.partitioning.clone(),
        distribution: create.distribution.columns.clone(),
        buckets,
        replication_num,
        indexes,
        properties,
        comment: create.comment.clone(),
    };
    let mut partitions = Vec::with_capacity(create.partitions.len().max(1));
    let width = table.partition_columns().len();
    let mut before = vec![PartitionValue::Min; width];
    for clause in &create.partitions {
        let range = range(&clause.values, &before, width);
        if let PartitionRange::Range { upper, .. } = &range {
            before.clone_from(upper);
        }
        partitions.push(partition(&table, clause, range, buckets)?);
    }
    if table.partitioning == Partitioning::None && partitions.is_empty() {
        partitions.push(PartitionDef { name, range: PartitionRange::Whole, buckets, replication_num });
    }
    let if_not_exists = create.if_not_exists;
    Ok(CreateTableRequest { database: database.to_owned(), table, partitions, if_not_exists })
}

/// Where no key is said, aggregated columns make the others before them keys; else all rows are kept.
fn keys(create: &CreateTable) -> (KeyType, Vec<String>) {
    if let Some(key) = &create.key {
        return (key.key_type, key.columns.clone());
    }
    if create.columns.iter().all(|column| column.aggregation.is_none()) {
        return (KeyType::Duplicate, Vec::new());
    }
    let plain = |column: &&Column| column.aggregation.is_none();
    (KeyType::Aggregate, create.columns.iter().take_while(plain).map(|column| column.name.clone()).collect())
}

/// The base index and the rollups; the catalog computes their fingerprints.
fn indexes(name: &str, create: &CreateTable) -> Vec<IndexDef> {
    let columns = create.columns.iter().map(|column| column.name.clone()).collect();
    let base = IndexDef { name: name.to_owned(), columns, schema_hash: SchemaHash::default() };
    std::iter::once(base).chain(create.rollups.iter().map(new_index)).collect()
}

/// The catalog computes its fingerprint.
fn new_index(rollup: &Rollup) -> IndexDef {
    let (name, columns) = (rollup.name.clone(), rollup.columns.clone());
    IndexDef { name, columns, schema_hash: SchemaHash::default() }
}

/// What belongs into a partition; `before` is where the one before it ends.
fn range(values: &PartitionValues, before: &[PartitionValue], width: usize) -> PartitionRange {
    match values {
        PartitionValues::LessThan(upper) => {
            // MAXVALUE alone is beyond every key, whatever the number of columns.
            let upper = if *upper == [PartitionValue::Max] { vec![PartitionValue::Max; width] } else { upper.clone() };
            PartitionRange::Range { lower: before.to_vec(), upper }
        }
        PartitionValues::Range { lower, upper } => PartitionRange::Range { lower: lower.clone(), upper: upper.clone() },
        PartitionValues::In(keys) => PartitionRange::List(keys.clone()),
    }
}

fn partition(
    table: &TableDef,
    clause: &PartitionClause,
    range: PartitionRange,
    buckets: u32,
) -> Result<PartitionDef, Failure> {
    let mut properties = clause.properties.clone();
    let replication_num = replicas(&mut properties)?.unwrap_or(table.replication_num);
    if !properties.is_empty() {
        let unknown: Vec<&str> = properties.keys().map(String::as_str).collect();
        let (name, unknown) = (&clause.name, unknown.join(", "));
        return Err(invalid(format!("Unknown properties of partition {name}: [{unknown}]; replication_num exists")));
    }
    Ok(PartitionDef { name: clause.name.clone(), range, buckets, replication_num })
}

/// What ADD PARTITION asks of the catalog.
fn new_partition(
    table: &CutTable,
    clause: &PartitionClause,
    distribution: Option<&Distribution>,
) -> Result<PartitionDef, Failure> {
    let def = &table.def;
    if let Some(distribution) = distribution {
        let same = distribution.columns.len() == def.distribution.len()
            && distribution.columns.iter().zip(&def.distribution).all(|(a, b)| a.eq_ignore_ascii_case(b));
        if !same {
            let (name, by) = (&def.name, def.distribution.join(", "));
            return Err(invalid(format!("Table {name} is distributed by {by}: a partition cannot be otherwise")));
        }
    }
    let buckets = distribution.and_then(|distribution| distribution.buckets).unwrap_or(def.buckets);
    let width = def.partition_columns().len();
    let least = vec![PartitionValue::Min; width];
    let mut new = range(&clause.values, &least, width);
    if let (PartitionValues::LessThan(_), PartitionRange::Range { lower, upper }) = (&clause.values, &mut new) {
        // From the end of the last partition that ends below.
        let ends = table.partitions.iter().rev().filter_map(|partition| match &partition.def.range {
            PartitionRange::Range { upper, .. } => Some(upper.clone()),
            PartitionRange::Whole | PartitionRange::List(_) => None,
        });
        for end in ends {
            let between = PartitionRange::Range { lower: end.clone(), upper: upper.clone() };
            if Span::of(def, &clause.name, &between).is_ok() {
                *lower = end;
                break;
            }
        }
    }
    partition(def, clause, new, buckets)
}

/// Takes `replication_num` out of properties.
fn replicas(properties: &mut BTreeMap<String, String>) -> Result<Option<u32>, Failure> {
    let Some(value) = properties.remove(REPLICATION_NUM) else { return Ok(None) };
    match value.trim().parse() {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => Err(invalid(format!("Invalid property '{REPLICATION_NUM}': {value}; write a number that is at least 1"))),
    }
}

/// The statement that makes a table like this one.
pub(super) fn create_statement(found: &CutTable) -> CreateTable {
    let def = &found.def;
    let mut properties = def.properties.clone();
    properties.insert(REPLICATION_NUM.to_owned(), def.replication_num.to_string());
    let clause = |partition: &PartitionDef| {
        let values = match &partition.range {
            PartitionRange::Whole => return None,
            PartitionRange::Range { lower, upper } => {
                PartitionValues::Range { lower: lower.clone(), upper: upper.clone() }
            }
            PartitionRange::List(keys) => PartitionValues::In(keys.clone()),
        };
        let mut properties = BTreeMap::new();
        if partition.replication_num != def.replication_num {
            properties.insert(REPLICATION_NUM.to_owned(), partition.replication_num.to_string());
        }
        Some(PartitionClause { name: partition.name.clone(), if_not_exists: false, values, properties })
    };
    let key = KeyClause { key_type: def.key_type, columns: def.keys.clone() };
    CreateTable {
        table: ObjectName { database: None, name: def.name.clone() },
        if_not_exists: false,
        columns: def.columns.clone(),
        key: (!def.keys.is_empty()).then_some(key),
        partitioning: def.partitioning.clone(),
        partitions: found.partitions.iter().filter_map(|partition| clause(&partition.def)).collect(),
        distribution: Distribution { columns: def.distribution.clone(), buckets: Some(def.buckets) },
        rollups: def.indexes.iter().skip(1).map(rollup).collect(),
        properties,
        comment: def.comment.clone(),
    }
}

fn rollup(index: &IndexDef) -> Rollup {
    Rollup { name: index.name.clone(), columns: index.columns.clone() }
}

fn invalid(message: String) -> Failure {
    Failure::fatal(Kind::InvalidArgument, message)
}
