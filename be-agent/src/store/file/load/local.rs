//! A load from a directory of this machine. Everything here blocks.

use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::task::LoadedTablet;
use walkdir::{DirEntry, WalkDir};

use super::super::entry::{Entry, Mode};
use super::super::parallel::{self, BUFFER, Stop};
use super::super::path::{RawBytes, TreePath};
use super::batch::Batch;
use super::copy::{self, copy, kind_of, mtime, name};
use super::tally::Tally;
use crate::progress::Progress;
use crate::store::{DataRoot, Result};

/// Directories open at once. Of those above, in a tree that is deeper, what is still to be visited is held.
const MAX_OPEN: usize = 64;

/// Refuses what is no directory that can be loaded.
pub(super) fn check_source(dir: &Path, roots: &[DataRoot]) -> Result<()> {
    let found = fs::metadata(dir).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::fatal(Kind::NotFound, "there is no such directory on this backend; all backends must see it alike")
        }
        _ => Failure::io("look at the directory", &error),
    })?;
    if !found.is_dir() {
        return Err(Failure::fatal(Kind::InvalidArgument, "it is no directory: name the directory to load"));
    }
    let dir = fs::canonicalize(dir).map_err(|error| Failure::io("look at the directory", &error))?;
    if let Some(root) = roots.iter().find(|root| dir.starts_with(&root.work) || root.work.starts_with(&dir)) {
        let message = format!("the data root {} must not lie in it or around it", root.work.display());
        return Err(Failure::fatal(Kind::InvalidArgument, message));
    }
    Ok(())
}

/// Counts what of `dir` is for this agent.
pub(super) fn count(mut tally: Tally, dir: &Path, stop: &Stop) -> Result<Tally> {
    walk(dir, stop, |found, path| {
        if tally.takes(path.as_bytes()) {
            tally.add(path.as_bytes(), target_length(found)?)?;
        }
        Ok(())
    })?;
    Ok(tally)
}

/// Brings what is in `dir` into the tablets of `batch`.
pub(super) fn load(mut batch: Batch, dir: &Path, progress: &Progress, stop: &Stop) -> Result<Vec<LoadedTablet>> {
    batch.prepare()?;
    let mut all: Vec<Entry> = Vec::with_capacity(batch.expected());
    walk(dir, stop, |found, path| {
        if !found.file_type().is_dir() {
            batch.note_leaf(&path);
        }
        if batch.takes(path.as_bytes()) {
            batch.allowance.take(&path, target_length(found)?)?;
            all.push(look(found, path, progress)?);
        }
        Ok(())
    })?;
    // Sorted, so that replicas number their data files alike.
    all.sort_unstable_by(|a, b| a.path().cmp(b.path()));
    for entry in &mut all {
        batch.place(entry)?;
    }
    batch.make_directories()?;
    let batch_ref = &batch;
    parallel::each(
        &mut all,
        stop,
        || vec![0; BUFFER],
        |buffer, entry| {
            let to = batch_ref.data_path(entry)?;
            let Entry::File { path, mode, mtime, size, digest, .. } = entry else { return Ok(()) };
            let (stamp, copied) = copy(&dir.join(path.as_path()), &to, buffer, |bytes| {
                progress.add_done(bytes);
                stop.check()
            })?;
            (*mode, *mtime, *size, *digest) = (Mode::of(stamp.mode), Some(stamp.mtime), stamp.size, copied);
            Ok(())
        },
    )?;
    batch.commit(all, stop)
}

/// Shows `visit` everything in `dir`, holding none of it: in the order of the disk, since sorting would need all names
/// of a directory at once.
fn walk(dir: &Path, stop: &Stop, mut visit: impl FnMut(&DirEntry, TreePath) -> Result<()>) -> Result<()> {
    for found in WalkDir::new(dir).min_depth(1).follow_links(false).max_open(MAX_OPEN) {
        stop.check()?;
        let found = found.map_err(|error| unreadable(dir, &error))?;
        let file_type = found.file_type();
        if !file_type.is_file() && !file_type.is_dir() && !file_type.is_symlink() {
            let message = format!(
                "{} is {}: only files, directories and symbolic links can be loaded",
                name(found.path()),
                kind_of(file_type)
            );
            return Err(Failure::fatal(Kind::Unsupported, message));
        }
        let relative = found.path().strip_prefix(dir).unwrap_or(found.path()).as_os_str().as_bytes();
        let path = TreePath::new(relative.to_vec())
            .map_err(|error| Failure::fatal(Kind::InvalidArgument, error.to_string()))?;
        visit(&found, path)?;
    }
    Ok(())
}

/// Bytes of what a symbolic link points to; none for anything else.
fn target_length(found: &DirEntry) -> Result<u64> {
    if !found.file_type().is_symlink() {
        return Ok(0);
    }
    found.metadata().map(|metadata| metadata.len()).map_err(|error| gone(found, error))
}

/// What is known of an entry before it is copied.
fn look(found: &DirEntry, path: TreePath, progress: &Progress) -> Result<Entry> {
    let metadata = found.metadata().map_err(|error| gone(found, error))?;
    let written = Some(mtime(&metadata));
    if metadata.is_dir() {
        let empty = fs::read_dir(found.path()).map(|mut entries| entries.next().is_none());
        let empty = empty.map_err(|error| Failure::io(format_args!("list {}", name(found.path())), &error))?;
        return Ok(Entry::Directory { path, mode: Mode::of(metadata.mode()), mtime: written, empty });
    }
    if metadata.is_symlink() {
        let target = fs::read_link(found.path())
            .map_err(|error| Failure::io(format_args!("read the link {}", name(found.path())), &error))?;
        let target = RawBytes(target.into_os_string().into_vec());
        return Ok(Entry::Symlink { path, mtime: written, target });
    }
    progress.add_total(metadata.len());
    Ok(Entry::to_copy(path, Mode::of(metadata.mode()), metadata.len()))
}

/// Why something cannot be looked at that was listed a moment ago.
fn gone(found: &DirEntry, error: walkdir::Error) -> Failure {
    if error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return copy::changed(found.path());
    }
    Failure::io(format_args!("look at {}", name(found.path())), &error.into())
}

fn unreadable(dir: &Path, error: &walkdir::Error) -> Failure {
    let path = name(error.path().unwrap_or(dir));
    match error.io_error() {
        Some(error) => Failure::io(format_args!("list {path}"), error),
        None => Failure::fatal(Kind::Internal, format!("list {path}: {error}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_ends_at_the_first_refusal() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..100 {
            fs::write(dir.path().join(number.to_string()), "").unwrap();
        }
        let mut seen = 0;
        let failure = walk(dir.path(), &Stop::default(), |_, _| {
            seen += 1;
            if seen == 10 { Err(Failure::fatal(Kind::ResourceExhausted, "enough")) } else { Ok(()) }
        });
        assert_eq!((failure.unwrap_err().message.as_str(), seen), ("enough", 10));
    }
}
