//! How a piece of remote storage is reached: where it is, with which properties, through which brokers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Everything that is needed to open remote storage. Travels inside tasks, so that agents need no configuration of
/// their own for a repository.
///
/// `Debug` shows the location and the names of the properties, never a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageAccess {
    /// `file:///dir` or `s3://bucket/prefix`.
    pub location: String,
    /// Properties as their users write them (`s3.endpoint`, `aws.s3.endpoint`, …).
    pub properties: BTreeMap<String, Secret>,
    /// Addresses (`http://host:port`) of broker processes to go through, tried in turn; empty: reach the storage
    /// directly.
    pub brokers: Vec<String>,
}

impl StorageAccess {
    /// Direct access to `location` without properties.
    pub fn direct(location: impl Into<String>) -> Self {
        Self { location: location.into(), properties: BTreeMap::new(), brokers: Vec::new() }
    }

    /// The path of a directory of the machine itself, verbatim: what follows `file://`, or the whole location if it has
    /// no scheme. `None`: the location is elsewhere. Scheme and white space around the location are read as whoever
    /// opens it reads them.
    #[must_use]
    pub fn local_path(&self) -> Option<&str> {
        let location = self.location.trim();
        match location.split_once("://") {
            Some((scheme, path)) => scheme.eq_ignore_ascii_case("file").then_some(path),
            None => Some(location),
        }
    }
}
