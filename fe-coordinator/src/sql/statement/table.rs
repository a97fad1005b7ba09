//! Tables and views.

use tabvault_common::schema::{Column, KeyType, PartitionValue, Partitioning};

use super::{ObjectName, Properties};

/// `DUPLICATE KEY (…)` and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyClause {
    /// How equal keys are treated.
    pub key_type: KeyType,
    /// The key columns; at least one.
    pub columns: Vec<String>,
}

/// What belongs into a partition, as it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionValues {
    /// VALUES LESS THAN: from the end of the partition before. `MAXVALUE` without brackets is one `Max`.
    LessThan(Vec<PartitionValue>),
    /// VALUES [(…), (…)).
    Range {
        /// The first key inside.
        lower: Vec<PartitionValue>,
        /// The first key beyond.
        upper: Vec<PartitionValue>,
    },
    /// VALUES IN: keys, one value per partition column each.
    In(Vec<Vec<PartitionValue>>),
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionClause {
    /// Its name.
    pub name: String,
    /// Whether an existing one is no error.
    pub if_not_exists: bool,
    /// What belongs into it.
    pub values: PartitionValues,
    /// Such as `replication_num`.
    pub properties: Properties,
}

/// DISTRIBUTED BY HASH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// The columns whose hash chooses the bucket; at least one.
    pub columns: Vec<String>,
    /// BUCKETS; `None` for AUTO or nothing.
    pub buckets: Option<u32>,
}

/// A rollup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollup {
    /// Its name.
    pub name: String,
    /// Its columns, in order; at least one.
    pub columns: Vec<String>,
}

/// CREATE TABLE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTable {
    /// The table.
    pub table: ObjectName,
    /// Whether an existing one is no error.
    pub if_not_exists: bool,
    /// Its columns; at least one. Types are upper case without blanks, `DECIMAL(10,2)`; DEFAULT NULL is no default.
    pub columns: Vec<Column>,
    /// How equal keys are treated; `None`: not said. Columns that say KEY count as said here.
    pub key: Option<KeyClause>,
    /// By what it is cut into partitions.
    pub partitioning: Partitioning,
    /// Its first partitions, in the order typed.
    pub partitions: Vec<PartitionClause>,
    /// How rows are spread.
    pub distribution: Distribution,
    /// Its rollups.
    pub rollups: Vec<Rollup>,
    /// Its properties, not checked yet.
    pub properties: Properties,
    /// Its COMMENT, possibly empty.
    pub comment: String,
}

/// ALTER TABLE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterTable {
    /// The table.
    pub table: ObjectName,
    /// What changes.
    pub change: TableChange,
}

/// What ALTER TABLE changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableChange {
    /// SET (…).
    Set(Properties),
    /// ADD PARTITION.
    AddPartition {
        /// The partition.
        partition: PartitionClause,
        /// How its rows are spread; `None` as the table's.
        distribution: Option<Distribution>,
    },
    /// DROP PARTITION.
    DropPartition {
        /// The partition.
        name: String,
        /// Whether a missing one is no error.
        if_exists: bool,
    },
    /// ADD ROLLUP; at least one.
    AddRollups(Vec<Rollup>),
}

/// CREATE VIEW.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateView {
    /// The view.
    pub view: ObjectName,
    /// Whether an existing one is no error.
    pub if_not_exists: bool,
    /// What follows AS, verbatim, without blanks and comments around it.
    pub text: String,
}
