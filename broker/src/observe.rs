//! Tells how requests go, so that somebody can decide how many to have in flight.
//!
//! The observer is told of every attempt: it sits below the retries, which hide what failed first, and below the limits,
//! whose waiting is not the storage's. Of an object that is written or read piece by piece only the time counts for
//! which the storage was waited for, not what its producer or consumer took.

use std::fmt::Debug;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tabvault_common::clock::Clock;
use tabvault_common::failure::{Failure, Kind};

use crate::storage::{Created, ObjectMeta, ObjectWriter, Result, Storage};

/// What kind of request it was; requests of one kind and similar size take similar times where nothing else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// Bytes went there.
    Write,
    /// Bytes came from there.
    Read,
    /// A look at one object.
    Look,
}

/// Who is told how requests went. Called often and from everywhere: must not block.
pub trait Observer: Send + Sync + Debug {
    /// Work with `bytes` is done; the storage was waited for `took`.
    fn done(&self, work: Work, bytes: u64, took: Duration);
    /// The storage asked to slow down, or did not answer in time.
    fn pushed_back(&self);
}

/// Whether this failure says that the storage has more to do than it can.
pub(crate) fn is_push_back(failure: &Failure) -> bool {
    matches!(failure.kind, Kind::RateLimited | Kind::TimedOut)
}

/// A storage that tells an [`Observer`].
#[derive(Debug, Clone)]
pub struct ObserveStorage {
    inner: Arc<dyn Storage>,
    watch: Watch,
}

/// The observer and the time.
#[derive(Debug, Clone)]
struct Watch {
    observer: Arc<dyn Observer>,
    clock: Arc<dyn Clock>,
}

impl Watch {
    /// The answer of `work`, with how long it took. Push-backs are told here.
    async fn timed<T>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<(T, Duration)> {
        let began = self.clock.now();
        match work.await {
            Ok(answer) => Ok((answer, began.until(self.clock.now()))),
            Err(failure) => {
                if is_push_back(&failure) {
                    self.observer.pushed_back();
                }
                Err(failure)
            }
        }
    }

    async fn whole<T>(&self, kind: Work, bytes: u64, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let (answer, took) = self.timed(work).await?;
        self.observer.done(kind, bytes, took);
        Ok(answer)
    }
}

impl ObserveStorage {
    /// `inner`, of which `observer` is told.
    pub fn new(inner: Arc<dyn Storage>, observer: Arc<dyn Observer>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, watch: Watch { observer, clock } }
    }
}

#[async_trait]
impl Storage for ObserveStorage {
    fn location(&self) -> &str {
        self.inner.location()
    }

    async fn put(&self, path: &str, data: Bytes) -> Result<()> {
        self.watch.whole(Work::Write, data.len() as u64, self.inner.put(path, data)).await
    }

    async fn create(&self, path: &str, data: Bytes) -> Result<Created> {
        self.watch.whole(Work::Write, data.len() as u64, self.inner.create(path, data)).await
    }

    async fn writer(&self, path: &str, size_hint: Option<u64>) -> Result<Box<dyn ObjectWriter>> {
        let (inner, took) = self.watch.timed(self.inner.writer(path, size_hint)).await?;
        Ok(Box::new(ObserveWriter { inner, watch: self.watch.clone(), bytes: 0, took }))
    }

    fn writer_memory(&self, size_hint: Option<u64>) -> u64 {
        self.inner.writer_memory(size_hint)
    }

    async fn get(&self, path: &str, limit: u64) -> Result<Bytes> {
        let (data, took) = self.watch.timed(self.inner.get(path, limit)).await?;
        self.watch.observer.done(Work::Read, data.len() as u64, took);
        Ok(data)
    }

    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        let (stream, took) = self.watch.timed(self.inner.read(path, range)).await?;
        let state = (stream, self.watch.clone(), 0_u64, took);
        Ok(stream::try_unfold(state, |(mut stream, watch, bytes, took)| async move {
            let (piece, more) = watch.timed(stream.try_next()).await?;
            let took = took + more;
            let Some(data) = piece else {
                watch.observer.done(Work::Read, bytes, took);
                return Ok(None);
            };
            let bytes = bytes + data.len() as u64;
            Ok(Some((data, (stream, watch, bytes, took))))
        })
        .boxed())
    }

    async fn stat(&self, path: &str) -> Result<Option<ObjectMeta>> {
        self.watch.whole(Work::Look, 0, self.inner.stat(path)).await
    }

    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        // How long it takes depends on how much there is: only a push-back says anything.
        self.watch.timed(self.inner.list(prefix)).await.map(|(stream, _)| stream)
    }

    async fn list_level(&self, prefix: &str) -> Result<BoxStream<'static, Result<String>>> {
        self.watch.timed(self.inner.list_level(prefix)).await.map(|(stream, _)| stream)
    }

    async fn delete(&self, paths: &[String]) -> Result<()> {
        self.watch.timed(self.inner.delete(paths)).await.map(|((), _)| ())
    }
}

struct ObserveWriter {
    inner: Box<dyn ObjectWriter>,
    watch: Watch,
    bytes: u64,
    took: Duration,
}

#[async_trait]
impl ObjectWriter for ObserveWriter {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        let bytes = data.len() as u64;
        let ((), took) = self.watch.timed(self.inner.write(data)).await?;
        self.bytes += bytes;
        self.took += took;
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<()> {
        let Self { inner, watch, bytes, took } = *self;
        let ((), last) = watch.timed(inner.close()).await?;
        watch.observer.done(Work::Write, bytes, took + last);
        Ok(())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests;
