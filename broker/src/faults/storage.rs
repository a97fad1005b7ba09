//! The decorator that does what [`Faults`] decides.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::{Act, Faults, Op};
use crate::storage::{Created, ObjectMeta, ObjectWriter, Result, Storage};

/// A storage that fails as its [`Faults`] say. For tests.
#[derive(Debug, Clone)]
pub struct FaultStorage {
    inner: Arc<dyn Storage>,
    faults: Faults,
}

impl FaultStorage {
    /// `inner`, with `faults`.
    pub fn new(inner: Arc<dyn Storage>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

impl Faults {
    /// Does `work` as far as it is allowed to. The flag says whether bytes that were read are to be damaged.
    async fn run<T>(&self, op: Op, path: &str, work: impl Future<Output = Result<T>> + Send) -> Result<(T, bool)> {
        match self.decide(op, path) {
            Act::Pass => Ok((work.await?, false)),
            Act::Corrupt => Ok((work.await?, true)),
            Act::Refuse(failure) => Err(self.say(op, path, failure)),
            Act::Unheard => match work.await {
                // A failure of its own is heard: only a success can get lost.
                Ok(_) => Err(self.unheard(op, path)),
                Err(failure) => Err(failure),
            },
            Act::Wait(gate) => {
                gate.pass().await;
                Ok((work.await?, false))
            }
            Act::Hang => std::future::pending().await,
        }
    }

    async fn plain<T>(&self, op: Op, path: &str, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.run(op, path, work).await.map(|(answer, _)| answer)
    }

    /// `data` with one bit turned over somewhere.
    fn damage(&self, data: &Bytes) -> Bytes {
        let mut wrong = BytesMut::from(&data[..]);
        let at = self.below(wrong.len());
        if let Some(byte) = wrong.get_mut(at) {
            *byte ^= 1 << self.below(8);
        }
        wrong.freeze()
    }
}

#[async_trait]
impl Storage for FaultStorage {
    fn location(&self) -> &str {
        self.inner.location()
    }

    async fn put(&self, path: &str, data: Bytes) -> Result<()> {
        self.faults.plain(Op::Put, path, self.inner.put(path, data)).await
    }

    async fn create(&self, path: &str, data: Bytes) -> Result<Created> {
        self.faults.plain(Op::Create, path, self.inner.create(path, data)).await
    }

    async fn writer(&self, path: &str, size_hint: Option<u64>) -> Result<Box<dyn ObjectWriter>> {
        let inner = self.faults.plain(Op::Writer, path, self.inner.writer(path, size_hint)).await?;
        Ok(Box::new(FaultWriter { inner, path: path.to_owned(), faults: self.faults.clone() }))
    }

    fn writer_memory(&self, size_hint: Option<u64>) -> u64 {
        self.inner.writer_memory(size_hint)
    }

    async fn get(&self, path: &str, limit: u64) -> Result<Bytes> {
        let (data, damaged) = self.faults.run(Op::Get, path, self.inner.get(path, limit)).await?;
        Ok(if damaged { self.faults.damage(&data) } else { data })
    }

    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        let (stream, damaged) = self.faults.run(Op::Read, path, self.inner.read(path, range)).await?;
        let state = (stream, self.faults.clone(), path.to_owned(), damaged);
        Ok(stream::try_unfold(state, |(mut stream, faults, path, mut damaged)| async move {
            let (piece, hit) = faults.run(Op::ReadPiece, &path, stream.try_next()).await?;
            damaged |= hit;
            Ok(piece.map(|piece| {
                let piece = if damaged { faults.damage(&piece) } else { piece };
                (piece, (stream, faults, path, false))
            }))
        })
        .boxed())
    }

    async fn stat(&self, path: &str) -> Result<Option<ObjectMeta>> {
        self.faults.plain(Op::Stat, path, self.inner.stat(path)).await
    }

    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        self.faults.plain(Op::List, prefix, self.inner.list(prefix)).await
    }

    async fn list_level(&self, prefix: &str) -> Result<BoxStream<'static, Result<String>>> {
        self.faults.plain(Op::List, prefix, self.inner.list_level(prefix)).await
    }

    async fn delete(&self, paths: &[String]) -> Result<()> {
        // One by one: a deletion that stops half-way is what a real one does.
        for path in paths {
            self.faults.plain(Op::Delete, path, self.inner.delete(std::slice::from_ref(path))).await?;
        }
        Ok(())
    }
}

struct FaultWriter {
    inner: Box<dyn ObjectWriter>,
    path: String,
    faults: Faults,
}

#[async_trait]
impl ObjectWriter for FaultWriter {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.faults.plain(Op::Write, &self.path, self.inner.write(data)).await
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.faults.plain(Op::Close, &self.path, self.inner.close()).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort().await
    }
}
