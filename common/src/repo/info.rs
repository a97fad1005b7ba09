//! `__ss_<label>/__info_<timestamp>`: a snapshot exists if and only if this object does and is no tombstone.
//!
//! # Overview
//! The info names everything the snapshot is made of: the meta and the manifests by their digests, and through them
//! every byte. It is [`sealed`] JSON, small, for people to read.
//!
//! # Consistency
//! It is written last and once, by create-if-absent; a tombstone takes its place or its name. Neither is ever removed.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{corrupt, layout, sealed};
use crate::clock::Time;
use crate::compression::Compression;
use crate::digest::Digest;
use crate::failure::Failure;
use crate::ids::{ClusterId, Epoch, JobId, JobUuid};
use crate::label::{Label, SnapshotTimestamp};

/// A moment for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// `yyyy-MM-dd HH:mm:ss` in UTC.
    pub text: String,
    /// Milliseconds since 1970-01-01T00:00:00Z; this is what counts.
    pub millis: Time,
}

impl From<Time> for Moment {
    fn from(time: Time) -> Self {
        Self { text: time.to_string(), millis: time }
    }
}

/// The job that made a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobIdentity {
    /// Unique everywhere.
    pub uuid: JobUuid,
    /// Its number in its cluster.
    pub id: JobId,
    /// The cluster; also that of the identities of all tablets.
    pub cluster: ClusterId,
    /// The leadership that committed.
    pub epoch: Epoch,
}

/// The name of a snapshot within a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SnapshotName {
    /// Its label.
    pub label: Label,
    /// Its timestamp.
    pub timestamp: SnapshotTimestamp,
}

/// Whether a snapshot shares objects with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupType {
    /// It shares nothing.
    #[default]
    Full,
    /// It refers to objects that its parent reaches.
    Incremental,
}

impl BackupType {
    /// The property's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }

    /// The type spelt `s` (any case), if there is one.
    #[must_use]
    pub fn parse(s: &str) -> Option<Self> {
        [Self::Full, Self::Incremental].into_iter().find(|this| this.as_str().eq_ignore_ascii_case(s))
    }
}

/// What a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Definitions and data.
    #[default]
    All,
    /// Definitions only.
    MetadataOnly,
}

impl Content {
    /// The property's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::MetadataOnly => "metadata_only",
        }
    }

    /// The content spelt `s` (any case), if there is one.
    #[must_use]
    pub fn parse(s: &str) -> Option<Self> {
        [Self::All, Self::MetadataOnly].into_iter().find(|this| this.as_str().eq_ignore_ascii_case(s))
    }
}

/// A table and its partitions in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfoTable {
    /// The table's name.
    pub table: String,
    /// Names of its partitions that are in the snapshot, all of them.
    pub partitions: Vec<String>,
}

/// Sums over a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Tables.
    pub tables: u64,
    /// Partitions.
    pub partitions: u64,
    /// Tablets, each once whatever its number of replicas.
    pub tablets: u64,
    /// Files.
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Bytes that the files take in the repository, shared ones included.
    pub stored_bytes: u64,
    /// Packs referred to, counted per manifest.
    pub packs: u64,
    /// Files that are objects of their own.
    pub objects: u64,
}

/// An object named by the digest of its stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// The job that wrote it.
    pub job: JobUuid,
    /// BLAKE3 of its stored bytes.
    pub digest: Digest,
    /// How many bytes are stored.
    pub size: u64,
}

/// A manifest and the sums over it. Its path is `layout::manifest(job, digest)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRef {
    /// The job that wrote it: another than the snapshot's when it is shared.
    pub job: JobUuid,
    /// BLAKE3 of its stored bytes.
    pub digest: Digest,
    /// How many bytes of it are stored.
    pub size: u64,
    /// Tablets in it.
    pub tablets: u64,
    /// Files in it.
    pub files: u64,
    /// Plain bytes of those files.
    pub bytes: u64,
    /// Stored bytes of those files.
    pub stored_bytes: u64,
    /// Files of it that are objects of their own.
    pub objects: u64,
    /// Packs that it refers to.
    pub packs: u64,
}

impl ManifestRef {
    /// Where the manifest lies.
    #[must_use]
    pub fn path(&self) -> String {
        layout::manifest(self.job, &self.digest)
    }
}

