//! Files that get their name only when they are whole and durable.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::io::Errno;
use tabvault_common::durable::BulkWriter;
use tabvault_common::failure::{Failure, Kind};
use uuid::Uuid;

use super::{STAGING, blocking, failure};
use crate::storage::{Created, ObjectWriter, Result};

/// How old an unfinished file must be before it is taken for one of a dead process. A living writer touches its file
/// all the time, and clocks of machines that share a file system do not differ by so much.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// How often the parent is made again when a concurrent delete removes it because it was empty.
const PARENT_ATTEMPTS: u32 = 16;

/// A file under construction. Dropped before it got a name, it is removed.
#[derive(Debug)]
pub(super) struct Staged {
    root: PathBuf,
    path: PathBuf,
    bulk: BulkWriter,
}

impl Staged {
    pub(super) fn new(root: &Path) -> Result<Self> {
        let dir = root.join(STAGING);
        let path = dir.join(Uuid::new_v4().to_string());
        let mut made = File::create_new(&path);
        if made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            make_dirs(&dir)?;
            made = File::create_new(&path);
        } else {
            sweep_sometimes(&dir, &path);
        }
        let file = made.map_err(|error| failure("create", &path, &error))?;
        Ok(Self { root: root.to_owned(), path, bulk: BulkWriter::new(file) })
    }

    pub(super) fn write(&mut self, data: &[u8]) -> Result<()> {
        let written = self.bulk.write(data);
        let settled = written.and_then(|()| if self.bulk.is_due() { self.bulk.settle() } else { Ok(()) });
        settled.map_err(|error| failure("write", &self.path, &error))
    }

    /// Gives the file its name, taking it away from what had it.
    pub(super) fn replace(mut self, to: &Path) -> Result<()> {
        self.sync()?;
        with_parent(to, || rename_raw(&self.path, to)).map_err(|error| failure("rename to", to, &error))?;
        sync_up(to, &self.root)
    }

    /// Gives the file its name unless something has it.
    pub(super) fn create(mut self, to: &Path) -> Result<Created> {
        self.sync()?;
        let created = match with_parent(to, || link_raw(&self.path, to)) {
            Ok(()) => Created::New,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Created::Exists,
            // EPERM and EOPNOTSUPP of link(2): this file system has no hard links, so nothing here is atomic enough.
            Err(error)
                if error.raw_os_error() == Some(Errno::PERM.raw_os_error())
                    || error.kind() == io::ErrorKind::Unsupported =>
            {
                return Err(Failure::fatal(
                    Kind::Unsupported,
                    format!(
                        "link {}: this file system has no hard links, so it cannot create atomically",
                        to.display()
                    ),
                ));
            }
            Err(error) => return Err(failure("link", to, &error)),
        };
        // Also when it existed: who made it may not have got as far as this, and our caller will rely on it.
        sync_up(to, &self.root)?;
        Ok(created)
    }

    fn sync(&mut self) -> Result<()> {
        self.bulk.sync().map_err(|error| failure("sync", &self.path, &error))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After a rename there is nothing to remove, after a link the second name goes; a failure leaves an invisible
        // file for the sweep.
        let _ = fs::remove_file(&self.path);
    }
}

#[expect(clippy::disallowed_methods, reason = "a parent that vanished is told apart here, and all above it is synced")]
fn rename_raw(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

#[expect(clippy::disallowed_methods, reason = "a taken name is an answer here, and all above it is synced")]
fn link_raw(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)
}

/// Runs `step`, which needs the parent of `to`, making that parent as often as somebody takes it away.
fn with_parent(to: &Path, step: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let Some(parent) = to.parent() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    retry_below(step, || fs::create_dir_all(parent))
}

/// Runs `step`, and as long as that finds its directory missing, `make` and `step` again.
///
/// `make` itself loses against a delete too: a level vanishes between two that it makes, or after it was found taken
/// and before it was seen to be a directory. Neither is an answer about the object, least of all that it exists.
fn retry_below(mut step: impl FnMut() -> io::Result<()>, mut make: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    for _ in 0..PARENT_ATTEMPTS {
        match step() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            answer => return answer,
        }
        match make() {
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {
                return Err(error);
            }
            Ok(()) | Err(_) => {}
        }
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        format!("its directory was removed by others {PARENT_ATTEMPTS} times while it was made"),
    ))
}

/// Makes `dir` with all that is above it, durably.
fn make_dirs(dir: &Path) -> Result<()> {
    let existing = dir.ancestors().find(|above| above.exists()).unwrap_or(dir).to_owned();
    fs::create_dir_all(dir).map_err(|error| failure("make directory", dir, &error))?;
    for above in dir.ancestors() {
        sync_dir(above)?;
        if above == existing {
            break;
        }
    }
    Ok(())
}

/// Makes the name `file` durable: its directory and all directories up to the root, any of which may be new.
fn sync_up(file: &Path, root: &Path) -> Result<()> {
    for above in file.ancestors().skip(1) {
        sync_dir(above)?;
        if above == root {
            break;
        }
    }
    Ok(())
}

