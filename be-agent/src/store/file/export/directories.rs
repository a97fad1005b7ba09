//! Directories of the tree that is being written, reached part by part and never through a symbolic link: several
//! agents write into one tree, and one's link must not lead another's file elsewhere.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode as RawMode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;
use tabvault_common::failure::{Failure, Kind};

use super::super::entry::Mtime;
use super::super::path::escape;
use crate::store::Result;

/// The tree, and the directory in it that was reached last: files come in the order of their paths.
#[derive(Debug)]
pub(super) struct Directories<'a> {
    root: &'a Path,
    last: Option<(Vec<u8>, OwnedFd)>,
}

const OPEN: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl<'a> Directories<'a> {
    /// The tree at `root`.
    pub(super) fn new(root: &'a Path) -> Self {
        Self { root, last: None }
    }

    /// The directory `path` (empty: the tree itself), made with what is missing above it.
    pub(super) fn enter(&mut self, path: &[u8]) -> Result<&OwnedFd> {
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            self.last = Some((path.to_vec(), self.reach(path)?));
        }
        match &self.last {
            Some((_, dir)) => Ok(dir),
            None => Err(Failure::fatal(Kind::Internal, format!("no directory `{}` was reached", escape(path)))),
        }
    }

    fn reach(&self, path: &[u8]) -> Result<OwnedFd> {
        let failed = |error: Errno| failure("make directory", path, error);
        let mut dir = rustix::fs::open(self.root, OPEN, RawMode::empty()).map_err(failed)?;
        for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            let open = || rustix::fs::openat(&dir, part, OPEN, RawMode::empty());
            let opened = match open() {
                Err(Errno::NOENT) => match rustix::fs::mkdirat(&dir, part, RawMode::from_raw_mode(0o777)) {
                    Ok(()) | Err(Errno::EXIST) => open(),
                    Err(error) => Err(error),
                },
                opened => opened,
            };
            dir = opened.map_err(failed)?;
        }
        Ok(dir)
    }
}

/// An error of the system met while doing `what` to the path `path` of the tree.
pub(super) fn failure(what: &str, path: &[u8], error: Errno) -> Failure {
    let path = escape(path);
    if matches!(error, Errno::LOOP | Errno::NOTDIR | Errno::ISDIR) {
        let message = format!("{what} `{path}`: what it lies in, or it itself, is of another kind in another tablet");
        return Failure::fatal(Kind::Corrupt, message);
    }
    Failure::io(format_args!("{what} `{path}`"), &error.into())
}

/// Sets when `name` in `dir` was written; a link's own time, not that of what it points to.
pub(super) fn set_mtime(dir: &OwnedFd, name: &[u8], mtime: Option<Mtime>) -> rustix::io::Result<()> {
    let Some(mtime) = mtime else { return Ok(()) };
    rustix::fs::utimensat(dir, name, &timestamps(mtime), AtFlags::SYMLINK_NOFOLLOW)
}

/// A time of writing, and none of reading.
pub(super) fn timestamps(mtime: Mtime) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanos.into() },
    }
}
