//! The one place for durable file operations.
//!
//! # Overview
//! A file is durable when its bytes *and* the directory entry that names it have reached the disk: `fsync` of the file,
//! then of its directory. The functions here do both, in that order, so that nobody else has to remember; `clippy.toml`
//! bans the raw calls elsewhere. All of them block: call them from `spawn_blocking`.
//!
//! # Consistency
//! [`write_file`] and [`create_file`] never show a reader half a file: bytes are written under a temporary name
//! ([`is_temporary`]) and appear whole. [`create_file`] is atomic among any number of processes on one filesystem:
//! `link(2)` has one winner.
//!
//! # Crash consistency
//! When a function returns `Ok`, its effect survives a loss of power. When it fails or the machine dies meanwhile, the
//! effect has happened wholly or not at all, and at most a temporary file is left over. After an error of `fsync` the
//! kernel may have dropped the bytes: nothing here tries the same descriptor again.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::failure::{Failure, Kind};

mod bulk;
mod directories;
mod lock;
mod space;
mod spread;

pub use bulk::BulkWriter;
pub use directories::Directories;
pub use lock::{DirLock, lock_dir};
pub use space::{Space, free_space, same_filesystem};
pub use spread::spread_below;

const TEMPORARY_PREFIX: &str = ".tabvault-tmp-";
/// Permissions of new files, less what the process's umask takes away.
const SHARED: u32 = 0o666;
/// Permissions of new files that hold secrets.
const PRIVATE: u32 = 0o600;
/// Bytes that are written at once of what comes in pieces.
const BUFFER: usize = 64 * 1024;

/// What [`create_file`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    /// The file was not there; it is now, with these bytes.
    Created,
    /// The name was taken; nothing was changed.
    Exists,
}

/// Whether `name` (a file's name without its directory) is that of a file which [`write_file`] or [`create_file`] had
/// not finished. Such files mean nothing and may be removed by the directory's owner.
#[must_use]
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY_PREFIX)
}

/// A path beside `path` that nobody else has, with a name that [`is_temporary`].
#[must_use]
pub fn temporary_beside(path: &Path) -> PathBuf {
    parent(path).join(format!("{TEMPORARY_PREFIX}{}", Uuid::new_v4()))
}

/// Writes the file `path` with `bytes`, replacing what was there, durably. Its directory must exist.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    put(path, Temporary::of(path, bytes, SHARED)?)
}

/// As [`write_file`], with the bytes that `fill` writes, which are buffered: for what is too long to hold.
///
/// # Errors
/// What the disk says, or the first error of `fill`; then nothing has changed.
pub fn write_file_by(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    put(path, Temporary::write(path, SHARED, fill)?)
}

fn put(path: &Path, temporary: Temporary) -> Result<(), Failure> {
    rename_raw(&temporary.path, path).map_err(|error| failed(path, &error))?;
    temporary.keep();
    sync_dir(parent(path))
}

/// Creates the file `path` with `bytes`, durably, unless the name is taken. Its directory must exist.
///
/// Of any number of racing callers exactly one gets [`Creation::Created`]. [`Creation::Exists`] is durable, too: the
/// directory is synced before it is returned.
pub fn create_file(path: &Path, bytes: &[u8]) -> Result<Creation, Failure> {
    create(path, Temporary::of(path, bytes, SHARED)?)
}

/// As [`create_file`], for secrets: at no moment can anybody but the owner read the file.
pub fn create_private_file(path: &Path, bytes: &[u8]) -> Result<Creation, Failure> {
    create(path, Temporary::of(path, bytes, PRIVATE)?)
}

fn create(path: &Path, temporary: Temporary) -> Result<Creation, Failure> {
    let creation = match hard_link_raw(&temporary.path, path) {
        Ok(()) => Creation::Created,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Creation::Exists,
        Err(error) => return Err(Failure::io(format_args!("create {}", path.display()), &error)),
    };
    sync_dir(parent(path))?;
    Ok(creation)
}

/// Renames `from` to `to` on one filesystem, durably: both directories are synced. What `to` named is replaced as
/// `rename(2)` does. The bytes of `from` must be durable already.
pub fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    rename_raw(from, to)
        .map_err(|error| Failure::io(format_args!("rename {} to {}", from.display(), to.display()), &error))?;
    // The new name first: a crash between the two shows the file twice rather than nowhere.
    sync_dir(parent(to))?;
    if parent(from) == parent(to) { Ok(()) } else { sync_dir(parent(from)) }
}

/// Gives the file `src` a second name `dst`. **Not** durable by itself: sync the directory, or the filesystem by
/// [`SyncFs`], when all links are made.
///
/// # Errors
/// [`Kind::AlreadyExists`] if `dst` is taken; [`Kind::Unsupported`] if the two are not on one filesystem: data is never
/// copied instead.
pub fn hard_link(src: &Path, dst: &Path) -> Result<(), Failure> {
    explain_link(src, dst, hard_link_raw(src, dst))
}

