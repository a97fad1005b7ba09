//! The `Storage` port: remote bytes under one root, with nothing of any vendor in it.
//!
//! Paths are relative to the root, use `/`, and never start or end with one.
//!
//! # Consistency
//! A reader never sees part of an object: [`Storage::put`], [`Storage::create`] and a finished [`ObjectWriter`] each
//! appear whole or not at all. An object is durable when the call that made it has answered.
//!
//! # Crash consistency
//! A crash between the first byte and the answer leaves either nothing visible or the whole object. Interrupted
//! multipart uploads may be left in the store; [`ObjectWriter::abort`] removes what this process began, a bucket
//! lifecycle rule what a dead machine left.
//!
//! # Cancellation
//! Dropping a future of this trait leaves the outcome unknown, exactly like a time-out.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tabvault_common::failure::Failure;

/// What this crate answers: errors are [`Failure`]s, since they cross the broker's wire unchanged.
pub type Result<T> = std::result::Result<T, Failure>;

/// Remote bytes under one root.
#[async_trait]
pub trait Storage: Send + Sync + fmt::Debug {
    /// Where this is, for messages: the location without any secret.
    fn location(&self) -> &str;

    /// Writes a small object whole, replacing what was there.
    async fn put(&self, path: &str, data: Bytes) -> Result<()>;

    /// Writes a small object only if nothing has this name; the one primitive that commits.
    ///
    /// # Errors
    /// `Retry::OutcomeUnknown` when the answer was lost: read the object to learn whose it is. `Kind::Unsupported`
    /// where the storage cannot do it atomically.
    async fn create(&self, path: &str, data: Bytes) -> Result<Created>;

    /// Begins an object that is written piece by piece. `size_hint` is the expected number of bytes, if known.
    async fn writer(&self, path: &str, size_hint: Option<u64>) -> Result<Box<dyn ObjectWriter>>;

    /// How many bytes a writer begun with this `size_hint` holds at most, beside the pieces it is being given; for
    /// those who budget their memory. Without a hint it is what a large object costs.
    fn writer_memory(&self, size_hint: Option<u64>) -> u64;

    /// Reads a small object whole. Refuses, with `Kind::ResourceExhausted`, one larger than `limit` bytes.
    async fn get(&self, path: &str, limit: u64) -> Result<Bytes>;

    /// Reads `range` of an object, or all of it, as a stream of pieces of bounded size. A range that reaches beyond
    /// the end is `Kind::Corrupt`.
    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>>;

    /// Size of an object, or `None` if there is none.
    async fn stat(&self, path: &str) -> Result<Option<ObjectMeta>>;

    /// All objects whose path starts with `prefix` (which ends with `/`, or is empty), however deep, in no particular
    /// order. A prefix under which nothing is gives an empty stream.
    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectMeta>>>;

    /// The names directly under `prefix`, one level deep: objects as they are, deeper levels once each with a `/` at
    /// the end. Paths are relative to the root, not to `prefix`.
    async fn list_level(&self, prefix: &str) -> Result<BoxStream<'static, Result<String>>>;

    /// Deletes objects; one that does not exist is no error.
    async fn delete(&self, paths: &[String]) -> Result<()>;
}

/// The answer of [`Storage::create`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is ours.
    New,
    /// The name was taken already.
    Exists,
}

/// What a listing or a stat says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Path relative to the root.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
}

/// An object being written. Nothing is visible before [`ObjectWriter::close`] has answered.
#[async_trait]
pub trait ObjectWriter: Send {
    /// Takes the next piece; returns when there is room for another.
    async fn write(&mut self, data: Bytes) -> Result<()>;
    /// Makes the object visible and durable.
    async fn close(self: Box<Self>) -> Result<()>;
    /// Gives up: removes temporary files and parts.
    async fn abort(self: Box<Self>) -> Result<()>;
}
