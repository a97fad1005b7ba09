//! A row as it is stored: what changes with reports is one small record, the tablets, which hardly ever change, another.
//! So a report costs a record that does not grow with what its tablets are.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{
    BackendId, ClusterId, Lineage, PartitionId, SchemaHash, TabletId, TabletIdentity, TaskId, Version,
};
use tabvault_common::repo::info::ManifestRef;
use tabvault_common::repo::meta::Shown;
use tabvault_common::task::TabletVersion;

use super::{decode, encode};
use crate::job::rows::Counted;
use crate::job::{backup, restore};

/// A row of either kind of job.
pub(crate) trait Stored: Counted + Sized {
    /// What changes with reports.
    fn encode_row(&self) -> Result<Bytes, Failure>;
    /// Its tablets, apart from what reports say of them.
    fn encode_tablets(&self) -> Result<Bytes, Failure>;
    /// Both again; `key` is that of the row.
    fn decode(key: &str, row: &[u8], tablets: &[u8]) -> Result<Self, Failure>;
    /// Whether the tablets are the same, apart from what reports say of them.
    fn has_tablets_of(&self, other: &Self) -> bool;
    /// How many tablets it has.
    fn tablets(&self) -> usize;
}

#[derive(Serialize, Deserialize)]
struct BackupRow {
    task: TaskId,
    partition: PartitionId,
    version: Version,
    version_time: Time,
    backend: BackendId,
    attempt: u32,
    failures: u32,
    not_before: Option<Time>,
    error: Option<String>,
    stage: backup::Stage,
    /// Files and bytes of each tablet.
    totals: Vec<(u64, u64)>,
}

#[derive(Serialize, Deserialize)]
struct BackupTablets {
    tablets: Vec<BackupTablet>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parents: Vec<ManifestRef>,
}

/// Tablet, index, position, schema, lineage, files and bytes as they are shown, other backends.
type BackupTablet = (TabletId, u32, u32, SchemaHash, Lineage, Option<(u64, u64)>, Box<[BackendId]>);

impl Stored for backup::Row {
    fn encode_row(&self) -> Result<Bytes, Failure> {
        encode(&BackupRow {
            task: self.task,
            partition: self.partition,
            version: self.version,
            version_time: self.version_time,
            backend: self.backend,
            attempt: self.attempt,
            failures: self.failures,
            not_before: self.not_before,
            error: self.error.clone(),
            stage: self.stage.clone(),
            totals: self.tablets.iter().map(|tablet| (tablet.files, tablet.bytes)).collect(),
        })
    }

    fn encode_tablets(&self) -> Result<Bytes, Failure> {
        let one = |t: &backup::RowTablet| -> BackupTablet {
            let shown = t.shown.map(|shown| (shown.files, shown.bytes));
            (t.tablet, t.index, t.position, t.schema_hash, t.lineage, shown, t.others.clone())
        };
        let tablets = self.tablets.iter().map(one).collect();
        encode(&BackupTablets { tablets, parents: self.parents.clone() })
    }

    fn decode(key: &str, row: &[u8], tablets: &[u8]) -> Result<Self, Failure> {
        let row: BackupRow = decode(key, row)?;
        let BackupTablets { tablets, parents } = decode(key, tablets)?;
        if tablets.len() != row.totals.len() {
            return Err(torn(key));
        }
        let one = |((tablet, index, position, schema_hash, lineage, shown, others), (files, bytes))| {
            let shown = Option::map(shown, |(files, bytes)| Shown { files, bytes });
            backup::RowTablet { tablet, index, position, schema_hash, lineage, files, bytes, shown, others }
        };
        Ok(Self {
            task: row.task,
            partition: row.partition,
            version: row.version,
            version_time: row.version_time,
            backend: row.backend,
            attempt: row.attempt,
            failures: row.failures,
            not_before: row.not_before,
            error: row.error,
            stage: row.stage,
            tablets: tablets.into_iter().zip(row.totals).map(one).collect(),
            parents,
        })
    }

    fn has_tablets_of(&self, other: &Self) -> bool {
        let same = |(a, b): (&backup::RowTablet, &backup::RowTablet)| {
            let named =
                (a.tablet, a.index, a.position, a.schema_hash) == (b.tablet, b.index, b.position, b.schema_hash);
            named && (a.lineage, a.shown) == (b.lineage, b.shown) && a.others == b.others
        };
        let counts = self.tablets.len() == other.tablets.len();
        counts && self.parents == other.parents && self.tablets.iter().zip(&other.tablets).all(same)
    }

    fn tablets(&self) -> usize {
        self.tablets.len()
    }
}

#[derive(Serialize, Deserialize)]
struct RestoreRow {
    task: TaskId,
    backend: BackendId,
    attempt: u32,
    failures: u32,
    not_before: Option<Time>,
    error: Option<String>,
    stage: restore::Stage,
    manifest: Option<ManifestRef>,
}

/// Source (cluster, tablet, lineage, version), target (tablet, schema, lineage), what is reused, bytes.
type RestoreTablet = (
    (ClusterId, TabletId, Lineage, Version),
    (TabletId, SchemaHash, Lineage),
    Option<(TabletId, Version, SchemaHash)>,
    u64,
);

impl Stored for restore::Row {
    fn encode_row(&self) -> Result<Bytes, Failure> {
        encode(&RestoreRow {
            task: self.task,
            backend: self.backend,
            attempt: self.attempt,
            failures: self.failures,
            not_before: self.not_before,
            error: self.error.clone(),
            stage: self.stage,
            manifest: self.manifest,
        })
    }

    fn encode_tablets(&self) -> Result<Bytes, Failure> {
        let one = |t: &restore::RowTablet| -> RestoreTablet {
            let source = (t.source.cluster, t.source.tablet, t.source.lineage, t.source.version);
            let reuse = t.reuse.map(|at| (at.tablet, at.version, at.schema_hash));
            (source, (t.target, t.schema_hash, t.lineage), reuse, t.bytes)
        };
        encode(&self.tablets.iter().map(one).collect::<Vec<_>>())
    }

    fn decode(key: &str, row: &[u8], tablets: &[u8]) -> Result<Self, Failure> {
        let row: RestoreRow = decode(key, row)?;
        let tablets: Vec<RestoreTablet> = decode(key, tablets)?;
        let one = |(source, (target, schema_hash, lineage), reuse, bytes): RestoreTablet| {
            let (cluster, tablet, from, version) = source;
            let reuse = reuse.map(|(tablet, version, schema_hash)| TabletVersion { tablet, version, schema_hash });
            let source = TabletIdentity { cluster, tablet, lineage: from, version };
            restore::RowTablet { source, target, schema_hash, lineage, reuse, bytes }
        };
        Ok(Self {
            task: row.task,
            backend: row.backend,
            attempt: row.attempt,
            failures: row.failures,
            not_before: row.not_before,
            error: row.error,
            stage: row.stage,
            manifest: row.manifest,
            tablets: tablets.into_iter().map(one).collect(),
        })
    }

    fn has_tablets_of(&self, other: &Self) -> bool {
        self.tablets == other.tablets
    }

    fn tablets(&self) -> usize {
        self.tablets.len()
    }
}

fn torn(key: &str) -> Failure {
    let message = format!("the record {key} of the job store speaks of other tablets than are stored beside it");
    Failure::fatal(Kind::Corrupt, message)
}

/// Bytes of a row's record and of that of its tablets.
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]
pub(crate) fn row_sizes(row: &impl Stored) -> [usize; 2] {
    [row.encode_row().unwrap().len(), row.encode_tablets().unwrap().len()]
}