impl ObjectRef {
    /// Where the meta lies.
    #[must_use]
    pub fn path(&self) -> String {
        layout::meta(self.job, &self.digest)
    }
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The format's version.
    pub format_version: u32,
    /// The job that made it.
    pub job: JobIdentity,
    /// Its label.
    pub label: Label,
    /// Its timestamp.
    pub timestamp: SnapshotTimestamp,
    /// The database it was taken of.
    pub database: String,
    /// Whether it shares objects.
    pub backup_type: BackupType,
    /// What it holds.
    pub content: Content,
    /// How hard its writer tried to compress.
    pub compression: Compression,
    /// The snapshot it shares objects with; it may be gone by now.
    pub parent: Option<SnapshotName>,
    /// When the job was accepted.
    pub create_time: Moment,
    /// When all tablets were pinned.
    pub snapshot_time: Moment,
    /// When the snapshot was committed.
    pub finish_time: Moment,
    /// Tables and partitions.
    pub objects: Vec<InfoTable>,
    /// Names of views.
    pub views: Vec<String>,
    /// Sums over everything.
    pub totals: Totals,
    /// The definitions.
    pub meta: ObjectRef,
    /// Where the data is described.
    pub manifests: Vec<ManifestRef>,
}

impl Info {
    /// The snapshot's name.
    #[must_use]
    pub fn name(&self) -> SnapshotName {
        SnapshotName { label: self.label.clone(), timestamp: self.timestamp.clone() }
    }

    /// Where this info lies.
    #[must_use]
    pub fn path(&self) -> String {
        layout::info(&self.label, &self.timestamp)
    }

    /// The manifest that a meta refers to by `index`.
    ///
    /// # Errors
    /// [`crate::failure::Kind::Corrupt`] if there is none: the meta belongs to another info.
    pub fn manifest(&self, index: u32) -> Result<&ManifestRef, Failure> {
        usize::try_from(index).ok().and_then(|index| self.manifests.get(index)).ok_or_else(|| {
            let known = self.manifests.len();
            corrupt(&self.meta.path(), format_args!("it refers to manifest {index}, the info has {known}"))
        })
    }
}

/// What takes the place of a snapshot that was dropped or must not come to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The format's version.
    pub format_version: u32,
    /// The job whose snapshot it was or would have been.
    pub job: JobUuid,
    /// The cluster that wrote the tombstone.
    pub cluster: ClusterId,
    /// When.
    pub time: Moment,
    /// Why, for people.
    pub reason: String,
}

/// What lies at an info's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "it is decoded and taken apart at once, never kept in numbers")]
pub enum SnapshotObject {
    /// A snapshot.
    Snapshot(Info),
    /// None any more, and never again.
    Tombstone(Tombstone),
}

#[derive(Deserialize)]
struct Tag {
    kind: ObjectKind,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ObjectKind {
    Snapshot,
    Tombstone,
}

impl SnapshotObject {
    /// The object's bytes.
    pub fn encode(&self) -> Result<Bytes, Failure> {
        match self {
            Self::Snapshot(info) => sealed::seal(&info.path(), self),
            Self::Tombstone(tombstone) => sealed::seal(&format!("the tombstone of job {}", tombstone.job), self),
        }
    }

    /// The value in the object at `path`.
    ///
    /// # Errors
    /// As of [`sealed::open`]; also [`crate::failure::Kind::Corrupt`] if it is the info of another name.
    pub fn decode(path: &str, bytes: &[u8]) -> Result<Self, Failure> {
        // Not as one tagged value: of that serde keeps all fields first, ten times as large as they are then.
        let object = match sealed::open::<Tag>(path, bytes, layout::MAX_INFO_SIZE)?.kind {
            ObjectKind::Snapshot => serde_json::from_slice(bytes).map(Self::Snapshot),
            ObjectKind::Tombstone => serde_json::from_slice(bytes).map(Self::Tombstone),
        };
        let object = object.map_err(|error| corrupt(path, error))?;
        if let (Self::Snapshot(info), Some(name)) = (&object, layout::parse_info(path))
            && (&info.label, &info.timestamp) != (&name.0, &name.1)
        {
            return Err(corrupt(path, format_args!("it is the info of {} {}", info.label, info.timestamp)));
        }
        Ok(object)
    }

    /// The job that this object is about.
    #[must_use]
    pub fn job(&self) -> JobUuid {
        match self {
            Self::Snapshot(info) => info.job.uuid,
            Self::Tombstone(tombstone) => tombstone.job,
        }
    }
}
