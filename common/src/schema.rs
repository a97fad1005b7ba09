//! Definitions of tables as the catalog keeps them and a backup carries them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::SchemaHash;

/// How rows with equal keys are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyType {
    /// All rows are kept.
    Duplicate,
    /// The last row wins.
    Unique,
    /// Values are aggregated.
    Aggregate,
    /// As unique, with a primary index.
    Primary,
}

impl KeyType {
    /// The words of CREATE TABLE.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Duplicate => "DUPLICATE KEY",
            Self::Unique => "UNIQUE KEY",
            Self::Aggregate => "AGGREGATE KEY",
            Self::Primary => "PRIMARY KEY",
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name, unique within the table without regard to case.
    pub name: String,
    /// Type as written in CREATE TABLE, upper case, such as `VARCHAR(128)`.
    pub data_type: String,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// The DEFAULT, if one was given.
    pub default: Option<String>,
    /// The aggregation of a value column of an AGGREGATE KEY table, such as `SUM`.
    pub aggregation: Option<String>,
    /// The COMMENT, possibly empty.
    pub comment: String,
}

/// How a table is cut into partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partitioning {
    /// One partition, named as the table.
    None,
    /// By ranges of these columns.
    Range(Vec<String>),
    /// By lists of values of these columns.
    List(Vec<String>),
}

/// One value of a partition's bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionValue {
    /// Before every value.
    Min,
    /// After every value.
    Max,
    /// A literal as text.
    Literal(String),
}

impl fmt::Display for PartitionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Min => f.write_str("MINVALUE"),
            Self::Max => f.write_str("MAXVALUE"),
            Self::Literal(text) => write!(f, "\"{text}\""),
        }
    }
}

/// What belongs into a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionRange {
    /// Everything: the table is not partitioned.
    Whole,
    /// From `lower` inclusive to `upper` exclusive; one value per partition column.
    Range {
        /// The first key inside.
        lower: Vec<PartitionValue>,
        /// The first key beyond.
        upper: Vec<PartitionValue>,
    },
    /// Exactly these keys; one value per partition column each.
    List(Vec<Vec<PartitionValue>>),
}

/// An index: the base table itself or a rollup. Each has tablets of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexDef {
    /// The base index is named as the table.
    pub name: String,
    /// Its columns, in order.
    pub columns: Vec<String>,
    /// Fingerprint of those columns' definitions.
    pub schema_hash: SchemaHash,
}

/// A table without its partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDef {
    /// Name within its database.
    pub name: String,
    /// Columns in order.
    pub columns: Vec<Column>,
    /// How equal keys are treated.
    pub key_type: KeyType,
    /// The key columns.
    pub keys: Vec<String>,
    /// How it is cut into partitions.
    pub partitioning: Partitioning,
    /// The columns whose hash chooses the bucket.
    pub distribution: Vec<String>,
    /// Buckets of a partition that does not say otherwise.
    pub buckets: u32,
    /// Replicas of a partition that does not say otherwise.
    pub replication_num: u32,
    /// The base index first, then the rollups.
    pub indexes: Vec<IndexDef>,
    /// Other PROPERTIES, such as `dynamic_partition.enable` or `colocate_with`.
    pub properties: BTreeMap<String, String>,
    /// The COMMENT, possibly empty.
    pub comment: String,
}

/// A partition's definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionDef {
    /// Name within its table.
    pub name: String,
    /// What belongs into it.
    pub range: PartitionRange,
    /// Tablets per index.
    pub buckets: u32,
    /// Replicas per tablet.
    pub replication_num: u32,
}

/// A view, carried as opaque text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewDef {
    /// Name within its database.
    pub name: String,
    /// Its statement.
    pub text: String,
}

/// The fingerprint of an index made of these columns.
#[must_use]
pub fn schema_hash(columns: &[&Column], key_type: KeyType) -> SchemaHash {
    let mut hasher = crate::digest::Hasher::new();
    hasher.update(key_type.as_str().as_bytes());
    for column in columns {
        for part in [&column.name.to_lowercase(), &column.data_type, column.aggregation.as_deref().unwrap_or("")] {
            hasher.update(&[0]);
            hasher.update(part.as_bytes());
        }
        hasher.update(&[1, u8::from(column.nullable)]);
    }
    let digest = hasher.finish();
    let bytes = digest.as_bytes();
    SchemaHash(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

impl TableDef {
    /// The column named `name`, without regard to case.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// The columns of the partition key.
    #[must_use]
    pub fn partition_columns(&self) -> &[String] {
        match &self.partitioning {
            Partitioning::None => &[],
            Partitioning::Range(columns) | Partitioning::List(columns) => columns,
        }
    }
}
