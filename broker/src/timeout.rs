//! Ends what takes too long, so that a peer that died silently holds nobody up.
//!
//! A call that would have changed something ends with an unknown outcome, any other may be tried again.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tabvault_common::clock::Clock;
use tabvault_common::failure::{Failure, Kind, Retry};

use crate::storage::{Created, ObjectMeta, ObjectWriter, Result, Storage};

/// Whoever wonders why a job takes long finds in the log what took this long.
const SLOW: Duration = Duration::from_secs(20);

/// How long is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a request, or for the next piece of a stream.
    pub request: Duration,
    /// For one step of a writer, which may wait until earlier parts have left.
    pub write: Duration,
    /// The slowest rate, in bytes per second, that data of a single request may have; it prolongs `request`.
    pub slowest: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { request: Duration::from_secs(60), write: Duration::from_secs(300), slowest: 256 << 10 }
    }
}

/// A storage whose calls end in time.
#[derive(Debug, Clone)]
pub struct TimeoutStorage {
    inner: Arc<dyn Storage>,
    timeouts: Timeouts,
    watch: Watch,
}

impl TimeoutStorage {
    /// `inner`, ended by `timeouts`.
    pub fn new(inner: Arc<dyn Storage>, timeouts: Timeouts, clock: Arc<dyn Clock>) -> Self {
        let location = inner.location().into();
        Self { inner, timeouts, watch: Watch { clock, location } }
    }

    fn for_data(&self, bytes: u64) -> Duration {
        self.timeouts.request + Duration::from_secs(bytes / self.timeouts.slowest.max(1))
    }

    fn stream<T: Send + 'static>(
        &self,
        doing: String,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let (watch, limit) = (self.watch.clone(), self.timeouts.request);
        stream::try_unfold((stream, watch, doing), move |(mut stream, watch, doing)| async move {
            let item = watch.within(limit, &doing, Retry::Safe, stream.try_next()).await?;
            Ok(item.map(|item| (item, (stream, watch, doing))))
        })
        .boxed()
    }

    async fn ask<T>(&self, doing: String, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.watch.within(self.timeouts.request, &doing, Retry::Safe, work).await
    }
}

/// The time, and whose it is.
#[derive(Debug, Clone)]
struct Watch {
    clock: Arc<dyn Clock>,
    /// Where the storage is.
    location: Arc<str>,
}

impl Watch {
    /// The answer of `work`, or after `limit` that it took too long. What was slow is logged, however it ended.
    async fn within<T>(
        &self,
        limit: Duration,
        doing: &str,
        retry: Retry,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let began = self.clock.now();
        let answer = tokio::select! {
            biased;
            answer = work => answer,
            () = self.clock.sleep(limit) => Err(Failure {
                kind: Kind::TimedOut,
                retry,
                message: format!("{doing}: no answer within {} s", limit.as_secs()),
            }),
        };
        let took = began.until(self.clock.now());
        if took >= SLOW {
            let error = answer.as_ref().err().map(tracing::field::display);
            tracing::warn!(location = &*self.location, doing, seconds = took.as_secs(), error, "the storage is slow");
        }
        answer
    }
}

#[async_trait]
impl Storage for TimeoutStorage {
    fn location(&self) -> &str {
        self.inner.location()
    }

    async fn put(&self, path: &str, data: Bytes) -> Result<()> {
        let limit = self.for_data(data.len() as u64);
        let doing = format!("write {path}");
        self.watch.within(limit, &doing, Retry::OutcomeUnknown, self.inner.put(path, data)).await
    }

    async fn create(&self, path: &str, data: Bytes) -> Result<Created> {
        let limit = self.for_data(data.len() as u64);
        let doing = format!("create {path}");
        self.watch.within(limit, &doing, Retry::OutcomeUnknown, self.inner.create(path, data)).await
    }

    async fn writer(&self, path: &str, size_hint: Option<u64>) -> Result<Box<dyn ObjectWriter>> {
        let doing = format!("write {path}");
        let inner = self.ask(doing.clone(), self.inner.writer(path, size_hint)).await?;
        Ok(Box::new(TimeoutWriter { inner, doing, limit: self.timeouts.write, watch: self.watch.clone() }))
    }

    fn writer_memory(&self, size_hint: Option<u64>) -> u64 {
        self.inner.writer_memory(size_hint)
    }

