//! SHOW and DESC.

use super::{ObjectName, Scope, User};

/// `= '…'` or `LIKE '…'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// Equal, without regard to the pattern's signs.
    Equals(String),
    /// As a pattern: `%` any text, `_` any character, `\` before either means the character itself.
    Like(String),
}

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Show {
    /// SHOW REPOSITORIES.
    Repositories,
    /// SHOW BROKER.
    Brokers,
    /// SHOW BACKENDS.
    Backends,
    /// SHOW BACKUP.
    Backup {
        /// Whose; `None` for the session's database.
        database: Option<String>,
        /// WHERE SnapshotName.
        label: Option<Match>,
    },
    /// SHOW RESTORE.
    Restore {
        /// Without the long columns.
        brief: bool,
        /// Whose; `None` for the session's database.
        database: Option<String>,
        /// WHERE Label.
        label: Option<Match>,
    },
    /// SHOW SNAPSHOT ON.
    Snapshots {
        /// The repository.
        repository: String,
        /// WHERE SNAPSHOT.
        label: Option<Match>,
        /// WHERE TIMESTAMP =.
        timestamp: Option<String>,
    },
    /// SHOW DATABASES, SHOW SCHEMAS.
    Databases {
        /// LIKE.
        like: Option<String>,
    },
    /// SHOW TABLES.
    Tables {
        /// FULL: MySQL's columns, names and types.
        full: bool,
        /// Whose; `None` for the session's database.
        database: Option<String>,
        /// LIKE.
        like: Option<String>,
    },
    /// SHOW TABLE STATUS.
    TableStatus {
        /// Whose; `None` for the session's database.
        database: Option<String>,
        /// LIKE.
        like: Option<String>,
    },
    /// SHOW CREATE DATABASE.
    CreateDatabase(String),
    /// SHOW CREATE TABLE.
    CreateTable(ObjectName),
    /// SHOW CREATE VIEW.
    CreateView(ObjectName),
    /// DESC, DESCRIBE, SHOW COLUMNS, SHOW FIELDS.
    Columns {
        /// FULL: with collation, privileges and comment.
        full: bool,
        /// The table or view.
        table: ObjectName,
        /// LIKE, or DESC's second name.
        like: Option<String>,
    },
    /// SHOW INDEX, SHOW INDEXES, SHOW KEYS.
    Indexes(ObjectName),
    /// SHOW PARTITIONS.
    Partitions(ObjectName),
    /// SHOW TABLET, SHOW TABLETS.
    Tablets(ObjectName),
    /// SHOW GRANTS; `None` for who asks.
    Grants(Option<User>),
    /// SHOW VARIABLES.
    Variables {
        /// GLOBAL or SESSION, if it is said.
        scope: Option<Scope>,
        /// LIKE, or WHERE Variable_name … OR …: those that any of these fits; empty for all.
        any_of: Vec<Match>,
    },
    /// SHOW STATUS.
    Status {
        /// GLOBAL or SESSION, if it is said.
        scope: Option<Scope>,
        /// LIKE, or WHERE Variable_name … OR …: those that any of these fits; empty for all.
        any_of: Vec<Match>,
    },
    /// SHOW WARNINGS.
    Warnings,
    /// SHOW ERRORS.
    Errors,
    /// SHOW \[FULL\] PROCESSLIST.
    ProcessList,
    /// SHOW COLLATION.
    Collations {
        /// LIKE.
        like: Option<String>,
    },
    /// SHOW CHARACTER SET, SHOW CHARSET.
    Charsets {
        /// LIKE.
        like: Option<String>,
    },
    /// SHOW \[STORAGE\] ENGINES.
    Engines,
    /// SHOW PLUGINS.
    Plugins,
}
