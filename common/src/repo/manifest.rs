//! `__data/<job>/m/<digest>`: where the files of some tablets of one partition are stored.
//!
//! # Overview
//! JSON Lines in one zstd frame, written and read as a stream:
//! ```text
//! {"type":"manifest", format version, job, task, attempt, table, partition, compression}
//! {"type":"pack", path, size, entries}                 before the first file that is in it
//! {"type":"tablet", identity, index, position, schema_hash, files, bytes}
//! {"type":"file", path, size, digest, at, stored_size, stored_digest, codec}   of that tablet, by ascending path
//! {"type":"end", tablets, files, bytes, stored_bytes, objects, packs}
//! ```
//!
//! # Consistency
//! Writer and reader hold the lines to the same rules: a tablet comes once and its sums are those of its files; paths
//! ascend, so that none comes twice, and stay inside the tablet's directory; a file lies in an object or a declared
//! pack of this repository, within the pack's bounds; the end line's sums are those of all lines and nothing follows.

use serde::{Deserialize, Serialize};

use super::codec::{Codec, Sums};
use super::info::ManifestRef;
use crate::compression::Compression;
use crate::digest::Digest;
use crate::ids::{JobUuid, SchemaHash, TabletIdentity, TaskId};

mod reader;
mod rules;
mod writer;

pub use reader::{ManifestReader, ManifestRecord};
pub use writer::{EncodedManifest, ManifestWriter};

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestHeader {
    /// The format's version.
    pub format_version: u32,
    /// The job that wrote it.
    pub job: JobUuid,
    /// The task that wrote it.
    pub task: TaskId,
    /// The attempt of that task.
    pub attempt: u32,
    /// The table, for people.
    pub table: String,
    /// The partition, for people.
    pub partition: String,
    /// How hard its writer tried to compress.
    pub compression: Compression,
}

/// A tablet; its files follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestTablet {
    /// What its bytes are.
    pub identity: TabletIdentity,
    /// Its index within the table.
    pub index: String,
    /// Its bucket within the index, from 0.
    pub position: u32,
    /// The schema it has.
    pub schema_hash: SchemaHash,
    /// How many files follow.
    pub files: u64,
    /// Their plain bytes.
    pub bytes: u64,
}

/// Where a file's stored bytes are; paths are relative to the repository's directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged, try_from = "Place")]
pub enum FileLocation {
    /// In a pack, from `offset` on.
    Pack {
        /// The pack's path.
        pack: String,
        /// Bytes before it in the pack.
        offset: u64,
    },
    /// An object of its own.
    Object {
        /// The object's path.
        object: String,
    },
}

/// What a manifest says of it: serde would read the variants of an untagged enum by way of a tree.
#[derive(Deserialize)]
struct Place {
    pack: Option<String>,
    offset: Option<u64>,
    object: Option<String>,
}

impl TryFrom<Place> for FileLocation {
    type Error = &'static str;

    fn try_from(place: Place) -> Result<Self, Self::Error> {
        match place {
            Place { pack: Some(pack), offset: Some(offset), object: None } => Ok(Self::Pack { pack, offset }),
            Place { pack: None, offset: None, object: Some(object) } => Ok(Self::Object { object }),
            _ => Err("a file lies in an object, or in a pack from an offset on"),
        }
    }
}

impl FileLocation {
    /// The path of the object or pack.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Pack { pack, .. } => pack,
            Self::Object { object } => object,
        }
    }
}

/// A file of a tablet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its path inside the tablet's directory.
    pub path: String,
    /// Plain bytes.
    pub size: u64,
    /// BLAKE3 of the plain bytes.
    pub digest: Digest,
    /// Where its stored bytes are.
    pub at: FileLocation,
    /// Stored bytes.
    pub stored_size: u64,
    /// BLAKE3 of the stored bytes.
    pub stored_digest: Digest,
    /// How stored bytes become plain ones.
    pub codec: Codec,
}

impl ManifestFile {
    /// A file with `sums` that is stored `at`.
    #[must_use]
    pub fn new(path: impl Into<String>, sums: &Sums, at: FileLocation) -> Self {
        let Sums { size, digest, stored_size, stored_digest, codec } = *sums;
        Self { path: path.into(), size, digest, at, stored_size, stored_digest, codec }
    }

    /// Its sizes and digests.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let Self { size, digest, stored_size, stored_digest, codec, .. } = *self;
        Sums { size, digest, stored_size, stored_digest, codec }
    }
}

/// A pack that files of this manifest lie in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestPack {
    /// Its path.
    pub path: String,
    /// Its bytes, trailer included.
    pub size: u64,
    /// How many files it holds, those included that this manifest does not name.
    pub entries: u64,
}

/// Sums over a manifest; the last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ManifestTotals {
    /// Tablets.
    pub tablets: u64,
    /// Files.
    pub files: u64,
    /// Their plain bytes.
    pub bytes: u64,
    /// Their stored bytes.
    pub stored_bytes: u64,
    /// Files that are objects of their own.
    pub objects: u64,
    /// Packs.
    pub packs: u64,
}

impl ManifestTotals {
    /// The sums that an info says.
    #[must_use]
    pub fn of(reference: &ManifestRef) -> Self {
        let ManifestRef { tablets, files, bytes, stored_bytes, objects, packs, .. } = *reference;
        Self { tablets, files, bytes, stored_bytes, objects, packs }
    }

    /// What an info says of the manifest with these sums.
    #[must_use]
    pub fn reference(&self, job: JobUuid, digest: Digest, size: u64) -> ManifestRef {
        let Self { tablets, files, bytes, stored_bytes, objects, packs } = *self;
        ManifestRef { job, digest, size, tablets, files, bytes, stored_bytes, objects, packs }
    }
}

/// A line as it is read.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Manifest(ManifestHeader),
    Pack(ManifestPack),
    Tablet(ManifestTablet),
    File(ManifestFile),
    End(ManifestTotals),
}

impl Line {
    /// How nearly all lines begin.
    const FILE: &[u8] = br#"{"type":"file","#;

    /// Files are read at once: behind a tag serde reads by way of a tree.
    fn parse(line: &[u8]) -> serde_json::Result<Self> {
        if line.starts_with(Self::FILE) {
            serde_json::from_slice(line).map(Self::File)
        } else {
            serde_json::from_slice(line)
        }
    }
}

/// A line as it is written.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum LineRef<'a> {
    Manifest(&'a ManifestHeader),
    Pack(&'a ManifestPack),
    Tablet(&'a ManifestTablet),
    File(&'a ManifestFile),
    End(&'a ManifestTotals),
}
