//! The catalog's records, kept as compact JSON. A field that is added must have a default, so that older records can be
//! read.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tabvault_common::clock::Time;
use tabvault_common::ids::{
    BackendId, JobUuid, Lineage, PartitionId, ReplicaId, SchemaHash, TableId, TabletId, Version,
};
use tabvault_common::schema::{PartitionDef, TableDef};
use tabvault_common::task::TabletVersion;

use crate::catalog::{CutPartition, Decision, PreparedTablet, ReplicaInfo, TableState, TabletInfo, TabletSize};

/// A database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Database {
    pub(super) id: u64,
    /// Restores into it that are not decided: it must not go.
    pub(super) restores: Vec<JobUuid>,
}

/// A table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) id: TableId,
    pub(super) def: TableDef,
    pub(super) state: TableState,
    /// The restore that writes to it.
    pub(super) restore: Option<Restoring>,
}

/// What a restore does with a table.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Restoring {
    pub(super) job: JobUuid,
    /// Made by the restore: there is nothing to read.
    pub(super) new: bool,
    pub(super) allow_load: bool,
}

/// A partition. Its tablets stand under its set, so that another set takes their place by rewriting this record only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Partition {
    pub(super) id: PartitionId,
    pub(super) def: PartitionDef,
    pub(super) version: Version,
    pub(super) since: Time,
    pub(super) set: u64,
    pub(super) tablets: u64,
    /// Bytes of one replica of each tablet.
    pub(super) data_size: u64,
    /// Files of one replica of each tablet.
    pub(super) file_count: u64,
}

/// A tablet whose files may be taken over, and the backends that have it so.
pub(super) type Reuse = (TabletVersion, Vec<BackendId>);

/// A tablet. [`super::block`] tells how it is stored.
#[derive(Debug, Clone)]
pub(super) struct Tablet {
    pub(super) id: TabletId,
    pub(super) index: u32,
    pub(super) position: u32,
    pub(super) schema_hash: SchemaHash,
    pub(super) lineage: Lineage,
    /// Of a hidden tablet: which tablet's files it may take over.
    pub(super) reuse: Option<Reuse>,
    pub(super) replicas: Vec<Replica>,
}

/// A copy of a tablet.
#[derive(Debug, Clone)]
pub(super) struct Replica {
    pub(super) id: ReplicaId,
    pub(super) backend: BackendId,
    /// Shown as zero until its backend has made it.
    pub(super) version: Version,
    pub(super) version_count: u64,
    pub(super) data_size: u64,
    pub(super) file_count: u64,
}

/// How far a restore is. Kept for ever once it is decided.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Restore {
    /// Its tables are held, and some of its targets stand.
    Preparing {
        database: String,
        /// Whether the database was made for it.
        made_database: bool,
        /// Where those to come may be placed.
        backends: BTreeSet<BackendId>,
    },
    /// Its targets stand, hidden.
    Prepared {
        database: String,
        /// Whether the database was made for it.
        made_database: bool,
    },
    /// It has ended.
    Decided(Decision),
}

/// A table that a restore prepared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PreparedTable {
    /// The number that it has from publish on.
    pub(super) id: TableId,
    pub(super) def: TableDef,
    /// The table that it writes into or replaces.
    pub(super) existing: Option<TableId>,
    pub(super) replace_whole: bool,
    pub(super) drop_partitions: Vec<PartitionId>,
}

/// A partition that a restore prepared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PreparedPart {
    pub(super) def: PartitionDef,
    pub(super) existing: Option<PartitionId>,
    pub(super) version: Version,
    pub(super) set: u64,
    pub(super) tablets: u64,
    pub(super) size: TabletSize,
}

impl Partition {
    pub(super) fn cut(self) -> CutPartition {
        CutPartition { id: self.id, def: self.def, visible_version: self.version, version_time: self.since }
    }
}

impl Tablet {
    pub(super) fn is_on(&self, backend: BackendId) -> bool {
        self.replicas.iter().any(|replica| replica.backend == backend)
    }

    pub(super) fn info(self) -> TabletInfo {
        let replica = |replica: Replica| ReplicaInfo {
            replica: replica.id,
            backend: replica.backend,
            version: replica.version,
            data_size: replica.data_size,
            file_count: replica.file_count,
        };
        TabletInfo {
            tablet: self.id,
            index: self.index,
            position: self.position,
            schema_hash: self.schema_hash,
            lineage: self.lineage,
            replicas: self.replicas.into_iter().map(replica).collect(),
        }
    }

    pub(super) fn prepared(self) -> PreparedTablet {
        PreparedTablet {
            tablet: self.id,
            index: self.index,
            position: self.position,
            schema_hash: self.schema_hash,
            lineage: self.lineage,
            // Anew: in the room that the replicas had, the backends of all tablets together would take a lot.
            backends: self.replicas.iter().map(|replica| replica.backend).collect(),
            reuse: self.reuse,
        }
    }
}
