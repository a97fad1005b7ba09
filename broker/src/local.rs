//! Objects as files under a directory: `file://`, on a local disk or on a file system that all machines mount.
//!
//! # Overview
//! An object is a regular file; its levels are directories. Bytes are first gathered in a file of
//! `<root>/.tabvault-tmp/`, which no listing shows, and get their name in one step.
//!
//! # Consistency
//! `put` and a closed writer replace by `rename(2)`. `create` uses `link(2)`, which refuses a taken name atomically, on
//! NFS too. A reader that has opened a file goes on reading the old object after it is replaced.
//!
//! # Crash consistency
//! The file is synced before it gets its name, and every directory from its parent up to the root after that, before
//! the call answers. So a crash leaves the whole object or none; what it leaves in `.tabvault-tmp` is swept a day later.
//!
//! # Cancellation
//! Dropping a future does not stop the file operation that it waits for: the outcome is then unknown. A writer that is
//! dropped removes its file.

mod list;
mod read;
mod write;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tabvault_common::durable::BulkWriter;
use tabvault_common::failure::{Failure, Kind, Retry};

use crate::path::{check_object, check_prefix};
use crate::storage::{Created, ObjectMeta, ObjectWriter, Result, Storage};

/// Where unfinished files are, directly under the root. No object may be below it and no listing shows it.
const STAGING: &str = ".tabvault-tmp";

/// The storage behind `file://`.
#[derive(Debug, Clone)]
pub struct LocalStorage {
    root: Arc<Path>,
    location: Arc<str>,
}

impl LocalStorage {
    /// Objects under the directory `root`, which is made by the first write if it does not exist.
    ///
    /// # Errors
    /// `Kind::InvalidArgument` when `root` is not absolute or not UTF-8.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        let root: PathBuf = root.into();
        let Some(text) = root.to_str() else {
            return Err(Failure::fatal(Kind::InvalidArgument, format!("{} is not UTF-8", root.display())));
        };
        if !root.is_absolute() {
            return Err(Failure::fatal(
                Kind::InvalidArgument,
                format!("'{text}' is not an absolute path; write file:///dir"),
            ));
        }
        let location = format!("file://{text}").into();
        Ok(Self { root: root.into(), location })
    }

    /// The file of an object.
    fn file(&self, path: &str) -> Result<PathBuf> {
        check_object(path)?;
        self.refuse_staging(path)?;
        Ok(self.root.join(path))
    }

    fn refuse_staging(&self, path: &str) -> Result<()> {
        if path.split('/').next() == Some(STAGING) {
            return Err(Failure::fatal(
                Kind::InvalidArgument,
                format!("'{path}': {STAGING} is reserved for unfinished files"),
            ));
        }
        Ok(())
    }

    fn checked_prefix(&self, prefix: &str) -> Result<()> {
        check_prefix(prefix)?;
        self.refuse_staging(prefix)
    }
}

#[async_trait]
impl Storage for LocalStorage {
    fn location(&self) -> &str {
        &self.location
    }

    async fn put(&self, path: &str, data: Bytes) -> Result<()> {
        let (file, root) = (self.file(path)?, self.root.clone());
        blocking(move || {
            let mut staged = write::Staged::new(&root)?;
            staged.write(&data)?;
            staged.replace(&file)
        })
        .await
    }

    async fn create(&self, path: &str, data: Bytes) -> Result<Created> {
        let (file, root) = (self.file(path)?, self.root.clone());
        blocking(move || {
            let mut staged = write::Staged::new(&root)?;
            staged.write(&data)?;
            staged.create(&file)
        })
        .await
    }

    async fn writer(&self, path: &str, _size_hint: Option<u64>) -> Result<Box<dyn ObjectWriter>> {
        let (file, root) = (self.file(path)?, self.root.clone());
        let staged = blocking(move || write::Staged::new(&root)).await?;
        Ok(Box::new(write::LocalWriter::new(staged, file)))
    }

    fn writer_memory(&self, size_hint: Option<u64>) -> u64 {
        size_hint.unwrap_or(u64::MAX).min(BulkWriter::MEMORY)
    }

    async fn get(&self, path: &str, limit: u64) -> Result<Bytes> {
        let (file, path) = (self.file(path)?, path.to_owned());
        blocking(move || read::whole(&file, &path, limit)).await
    }

    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        let (file, path) = (self.file(path)?, path.to_owned());
        let open = blocking(move || read::Open::new(&file, &path, range)).await?;
        Ok(open.stream())
    }

    async fn stat(&self, path: &str) -> Result<Option<ObjectMeta>> {
        let (file, path) = (self.file(path)?, path.to_owned());
        blocking(move || read::stat(&file, path)).await
    }

    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        self.checked_prefix(prefix)?;
        Ok(list::deep(self.root.clone(), prefix.to_owned()))
    }

    async fn list_level(&self, prefix: &str) -> Result<BoxStream<'static, Result<String>>> {
        self.checked_prefix(prefix)?;
        Ok(list::level(self.root.clone(), prefix.to_owned()))
    }

    async fn delete(&self, paths: &[String]) -> Result<()> {
        let files = paths.iter().map(|path| self.file(path)).collect::<Result<Vec<_>>>()?;
        let root = self.root.clone();
        blocking(move || write::delete(&root, &files)).await
    }
}

/// Runs file operations where they may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => Err(Failure {
            kind: Kind::Internal,
            retry: Retry::OutcomeUnknown,
            message: format!("a file operation did not end: {error}"),
        }),
    }
}

/// What `error` of the operating system means for an object, met while doing `what` to the file `path`.
fn failure(what: &str, path: &Path, error: &io::Error) -> Failure {
    let doing = format!("{what} {}", path.display());
    match error.kind() {
        io::ErrorKind::NotADirectory => Failure::fatal(
            Kind::FailedPrecondition,
            format!("{doing}: a part of this path is not a directory: {error}"),
        ),
        io::ErrorKind::IsADirectory => {
            Failure::fatal(Kind::FailedPrecondition, format!("{doing}: this is a directory, not a file: {error}"))
        }
        io::ErrorKind::InvalidFilename => Failure::fatal(
            Kind::InvalidArgument,
            format!("{doing}: a name in this path is longer than the file system takes: {error}"),
        ),
        io::ErrorKind::PermissionDenied => Failure::fatal(
            Kind::PermissionDenied,
            format!("{doing}: the user of this process lacks the permission: {error}"),
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Failure::transient(Kind::NoSpace, format!("{doing}: the disk or the quota is full: {error}"))
        }
        _ => Failure::io(doing, error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::fs;

    use super::*;

    #[test]
    fn errors_of_the_system_become_sentences() {
        // A device that is always full stands in for a disk, since tests run as whoever they run.
        let mut device = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let full = io::Write::write(&mut device, b"x").unwrap_err();
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let long = fs::metadata("x".repeat(300)).unwrap_err();
        for (error, kind, retry, says) in [
            (full, Kind::NoSpace, Retry::Safe, "the disk or the quota is full"),
            (denied, Kind::PermissionDenied, Retry::Never, "the user of this process lacks the permission"),
            (long, Kind::InvalidArgument, Retry::Never, "longer than the file system takes"),
        ] {
            let failure = failure("write", Path::new("/d/f"), &error);
            assert_eq!((failure.kind, failure.retry), (kind, retry), "{failure}");
            assert!(failure.message.starts_with("write /d/f: ") && failure.message.contains(says), "{failure}");
        }
    }
}
