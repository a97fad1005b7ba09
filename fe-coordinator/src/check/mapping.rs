//! Maps what a snapshot holds to what is here: which tables and partitions a restore makes or replaces, and whether it
//! may.
//!
//! # Overview
//! Tables are matched by name or alias, partitions by name and range, indexes by name (the base index of one table is
//! that of the other, whatever the tables are called), tablets by position. Everything that can be refused is refused
//! here, before anything has changed.
//!
//! What some properties mean:
//! - `clean_tables`: at publish all local tables are dropped that the restore does not bring, whatever the selection.
//!   A table that the restore makes or writes under an alias is one that it brings, and one that EXCLUDE names stays.
//!   Views stay.
//! - `clean_partitions`: the same for partitions of the existing tables that the restore writes into; their ranges do
//!   not stand in the way.
//! - `atomic_restore`: an existing table is replaced as a whole by a new one. The checks are those of any restore, but
//!   PARTITION cannot be given, because partitions that are not brought go.
//! - `force_replace`, with `atomic_restore`: a table that differs from the snapshot's is replaced nevertheless.
//! - `reserve_replica`: `replication_num` says nothing; every partition gets the number it had.

use serde::{Deserialize, Serialize};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{SchemaHash, Version};
use tabvault_common::repo::info::Content;
use tabvault_common::request::RestoreRequest;
use tabvault_common::schema::{PartitionDef, TableDef, ViewDef};
use tabvault_common::view::ObjectView;

use self::choose::choose;
use super::properties::RestoreProperties;
use crate::catalog::{BackendRoom, Cut, CutTable, PrepareRequest, PrepareTable, TableState, TabletSize};

mod choose;
mod clean;
mod fit;
mod replicas;
mod room;
mod schema;
mod target;
#[cfg(test)]
mod tests;

/// What a snapshot holds, as far as it has to be known before its data is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotTables {
    /// The database it was taken of.
    pub database: String,
    /// Its label.
    pub label: String,
    /// Its timestamp.
    pub timestamp: String,
    /// The version of the remote format in which its definitions are written.
    pub format_version: u32,
    /// Whether there is data in it.
    pub content: Content,
    /// Its tables.
    pub tables: Vec<SnapshotTable>,
    /// Its views, in an order in which they can be made.
    pub views: Vec<ViewDef>,
}

/// A table in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotTable {
    /// Its definition.
    pub def: TableDef,
    /// Its partitions that are in the snapshot.
    pub partitions: Vec<SnapshotPartition>,
}

/// A partition in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPartition {
    /// Its definition.
    pub def: PartitionDef,
    /// The version that it shows when it is restored: the snapshot's, or the initial one if there is no data.
    pub version: Version,
    /// Plain bytes of its tablets, each once.
    pub bytes: u64,
    /// Its indexes, in the order of [`TableDef::indexes`].
    pub indexes: Vec<SnapshotIndex>,
}

/// An index of a partition in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotIndex {
    /// Its name.
    pub name: String,
    /// The schema of its tablets.
    pub schema_hash: SchemaHash,
    /// How many tablets it has: one per bucket.
    pub tablets: u32,
    /// What each of them holds; empty where that is not known.
    pub sizes: Vec<TabletSize>,
}

/// What a restore is going to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePlan {
    /// What the catalog has to make.
    pub prepare: PrepareRequest,
    /// Where each partition of `prepare` comes from, in parallel to `prepare.tables[..].partitions`: the table's
    /// position in [`SnapshotTables::tables`] and the partition's in [`SnapshotTable::partitions`].
    pub sources: Vec<Vec<(usize, usize)>>,
    /// Per table of `prepare`: for each position in its `def.indexes` the one in the snapshot's.
    pub index_map: Vec<Vec<usize>>,
    /// What is restored, for people: tables named as in the snapshot, with the partitions by name where not all of the
    /// snapshot's are meant.
    pub objects: Vec<ObjectView>,
    /// What users should know about the result, a sentence each.
    pub notices: Vec<String>,
    /// Replicas per tablet; where partitions differ, the largest number.
    pub replication_num: u32,
    /// Plain bytes to bring, of one replica each.
    pub bytes: u64,
}

