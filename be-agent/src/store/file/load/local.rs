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
use super::batch::{Batch, Place};
use super::copy::{self, copy, kind_of, mtime, name};
use crate::progress::Progress;
use crate::store::{DataRoot, Result};

/// What the walk found for one of this agent's tablets.
enum Found {
    /// Complete already.
    Entry(Entry),
    /// To be copied.
    File(TreePath),
}

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

/// Brings what is in `dir` into the tablets of `batch`.
pub(super) fn load(mut batch: Batch, dir: &Path, progress: &Progress, stop: &Stop) -> Result<Vec<LoadedTablet>> {
    batch.prepare()?;
    let found = walk(&mut batch, dir, progress, stop)?;
    let batch_ref = &batch;
    let brought = parallel::map(
        found,
        stop,
        || vec![0; BUFFER],
        |buffer, (place, found)| match found {
            Found::Entry(entry) => Ok((place, entry)),
            Found::File(path) => {
                let (from, to) = (dir.join(path.as_path()), batch_ref.data_path(place)?);
                let (stamp, digest) = copy(&from, &to, buffer, |bytes| {
                    progress.add_done(bytes);
                    stop.check()
                })?;
                let (mode, mtime, size, data) = (Mode::of(stamp.mode), Some(stamp.mtime), stamp.size, place.data);
                Ok((place, Entry::File { path, mode, mtime, size, digest, data }))
            }
        },
    )?;
    batch.commit(brought, stop)
}

fn walk(batch: &mut Batch, dir: &Path, progress: &Progress, stop: &Stop) -> Result<Vec<(Place, Found)>> {
    let mut all = Vec::new();
    // Sorted, so that replicas number their data files alike.
    for found in WalkDir::new(dir).min_depth(1).follow_links(false).sort_by_file_name() {
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
        if !file_type.is_dir() {
            batch.note_leaf(&path);
        }
        if let Some(place) = batch.place(&path)? {
            all.push((place, look(&found, path, progress)?));
        }
    }
    Ok(all)
}

fn look(found: &DirEntry, path: TreePath, progress: &Progress) -> Result<Found> {
    let metadata = found.metadata().map_err(|error| {
        // It was listed a moment ago.
        if error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return copy::changed(found.path());
        }
        Failure::io(format_args!("look at {}", name(found.path())), &error.into())
    })?;
    let written = Some(mtime(&metadata));
    if metadata.is_dir() {
        let empty = fs::read_dir(found.path()).map(|mut entries| entries.next().is_none());
        let empty = empty.map_err(|error| Failure::io(format_args!("list {}", name(found.path())), &error))?;
        return Ok(Found::Entry(Entry::Directory { path, mode: Mode::of(metadata.mode()), mtime: written, empty }));
    }
    if metadata.is_symlink() {
        let target = fs::read_link(found.path())
            .map_err(|error| Failure::io(format_args!("read the link {}", name(found.path())), &error))?;
        let target = RawBytes(target.into_os_string().into_vec());
        return Ok(Found::Entry(Entry::Symlink { path, mtime: written, target }));
    }
    progress.add_total(metadata.len());
    Ok(Found::File(path))
}

fn unreadable(dir: &Path, error: &walkdir::Error) -> Failure {
    let path = name(error.path().unwrap_or(dir));
    match error.io_error() {
        Some(error) => Failure::io(format_args!("list {path}"), error),
        None => Failure::fatal(Kind::Internal, format!("list {path}: {error}")),
    }
}
