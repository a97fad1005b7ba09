//! Reading files as objects: only regular files, never through a symbolic link.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use rustix::buffer::spare_capacity;
use rustix::fs::OFlags;
use rustix::io::{Errno, pread, retry_on_intr};
use tabvault_common::failure::{Failure, Kind};

use super::{blocking, failure};
use crate::pieces;
use crate::storage::{ObjectMeta, Result};

/// An object opened for reading; it stays readable when the name is removed or replaced.
pub(super) struct Open {
    file: Arc<File>,
    path: Arc<PathBuf>,
    next: u64,
    end: u64,
}

impl Open {
    pub(super) fn new(file: &Path, path: &str, range: Option<Range<u64>>) -> Result<Self> {
        let (opened, size) = open(file, path)?;
        let range = range.unwrap_or(0..size);
        pieces::length(path, &range)?;
        if range.end > size {
            return Err(pieces::beyond_end(path, &range));
        }
        Ok(Self { file: Arc::new(opened), path: Arc::new(file.to_owned()), next: range.start, end: range.end })
    }

    pub(super) fn stream(self) -> BoxStream<'static, Result<Bytes>> {
        stream::try_unfold(self, |mut open| async move {
            if open.next >= open.end {
                return Ok(None);
            }
            let want = usize::try_from(open.end - open.next).unwrap_or(usize::MAX).min(pieces::PIECE);
            let (file, path, at) = (open.file.clone(), open.path.clone(), open.next);
            let data = blocking(move || read_at(&file, &path, at, want)).await?;
            open.next += data.len() as u64;
            Ok(Some((data, open)))
        })
        .boxed()
    }
}

/// The whole object, if it is no larger than `limit`.
pub(super) fn whole(file: &Path, path: &str, limit: u64) -> Result<Bytes> {
    let (opened, size) = open(file, path)?;
    match usize::try_from(size) {
        Ok(want) if size <= limit => read_at(&opened, file, 0, want),
        Ok(_) | Err(_) => Err(pieces::too_large(path, limit)),
    }
}

pub(super) fn stat(file: &Path, path: String) -> Result<Option<ObjectMeta>> {
    match file.symlink_metadata() {
        Ok(meta) => Ok(meta.is_file().then_some(ObjectMeta { path, size: meta.len() })),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(failure("look at", file, &error)),
    }
}

fn open(file: &Path, path: &str) -> Result<(File, u64)> {
    // NONBLOCK: opening a pipe that somebody put here must not hang.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed();
    let absent = || Failure::fatal(Kind::NotFound, format!("read {path}: there is no such object"));
    let opened = match OpenOptions::new().read(true).custom_flags(flags).open(file) {
        Ok(opened) => opened,
        Err(error) if is_absent(&error) || error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(absent());
        }
        Err(error) => return Err(failure("open", file, &error)),
    };
    let meta = opened.metadata().map_err(|error| failure("look at", file, &error))?;
    if meta.is_file() { Ok((opened, meta.len())) } else { Err(absent()) }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read_at(file: &File, path: &Path, at: u64, want: usize) -> Result<Bytes> {
    // Into memory as it comes, which need not be cleared first.
    let mut data = Vec::with_capacity(want);
    while data.len() < want {
        let next = at + data.len() as u64;
        match retry_on_intr(|| pread(file, spare_capacity(&mut data), next)) {
            Ok(0) => {
                let message = format!("read {}: the file became shorter while it was read", path.display());
                return Err(Failure::fatal(Kind::Corrupt, message));
            }
            Ok(_) => {}
            Err(error) => return Err(failure("read", path, &error.into())),
        }
    }
    // There may be more room than was asked for.
    data.truncate(want);
    Ok(data.into())
}
