//! One sled database per directory, shared by the job store and the built-in catalog.
//!
//! # Overview
//! Each user has a part (`Part`) with trees of its own, and waits for nobody else's: who asks what a user may do does
//! not wait for the tables that a restore makes. In a part a change runs alone (`Part::write`) and ends in one atomic
//! batch; a look (`Part::read`) sees no half of a change. Both run on blocking threads, few at a time: sled keeps what it
//! has replaced, and the allocator what was freed, for each thread that ever used it.
//!
//! # Consistency
//! Whatever a change or a look answers with is durable by then, also what another change of its part had just written:
//! nobody acts on something that a power cut could take back. A look that says which kind of record it sees waits for
//! changes of that kind alone. Changes that end at about the same time share one flush, whosever they are.
//!
//! # Crash consistency
//! sled's own `flush` ends in `sync_file_range(2)`, which does not empty the disk's cache; so the `db` file is synced
//! after it. Values stay small enough (`MAX_RECORD`) that sled keeps all of them in that file: its files for larger
//! values are not synced by anybody. After a failed flush nothing is written any more, because nobody knows what is on
//! the disk: the process must be started again.
//!
//! # Cancellation
//! Dropping the future of a change does not stop it: it may be done or not, as after a crash.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tabvault_common::durable::{self, DirLock};
use tabvault_common::failure::{Failure, Kind, Retry};
use tokio::sync::{Notify, Semaphore};

use super::Result;

mod part;

pub(crate) use part::Part;
use part::Turns;

/// Largest record in bytes. A leaf of sled's tree has up to about 20 records and must stay below a quarter of
/// [`SEGMENT`].
pub(crate) const MAX_RECORD: usize = 96 * 1024;

/// A power of two. sled writes from buffers of this size and has several of them at a time.
const SEGMENT: usize = 8 * 1024 * 1024;

/// What sled may keep in memory of what is on disk, in bytes as they are stored; in memory it is about twice that. sled
/// counts a page when 64 accesses have come together in one of 256 groups of pages: up to 16,384 pages more than this are
/// kept, so that small records are what bounds its memory.
const CACHE: u64 = 32 * 1024 * 1024;

/// Changes and looks that run at the same time; whoever waits for a flush holds no thread.
const THREADS: usize = 4;

/// How often, and how long apart, a file is looked at that is being closed.
const CLOSING_ATTEMPTS: u32 = 500;
const CLOSING_INTERVAL: Duration = Duration::from_millis(10);

/// A directory's database. Clones share it; the directory is free for another process when the last is dropped.
#[derive(Clone)]
pub struct SharedDb {
    inner: Arc<Inner>,
}

struct Inner {
    db: sled::Db,
    /// Open before the first write, so that every error of writing back is reported to it.
    file: File,
    dir: PathBuf,
    parts: Mutex<BTreeMap<&'static str, Arc<Turns>>>,
    threads: Semaphore,
    progress: Mutex<Progress>,
    flushed: Arc<Notify>,
    /// The last to go: the database must be closed before another process may open it.
    _lock: DirLock,
}

/// Changes are counted from 1, those of all parts together.
#[derive(Debug, Default)]
struct Progress {
    changed: u64,
    durable: u64,
    flushes: u64,
    flushing: bool,
    failed: Option<Failure>,
}

impl Progress {
    /// The number of a change that was just made.
    fn next_change(&mut self) -> u64 {
        self.changed += 1;
        self.changed
    }
}

impl fmt::Debug for SharedDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedDb").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}

impl SharedDb {
    /// Opens the database in `dir`, which is made if it is new, readable for its owner only: secrets are kept there.
    /// Blocks while sled reads its log, and up to 5 seconds while a database there is being closed.
    ///
    /// # Errors
    /// `Busy` naming the directory if another process uses it; `Corrupt` if the files are damaged; errors of the disk.
    pub fn open(dir: &Path) -> Result<Self> {
        durable::create_dir_all(dir)?;
        std::fs::set_permissions(dir, Permissions::from_mode(0o700))
            .map_err(|error| Failure::io(format_args!("make {} private", dir.display()), &error))?;
        let lock = durable::lock_dir(dir)?;
        let path = dir.join("db");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| Failure::io(format_args!("open {}", path.display()), &error))?;
        wait_until_closed(&file, &path)?;
        let db = sled::Config::new().path(dir).segment_size(SEGMENT).cache_capacity(CACHE).open();
        let db = db.map_err(|error| match error {
            sled::Error::Unsupported(_) => other_layout(dir),
            error => failure(format_args!("open the database in {}", dir.display()), error),
        })?;
        let shared = Self {
            inner: Arc::new(Inner {
                db,
                file,
                dir: dir.to_owned(),
                parts: Mutex::default(),
                threads: Semaphore::new(THREADS),
                progress: Mutex::default(),
                flushed: Arc::default(),
                _lock: lock,
            }),
        };
        // sled neither syncs its configuration nor the directory that names its files.
        shared.inner.flush()?;
        let conf = dir.join("conf");
        if conf.exists() {
            durable::sync_file(&conf)?;
        }
        durable::sync_dir(dir)?;
        Ok(shared)
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// The part called `name`: the same for all who ask for it.
    pub(crate) fn part(&self, name: &'static str) -> Part {
        let mut parts = self.inner.parts.lock().unwrap_or_else(PoisonError::into_inner);
        Part::new(Arc::clone(&self.inner), Arc::clone(parts.entry(name).or_default()))
    }
}

