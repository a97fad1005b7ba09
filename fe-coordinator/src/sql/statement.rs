//! Statements as values: what the parser makes of a text, what a session runs, what the printer prints.
//!
//! # Overview
//! Names are as typed, without their quotes; nothing is looked up or checked against the catalog yet. What may be a
//! secret (passwords, properties of storage) is a [`Secret`], so that `Debug` shows none.

use std::collections::BTreeMap;

use tabvault_common::request::Selection;
use tabvault_common::secret::Secret;
use tabvault_common::view::JobKind;

mod client;
mod show;
mod table;
mod user;

pub use client::{Function, Isolation, Literal, Scope, Select, SelectItem, SelectValue, SetItem, SetValue, Variable};
pub use show::{Match, Show};
pub use table::{
    AlterTable, CreateTable, CreateView, Distribution, KeyClause, PartitionClause, PartitionValues, Rollup, TableChange,
};
pub use user::{Grant, User, UserStatement};

/// Properties of what is no storage: none of them is a secret.
pub type Properties = BTreeMap<String, String>;

/// Properties of storage, among them keys and passwords.
pub type SecretProperties = BTreeMap<String, Secret>;

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// CREATE REPOSITORY.
    CreateRepository(CreateRepository),
    /// ALTER REPOSITORY: other properties, such as new credentials.
    AlterRepository {
        /// The repository.
        name: String,
        /// Those that change.
        properties: SecretProperties,
    },
    /// DROP REPOSITORY.
    DropRepository {
        /// The repository.
        name: String,
    },
    /// ALTER SYSTEM ADD BROKER.
    AddBroker {
        /// The name that repositories say.
        name: String,
        /// Its processes, `host:port` each; at least one.
        addresses: Vec<String>,
    },
    /// ALTER SYSTEM DROP \[ALL\] BROKER.
    DropBroker {
        /// The name.
        name: String,
        /// Its processes, `host:port` each; empty for all.
        addresses: Vec<String>,
    },
    /// ALTER SYSTEM DECOMMISSION BACKEND.
    DecommissionBackends(
        /// Numbers, or hosts with or without port, as typed; at least one.
        Vec<String>,
    ),
    /// ADMIN SET CONFIG.
    SetConfig {
        /// Whose.
        of: ConfigOf,
        /// What changes, not checked yet.
        config: Properties,
    },
    /// ADMIN SHOW CONFIG.
    ShowConfig {
        /// Only settings with such names.
        like: Option<String>,
    },
    /// BACKUP, both forms.
    Backup(Backup),
    /// RESTORE.
    Restore(Restore),
    /// EXPLAIN BACKUP.
    ExplainBackup(Backup),
    /// EXPLAIN RESTORE.
    ExplainRestore(Restore),
    /// CANCEL BACKUP, CANCEL RESTORE.
    Cancel {
        /// Which kind of job.
        kind: JobKind,
        /// Whose job; `None` for the session's database.
        database: Option<String>,
        /// Only a job with such a label.
        label: Option<Match>,
    },
    /// LOAD LABEL.
    Load(Load),
    /// EXPORT TABLE.
    Export(Export),
    /// CREATE DATABASE.
    CreateDatabase {
        /// The database.
        name: String,
        /// Whether an existing one is no error.
        if_not_exists: bool,
    },
    /// DROP DATABASE.
    DropDatabase {
        /// The database.
        name: String,
        /// Whether a missing one is no error.
        if_exists: bool,
    },
    /// CREATE TABLE.
    CreateTable(CreateTable),
    /// DROP TABLE.
    DropTable {
        /// The table.
        table: ObjectName,
        /// Whether a missing one is no error.
        if_exists: bool,
    },
    /// ALTER TABLE.
    AlterTable(AlterTable),
    /// CREATE VIEW.
    CreateView(CreateView),
    /// DROP VIEW.
    DropView {
        /// The view.
        view: ObjectName,
        /// Whether a missing one is no error.
        if_exists: bool,
    },
    /// CREATE USER and the like.
    User(UserStatement),
    /// SHOW and DESC.
    Show(Show),
    /// HELP.
    Help(
        /// The topic, words parted by one blank.
        String,
    ),
    /// USE.
    Use(
        /// The database.
        String,
    ),
    /// SET of variables and character sets; at least one.
    Set(Vec<SetItem>),
    /// SELECT of values that need no table.
    Select(Select),
    /// START TRANSACTION, BEGIN: there are none, but drivers say so.
    Begin,
    /// COMMIT.
    Commit,
    /// ROLLBACK.
    Rollback,
    /// KILL, KILL QUERY: what clients send from another connection when the user interrupts.
    Kill {
        /// The connection's number.
        connection: u64,
        /// Only what it runs, not the connection.
        query: bool,
    },
}

/// Whose settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigOf {
    /// Those of all agents.
    Agents,
    /// AGENT: a number, or a host with or without port, as typed.
    Agent(String),
    /// REPOSITORY.
    Repository(String),
}

/// A table or a view, with or without its database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectName {
    /// Its database; `None` for the session's.
    pub database: Option<String>,
    /// Its name.
    pub name: String,
}

/// How storage is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageKind {
    /// WITH BROKER: through the brokers of that name; without a name, directly.
    Broker(Option<String>),
    /// WITH S3.
    S3,
    /// WITH LOCAL: a directory that every backend sees.
    Local,
}

/// CREATE REPOSITORY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRepository {
    /// Its name, not checked yet.
    pub name: String,
    /// Whether nothing may be written to it.
    pub read_only: bool,
    /// How it is reached.
    pub storage: StorageKind,
    /// Where it is.
    pub location: String,
    /// The storage's properties.
    pub properties: SecretProperties,
}

/// BACKUP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The database; `None` for the session's.
    pub database: Option<String>,
    /// The label, not checked yet.
    pub label: String,
    /// The repository.
    pub repository: String,
    /// Which tables and partitions. Aliases are read, so that they can be refused in the field's words.
    pub selection: Selection,
    /// Its properties, not checked yet.
    pub properties: Properties,
}

/// RESTORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// What stands before the label: the database to restore into; `None` for the session's.
    pub database: Option<String>,
    /// The label, not checked yet.
    pub label: String,
    /// The repository.
    pub repository: String,
    /// DATABASE: the database the snapshot was taken of.
    pub source: Option<String>,
    /// DATABASE … AS: the database to restore into. Only where `source` is.
    pub into: Option<String>,
    /// Which of the snapshot's tables and partitions.
    pub selection: Selection,
    /// Its properties, not checked yet.
    pub properties: Properties,
}

/// LOAD LABEL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The database; `None` for the session's.
    pub database: Option<String>,
    /// The load's label.
    pub label: String,
    /// What to load, as the agents see it: `file:///dir/**`.
    pub source: String,
    /// The table.
    pub table: String,
    /// The partition; `None` for the one of a table that is not partitioned.
    pub partition: Option<String>,
    /// How the source is reached; `None`: as its scheme says.
    pub storage: Option<StorageKind>,
    /// The storage's properties.
    pub access: SecretProperties,
    /// Its properties, not checked yet.
    pub properties: Properties,
}

/// EXPORT TABLE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The table.
    pub table: ObjectName,
    /// The partition; `None` for the whole table.
    pub partition: Option<String>,
    /// Where to, as the agents see it.
    pub target: String,
    /// How the target is reached; `None`: as its scheme says.
    pub storage: Option<StorageKind>,
    /// The storage's properties.
    pub access: SecretProperties,
    /// Its properties, not checked yet.
    pub properties: Properties,
}
