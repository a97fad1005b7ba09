//! A tablet's `header.json`: small, versioned, written whole; every change of it is a commit.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tabvault_common::durable;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{JobUuid, Lineage, SchemaHash, TabletId, TabletIdentity, Version};

use crate::store::Result;

/// The file's name in the tablet's directory.
pub(crate) const HEADER_NAME: &str = "header.json";

/// History: 1, the first.
const FORMAT_VERSION: u32 = 1;

/// What a tablet is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    format_version: u32,
    /// Its number.
    pub(crate) tablet: TabletId,
    /// The schema it was made with.
    pub(crate) schema_hash: SchemaHash,
    /// The history that its versions count in.
    pub(crate) lineage: Lineage,
    /// The job that it belongs to and is hidden with; none once settled.
    pub(crate) owner: Option<JobUuid>,
    /// What it was restored from, and by which job.
    pub(crate) adopted: Option<Adopted>,
    /// The version of its first contents: what was adopted, else 1, which is empty.
    pub(crate) base: Version,
}

/// Where the first contents came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Adopted {
    /// The restore.
    pub(crate) job: JobUuid,
    /// The tablet and version that was backed up.
    pub(crate) source: TabletIdentity,
}

/// Only the version, so that a later format is refused as what it is.
#[derive(Deserialize)]
struct Versioned {
    format_version: u32,
}

impl Header {
    /// The header of an empty tablet.
    pub(crate) fn new(tablet: TabletId, schema_hash: SchemaHash, lineage: Lineage, owner: Option<JobUuid>) -> Self {
        let format_version = FORMAT_VERSION;
        Self { format_version, tablet, schema_hash, lineage, owner, adopted: None, base: Version::INITIAL }
    }

    /// Writes it into the tablet's directory `dir`, durably.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let mut text = serde_json::to_vec(self).map_err(|error| {
            Failure::fatal(Kind::Internal, format!("spell the header of tablet {}: {error}", self.tablet))
        })?;
        text.push(b'\n');
        durable::write_file(&dir.join(HEADER_NAME), &text)
    }

    /// Reads the header in the tablet's directory `dir`.
    ///
    /// # Errors
    /// `Corrupt` if it is garbled; `Unsupported` if it is of a later format.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(HEADER_NAME);
        let text =
            std::fs::read(&path).map_err(|error| Failure::io(format_args!("read {}", path.display()), &error))?;
        let garbled = |error| Failure::fatal(Kind::Corrupt, format!("read {}: {error}", path.display()));
        let Versioned { format_version } = serde_json::from_slice(&text).map_err(garbled)?;
        if format_version != FORMAT_VERSION {
            let message = format!(
                "{} has format version {format_version}: this program reads version {FORMAT_VERSION}",
                path.display()
            );
            return Err(Failure::fatal(Kind::Unsupported, message));
        }
        serde_json::from_slice(&text).map_err(garbled)
    }
}
