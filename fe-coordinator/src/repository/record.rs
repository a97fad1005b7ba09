//! What the job store keeps of a repository.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tabvault_common::access::StorageAccess;
use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::secret::Secret;
use tabvault_common::settings::RepositorySettings;
use tabvault_common::view::RepositoryView;
use uuid::Uuid;

use super::place;
use crate::store::MAX_VALUE;

/// All records of repositories start with this.
pub(super) const PREFIX: &str = "repository/";

/// A repository as this cluster knows it, under the key `repository/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryRecord {
    /// Its number in this cluster.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The identity in its `__repo_info`: tells it from another that later takes its place there.
    pub uuid: Uuid,
    /// Where the repository's directory lies, without a slash at the end.
    pub location: String,
    /// The storage's properties.
    pub properties: BTreeMap<String, Secret>,
    /// The name of the brokers to go through.
    pub broker: Option<String>,
    /// Whether this cluster may write nothing.
    pub read_only: bool,
    /// Whether the storage refuses to create a name twice, as found when it was created or last altered.
    pub conditional_writes: bool,
    /// When this cluster came to know it.
    pub create_time: Time,
    /// What a user should know about the promises this storage can keep.
    pub notice: Option<String>,
    /// What all agents together may ask of it.
    #[serde(default, skip_serializing_if = "RepositorySettings::is_empty")]
    pub settings: RepositorySettings,
}

impl RepositoryRecord {
    /// Where the record of the repository `name` is.
    pub(super) fn key(name: &str) -> String {
        format!("{PREFIX}{name}")
    }

    /// The bytes to store.
    ///
    /// # Errors
    /// `InvalidArgument` when the properties are larger than a record may be.
    pub(super) fn encode(&self) -> Result<Bytes, Failure> {
        let bytes = serde_json::to_vec(self)
            .map_err(|error| Failure::fatal(Kind::Internal, format!("encode repository {}: {error}", self.name)))?;
        if bytes.len() > MAX_VALUE {
            let message = format!("the properties of repository {} are too long: {MAX_VALUE} bytes at most", self.name);
            return Err(Failure::fatal(Kind::InvalidArgument, message));
        }
        Ok(bytes.into())
    }

    /// The record in `bytes`, found at `key`.
    pub(super) fn decode(key: &str, bytes: &[u8]) -> Result<Self, Failure> {
        serde_json::from_slice(bytes)
            // The text of a parse error may quote a secret.
            .map_err(|_| Failure::fatal(Kind::Corrupt, format!("the job store's record {key} is damaged")))
    }

    /// How the repository's directory is reached through `brokers`.
    pub(super) fn access(&self, brokers: Vec<String>) -> StorageAccess {
        StorageAccess { location: self.directory(), properties: self.properties.clone(), brokers }
    }

    /// Where the repository's directory is, as tasks name it.
    pub(super) fn directory(&self) -> String {
        place::directory(&self.location, &self.name)
    }

    /// What people are shown of it.
    pub(super) fn view(&self, error: Option<String>) -> RepositoryView {
        RepositoryView {
            id: self.id,
            name: self.name.clone(),
            create_time: self.create_time,
            read_only: self.read_only,
            location: self.location.clone(),
            broker: self.broker.clone(),
            kind: place::kind(&self.location, self.broker.is_some()),
            error,
            notice: self.notice.clone(),
        }
    }
}
