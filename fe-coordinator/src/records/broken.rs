//! A job store whose commits fail when they are told to.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::Epoch;

use crate::store::{Committed, JobStore, MemoryStore, Result, Transaction};

/// Which commit fails, and whether it happens nevertheless.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// How many commits go well before.
    pub(crate) after: u32,
    /// Whether the failing one is applied.
    pub(crate) happens: bool,
}

/// Records in memory that outlive their coordinators.
#[derive(Debug, Default)]
pub(crate) struct BrokenStore {
    pub(crate) inner: MemoryStore,
    fault: Mutex<Option<Fault>>,
    commits: Mutex<u32>,
}

impl BrokenStore {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The fault that comes next; `None` for none. It comes once.
    pub(crate) fn set(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap() = fault;
    }

    /// Whether a fault is still to come.
    pub(crate) fn is_set(&self) -> bool {
        self.fault.lock().unwrap().is_some()
    }

    /// How many transactions were committed.
    pub(crate) fn commits(&self) -> u32 {
        *self.commits.lock().unwrap()
    }

    /// All keys.
    pub(crate) async fn keys(&self) -> Vec<String> {
        self.inner.scan("", None, usize::MAX).await.unwrap().into_iter().map(|(key, _)| key).collect()
    }
}

#[async_trait]
impl JobStore for BrokenStore {
    async fn lead(&self) -> Result<Epoch> {
        self.inner.lead().await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.inner.get(key).await
    }

    async fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>> {
        self.inner.scan(prefix, after, limit).await
    }

    async fn commit(&self, epoch: Epoch, transaction: Transaction) -> Result<Committed> {
        let now = {
            let mut fault = self.fault.lock().unwrap();
            match fault.take() {
                Some(Fault { after: 0, happens }) => Some(happens),
                Some(Fault { after, happens }) => {
                    *fault = Some(Fault { after: after - 1, happens });
                    None
                }
                None => None,
            }
        };
        if now != Some(false) {
            let committed = self.inner.commit(epoch, transaction).await?;
            *self.commits.lock().unwrap() += 1;
            if now.is_none() {
                return Ok(committed);
            }
        }
        Err(Failure { kind: Kind::Unreachable, retry: Retry::OutcomeUnknown, message: "the store is away".into() })
    }
}