fn explain_link(src: &Path, dst: &Path, linked: io::Result<()>) -> Result<(), Failure> {
    linked.map_err(|error| {
        let (src, dst) = (src.display(), dst.display());
        if error.kind() == io::ErrorKind::CrossesDevices {
            let message = format!("link {src} to {dst}: they must be on one filesystem and are not");
            return Failure::fatal(Kind::Unsupported, message);
        }
        Failure::io(format_args!("link {src} to {dst}"), &error)
    })
}

/// Makes the directory `path` and what is missing above it, durably. One that is there already is no error.
pub fn create_dir_all(path: &Path) -> Result<(), Failure> {
    let mut missing: Vec<&Path> = Vec::new();
    let mut at = path;
    while !at.as_os_str().is_empty() && !at.is_dir() {
        missing.push(at);
        match at.parent() {
            Some(above) => at = above,
            None => break,
        }
    }
    for dir in missing.iter().rev() {
        match fs::create_dir(dir) {
            Ok(()) => {}
            // Somebody else was faster. If what is there is no directory, the next step says so.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            Err(error) => return Err(Failure::io(format_args!("create directory {}", dir.display()), &error)),
        }
        sync_dir(parent(dir))?;
    }
    if missing.is_empty() {
        // It may have been made by a process that died before it could sync.
        sync_dir(parent(path))?;
    }
    Ok(())
}

/// Makes the entries of directory `path` durable: names that were created, renamed or removed in it.
pub fn sync_dir(path: &Path) -> Result<(), Failure> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| Failure::io(format_args!("sync directory {}", path.display()), &error))
}

/// Makes the bytes of the file `path` durable. Its name is not: see [`sync_dir`].
pub fn sync_file(path: &Path) -> Result<(), Failure> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| Failure::io(format_args!("sync {}", path.display()), &error))
}

/// Removes the file `path`; one that is not there is no error. Not synced: what is removed twice is removed.
pub fn remove_file(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::io(format_args!("remove {}", path.display()), &error))
        }
        _ => Ok(()),
    }
}

/// Removes the directory `path` with all that is in it; one that is not there is no error. Not synced: what is removed
/// twice is removed.
pub fn remove_dir_all(path: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::io(format_args!("remove directory {}", path.display()), &error))
        }
        _ => Ok(()),
    }
}

/// Makes everything that was written to a filesystem durable at once: beats an `fsync` per file.
///
/// Open it **before** the first write: the kernel reports an error of writing back to descriptors that were open when
/// it happened, so that one opened afterwards would call lost bytes durable.
#[derive(Debug)]
pub struct SyncFs {
    dir: File,
    path: PathBuf,
}

impl SyncFs {
    /// Watches the filesystem on which the directory `dir` lies.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let file = File::open(dir).map_err(|error| Failure::io(format_args!("open {}", dir.display()), &error))?;
        Ok(Self { dir: file, path: dir.to_owned() })
    }

    /// Waits until all bytes and names written to the filesystem so far are durable. An error means that some written
    /// since [`SyncFs::open`] may be lost, and is told only once: write them again under a new `SyncFs`. May be called
    /// while more is written, so that the last call has less to wait for.
    pub fn sync(&self) -> Result<(), Failure> {
        rustix::fs::syncfs(&self.dir)
            .map_err(|error| Failure::io(format_args!("sync the filesystem of {}", self.path.display()), &error.into()))
    }
}

/// The directory of `path`; `.` for a bare name.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the raw call is wrapped")]
fn rename_raw(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

#[expect(clippy::disallowed_methods, reason = "this is where the raw call is wrapped")]
fn hard_link_raw(src: &Path, dst: &Path) -> io::Result<()> {
    fs::hard_link(src, dst)
}

/// A durable file under a name that nobody reads; removed unless kept.
struct Temporary {
    path: PathBuf,
    keep: bool,
}

impl Temporary {
    /// Writes and syncs `bytes` beside `target`.
    fn of(target: &Path, bytes: &[u8], mode: u32) -> Result<Self, Failure> {
        Self::write(target, mode, |out| out.write_all(bytes).map_err(|error| failed(target, &error)))
    }

    /// Writes and syncs beside `target` what `fill` writes.
    fn write(
        target: &Path,
        mode: u32,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        // From here on the name is removed whatever happens.
        let temporary = Self { path: temporary_beside(target), keep: false };
        let opened = File::options().write(true).create_new(true).mode(mode).open(&temporary.path);
        let mut out = BufWriter::with_capacity(BUFFER, opened.map_err(|error| failed(target, &error))?);
        fill(&mut out)?;
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .map_err(|error| failed(target, &error))?;
        Ok(temporary)
    }

    fn keep(mut self) {
        self.keep = true;
    }
}

fn failed(target: &Path, error: &io::Error) -> Failure {
    Failure::io(format_args!("write {}", target.display()), error)
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.keep {
            // Left over at worst: it means nothing and whoever owns the directory sweeps it.
            let _ = fs::remove_file(&self.path);
        }
    }
}
