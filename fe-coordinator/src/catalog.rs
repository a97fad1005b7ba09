//! The `Catalog` port: what a cluster tells of its tables, and the one step by which a restore becomes visible.
//!
//! # Overview
//! A backup asks for a cut ([`Catalog::cut`]) and then, partition by partition, for tablets and replicas
//! ([`Catalog::tablets`]). A restore prepares hidden targets ([`Catalog::prepare`]) and ends in exactly one of
//! [`Catalog::publish`] and [`Catalog::discard`].
//!
//! # Consistency
//! `cut` is one atomic look at schema and visible versions of a database. `publish` and `discard` of one job exclude
//! each other for ever: whichever was durable first, both answer with it from then on.
//!
//! # Crash consistency
//! `prepare`, `publish` and `discard` are idempotent under the job's UUID and durable when they have answered. After a
//! time-out the coordinator asks again.

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{
    BackendId, Epoch, JobUuid, Lineage, PartitionId, ReplicaId, SchemaHash, TableId, TabletId, Version,
};
use tabvault_common::schema::{PartitionDef, TableDef, ViewDef};
use tabvault_common::task::TabletVersion;
use tabvault_common::view::{PartitionView, TableView, TabletView};

pub mod conformance;
pub mod local;
pub mod ranges;

pub use local::LocalCatalog;

/// Errors of a catalog.
pub type Result<T> = std::result::Result<T, Failure>;

/// A cluster's tables, as the coordinator needs them.
#[async_trait]
pub trait Catalog: Send + Sync + fmt::Debug {
    /// Names of the databases, sorted.
    async fn databases(&self) -> Result<Vec<String>>;

    /// One consistent look at a database: all tables that readers see or that are being restored, with their
    /// partitions and visible versions, and the views.
    ///
    /// # Errors
    /// `NotFound` "Unknown database 'd'".
    async fn cut(&self, database: &str) -> Result<Cut>;

    /// Whether a new database, table, partition, rollup or view, as `what` says, could have this name here.
    ///
    /// # Errors
    /// `InvalidArgument` "Incorrect table name 't': …" with what would be right.
    async fn check_name(&self, what: &str, name: &str) -> Result<()>;

    /// The tablets of all indexes of a partition, ordered by index and position, each with its replicas.
    ///
    /// # Errors
    /// `NotFound` when the partition was dropped since the cut.
    async fn tablets(&self, partition: PartitionId) -> Result<Vec<TabletInfo>>;

    /// The partition as it is now, `None` if it was dropped: to take it again at its present version.
    async fn partition(&self, partition: PartitionId) -> Result<Option<CutPartition>>;

    /// Makes hidden targets for a restore, having put the tables into the state RESTORE in one step. Asked again by the
    /// same job, it goes on where it was interrupted, and does nothing once all is made.
    ///
    /// # Errors
    /// `FailedPrecondition` when a table changed since the coordinator checked it; `ResourceExhausted` "failed to find
    /// N different hosts to create table …"; `Stale` for an epoch below the highest seen.
    async fn prepare(&self, job: JobUuid, epoch: Epoch, request: &PrepareRequest) -> Result<()>;

    /// The hidden targets of one partition, ordered by index and position: the same whenever it is asked. `table` and
    /// `partition` are positions in [`PrepareRequest::tables`] and [`PrepareTable::partitions`].
    ///
    /// # Errors
    /// `FailedPrecondition` unless [`Catalog::prepare`] has answered and nothing is decided; `NotFound` for a position that
    /// was not asked for.
    async fn prepared(&self, job: JobUuid, table: u32, partition: u32) -> Result<Vec<PreparedTablet>>;

    /// Points the partitions at the prepared tablets in one step: the commit point of a restore.
    async fn publish(&self, job: JobUuid, epoch: Epoch) -> Result<Decision>;

    /// Gives the prepared tablets up and puts the tables back as they were. Of a job that prepared nothing it only
    /// makes sure that it never will.
    async fn discard(&self, job: JobUuid, epoch: Epoch) -> Result<Decision>;

