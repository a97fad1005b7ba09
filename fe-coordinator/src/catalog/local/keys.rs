//! Where the catalog's records stand in its tree. Numbers are written with a fixed width, so that they are in order.

use tabvault_common::ids::{BackendId, JobUuid, PartitionId, TableId, TabletId};

/// The next number to hand out.
pub(super) const COUNTER: &str = "counter";
/// The highest epoch seen.
pub(super) const EPOCH: &str = "epoch";
/// All databases.
pub(super) const DATABASES: &str = "database/";

/// A database.
pub(super) fn database(name: &str) -> String {
    format!("{DATABASES}{name}")
}

/// The views of a database, followed by the number that orders them.
pub(super) fn views(database: u64) -> String {
    format!("view/{database:016x}/")
}

/// A view.
pub(super) fn view(database: u64, number: u64) -> String {
    format!("{}{number:016x}", views(database))
}

/// The tables of a database, followed by their names.
pub(super) fn tables(database: u64) -> String {
    format!("table/{database:016x}/")
}

/// A table.
pub(super) fn table(database: u64, name: &str) -> String {
    format!("{}{name}", tables(database))
}

/// The partitions of a table, followed by their numbers.
pub(super) fn partitions(table: TableId) -> String {
    format!("partition/{:016x}/", table.0)
}

/// A partition.
pub(super) fn partition(table: TableId, partition: PartitionId) -> String {
    format!("{}{:016x}", partitions(table), partition.0)
}

/// The table of a partition.
pub(super) fn partition_table(partition: PartitionId) -> String {
    format!("partition_table/{:016x}", partition.0)
}

/// The names of the blocks of a set, followed by index and number.
pub(super) fn blocks(set: u64) -> String {
    format!("{set:016x}/")
}

/// The name of a block of tablets: set, index and number.
pub(super) fn block(set: u64, index: u32, number: u32) -> String {
    format!("{}{index:08x}/{number:08x}", blocks(set))
}

/// The tablets of the block, or of the blocks whose names start with, `block`.
pub(super) fn tablets(block: &str) -> String {
    format!("tablet/{block}")
}

/// All sets that were given up, followed by their numbers.
pub(super) const DROPPED: &str = "dropped/";

/// A set that was given up.
pub(super) fn dropped(set: u64) -> String {
    format!("{DROPPED}{set:016x}")
}

/// The tablets that a backend has still to make, followed by their set and the number of the first of a piece.
pub(super) fn unmade_on(backend: BackendId) -> String {
    format!("unmade/{:016x}/", backend.0)
}

/// The tablets of a set that a backend has still to make, followed by the number of the first of a piece.
pub(super) fn unmade_of(backend: BackendId, set: u64) -> String {
    format!("{}{}", unmade_on(backend), blocks(set))
}

/// The tablets on a backend that nothing refers to, followed by their numbers.
pub(super) fn garbage_on(backend: BackendId) -> String {
    format!("garbage/{:016x}/", backend.0)
}

/// A tablet on a backend that nothing refers to.
pub(super) fn garbage(backend: BackendId, tablet: TabletId) -> String {
    format!("{}{:016x}", garbage_on(backend), tablet.0)
}

/// The labels of a database's loads, followed by the labels.
pub(super) fn load_labels(database: u64) -> String {
    format!("load_label/{database:016x}/")
}

/// A label that a load of the database used.
pub(super) fn load_label(database: u64, label: &str) -> String {
    format!("{}{label}", load_labels(database))
}

/// How far a restore is.
pub(super) fn restore(job: JobUuid) -> String {
    format!("restore/{job}")
}

/// All that a restore prepared, until it is decided.
pub(super) fn prepared(job: JobUuid) -> String {
    format!("prepared/{job}/")
}

/// The tables that a restore prepared, followed by their positions in its request.
pub(super) fn prepared_tables(job: JobUuid) -> String {
    format!("{}table/", prepared(job))
}

/// A table that a restore prepared.
pub(super) fn prepared_table(job: JobUuid, at: u32) -> String {
    format!("{}{at:08x}", prepared_tables(job))
}

/// The partitions that a restore prepared for a table, followed by their positions in its request.
pub(super) fn prepared_partitions(job: JobUuid, table: u32) -> String {
    format!("{}partition/{table:08x}/", prepared(job))
}

/// A partition that a restore prepared.
pub(super) fn prepared_partition(job: JobUuid, table: u32, at: u32) -> String {
    format!("{}{at:08x}", prepared_partitions(job, table))
}

/// The views that a restore brings, followed by their positions in its request.
pub(super) fn prepared_views(job: JobUuid) -> String {
    format!("{}view/", prepared(job))
}

/// The tables that a restore drops, followed by their positions in its request.
pub(super) fn prepared_drops(job: JobUuid) -> String {
    format!("{}drop/", prepared(job))
}
