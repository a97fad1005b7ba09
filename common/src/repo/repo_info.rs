//! `__repo_info`: what a repository is, written once when it is created.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::info::Moment;
use super::{FORMAT_VERSION, layout, sealed};
use crate::clock::Time;
use crate::failure::Failure;
use crate::ids::ClusterId;

/// What keeps two clusters from committing over each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ownership {
    /// The storage refuses to create a name twice: any number of clusters may write.
    ConditionalWrites,
    /// The storage does not: only this cluster may write.
    OneCluster(ClusterId),
}

impl Ownership {
    /// Whether `cluster` may write.
    #[must_use]
    pub fn allows(&self, cluster: ClusterId) -> bool {
        match self {
            Self::ConditionalWrites => true,
            Self::OneCluster(owner) => *owner == cluster,
        }
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoInfo {
    /// The format's version.
    pub format_version: u32,
    /// Tells repositories apart that were created under one name, one after the other.
    pub uuid: Uuid,
    /// The name it was created with; it stands in the directory's name.
    pub name: String,
    /// When it was created.
    pub create_time: Moment,
    /// Who may write.
    pub ownership: Ownership,
}

impl RepoInfo {
    /// A new repository with a new identity.
    #[must_use]
    pub fn new(name: impl Into<String>, create_time: Time, ownership: Ownership) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            uuid: Uuid::new_v4(),
            name: name.into(),
            create_time: create_time.into(),
            ownership,
        }
    }

    /// The object's bytes.
    pub fn encode(&self) -> Result<Bytes, Failure> {
        sealed::seal(layout::repo_info(), self)
    }

    /// The value in the object at `path`.
    ///
    /// # Errors
    /// As of [`sealed::open`].
    pub fn decode(path: &str, bytes: &[u8]) -> Result<Self, Failure> {
        sealed::open(path, bytes, layout::MAX_REPO_INFO_SIZE)
    }
}