/// Maps the tables of a snapshot to those of the database that is restored into. `local` is a cut of that database,
/// `None` if it is new; `backends` are those that may take replicas.
///
/// # Errors
/// `InvalidArgument` for a request that contradicts itself, `NotFound` for what is not in the snapshot, `Mismatch` for
/// a local table or a format version that differs, `AlreadyExists` for a name that something else has, `FailedPrecondition` for a table's
/// state, `ResourceExhausted` for too few hosts, `NoSpace` for too little room, `Corrupt` for a snapshot that
/// contradicts itself.
pub fn map_restore(
    snapshot: &SnapshotTables,
    local: Option<&Cut>,
    request: &RestoreRequest,
    properties: &RestoreProperties,
    backends: &[BackendRoom],
) -> Result<RestorePlan, Failure> {
    check_format(snapshot, properties)?;
    let database = target_database(snapshot, request)?;
    let chosen = choose(snapshot, &request.selection)?;
    let mut notices = replicas::notices(properties);

    let mut targets = Vec::with_capacity(chosen.tables.len());
    for table in &chosen.tables {
        if let Some(cut) = local
            && cut.views.iter().any(|view| view.name == table.name)
        {
            return Err(name_taken("Table", &table.name, &cut.database, "view"));
        }
        let here = local.and_then(|cut| cut.tables.iter().find(|here| here.def.name == table.name));
        targets.push(target::target(snapshot, table, here, properties, &mut notices)?);
    }
    for view in &chosen.views {
        let here = local.is_some_and(|cut| cut.tables.iter().any(|table| table.def.name == view.name));
        if here || chosen.tables.iter().any(|table| table.name == view.name) {
            return Err(name_taken("View", &view.name, database, "table"));
        }
    }
    if !chosen.views.is_empty() && database != snapshot.database {
        let from = &snapshot.database;
        notices.push(format!(
            "views are restored with the text that they had; where it names database {from}, it still does"
        ));
    }

    room::check_hosts(&targets, backends, properties)?;
    room::check_space(&targets, backends, database)?;
    let drop_tables = if properties.clean_tables { clean::tables(&chosen, local, &mut notices)? } else { Vec::new() };

    let replication_num = targets.iter().flat_map(|t| &t.prepare.partitions).map(|p| p.def.replication_num).max();
    let bytes = targets.iter().map(|target| target.bytes.iter().sum::<u64>()).sum();
    let (mut tables, mut sources, mut index_map) = (Vec::new(), Vec::new(), Vec::new());
    for mut target in targets {
        for (partition, &(table, at)) in target.prepare.partitions.iter_mut().zip(&target.sources) {
            let indexes = &snapshot.tables[table].partitions[at].indexes;
            partition.sizes = target.index_map.iter().map(|&index| indexes[index].sizes.clone()).collect();
        }
        tables.push(target.prepare);
        sources.push(target.sources);
        index_map.push(target.index_map);
    }
    Ok(RestorePlan {
        prepare: PrepareRequest {
            database: database.to_owned(),
            tables,
            views: chosen.views,
            drop_tables,
            allow_load: properties.allow_load,
            backends: backends.to_vec(),
        },
        sources,
        index_map,
        objects: chosen.objects,
        notices,
        replication_num: replication_num.unwrap_or_else(|| replicas::asked(properties)),
        bytes,
    })
}

/// A table of the plan while it is being made.
struct Target {
    prepare: PrepareTable,
    sources: Vec<(usize, usize)>,
    index_map: Vec<usize>,
    /// Plain bytes per partition.
    bytes: Vec<u64>,
}

fn check_format(snapshot: &SnapshotTables, properties: &RestoreProperties) -> Result<(), Failure> {
    match properties.meta_version {
        Some(asked) if asked != snapshot.format_version => {
            let (label, timestamp, is) = (&snapshot.label, &snapshot.timestamp, snapshot.format_version);
            Err(mismatch(format!(
                "snapshot {label} {timestamp} has format version {is}, meta_version says {asked}: write {is}, or leave \
                 meta_version out"
            )))
        }
        _ => Ok(()),
    }
}

fn target_database<'a>(snapshot: &SnapshotTables, request: &'a RestoreRequest) -> Result<&'a str, Failure> {
    match &request.into {
        None => Ok(&request.database),
        Some(into) if request.database == snapshot.database => Ok(into),
        Some(into) => {
            let (label, taken, asked) = (&snapshot.label, &snapshot.database, &request.database);
            Err(Failure::fatal(
                Kind::NotFound,
                format!(
                    "Unknown database '{asked}' in snapshot {label}: it was taken of {taken}, so write DATABASE {taken} \
                     AS {into}"
                ),
            ))
        }
    }
}

fn name_taken(what: &str, name: &str, database: &str, by: &str) -> Failure {
    Failure::fatal(
        Kind::AlreadyExists,
        format!("{what} {name} already exist in database {database} as a {by}; leave it out, or drop the {by} first"),
    )
}

fn check_state(table: &CutTable, way: &str) -> Result<(), Failure> {
    if table.state == TableState::Normal {
        return Ok(());
    }
    let (name, state) = (&table.def.name, table.state.as_str());
    Err(Failure::fatal(
        Kind::FailedPrecondition,
        format!("Table {name}'s state is not NORMAL: {state}; wait until it is, or {way}"),
    ))
}

fn mismatch(message: impl Into<String>) -> Failure {
    Failure::fatal(Kind::Mismatch, message)
}

/// Names for a sentence, the first twenty of them.
fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 20;
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}
