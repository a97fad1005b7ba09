//! One look at the catalog's tree, or one change of it: what is written is seen at once by the change itself, and by
//! others when all of it is committed in one batch.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::BackendId;

use super::{Result, keys};
use crate::store::shared_db::{MAX_RECORD, failure, let_go_of_garbage};

/// The tree with the changes made so far.
pub(super) struct Records {
    tree: sled::Tree,
    changes: BTreeMap<String, Option<Vec<u8>>>,
    next_id: Option<u64>,
    /// Replicas on each backend, as placement sees them.
    pub(super) placed: BTreeMap<BackendId, u64>,
}

impl Records {
    pub(super) fn new(tree: sled::Tree, placed: BTreeMap<BackendId, u64>) -> Self {
        Self { tree, changes: BTreeMap::new(), next_id: None, placed }
    }

    /// The record at `key`.
    pub(super) fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        if let Some(change) = self.changes.get(key) {
            return change.as_deref().map(|value| decode(key, value)).transpose();
        }
        let stored = self.tree.get(key).map_err(|error| failure(format_args!("read catalog record {key}"), error))?;
        stored.map(|value| decode(key, &value)).transpose()
    }

    /// The record at `key`, which another record promises.
    pub(super) fn require<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        self.get(key)?.ok_or_else(|| {
            let message = format!("read catalog record {key}: another record names it, but it is missing");
            Failure::fatal(Kind::Corrupt, message)
        })
    }

    /// The records whose keys start with `prefix`, in order, each with the rest of its key.
    pub(super) fn list<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T)>> {
        let mut found: BTreeMap<String, T> = self.scan(prefix).collect::<Result<_>>()?;
        for (key, change) in self.changes.range(prefix.to_owned()..) {
            let Some(rest) = key.strip_prefix(prefix) else { break };
            match change {
                Some(value) => found.insert(rest.to_owned(), decode(key, value)?),
                None => found.remove(rest),
            };
        }
        Ok(found.into_iter().collect())
    }

    /// The first `limit` records whose keys start with `prefix` as they were before this change.
    pub(super) fn first<T: DeserializeOwned>(&self, prefix: &str, limit: usize) -> Result<Vec<(String, T)>> {
        self.scan(prefix).take(limit).collect()
    }

    /// The records whose keys start with `prefix` as they were before this change, one by one.
    pub(super) fn scan<T: DeserializeOwned>(&self, prefix: &str) -> impl Iterator<Item = Result<(String, T)>> {
        self.tree.scan_prefix(prefix).map(move |record| {
            let (key, value) =
                record.map_err(|error| failure(format_args!("read the catalog records below {prefix}"), error))?;
            let key = String::from_utf8_lossy(&key);
            let rest = key.strip_prefix(prefix).unwrap_or(&key).to_owned();
            Ok((rest, decode(&key, &value)?))
        })
    }

    /// As [`Records::scan`], of the records behind the one whose key ends in `after`; all of them if that is empty.
    pub(super) fn scan_after<T: DeserializeOwned>(
        &self,
        prefix: &str,
        after: &str,
    ) -> impl Iterator<Item = Result<(String, T)>> {
        let from = format!("{prefix}{after}{}", if after.is_empty() { "" } else { "\0" });
        self.tree.range(from.into_bytes()..).map_while(move |record| {
            let record =
                record.map_err(|error| failure(format_args!("read the catalog records below {prefix}"), error));
            let (key, value) = match record {
                Ok(record) => record,
                Err(failure) => return Some(Err(failure)),
            };
            let key = String::from_utf8_lossy(&key);
            let rest = key.strip_prefix(prefix)?.to_owned();
            Some(decode(&key, &value).map(|record| (rest, record)))
        })
    }

    /// Writes the record at `key`.
    pub(super) fn put<T: Serialize>(&mut self, key: String, record: &T) -> Result<()> {
        let value = serde_json::to_vec(record)
            .map_err(|error| Failure::fatal(Kind::Internal, format!("write catalog record {key}: {error}")))?;
        if value.len() > MAX_RECORD {
            let message = format!(
                "write catalog record {key}: its definition takes {} bytes, at most {MAX_RECORD} fit",
                value.len()
            );
            return Err(Failure::fatal(Kind::ResourceExhausted, message));
        }
        self.changes.insert(key, Some(value));
        Ok(())
    }

    /// Removes the record at `key`, if there is one.
    pub(super) fn delete(&mut self, key: String) {
        self.changes.insert(key, None);
    }

    /// A number that nothing in this catalog had before.
    pub(super) fn new_id(&mut self) -> Result<u64> {
        let next = match self.next_id {
            Some(next) => next,
            None => self.get(keys::COUNTER)?.unwrap_or(FIRST_ID),
        };
        self.next_id = Some(next + 1);
        Ok(next)
    }

    /// Makes all changes in one batch, and answers with where replicas are now.
    pub(super) fn commit(mut self) -> Result<BTreeMap<BackendId, u64>> {
        if let Some(next) = self.next_id {
            self.put(keys::COUNTER.to_owned(), &next)?;
        }
        let (mut batch, records) = (sled::Batch::default(), self.changes.len());
        for (key, change) in self.changes {
            match change {
                Some(value) => batch.insert(key.into_bytes(), value),
                None => batch.remove(key.into_bytes()),
            }
        }
        self.tree.apply_batch(batch).map_err(|error| failure("change the catalog", error))?;
        let_go_of_garbage(records);
        Ok(self.placed)
    }
}

/// Small numbers are left free, for people who compare by eye with what is not from this catalog.
const FIRST_ID: u64 = 10_000;

fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T> {
    serde_json::from_slice(value)
        .map_err(|error| Failure::fatal(Kind::Corrupt, format!("read catalog record {key}: {error}")))
}
