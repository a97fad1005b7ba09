//! The job store of a coordinator that leads alone: a directory.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::Epoch;

use super::check::{check, stale};
use super::shared_db::{Part, SharedDb, failure};
use super::{Committed, JobStore, Result, Transaction};

const EPOCH: &str = "epoch";

/// Records in a sled database. See [`super::shared_db`] for what survives what.
#[derive(Debug, Clone)]
pub struct SledStore {
    /// Before `part`: trees must be gone when the directory is let go.
    records: ::sled::Tree,
    leadership: ::sled::Tree,
    part: Part,
}

impl SledStore {
    /// The store in `db`. Blocks for a moment.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn open(db: &SharedDb) -> Result<Self> {
        let part = db.part("jobs");
        Ok(Self { records: part.tree("jobs")?, leadership: part.tree("leadership")?, part })
    }
}

fn epoch(leadership: &::sled::Tree) -> Result<u64> {
    let stored = leadership.get(EPOCH).map_err(|error| failure("read the epoch", error))?;
    let Some(stored) = stored else { return Ok(0) };
    let bytes = stored.as_ref().try_into();
    bytes.map(u64::from_be_bytes).map_err(|_| Failure::fatal(Kind::Corrupt, "read the epoch: it is not 8 bytes long"))
}

fn name(key: &[u8]) -> Result<String> {
    String::from_utf8(key.to_vec())
        .map_err(|_| Failure::fatal(Kind::Corrupt, "read a record of the job store: its key is not UTF-8"))
}

/// What kind of record a key names: what stands before its first slash.
fn kind(key: &str) -> &str {
    key.split_once('/').map_or(key, |(kind, _)| kind)
}

#[async_trait]
impl JobStore for SledStore {
    async fn lead(&self) -> Result<Epoch> {
        let leadership = self.leadership.clone();
        self.part
            .write(move || {
                let next = epoch(&leadership)? + 1;
                let taken = leadership.insert(EPOCH, &next.to_be_bytes());
                taken.map_err(|error| failure("take the leadership", error))?;
                Ok(Epoch(next))
            })
            .await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let (records, key) = (self.records.clone(), key.to_owned());
        self.part
            .read_kind(kind(&key).to_owned(), move || {
                let value = records.get(&key).map_err(|error| failure(format_args!("read record {key}"), error))?;
                Ok(value.map(|value| Bytes::copy_from_slice(&value)))
            })
            .await
    }

    async fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>> {
        let (records, prefix) = (self.records.clone(), prefix.to_owned());
        let after = after.map(str::to_owned);
        let of_one_kind = prefix.contains('/').then(|| kind(&prefix).to_owned());
        let look = move || {
            // The first key after `k` is `k` with a zero byte behind it.
            let from = match after {
                Some(after) if after >= prefix => format!("{after}\0"),
                _ => prefix.clone(),
            };
            let mut found = Vec::new();
            for record in records.range(from..).take(limit) {
                let (key, value) =
                    record.map_err(|error| failure(format_args!("read the records below {prefix}"), error))?;
                if !key.starts_with(prefix.as_bytes()) {
                    break;
                }
                found.push((name(&key)?, Bytes::copy_from_slice(&value)));
            }
            Ok(found)
        };
        match of_one_kind {
            Some(kind) => self.part.read_kind(kind, look).await,
            None => self.part.read(look).await,
        }
    }

    async fn commit(&self, epoch_given: Epoch, transaction: Transaction) -> Result<Committed> {
        check(&transaction)?;
        let (records, leadership) = (self.records.clone(), self.leadership.clone());
        let keys = transaction.put.iter().map(|(key, _)| key).chain(&transaction.delete);
        let kinds: BTreeSet<String> = keys.map(|key| kind(key).to_owned()).collect();
        self.part
            .write_kinds(kinds, move || {
                let newest = epoch(&leadership)?;
                if epoch_given.0 != newest {
                    return Err(stale(epoch_given, Epoch(newest)));
                }
                for (key, value) in transaction.expect {
                    let stored =
                        records.get(&key).map_err(|error| failure(format_args!("read record {key}"), error))?;
                    if stored.as_deref() != value.as_deref() {
                        return Ok(Committed::Conflict { key });
                    }
                }
                let mut batch = ::sled::Batch::default();
                for (key, value) in transaction.put {
                    batch.insert(key.as_bytes(), value.as_ref());
                }
                for key in transaction.delete {
                    batch.remove(key.as_bytes());
                }
                records.apply_batch(batch).map_err(|error| failure("commit a transaction", error))?;
                Ok(Committed::Done)
            })
            .await
    }
}
