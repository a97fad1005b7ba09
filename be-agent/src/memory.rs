//! The budget of bytes that transfers share.
//!
//! # Overview
//! Whoever is about to hold bytes of a transfer reserves them first, all at once and before anything else it may have
//! to wait for, so that two waiters never hold what the other needs. Waiters are served in order: a large reservation
//! is not starved by small ones. What its holder keeps while it waits for more, the list of a task's files, is taken
//! out of the budget: nobody else waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tabvault_common::failure::{Failure, Kind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

pub(crate) mod list;

/// Reservations are counted in units of this many bytes.
const UNIT: u64 = 4096;

/// A budget of bytes.
#[derive(Debug, Clone)]
pub struct Memory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    units: Arc<Semaphore>,
    total_units: u32,
    /// Units that one reservation may have: all that a list leaves.
    most: watch::Sender<u32>,
    reserved: AtomicU64,
    peak: AtomicU64,
}

impl Memory {
    /// A budget of `bytes`, rounded down to 4 KiB.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let total_units = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1);
        let inner = Inner {
            units: Arc::new(Semaphore::new(total_units as usize)),
            total_units,
            most: watch::Sender::new(total_units),
            reserved: AtomicU64::new(0),
            peak: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Waits until `bytes` of the budget are free and takes them until the answer is dropped. More than the whole
    /// budget, or than a list leaves of it, counts as all of that: such a transfer runs alone. Cancel safe.
    ///
    /// # Errors
    /// None while the budget lives; `Internal` guards against a closed one.
    pub async fn reserve(&self, bytes: u64) -> Result<Reservation, Failure> {
        let asked = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1);
        let mut most = self.inner.most.subscribe();
        loop {
            let units = asked.min(*most.borrow_and_update());
            // Who waits for more than a list leaves would wait for its holder, who may wait behind.
            let outdated = most.wait_for(|most| asked.min(*most) != units);
            tokio::select! {
                biased;
                taken = self.take(units) => return taken,
                _ = outdated => {}
            }
        }
    }

    async fn take(&self, units: u32) -> Result<Reservation, Failure> {
        let permit = Arc::clone(&self.inner.units)
            .acquire_many_owned(units)
            .await
            .map_err(|_| Failure::transient(Kind::Internal, "reserve memory: the budget is closed"))?;
        let bytes = u64::from(units) * UNIT;
        let now = self.inner.reserved.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.inner.peak.fetch_max(now, Ordering::Relaxed);
        Ok(Reservation { inner: Arc::clone(&self.inner), bytes, _permit: permit })
    }

    /// The whole budget in bytes.
    #[must_use]
    pub fn budget(&self) -> u64 {
        u64::from(self.inner.total_units) * UNIT
    }

    /// Bytes reserved now.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        self.inner.reserved.load(Ordering::Relaxed)
    }

    /// The most bytes that were ever reserved at once.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.inner.peak.load(Ordering::Relaxed)
    }
}

/// Bytes taken from a [`Memory`] until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    inner: Arc<Inner>,
    bytes: u64,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.inner.reserved.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn reservations_never_exceed_the_budget() {
        let memory = Memory::new(1 << 20);
        let first = memory.reserve(700 << 10).await.unwrap();
        assert!(memory.reserve(700 << 10).now_or_never().is_none());
        drop(first);
        let _second = memory.reserve(700 << 10).await.unwrap();
        assert_eq!(memory.peak(), 700 << 10);
    }

    #[tokio::test]
    async fn what_is_larger_than_the_budget_runs_alone() {
        let memory = Memory::new(1 << 20);
        let all = memory.reserve(1 << 40).await.unwrap();
        assert_eq!(memory.reserved(), memory.budget());
        assert!(memory.reserve(1).now_or_never().is_none());
        drop(all);
        assert_eq!(memory.reserved(), 0);
    }
}
