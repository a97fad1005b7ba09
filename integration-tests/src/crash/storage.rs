//! A storage whose writes count.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tabvault_broker::storage::{Created, ObjectMeta, ObjectWriter, Result, Storage};

use super::Crash;

#[derive(Debug)]
pub(super) struct CrashStorage {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) crash: Crash,
    /// Whether reads are places to die at, too.
    pub(super) reads: bool,
}

impl CrashStorage {
    /// A dead coordinator hears nothing: its tasks are dropped while they wait.
    async fn write<T>(&self, what: &str, path: &str, write: impl Future<Output = T>) -> T {
        match self.crash.write(format!("storage {what} {path}"), write).await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Storage for CrashStorage {
    fn location(&self) -> &str {
        self.storage.location()
    }

    async fn put(&self, path: &str, data: Bytes) -> Result<()> {
        self.write("put", path, self.storage.put(path, data)).await
    }

    async fn create(&self, path: &str, data: Bytes) -> Result<Created> {
        self.write("create", path, self.storage.create(path, data)).await
    }

    async fn writer(&self, path: &str, size_hint: Option<u64>) -> Result<Box<dyn ObjectWriter>> {
        let writer = self.storage.writer(path, size_hint).await?;
        Ok(Box::new(CrashWriter { writer, path: path.to_owned(), crash: self.crash.clone() }))
    }

    fn writer_memory(&self, size_hint: Option<u64>) -> u64 {
        self.storage.writer_memory(size_hint)
    }

    async fn get(&self, path: &str, limit: u64) -> Result<Bytes> {
        self.storage.get(path, limit).await
    }

    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        if self.reads {
            return self.write("read", path, self.storage.read(path, range)).await;
        }
        self.storage.read(path, range).await
    }

    async fn stat(&self, path: &str) -> Result<Option<ObjectMeta>> {
        self.storage.stat(path).await
    }

    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        self.storage.list(prefix).await
    }

    async fn list_level(&self, prefix: &str) -> Result<BoxStream<'static, Result<String>>> {
        self.storage.list_level(prefix).await
    }

    async fn delete(&self, paths: &[String]) -> Result<()> {
        self.write("delete", &paths.join(" "), self.storage.delete(paths)).await
    }
}

struct CrashWriter {
    writer: Box<dyn ObjectWriter>,
    path: String,
    crash: Crash,
}

#[async_trait]
impl ObjectWriter for CrashWriter {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        let what = format!("storage piece {}", self.path);
        match self.crash.write(what, self.writer.write(data)).await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    async fn close(self: Box<Self>) -> Result<()> {
        let what = format!("storage close {}", self.path);
        match self.crash.write(what, self.writer.close()).await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.writer.abort().await
    }
}
