//! What clients ask a coordinator for: the same values behind gRPC, SQL and the embedding API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::StorageAccess;
use crate::ids::Version;
use crate::schema::{PartitionDef, TableDef};
use crate::secret::Secret;
use crate::view::JobKind;

/// A table, some or all of its partitions, and the name it is restored under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectSelection {
    /// The table's name.
    pub table: String,
    /// Its partitions; empty for all.
    pub partitions: Vec<String>,
    /// Restore only: another name.
    pub alias: Option<String>,
}

/// What of a database or snapshot is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// Everything.
    #[default]
    All,
    /// These tables or partitions.
    Only(Vec<ObjectSelection>),
    /// Everything but these tables or partitions.
    Except(Vec<ObjectSelection>),
}

/// BACKUP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRequest {
    /// The database.
    pub database: String,
    /// The label, not checked yet.
    pub label: String,
    /// The repository's name.
    pub repository: String,
    /// Which tables and partitions.
    pub selection: Selection,
    /// `type`, `timeout`, `content`, `compression`, `max_file_size`.
    pub properties: BTreeMap<String, String>,
}

/// RESTORE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRequest {
    /// The database the snapshot was taken of.
    pub database: String,
    /// The database to restore into, made if new; `None` for `database`.
    pub into: Option<String>,
    /// The label, not checked yet.
    pub label: String,
    /// The repository's name.
    pub repository: String,
    /// Which of the snapshot's tables and partitions.
    pub selection: Selection,
    /// `backup_timestamp` (required), `replication_num`, `reserve_replica`, `reserve_dynamic_partition_enable`,
    /// `allow_load`, `timeout`, `meta_version`, `clean_tables`, `clean_partitions`, `atomic_restore`, `force_replace`.
    pub properties: BTreeMap<String, String>,
}

/// CANCEL BACKUP, CANCEL RESTORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRequest {
    /// Which kind of job.
    pub kind: JobKind,
    /// Whose job.
    pub database: String,
    /// Only the job with this label.
    pub label: Option<String>,
}

/// CREATE REPOSITORY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRepositoryRequest {
    /// Its name: letters, digits and `_`, starting with a letter, at most 64.
    pub name: String,
    /// `file:///dir` or `s3://bucket/prefix`.
    pub location: String,
    /// The storage's properties.
    pub properties: BTreeMap<String, Secret>,
    /// The brokers to go through, by name.
    pub broker: Option<String>,
    /// Whether nothing may be written.
    pub read_only: bool,
}

/// CREATE TABLE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTableRequest {
    /// The database.
    pub database: String,
    /// The table.
    pub table: TableDef,
    /// Its first partitions; exactly one for a table that is not partitioned.
    pub partitions: Vec<PartitionDef>,
    /// Whether an existing table of the name is no error.
    pub if_not_exists: bool,
}

/// LOAD: bring a directory's files into a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadRequest {
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// The partition; `None` for the one of a table that is not partitioned.
    pub partition: Option<String>,
    /// The directory as the agents see it.
    pub source: StorageAccess,
    /// Makes database, table and partition where they are new.
    pub create: bool,
    /// Buckets of what is made.
    pub buckets: Option<u32>,
    /// Replicas of what is made.
    pub replication_num: Option<u32>,
}

/// What a load did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadSummary {
    /// The version it made.
    pub version: Version,
    /// Files, links and empty directories brought.
    pub files: u64,
    /// Bytes brought, of one replica.
    pub bytes: u64,
}

/// EXPORT: write visible files out as the tree they came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRequest {
    /// The database.
    pub database: String,
    /// The table.
    pub table: String,
    /// The partition; `None` for the whole table, one directory per partition if it is partitioned.
    pub partition: Option<String>,
    /// The directory as the agents see it.
    pub target: StorageAccess,
}

/// What an export did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportSummary {
    /// Files, links and empty directories written.
    pub files: u64,
    /// Bytes written.
    pub bytes: u64,
}