    async fn get(&self, path: &str, limit: u64) -> Result<Bytes> {
        // The limit bounds the bytes, so it bounds the time.
        let longest = self.for_data(limit.min(1 << 30));
        self.watch.within(longest, &format!("read {path}"), Retry::Safe, self.inner.get(path, limit)).await
    }

    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        let doing = format!("read {path}");
        let stream = self.ask(doing.clone(), self.inner.read(path, range)).await?;
        Ok(self.stream(doing, stream))
    }

    async fn stat(&self, path: &str) -> Result<Option<ObjectMeta>> {
        self.ask(format!("look at {path}"), self.inner.stat(path)).await
    }

    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        let doing = format!("list '{prefix}'");
        let stream = self.ask(doing.clone(), self.inner.list(prefix)).await?;
        Ok(self.stream(doing, stream))
    }

    async fn list_level(&self, prefix: &str) -> Result<BoxStream<'static, Result<String>>> {
        let doing = format!("list '{prefix}'");
        let stream = self.ask(doing.clone(), self.inner.list_level(prefix)).await?;
        Ok(self.stream(doing, stream))
    }

    async fn delete(&self, paths: &[String]) -> Result<()> {
        // Where there is no bulk deletion, every object is a request.
        let limit = self.timeouts.request + Duration::from_millis(200 * paths.len() as u64);
        let doing = format!("delete {} objects", paths.len());
        self.watch.within(limit, &doing, Retry::OutcomeUnknown, self.inner.delete(paths)).await
    }
}

struct TimeoutWriter {
    inner: Box<dyn ObjectWriter>,
    doing: String,
    limit: Duration,
    watch: Watch,
}

#[async_trait]
impl ObjectWriter for TimeoutWriter {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.watch.within(self.limit, &self.doing, Retry::Safe, self.inner.write(data)).await
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.watch.within(self.limit, &self.doing, Retry::OutcomeUnknown, self.inner.close()).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.watch.within(self.limit, &self.doing, Retry::OutcomeUnknown, self.inner.abort()).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::sync::Mutex;

    use tabvault_common::clock::{ManualClock, Time};

    use super::*;
    use crate::faults::{Act, Faults, Op, Rule};
    use crate::opendal::OpendalStorage;

    #[tokio::test]
    async fn a_call_that_hangs_ends_with_what_is_known_of_it() {
        let clock = ManualClock::new(Time(0));
        let faults = Faults::new(1);
        let memory = OpendalStorage::memory("", Arc::new(clock.clone())).unwrap();
        let storage = TimeoutStorage::new(faults.wrap(Arc::new(memory)), Timeouts::default(), Arc::new(clock.clone()));
        storage.put("a", Bytes::from_static(b"x")).await.unwrap();
        for (op, retry) in [(Op::Create, Retry::OutcomeUnknown), (Op::Stat, Retry::Safe), (Op::ReadPiece, Retry::Safe)]
        {
            faults.rule(Rule::next(op, "", Act::Hang));
            let storage = storage.clone();
            let task = tokio::spawn(async move {
                match op {
                    Op::Create => storage.create("b", Bytes::new()).await.map(|_| ()),
                    Op::Stat => storage.stat("a").await.map(|_| ()),
                    _ => storage.read("a", None).await?.try_collect::<Vec<_>>().await.map(|_| ()),
                }
            });
            while !task.is_finished() {
                clock.advance(Duration::from_secs(30));
                tokio::task::yield_now().await;
            }
            let failure = task.await.unwrap().unwrap_err();
            assert_eq!((failure.kind, failure.retry), (Kind::TimedOut, retry), "{failure}");
        }
    }

    /// Takes what is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(data)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_was_slow_is_logged_and_nothing_else() {
        let clock = ManualClock::new(Time(0));
        let watch = Watch { clock: Arc::new(clock.clone()), location: "s3://b".into() };
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        for seconds in [19, 20] {
            let work = async {
                clock.advance(Duration::from_secs(seconds));
                Ok(())
            };
            let doing = format!("look for {seconds} s");
            watch.within(Duration::from_secs(60), &doing, Retry::Safe, work).await.unwrap();
        }
        let failing = async {
            clock.advance(Duration::from_secs(65));
            Err::<(), _>(Failure::fatal(Kind::Unreachable, "it broke"))
        };
        watch.within(Duration::from_secs(90), "write a", Retry::Safe, failing).await.unwrap_err();
        let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{said}");
        assert!(lines[0].contains(r#"location="s3://b" doing="look for 20 s" seconds=20"#), "{said}");
        assert!(lines[1].contains(r#"doing="write a" seconds=65 error=it broke"#), "{said}");
    }
}
