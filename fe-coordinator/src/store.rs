//! The `JobStore` port: the coordinator's own durable records.
//!
//! # Overview
//! Small records (at most [`MAX_VALUE`] bytes) under text keys, ordered by key. What is larger is kept by
//! [`large`]: chunks first, then one record with their count and digest.
//!
//! # Consistency
//! [`JobStore::commit`] is atomic: all of a transaction or nothing, and only for the newest leadership. A coordinator
//! whose epoch is not the newest is refused with `Kind::Stale` and must stop.
//!
//! # Crash consistency
//! A commit that has answered survives a crash of the process and a power cut. One that has not may have happened.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use tabvault_common::failure::Failure;
use tabvault_common::ids::Epoch;

mod check;
pub mod conformance;
pub mod large;
mod memory;
pub mod shared_db;
mod sled;

pub use self::sled::SledStore;
pub use check::{MAX_KEY, check};
pub use memory::MemoryStore;
pub(crate) use shared_db::Part;
pub use shared_db::SharedDb;

/// Errors of a store: `Kind::Stale` when another coordinator leads, else errors of the disk or the network.
pub type Result<T> = std::result::Result<T, Failure>;

/// Largest value of one record, in bytes.
pub const MAX_VALUE: usize = 64 * 1024;

/// Most operations in one transaction: what etcd takes by default.
pub const MAX_OPERATIONS: usize = 128;

/// Durable records of one cluster's coordinators.
#[async_trait]
pub trait JobStore: Send + Sync + fmt::Debug {
    /// Begins a leadership: durably takes an epoch above every one before.
    async fn lead(&self) -> Result<Epoch>;

    /// The record at `key`.
    async fn get(&self, key: &str) -> Result<Option<Bytes>>;

    /// Up to `limit` records whose keys start with `prefix` and come after `after`, in order.
    async fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>>;

    /// Applies a transaction, or tells which expectation did not hold.
    async fn commit(&self, epoch: Epoch, transaction: Transaction) -> Result<Committed>;
}

/// Changes that happen together or not at all.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must stand there: a value, or `None` for nothing.
    pub expect: Vec<(String, Option<Bytes>)>,
    /// Records to write.
    pub put: Vec<(String, Bytes)>,
    /// Records to remove; one that is not there is no error.
    pub delete: Vec<String>,
}

impl fmt::Debug for Transaction {
    /// Without the values, which hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expect: Vec<_> = self.expect.iter().map(|(key, value)| (key, value.is_some())).collect();
        let put: Vec<_> = self.put.iter().map(|(key, _)| key).collect();
        let Self { delete, .. } = self;
        f.debug_struct("Transaction").field("expect", &expect).field("put", &put).field("delete", delete).finish()
    }
}

/// The answer of [`JobStore::commit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// It is durable.
    Done,
    /// Nothing was changed, because another value stands at `key`.
    Conflict {
        /// The first key whose expectation did not hold.
        key: String,
    },
}