    /// Up to `limit` tablets on a backend that nothing refers to any more: their files may go.
    async fn garbage(&self, backend: BackendId, limit: usize) -> Result<Vec<TabletId>>;

    /// These tablets are gone from the backend.
    async fn collected(&self, backend: BackendId, tablets: &[TabletId]) -> Result<()>;

    /// Takes all replicas off a backend that is decommissioned: they become [`Catalog::garbage`]. `others` are the
    /// backends that are alive and stay. Asked again after a crash, it goes on.
    ///
    /// # Errors
    /// `FailedPrecondition` where no other backend has a complete replica of some tablet, or a restore writes to the
    /// backend: before anything has changed, unless that came about while many replicas were leaving; the message then
    /// says how many have left, and they stay out. `Unsupported`, unless it is implemented, for a cluster that places its
    /// replicas itself.
    async fn retire(&self, backend: BackendId, others: &[BackendId]) -> Result<Retired> {
        let _ = others;
        let why = format!(
            "backend {backend} cannot be decommissioned here: the frontend that tabvault is embedded in places replicas, \
             take it out there"
        );
        Err(Failure::fatal(Kind::Unsupported, why))
    }

    /// The backend will not be heard of again: nothing needs to be known of it.
    async fn forget(&self, backend: BackendId) -> Result<()> {
        let _ = backend;
        Ok(())
    }

    /// The tables of a database for people.
    async fn show_tables(&self, database: &str) -> Result<Vec<TableView>>;

    /// The partitions of a table for people.
    async fn show_partitions(&self, database: &str, table: &str) -> Result<Vec<PartitionView>>;

    /// Up to `limit` replicas of a table or of one partition, ordered by tablet and replica, after the given one.
    async fn show_tablets(
        &self,
        database: &str,
        table: &str,
        partition: Option<&str>,
        after: Option<(TabletId, ReplicaId)>,
        limit: usize,
    ) -> Result<Vec<TabletView>>;
}

/// A consistent look at a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The database's name.
    pub database: String,
    /// Its tables, sorted by name.
    pub tables: Vec<CutTable>,
    /// Its views, in an order in which they can be made.
    pub views: Vec<ViewDef>,
}

/// A table in a [`Cut`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutTable {
    /// Its number.
    pub id: TableId,
    /// Its definition.
    pub def: TableDef,
    /// Whether it may be backed up or restored into.
    pub state: TableState,
    /// Its partitions, in the order of their ranges.
    pub partitions: Vec<CutPartition>,
}

/// A partition in a [`Cut`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutPartition {
    /// Its number.
    pub id: PartitionId,
    /// Its definition.
    pub def: PartitionDef,
    /// The version that readers see.
    pub visible_version: Version,
    /// Since when.
    pub version_time: Time,
}

/// What may be done with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TableState {
    /// Everything.
    Normal,
    /// A restore writes to it: readable if it was there before, no DDL.
    Restore,
    /// A schema change or rollup is being built.
    Alter,
}

impl TableState {
    /// The word users see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "NORMAL",
            Self::Restore => "RESTORE",
            Self::Alter => "ALTER",
        }
    }
}

/// A tablet and where its replicas are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TabletInfo {
    /// Its number.
    pub tablet: TabletId,
    /// The index it belongs to: a position in [`TableDef::indexes`].
    pub index: u32,
    /// Its bucket, from 0.
    pub position: u32,
    /// Its schema.
    pub schema_hash: SchemaHash,
    /// The history its versions count in.
    pub lineage: Lineage,
    /// Its replicas.
    pub replicas: Vec<ReplicaInfo>,
}

/// One copy of a tablet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaInfo {
    /// Its number.
    pub replica: ReplicaId,
    /// Where it is.
    pub backend: BackendId,
    /// The version up to which it has everything.
    pub version: Version,
    /// The bytes of its data at `version`, as last heard. Shown to users; a backup plans with it.
    pub data_size: u64,
    /// The files of its data at `version`, as last heard.
    pub file_count: u64,
}

