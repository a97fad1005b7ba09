//! Tries again what may be tried again: bounded attempts, exponential pauses with full jitter.
//!
//! Only [`Retry`] decides, never a message. `put`, `get`, `list`, `stat` and `delete` give the same result when they are
//! repeated, so an unknown outcome is repeated too; [`Storage::create`] is not, since it would take its own first
//! attempt for somebody else's. A read goes on where it broke. A writer is retried only while it is opened.

use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tabvault_common::clock::Clock;
use tabvault_common::failure::{Failure, Kind, Retry};

use crate::pieces;
use crate::rng::Rng;
use crate::storage::{Created, ObjectMeta, ObjectWriter, Result, Storage};

static JITTER: LazyLock<Rng> = LazyLock::new(Rng::random);

/// How often and after which pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Attempts in all, the first included; 1 means never again.
    pub attempts: u32,
    /// The longest pause before the second attempt; it doubles with every further one.
    pub base: Duration,
    /// No pause is longer.
    pub cap: Duration,
}

impl Default for Policy {
    /// Six attempts within about ten seconds: enough for a restart of a broker or a hiccup of S3. Whoever has a deadline
    /// of hours tries again above this.
    fn default() -> Self {
        Self { attempts: 6, base: Duration::from_millis(200), cap: Duration::from_secs(5) }
    }
}

impl Policy {
    /// How long to wait after `failed` attempts; `None` when there were enough.
    #[must_use]
    pub fn pause(&self, failed: u32) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        let doubled = self.base.saturating_mul(1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX));
        let most = u64::try_from(doubled.min(self.cap).as_millis()).unwrap_or(u64::MAX);
        Some(Duration::from_millis(JITTER.below(most.saturating_add(1))))
    }
}

/// A storage that tries again.
#[derive(Debug, Clone)]
pub struct RetryStorage {
    inner: Arc<dyn Storage>,
    again: Again,
}

#[derive(Debug, Clone)]
struct Again {
    clock: Arc<dyn Clock>,
    policy: Policy,
}

impl Again {
    /// Returns after a pause if `failure`, the one after `failed` attempts, allows another; otherwise gives it back.
    async fn after(&self, failure: Failure, failed: u32, idempotent: bool) -> Result<()> {
        let allowed = match failure.retry {
            Retry::Never => false,
            Retry::Safe => true,
            Retry::OutcomeUnknown => idempotent,
        };
        match self.policy.pause(failed) {
            Some(pause) if allowed => {
                tracing::debug!(error = %failure, attempt = failed, ?pause, "try storage again");
                self.clock.sleep(pause).await;
                Ok(())
            }
            Some(_) | None => Err(failure),
        }
    }
}

/// Repeats `$call` as the policy and `$idempotent` allow. A macro, because the futures borrow the storage.
macro_rules! repeat {
    ($self:ident, $idempotent:expr, $call:expr) => {{
        let mut failed = 0;
        loop {
            match $call.await {
                Ok(answer) => return Ok(answer),
                Err(failure) => {
                    failed += 1;
                    $self.again.after(failure, failed, $idempotent).await?;
                }
            }
        }
    }};
}

impl RetryStorage {
    /// `inner`, tried again by `policy`.
    pub fn new(inner: Arc<dyn Storage>, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        Self { inner, again: Again { clock, policy } }
    }

    async fn open(&self, path: &str, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        repeat!(self, true, self.inner.read(path, range.clone()))
    }
}

/// A read that goes on at `next` when its stream breaks.
struct Reading {
    storage: RetryStorage,
    path: String,
    next: u64,
    end: Option<u64>,
    stream: Option<BoxStream<'static, Result<Bytes>>>,
    /// Failures since the last piece arrived.
    failed: u32,
}

impl Reading {
    async fn piece(&mut self) -> Result<Option<Bytes>> {
        loop {
            let failure = match self.attempt().await {
                Ok(Some(data)) => {
                    self.failed = 0;
                    self.next += data.len() as u64;
                    return Ok(Some(data));
                }
                Ok(None) => return Ok(None),
                Err(failure) => failure,
            };
            self.stream = None;
            self.failed += 1;
            self.storage.again.after(failure, self.failed, true).await?;
        }
    }

    async fn attempt(&mut self) -> Result<Option<Bytes>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let end = match self.end {
                    Some(end) => end,
                    // Where the whole object was wanted, its size was never asked for.
                    None => {
                        let meta = self.storage.inner.stat(&self.path).await?;
                        let gone = || format!("read {}: it was removed while it was read", self.path);
                        meta.ok_or_else(|| Failure::fatal(Kind::NotFound, gone()))?.size
                    }
                };
                let rest = self.next..end;
                if rest.end < rest.start {
                    return Err(pieces::beyond_end(&self.path, &rest));
                }
                none.insert(self.storage.inner.read(&self.path, Some(rest)).await?)
            }
        };
        stream.try_next().await
    }
}

#[async_trait]
impl Storage for RetryStorage {
    fn location(&self) -> &str {
        self.inner.location()
    }

    async fn put(&self, path: &str, data: Bytes) -> Result<()> {
        repeat!(self, true, self.inner.put(path, data.clone()))
    }

    async fn create(&self, path: &str, data: Bytes) -> Result<Created> {
        repeat!(self, false, self.inner.create(path, data.clone()))
    }

    async fn writer(&self, path: &str, size_hint: Option<u64>) -> Result<Box<dyn ObjectWriter>> {
        repeat!(self, true, self.inner.writer(path, size_hint))
    }

    fn writer_memory(&self, size_hint: Option<u64>) -> u64 {
        self.inner.writer_memory(size_hint)
    }

    async fn get(&self, path: &str, limit: u64) -> Result<Bytes> {
        repeat!(self, true, self.inner.get(path, limit))
    }

    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        let stream = self.open(path, range.clone()).await?;
        let reading = Reading {
            storage: self.clone(),
            path: path.to_owned(),
            next: range.as_ref().map_or(0, |range| range.start),
            end: range.map(|range| range.end),
            stream: Some(stream),
            failed: 0,
        };
        Ok(stream::try_unfold(
            reading,
            |mut reading| async move { Ok(reading.piece().await?.map(|data| (data, reading))) },
        )
        .boxed())
    }

    async fn stat(&self, path: &str) -> Result<Option<ObjectMeta>> {
        repeat!(self, true, self.inner.stat(path))
    }

    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        repeat!(self, true, self.inner.list(prefix))
    }

    async fn list_level(&self, prefix: &str) -> Result<BoxStream<'static, Result<String>>> {
        repeat!(self, true, self.inner.list_level(prefix))
    }

    async fn delete(&self, paths: &[String]) -> Result<()> {
        repeat!(self, true, self.inner.delete(paths))
    }
}

#[cfg(test)]
mod tests;