fn sync_dir(dir: &Path) -> Result<()> {
    match File::open(dir).and_then(|opened| opened.sync_all()) {
        // Some network and user-space file systems cannot sync a directory and are durable without.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        // Removed by a concurrent delete: then the object is gone too, and nothing is left to be made durable.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failure("sync directory", dir, &error)),
        Ok(()) => Ok(()),
    }
}

/// Removes what dead processes left, about once in 256 files: often enough, and free for everybody else.
fn sweep_sometimes(dir: &Path, path: &Path) {
    let lucky = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("00"));
    if lucky {
        sweep(dir, ABANDONED);
    }
}

fn sweep(dir: &Path, age: Duration) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let old = entry
            .metadata()
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|at| at.elapsed().ok())
            .is_some_and(|elapsed| elapsed >= age);
        if old && fs::remove_file(entry.path()).is_ok() {
            tracing::info!(file = %entry.path().display(), "removed an abandoned unfinished file");
        }
    }
}

/// Removes files, and the directories that this empties.
pub(super) fn delete(root: &Path, files: &[PathBuf]) -> Result<()> {
    let mut touched = BTreeSet::new();
    for file in files {
        match fs::remove_file(file) {
            Ok(()) => {
                touched.extend(file.parent().map(Path::to_owned));
            }
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {}
                // A level of this name is not an object of this name.
                _ if file.symlink_metadata().is_ok_and(|meta| meta.is_dir()) => {}
                _ => return Err(failure("remove", file, &error)),
            },
        }
    }
    for dir in touched {
        // Only empty directories can be removed, so this never takes an object away.
        let left = dir.ancestors().take_while(|above| *above != root).find(|above| fs::remove_dir(above).is_err());
        sync_dir(left.unwrap_or(root))?;
    }
    Ok(())
}

/// A [`Staged`] file that is written from async code.
pub(super) struct LocalWriter {
    /// Away only while an operation on it runs; it stays away when such an operation failed or was dropped.
    staged: Option<Staged>,
    to: PathBuf,
}

impl LocalWriter {
    pub(super) fn new(staged: Staged, to: PathBuf) -> Self {
        Self { staged: Some(staged), to }
    }

    fn take(&mut self) -> Result<Staged> {
        self.staged.take().ok_or_else(|| {
            Failure::fatal(
                Kind::FailedPrecondition,
                format!("write {}: an earlier write to it failed or was dropped", self.to.display()),
            )
        })
    }
}

#[async_trait]
impl ObjectWriter for LocalWriter {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        let mut staged = self.take()?;
        let staged = blocking(move || staged.write(&data).map(|()| staged)).await?;
        self.staged = Some(staged);
        Ok(())
    }

    async fn close(mut self: Box<Self>) -> Result<()> {
        let (staged, to) = (self.take()?, self.to);
        blocking(move || staged.replace(&to)).await
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        let staged = self.staged.take();
        blocking(move || {
            drop(staged);
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use tabvault_common::failure::Retry;

    use super::*;

    #[test]
    fn only_abandoned_unfinished_files_are_swept() {
        let root = tempfile::tempdir().unwrap();
        let mut staged = Staged::new(root.path()).unwrap();
        staged.write(b"x").unwrap();
        let dir = root.path().join(STAGING);
        sweep(&dir, ABANDONED);
        assert!(staged.path.exists());
        sweep(&dir, Duration::ZERO);
        assert!(!staged.path.exists());
    }

    #[test]
    fn a_level_that_vanishes_while_it_is_made_is_made_again() {
        for lost in [io::ErrorKind::NotFound, io::ErrorKind::AlreadyExists] {
            let (mut steps, mut makes) = (0, 0);
            let made = retry_below(
                || {
                    steps += 1;
                    if steps > 2 { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
                },
                || {
                    makes += 1;
                    if makes > 1 { Ok(()) } else { Err(lost.into()) }
                },
            );
            assert!(made.is_ok(), "{lost}: {made:?}");
            assert_eq!((steps, makes), (3, 2));
        }
    }

    #[test]
    fn only_a_missing_directory_is_made_and_not_for_ever() {
        let taken = retry_below(|| Err(io::ErrorKind::AlreadyExists.into()), || panic!("nothing is missing"));
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let missing = || Err(io::ErrorKind::NotFound.into());
        let denied = retry_below(missing, || Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(denied.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let busy = failure("link", Path::new("/d/f"), &retry_below(missing, || Ok(())).unwrap_err());
        assert_eq!((busy.kind, busy.retry), (Kind::Busy, Retry::Safe), "{busy}");
    }

    #[test]
    fn a_staged_file_that_is_dropped_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let staged = Staged::new(root.path()).unwrap();
        let path = staged.path.clone();
        assert!(path.exists());
        drop(staged);
        assert!(!path.exists());
    }
}