/// What a restore needs made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrepareRequest {
    /// The database; made if it is new.
    pub database: String,
    /// The tables.
    pub tables: Vec<PrepareTable>,
    /// Views, made or replaced at publish, after the tables.
    pub views: Vec<ViewDef>,
    /// Tables to drop at publish, by name (`clean_tables`).
    pub drop_tables: Vec<String>,
    /// Whether loads into existing tables stay allowed.
    pub allow_load: bool,
    /// Where replicas may be placed.
    pub backends: Vec<BackendRoom>,
}

impl PrepareRequest {
    /// The names that it brings into the cluster, each with what shall have it, as [`Catalog::check_name`] takes them:
    /// those of what is there already are left out. `new_database`: whether the database has to be made.
    pub fn new_names(&self, new_database: bool) -> impl Iterator<Item = (&'static str, &str)> {
        let database = new_database.then_some(("database", self.database.as_str()));
        let views = self.views.iter().map(|view| ("view", view.name.as_str()));
        database.into_iter().chain(self.tables.iter().flat_map(PrepareTable::new_names)).chain(views)
    }
}

impl PrepareTable {
    fn new_names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let new = self.existing.is_none() || self.replace_whole;
        let table = new.then_some(("table", self.def.name.as_str()));
        // The base index is named as the table.
        let rollups = self.def.indexes.iter().skip(if new { 1 } else { self.def.indexes.len() });
        let partitions = self.partitions.iter().filter(|partition| partition.existing.is_none());
        let rollups = rollups.map(|rollup| ("rollup", rollup.name.as_str()));
        table.into_iter().chain(rollups).chain(partitions.map(|partition| ("partition", partition.def.name.as_str())))
    }
}

/// A backend that may take replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendRoom {
    /// Its number.
    pub backend: BackendId,
    /// The machine it is on: replicas of one tablet go to different ones.
    pub host: String,
    /// Bytes free.
    pub available_bytes: u64,
}

/// A table that a restore makes or writes into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrepareTable {
    /// The definition under its local name.
    pub def: TableDef,
    /// The table it goes into; `None`: a new one.
    pub existing: Option<TableId>,
    /// Whether at publish the existing table is replaced as a whole by the new one (`atomic_restore`).
    pub replace_whole: bool,
    /// The partitions that it brings.
    pub partitions: Vec<PreparePartition>,
    /// Partitions of the existing table to drop at publish (`clean_partitions`).
    pub drop_partitions: Vec<PartitionId>,
}

/// A partition that a restore makes or replaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparePartition {
    /// Its definition, with the replica number it shall have.
    pub def: PartitionDef,
    /// The partition whose contents it takes the place of; `None`: a new one.
    pub existing: Option<PartitionId>,
    /// The version it shows from publish on.
    pub version: Version,
    /// What each tablet is to be shown to hold, by index as in [`TableDef::indexes`] and bucket; empty where nothing is known.
    pub sizes: Vec<Vec<TabletSize>>,
}

/// How much is in a tablet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TabletSize {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A hidden tablet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedTablet {
    /// Its number.
    pub tablet: TabletId,
    /// A position in [`TableDef::indexes`].
    pub index: u32,
    /// Its bucket, from 0.
    pub position: u32,
    /// Its schema.
    pub schema_hash: SchemaHash,
    /// The history it starts.
    pub lineage: Lineage,
    /// Where its replicas go.
    pub backends: Vec<BackendId>,
    /// The tablet it takes the place of, and on which backends that has replicas.
    pub reuse: Option<(TabletVersion, Vec<BackendId>)>,
}

/// What left a backend that is decommissioned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retired {
    /// Replicas.
    pub replicas: u64,
    /// The tables that have fewer replicas now, as `database.table`; some of them where they are many.
    pub tables: BTreeSet<String>,
}

/// How a restore ended, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Its tables are the snapshot's.
    Published,
    /// Nothing of it is visible, and nothing will be.
    Discarded,
}
