//! `__data/<job>/m/<digest>`: the definitions of a snapshot, all that a restore needs to make tables.
//!
//! # Overview
//! JSON Lines in one zstd frame, written and read as a stream:
//! ```text
//! {"type":"meta", format version, job, label, database}
//! {"type":"table", def}
//! {"type":"partition", table, def, visible version, its time, indexes: [{name, schema_hash, tablets: [..]}]}   of that table
//! {"type":"view", name, text}                           after all tables
//! {"type":"end", tables, partitions, tablets, views}
//! ```
//!
//! # Consistency
//! Writer and reader hold the lines to the same rules: names come once; a partition follows its table and has the
//! table's indexes in the table's order, one tablet per bucket, in the order of buckets; the end line's sums are those
//! of all lines and nothing follows.
//!
//! # Crash consistency
//! The bytes are a pure function of the values (and the release of zstd): whoever leads after a crash builds the same
//! object again, under the same name.

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::ids::{JobUuid, Lineage, SchemaHash, TabletId, Version};
use crate::label::Label;
use crate::schema::{PartitionDef, TableDef, ViewDef};

mod reader;
mod rules;
mod writer;

pub use reader::{MetaReader, MetaRecord, TableMeta, WholeMeta};
pub use writer::{EncodedMeta, MetaWriter};

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaHeader {
    /// The format's version.
    pub format_version: u32,
    /// The job that wrote it.
    pub job: JobUuid,
    /// The snapshot's label.
    pub label: Label,
    /// The database it was taken of.
    pub database: String,
}

/// A partition of a table in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionMeta {
    /// The table it belongs to.
    pub table: String,
    /// Its definition.
    pub def: PartitionDef,
    /// The version that the snapshot holds.
    pub visible_version: Version,
    /// When that version came to be.
    pub version_time: Time,
    /// Its indexes, in the table's order.
    pub indexes: Vec<IndexMeta>,
}

/// An index of a partition in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexMeta {
    /// The index's name.
    pub name: String,
    /// The schema of its tablets.
    pub schema_hash: SchemaHash,
    /// Its tablets, by bucket.
    pub tablets: Vec<TabletMeta>,
}

/// A tablet in a snapshot. Its identity is (cluster of the info's job, `tablet`, `lineage`, the partition's visible
/// version).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TabletMeta {
    /// Its number in the cluster that was backed up.
    pub tablet: TabletId,
    /// The history its version counts in.
    pub lineage: Lineage,
    /// The index, in the info's list, of the manifest that it is in; `None` in a snapshot without data.
    pub manifest: Option<u32>,
    /// Its files.
    pub files: u64,
    /// Their plain bytes.
    pub bytes: u64,
    /// What the cluster's catalog said of it at that version, for a restored tablet to be shown as this one was; `None`
    /// where the catalog could not tell any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Shown>,
}

/// A tablet's size as users are shown it: that of the data, without what an engine adds to it when it makes a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MetaTotals {
    /// Tables.
    pub tables: u64,
    /// Partitions.
    pub partitions: u64,
    /// Tablets.
    pub tablets: u64,
    /// Views.
    pub views: u64,
}

/// A line as it is read.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Meta(MetaHeader),
    Table { def: TableDef },
    Partition(PartitionMeta),
    View(ViewDef),
    End(MetaTotals),
}

/// A line as it is written.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum LineRef<'a> {
    Meta(&'a MetaHeader),
    Table { def: &'a TableDef },
    Partition(&'a PartitionMeta),
    View(&'a ViewDef),
    End(&'a MetaTotals),
}
