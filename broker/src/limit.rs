//! Bounds what a process asks of its storage: bytes per second and requests per second.
//!
//! The budget is a [`Limits`], shared by any number of storages and changed while they run: whoever waits, and whoever
//! is in the middle of an object, obeys the new one at once. Nobody holds anything while waiting, so that whoever reads
//! one object while writing another cannot lock itself out.

mod bucket;

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tabvault_common::clock::Clock;
use tokio::sync::watch;

use crate::storage::{Created, ObjectMeta, ObjectWriter, Result, Storage};
use bucket::Bucket;

/// The numbers of a budget; `None` means unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Bytes per second, written and read together.
    pub bytes_per_second: Option<u64>,
    /// Requests per second.
    pub requests_per_second: Option<u64>,
}

/// A budget, shared and changeable: clones are handles of the same one.
#[derive(Debug, Clone)]
pub struct Limits {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    rates: watch::Sender<Rates>,
    bytes: Bucket,
    requests: Bucket,
}

impl Limits {
    /// A budget of `rates`, measured by `clock`.
    #[must_use]
    pub fn new(rates: Rates, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            bytes: Bucket::new(clock.now()),
            requests: Bucket::new(clock.now()),
            rates: watch::Sender::new(rates),
            clock,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Changes the budget at once, also for those who wait already.
    pub fn set(&self, rates: Rates) {
        self.inner.rates.send_replace(rates);
    }

    /// The budget as it is.
    #[must_use]
    pub fn rates(&self) -> Rates {
        *self.inner.rates.borrow()
    }

    /// Whether somebody else has a handle of this budget.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.inner) > 1
    }

    /// Takes `bytes` out of the budget, waiting until earlier takers have paid.
    async fn bytes(&self, bytes: u64) {
        let Inner { bytes: bucket, clock, rates, .. } = &*self.inner;
        note("bytes", bucket.take(bytes, |rates| rates.bytes_per_second, &**clock, rates).await);
    }

    /// Makes one request when it is its turn.
    async fn request<T>(&self, work: impl Future<Output = T> + Send) -> T {
        let Inner { requests: bucket, clock, rates, .. } = &*self.inner;
        note("requests", bucket.take(1, |rates| rates.requests_per_second, &**clock, rates).await);
        work.await
    }
}

/// Counts a wait.
fn note(by: &'static str, waited: Option<Duration>) {
    if let Some(waited) = waited {
        metrics::counter!("tabvault_storage_throttled_total", "by" => by).increment(1);
        let millis = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        metrics::counter!("tabvault_storage_throttled_milliseconds_total", "by" => by).increment(millis);
    }
}

/// A storage that keeps to a budget.
#[derive(Debug, Clone)]
pub struct LimitStorage {
    inner: Arc<dyn Storage>,
    limits: Limits,
}

impl LimitStorage {
    /// `inner`, within `limits`.
    pub fn new(inner: Arc<dyn Storage>, limits: Limits) -> Self {
        Self { inner, limits }
    }

    fn paced(&self, stream: BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<Bytes>> {
        stream::try_unfold((stream, self.limits.clone()), move |(mut stream, limits)| async move {
            let Some(data) = stream.try_next().await? else { return Ok(None) };
            limits.bytes(data.len() as u64).await;
            Ok(Some((data, (stream, limits))))
        })
        .boxed()
    }
}

#[async_trait]
impl Storage for LimitStorage {
    fn location(&self) -> &str {
        self.inner.location()
    }

    async fn put(&self, path: &str, data: Bytes) -> Result<()> {
        self.limits.bytes(data.len() as u64).await;
        self.limits.request(self.inner.put(path, data)).await
    }

    async fn create(&self, path: &str, data: Bytes) -> Result<Created> {
        self.limits.bytes(data.len() as u64).await;
        self.limits.request(self.inner.create(path, data)).await
    }

    async fn writer(&self, path: &str, size_hint: Option<u64>) -> Result<Box<dyn ObjectWriter>> {
        let inner = self.limits.request(self.inner.writer(path, size_hint)).await?;
        Ok(Box::new(LimitWriter { inner, limits: self.limits.clone() }))
    }

    fn writer_memory(&self, size_hint: Option<u64>) -> u64 {
        self.inner.writer_memory(size_hint)
    }

    async fn get(&self, path: &str, limit: u64) -> Result<Bytes> {
        let data = self.limits.request(self.inner.get(path, limit)).await?;
        self.limits.bytes(data.len() as u64).await;
        Ok(data)
    }

    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        let stream = self.limits.request(self.inner.read(path, range)).await?;
        Ok(self.paced(stream))
    }

    async fn stat(&self, path: &str) -> Result<Option<ObjectMeta>> {
        self.limits.request(self.inner.stat(path)).await
    }

    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        self.limits.request(self.inner.list(prefix)).await
    }

    async fn list_level(&self, prefix: &str) -> Result<BoxStream<'static, Result<String>>> {
        self.limits.request(self.inner.list_level(prefix)).await
    }

    async fn delete(&self, paths: &[String]) -> Result<()> {
        self.limits.request(self.inner.delete(paths)).await
    }
}

struct LimitWriter {
    inner: Box<dyn ObjectWriter>,
    limits: Limits,
}

#[async_trait]
impl ObjectWriter for LimitWriter {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.limits.bytes(data.len() as u64).await;
        self.inner.write(data).await
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.limits.request(self.inner.close()).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        // Cleaning up is never held back.
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests;