impl Inner {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Every step below leaves the counters whole.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse_after_failure(&self) -> Result<()> {
        self.progress().failed.clone().map_or(Ok(()), Err)
    }

    fn is_durable(&self, number: u64) -> Result<bool> {
        let progress = self.progress();
        progress.failed.clone().map_or(Ok(progress.durable >= number), Err)
    }

    /// Whether the caller is the one to flush: nobody does at present.
    fn begin_flush(&self) -> bool {
        !std::mem::replace(&mut self.progress().flushing, true)
    }

    fn flush_what_changed(&self) {
        let covers = self.progress().changed;
        let outcome = self.flush();
        let mut progress = self.progress();
        progress.flushing = false;
        progress.flushes += 1;
        match outcome {
            Ok(()) => progress.durable = covers,
            Err(failure) => progress.failed = Some(failure),
        }
    }

    fn flush(&self) -> Result<()> {
        let told = |what: String| Failure {
            kind: Kind::Internal,
            retry: Retry::OutcomeUnknown,
            message: format!(
                "flush the database in {}: {what}; nothing is written any more, start the process again when the disk is well",
                self.dir.display()
            ),
        };
        self.db.flush().map_err(|error| told(error.to_string()))?;
        self.file.sync_all().map_err(|error| told(error.to_string()))
    }
}

/// sled's threads hold its file, and its lock on it, for a moment after the last handle was dropped: in this process, or
/// in one that has just let the directory go.
fn wait_until_closed(file: &File, path: &Path) -> Result<()> {
    let failed = |error: std::io::Error| Failure::io(format_args!("lock {}", path.display()), &error);
    for _ in 0..CLOSING_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return file.unlock().map_err(failed),
            Err(TryLockError::WouldBlock) => std::thread::sleep(CLOSING_INTERVAL),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    let message = format!("open {}: another program holds a lock on it, end that program", path.display());
    Err(Failure::transient(Kind::Busy, message))
}

fn other_layout(dir: &Path) -> Failure {
    let message = format!(
        "open the database in {}: another build of this program wrote it in another layout, use that build; to change over, \
         back the tables up with it and restore them into a new cluster",
        dir.display()
    );
    Failure::fatal(Kind::Unsupported, message)
}

/// What an error of sled means, met while doing `what`.
pub(crate) fn failure(what: impl fmt::Display, error: sled::Error) -> Failure {
    match error {
        sled::Error::Io(error) => {
            let failure = Failure::io(what, &error);
            Failure { retry: Retry::OutcomeUnknown, ..failure }
        }
        sled::Error::Corruption { .. } => Failure::fatal(Kind::Corrupt, format!("{what}: {error}")),
        error => Failure::fatal(Kind::Internal, format!("{what}: {error}")),
    }
}

/// sled leaves what it has replaced with the thread that replaced it, until enough has come together there: buffers of
/// [`SEGMENT`] bytes among it. This hands it over, and frees as much as a change of so many records leaves and no thread
/// can be reading any more.
pub(crate) fn let_go_of_garbage(records: usize) {
    // Each round frees up to 512 pieces; a record leaves a few.
    for _ in 0..=records / 128 {
        crossbeam_epoch::pin().flush();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_database_in_another_layout_is_refused_with_the_way_over() {
        let dir = tempfile::tempdir().unwrap();
        drop(sled::Config::new().path(dir.path()).segment_size(SEGMENT * 2).open().unwrap());
        let refused = SharedDb::open(dir.path()).unwrap_err();
        assert_eq!(refused.kind, Kind::Unsupported);
        assert!(refused.message.contains("restore them into a new cluster"), "{refused}");
    }
}
