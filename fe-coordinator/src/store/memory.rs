//! A job store that forgets: for tests and for embedders that try things out.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tabvault_common::ids::Epoch;

use super::check::{check, stale};
use super::{Committed, JobStore, Result, Transaction};

/// Records in memory. They last as long as the value does; share it by `Arc` to play a restart.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

impl fmt::Debug for MemoryStore {
    /// Without the records, which hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    epoch: u64,
    records: BTreeMap<String, Bytes>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing below panics between two changes, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl JobStore for MemoryStore {
    async fn lead(&self) -> Result<Epoch> {
        let mut state = self.state();
        state.epoch += 1;
        Ok(Epoch(state.epoch))
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.state().records.get(key).cloned())
    }

    async fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let state = self.state();
        let records = state.records.range::<str, _>((from, Bound::Unbounded));
        let records = records.take_while(|(key, _)| key.starts_with(prefix)).take(limit);
        Ok(records.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    async fn commit(&self, epoch: Epoch, transaction: Transaction) -> Result<Committed> {
        check(&transaction)?;
        let mut state = self.state();
        if epoch.0 != state.epoch {
            return Err(stale(epoch, Epoch(state.epoch)));
        }
        for (key, value) in &transaction.expect {
            if state.records.get(key) != value.as_ref() {
                return Ok(Committed::Conflict { key: key.clone() });
            }
        }
        for key in &transaction.delete {
            state.records.remove(key);
        }
        state.records.extend(transaction.put);
        Ok(Committed::Done)
    }
}
