//! Whether a local table is made as one in a snapshot, names aside.

use tabvault_common::failure::Failure;
use tabvault_common::schema::{Column, IndexDef, Partitioning, TableDef};

use super::mismatch;

/// For each index of `local` the position of its counterpart in `remote`: base to base, rollups by name.
///
/// # Errors
/// `Mismatch` with the first difference.
pub(super) fn same_definition(local: &TableDef, remote: &TableDef) -> Result<Vec<usize>, Failure> {
    let table = &local.name;
    if local.key_type != remote.key_type {
        return Err(mismatch(format!(
            "Table {table} already exist but with different key type: {} here, {} in the snapshot; {WAY_OUT}",
            local.key_type, remote.key_type
        )));
    }
    let difference = columns(local, remote)
        .or_else(|| names("key columns", &local.keys, &remote.keys))
        .or_else(|| partitioning(local, remote))
        .or_else(|| names("distribution columns", &local.distribution, &remote.distribution));
    match difference {
        Some(difference) => Err(different(table, &difference)),
        None => indexes(local, remote).map_err(|difference| different(table, &difference)),
    }
}

/// What can be done about a table that differs.
pub(super) const WAY_OUT: &str =
    "restore it under another name with AS, or replace it with \"atomic_restore\" and \"force_replace\"";

fn different(table: &str, difference: &str) -> Failure {
    mismatch(format!("Table {table} already exist but with different schema: {difference}; {WAY_OUT}"))
}

fn columns(local: &TableDef, remote: &TableDef) -> Option<String> {
    for (at, pair) in (1..).zip(local.columns.iter().zip(&remote.columns)) {
        let (here, there) = pair;
        if !same_column(here, there) {
            return Some(format!("column {at} is {} here, {} in the snapshot", shown(here), shown(there)));
        }
    }
    let common = local.columns.len().min(remote.columns.len());
    match (local.columns.get(common), remote.columns.get(common)) {
        (Some(extra), _) => Some(format!("column {} is not in the snapshot", extra.name)),
        (_, Some(missing)) => Some(format!("column {} is missing here", missing.name)),
        (None, None) => None,
    }
}

/// A comment says nothing about the data.
fn same_column(a: &Column, b: &Column) -> bool {
    let text = |text: &Option<String>| text.as_ref().map(|text| text.to_ascii_uppercase());
    a.name.eq_ignore_ascii_case(&b.name)
        && a.data_type.eq_ignore_ascii_case(&b.data_type)
        && a.nullable == b.nullable
        && a.default == b.default
        && text(&a.aggregation) == text(&b.aggregation)
}

fn shown(column: &Column) -> String {
    let mut text = format!("{} {}", column.name, column.data_type);
    if let Some(aggregation) = &column.aggregation {
        text.push(' ');
        text.push_str(aggregation);
    }
    text.push_str(if column.nullable { " NULL" } else { " NOT NULL" });
    if let Some(default) = &column.default {
        text.push_str(&format!(" DEFAULT \"{default}\""));
    }
    text
}

fn names(what: &str, here: &[String], there: &[String]) -> Option<String> {
    let same = here.len() == there.len() && here.iter().zip(there).all(|(a, b)| a.eq_ignore_ascii_case(b));
    (!same).then(|| format!("{what} are ({}) here, ({}) in the snapshot", here.join(", "), there.join(", ")))
}

fn partitioning(local: &TableDef, remote: &TableDef) -> Option<String> {
    let kind = |def: &TableDef| match def.partitioning {
        Partitioning::None => "not partitioned",
        Partitioning::Range(_) => "partitioned by range",
        Partitioning::List(_) => "partitioned by list",
    };
    if kind(local) != kind(remote) {
        return Some(format!("it is {} here, {} in the snapshot", kind(local), kind(remote)));
    }
    names("partition columns", local.partition_columns(), remote.partition_columns())
}

fn indexes(local: &TableDef, remote: &TableDef) -> Result<Vec<usize>, String> {
    let mut map = Vec::with_capacity(local.indexes.len());
    for (at, here) in local.indexes.iter().enumerate() {
        let there = match at {
            0 => (!remote.indexes.is_empty()).then_some(0),
            _ => (1..remote.indexes.len()).find(|&there| remote.indexes[there].name == here.name),
        };
        let Some(there) = there else {
            return Err(format!("rollup {} is not in the snapshot", here.name));
        };
        map.push(there);
    }
    if let Some(missing) = (0..remote.indexes.len()).find(|at| !map.contains(at)) {
        return Err(format!("rollup {} is missing here", remote.indexes[missing].name));
    }
    for (here, &there) in local.indexes.iter().zip(&map) {
        same_index(here, &remote.indexes[there])?;
    }
    Ok(map)
}

fn same_index(here: &IndexDef, there: &IndexDef) -> Result<(), String> {
    let name = &here.name;
    if let Some(difference) = names("columns", &here.columns, &there.columns) {
        return Err(format!("index {name}: its {difference}"));
    }
    if here.schema_hash != there.schema_hash {
        let (here, there) = (here.schema_hash, there.schema_hash);
        return Err(format!("index {name}: its schema hash is {here} here, {there} in the snapshot"));
    }
    Ok(())
}
