//! Local files of a tablet: finding, hashing, linking them. Everything here blocks.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, StatxFlags, openat, statx};
use rustix::io::Errno;
use tabvault_common::digest::{Digest, Hasher};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::layout;
use tokio_util::sync::CancellationToken;

use crate::digest_cache::FileId;
use crate::store::Result;

/// Bytes read at once.
pub(crate) const PIECE: usize = 1 << 20;

/// What something below a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A regular file: its bytes, and what it can be known again by.
    File(u64, Option<FileId>),
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// Shows `see` everything below `dir`, in no particular order, by its path relative to `dir`. A directory that is not
/// there has nothing in it.
///
/// Names are looked up in their directory's handle: in tablets of many small files, walking down from the root for each
/// of them is most of the work.
pub(crate) fn each_below(dir: &Path, see: &mut dyn FnMut(&str, Entry) -> Result<()>) -> Result<()> {
    match openat(CWD, dir, DIRECTORY, Mode::empty()) {
        Ok(handle) => descend(&handle, dir, "", see),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(Failure::io(format_args!("list {}", dir.display()), &error.into())),
    }
}

/// How many things other than directories are below `dir`. A directory that is not there has nothing in it.
///
/// Nothing is looked at but names: that takes a small part of what [`each_below`] does.
pub(crate) fn count(dir: &Path) -> Result<u64> {
    let mut files = 0;
    for found in walkdir::WalkDir::new(dir).min_depth(1) {
        match found {
            Ok(found) => files += u64::from(!found.file_type().is_dir()),
            Err(error) if error.io_error().is_some_and(|error| error.kind() == ErrorKind::NotFound) => {}
            Err(error) => return Err(Failure::io(format_args!("list {}", dir.display()), &error.into())),
        }
    }
    Ok(files)
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn descend(handle: &OwnedFd, dir: &Path, prefix: &str, see: &mut dyn FnMut(&str, Entry) -> Result<()>) -> Result<()> {
    let failed =
        |path: &str, error: Errno| Failure::io(format_args!("look at {}", dir.join(path).display()), &error.into());
    for entry in Dir::read_from(handle).map_err(|error| failed(prefix, error))? {
        let entry = entry.map_err(|error| failed(prefix, error))?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Ok(text) = name.to_str() else {
            let name = name.to_string_lossy();
            let message = format!("list {}: the name {prefix}{name} is not UTF-8", dir.display());
            return Err(Failure::fatal(Kind::InvalidArgument, message));
        };
        let path = format!("{prefix}{text}");
        let asked = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let stat = statx(handle, name, AtFlags::SYMLINK_NOFOLLOW, asked).map_err(|error| failed(&path, error))?;
        match FileType::from_raw_mode(stat.stx_mode.into()) {
            FileType::RegularFile => see(&path, Entry::File(stat.stx_size, FileId::of(&stat)))?,
            FileType::Directory => {
                see(&path, Entry::Directory)?;
                let below = openat(handle, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
                    .map_err(|error| failed(&path, error))?;
                descend(&below, dir, &format!("{path}/"), see)?;
            }
            _ => see(&path, Entry::Other)?,
        }
    }
    Ok(())
}

/// The digest of the file at `path`, unless `stop` says that nobody wants it any more.
pub(crate) fn digest(path: &Path, stop: &CancellationToken) -> Result<Digest> {
    let failed = |error: &std::io::Error| Failure::io(format_args!("read {}", path.display()), error);
    let mut file = File::open(path).map_err(|e| failed(&e))?;
    let mut hasher = Hasher::new();
    let mut piece = vec![0; PIECE];
    loop {
        if stop.is_cancelled() {
            return Err(Failure::transient(Kind::Cancelled, format!("read {}: the task was stopped", path.display())));
        }
        match file.read(&mut piece).map_err(|e| failed(&e))? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&piece[..n]),
        }
    }
}

/// Where the file named `path` in a tablet lies below `dir`; its directory is made.
///
/// # Errors
/// `InvalidArgument` if the name would lead out of `dir`.
pub(crate) fn place(dir: &Path, path: &str) -> Result<PathBuf> {
    Places::default().place(dir, path)
}

/// As [`place`], for many files: a directory that was made last is not made again.
#[derive(Debug, Default)]
pub(crate) struct Places {
    made: Option<PathBuf>,
}

impl Places {
    pub(crate) fn place(&mut self, dir: &Path, path: &str) -> Result<PathBuf> {
        if let Some(why) = layout::refuse_file_path(path) {
            return Err(Failure::fatal(Kind::InvalidArgument, format!("file path {path:?} is refused: {why}")));
        }
        let place = dir.join(path);
        if let Some(parent) = place.parent()
            && self.made.as_deref() != Some(parent)
        {
            make_dir(parent)?;
            self.made = Some(parent.to_owned());
        }
        Ok(place)
    }
}

/// Makes a directory and what is missing above it; not synced.
pub(crate) fn make_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(|error| Failure::io(format_args!("create directory {}", dir.display()), &error))
}

/// Renames `from` to `to` without syncing anything: for what is made again after a power cut, or synced later as a
/// whole. `Ok(false)` if `to` is a directory with something in it.
#[allow(clippy::disallowed_methods, reason = "a sync per directory is what this saves")]
pub(crate) fn rename(from: &Path, to: &Path) -> Result<bool> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) => Err(Failure::io(format_args!("rename {} to {}", from.display(), to.display()), &error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

    use super::*;

    #[test]
    fn everything_below_a_directory_is_seen_once() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["b", "a/z", "a.x", "a/b/c"] {
            fs::write(place(dir.path(), path).unwrap(), path).unwrap();
        }
        std::os::unix::fs::symlink("b", dir.path().join("link")).unwrap();
        let (mut files, mut others) = (Vec::new(), Vec::new());
        let mut see = |path: &str, entry: Entry| {
            match entry {
                Entry::File(size, _) => files.push((path.to_owned(), size)),
                other => others.push((path.to_owned(), other)),
            }
            Ok(())
        };
        each_below(dir.path(), &mut see).unwrap();
        each_below(&dir.path().join("nothing"), &mut see).unwrap();
        files.sort_unstable();
        others.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(files, [("a.x", 3), ("a/b/c", 5), ("a/z", 3), ("b", 1)].map(|(path, size)| (path.to_owned(), size)));
        let expected = [("a", Entry::Directory), ("a/b", Entry::Directory), ("link", Entry::Other)];
        assert_eq!(others, expected.map(|(path, entry)| (path.to_owned(), entry)));
        assert_eq!((count(dir.path()).unwrap(), count(&dir.path().join("nothing")).unwrap()), (5, 0));
    }

    #[test]
    fn no_name_leads_out_of_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["../x", "/x", "a/../../x", ""] {
            assert_eq!(place(dir.path(), path).unwrap_err().kind, Kind::InvalidArgument, "{path}");
        }
    }
}
