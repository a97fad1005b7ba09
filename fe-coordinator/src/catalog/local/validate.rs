//! What a new table and its partitions must be like, checked before anything is changed.

use std::collections::BTreeSet;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::SchemaHash;
use tabvault_common::schema::{Column, IndexDef, KeyType, PartitionDef, Partitioning, TableDef, schema_hash};

use super::Result;
use crate::catalog::ranges::{self, Span};

/// Longest name of a database, table, partition or rollup, in characters.
pub(super) const MAX_NAME: usize = 64;
/// Longest name of a column, in characters.
const MAX_COLUMN_NAME: usize = 256;
/// Most buckets of a partition.
const MAX_BUCKETS: u32 = 65_536;
/// Most tablets that one statement makes.
const MAX_TABLETS: u64 = 262_144;

/// Refuses a name that is not made of letters, digits, `_` and `-`, starting with a letter or `_`. `what` says of what.
pub(super) fn name(what: &str, name: &str) -> Result<()> {
    let fits = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let starts = name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
    if starts && name.chars().all(fits) && name.chars().count() <= MAX_NAME {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    Err(refused(format!(
        "Incorrect {what} name '{shown}': up to {MAX_NAME} letters, digits, _ and - are right, a letter or _ first"
    )))
}

/// Checks the definition of a new table and fills in what may be left out: the base index and the fingerprints.
pub(super) fn table(def: &mut TableDef) -> Result<()> {
    name("table", &def.name)?;
    columns(def)?;
    keys(def)?;
    let known = |column: &String| def.column(column).is_some();
    let keyed = |column: &String| def.keys.iter().any(|key| key.eq_ignore_ascii_case(column));
    let all_rows = def.key_type == KeyType::Duplicate;
    let table = &def.name;
    if def.distribution.is_empty() {
        return Err(refused(format!("Table {table} needs DISTRIBUTED BY HASH with at least one column")));
    }
    for column in &def.distribution {
        if !known(column) {
            return Err(refused(format!("Distribution column {column} of table {table} does not exist")));
        }
        if !all_rows && !keyed(column) {
            return Err(refused(format!("Distribution column {column} of table {table} is not a key column")));
        }
    }
    for column in def.partition_columns() {
        let Some(found) = def.column(column) else {
            return Err(refused(format!("Partition column {column} of table {table} does not exist")));
        };
        if !all_rows && !keyed(column) {
            return Err(refused(format!("Partition column {column} of table {table} is not a key column")));
        }
        if ranges::values_of(&found.data_type).is_none() {
            let message = format!(
                "Partition column {column} of table {table} has type {}: an integer, a date or a text is right",
                found.data_type
            );
            return Err(refused(message));
        }
    }
    if def.partition_columns().is_empty() && def.partitioning != Partitioning::None {
        return Err(refused(format!("Table {table} is to be partitioned by no column, name at least one")));
    }
    replication_num(table, def.replication_num)?;
    buckets(table, def.buckets)?;
    indexes(def)
}

fn columns(def: &TableDef) -> Result<()> {
    let table = &def.name;
    if def.columns.is_empty() {
        return Err(refused(format!("Table {table} has no columns, give it at least one")));
    }
    let mut names = BTreeSet::new();
    for column in &def.columns {
        if column.name.is_empty() || column.name.chars().count() > MAX_COLUMN_NAME {
            let message = format!("Incorrect column name '{}' in table {table}", column.name);
            return Err(refused(format!("{message}: 1 to {MAX_COLUMN_NAME} characters are right")));
        }
        if !names.insert(column.name.to_lowercase()) {
            return Err(refused(format!("Duplicate column name '{}' in table {table}", column.name)));
        }
        if column.data_type.is_empty() {
            return Err(refused(format!("Column {} of table {table} has no type", column.name)));
        }
    }
    Ok(())
}

fn keys(def: &TableDef) -> Result<()> {
    let table = &def.name;
    if def.keys.is_empty() && def.key_type != KeyType::Duplicate {
        return Err(refused(format!("{} of table {table} names no column, name at least one", def.key_type)));
    }
    for (at, key) in def.keys.iter().enumerate() {
        if def.column(key).is_none() {
            return Err(refused(format!("Key column {key} of table {table} does not exist")));
        }
        match def.columns.get(at) {
            Some(column) if column.name.eq_ignore_ascii_case(key) => {}
            _ => {
                let message = format!("Key columns of table {table} must be its first columns in the same order");
                return Err(refused(format!("{message}: {key} is not column {}", at + 1)));
            }
        }
    }
    for (at, column) in def.columns.iter().enumerate() {
        let value = def.key_type == KeyType::Aggregate && at >= def.keys.len();
        match (&column.aggregation, value) {
            (None, true) => {
                return Err(refused(format!("Value column {} of table {table} needs an aggregation", column.name)));
            }
            (Some(aggregation), false) => {
                let message = format!("Column {} of table {table} cannot be aggregated by {aggregation}", column.name);
                return Err(refused(format!("{message}: only value columns of an AGGREGATE KEY table can")));
            }
            _ => {}
        }
    }
    Ok(())
}

fn indexes(def: &mut TableDef) -> Result<()> {
    if def.indexes.is_empty() {
        let columns = def.columns.iter().map(|column| column.name.clone()).collect();
        def.indexes.push(IndexDef { name: def.name.clone(), columns, schema_hash: SchemaHash::default() });
    }
    let table = def.name.clone();
    let mut names = BTreeSet::new();
    let mut hashes = Vec::with_capacity(def.indexes.len());
    for (at, index) in def.indexes.iter().enumerate() {
        if at == 0 && index.name != table {
            return Err(refused(format!(
                "The first index of table {table} is {}, the base index is right",
                index.name
            )));
        }
        if at > 0 {
            name("rollup", &index.name)?;
        }
        if !names.insert(index.name.as_str()) {
            return Err(refused(format!("Duplicate index name '{}' in table {table}", index.name)));
        }
        if index.columns.is_empty() || (at == 0 && index.columns.len() != def.columns.len()) {
            let right = if at == 0 { "all columns of the table" } else { "at least one column" };
            return Err(refused(format!("Index {} of table {table} must have {right}", index.name)));
        }
        let mut columns: Vec<&Column> = Vec::with_capacity(index.columns.len());
        for column in &index.columns {
            let found = def.column(column).ok_or_else(|| {
                refused(format!("Column {column} of index {} of table {table} does not exist", index.name))
            })?;
            columns.push(found);
        }
        hashes.push(schema_hash(&columns, def.key_type));
    }
    for (index, hash) in def.indexes.iter_mut().zip(hashes) {
        if index.schema_hash == SchemaHash::default() {
            index.schema_hash = hash;
        }
    }
    Ok(())
}

/// Checks partitions to be added to a table that has `present` ones.
pub(super) fn partitions(table: &TableDef, present: &[PartitionDef], new: &[PartitionDef]) -> Result<()> {
    let mut spans = Vec::with_capacity(present.len() + new.len());
    let mut names = BTreeSet::new();
    for partition in present.iter().chain(new) {
        if !names.insert(partition.name.as_str()) {
            let message = format!("Partition {} of table {} already exist", partition.name, table.name);
            return Err(Failure::fatal(Kind::AlreadyExists, message));
        }
        spans.push(Span::of(table, &partition.name, &partition.range)?);
    }
    let mut tablets = 0_u64;
    for partition in new {
        name("partition", &partition.name)?;
        let of = format!("{}, partition {}", table.name, partition.name);
        buckets(&of, partition.buckets)?;
        replication_num(&of, partition.replication_num)?;
        tablets += u64::from(partition.buckets) * table.indexes.len() as u64;
    }
    if tablets > MAX_TABLETS {
        let message =
            format!("Table {} would get {tablets} tablets at once, at most {MAX_TABLETS} can be made", table.name);
        return Err(Failure::fatal(Kind::ResourceExhausted, message));
    }
    if let Some((a, b)) = ranges::first_overlap(&spans) {
        let name_of = |at: usize| present.iter().chain(new).nth(at).map_or("", |partition| partition.name.as_str());
        let (one, other) = (name_of(a.max(b)), name_of(a.min(b)));
        let message = format!(
            "Partition {one} of table {} has conflict range with existing ranges: it overlaps partition {other}",
            table.name
        );
        return Err(refused(message));
    }
    Ok(())
}

fn buckets(of: &str, buckets: u32) -> Result<()> {
    if (1..=MAX_BUCKETS).contains(&buckets) {
        return Ok(());
    }
    Err(refused(format!("Table {of}: {buckets} buckets, 1 to {MAX_BUCKETS} are right")))
}

fn replication_num(of: &str, replication_num: u32) -> Result<()> {
    if replication_num > 0 {
        return Ok(());
    }
    Err(refused(format!("Table {of}: replication_num is 0, at least 1 is right")))
}

fn refused(message: String) -> Failure {
    Failure::fatal(Kind::InvalidArgument, message)
}
