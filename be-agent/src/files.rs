//! Local files of a tablet: finding, hashing, linking them. Everything here blocks.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use tabvault_common::digest::{Digest, Hasher};
use tabvault_common::durable;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::layout;
use tokio_util::sync::CancellationToken;
use walkdir::WalkDir;

use crate::store::Result;

/// Bytes read at once.
pub(crate) const PIECE: usize = 1 << 20;

/// A regular file below some directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalFile {
    /// Relative to the directory, `/` between parts.
    pub(crate) path: String,
    /// Bytes.
    pub(crate) size: u64,
}

/// The regular files below `dir`, by ascending bytes of their paths. A directory that is not there has none.
pub(crate) fn walk(dir: &Path) -> Result<Vec<LocalFile>> {
    let mut files = Vec::new();
    for entry in WalkDir::new(dir).min_depth(1) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() == 0 && is_not_found(&error) => return Ok(files),
            Err(error) => return Err(Failure::io(format_args!("list {}", dir.display()), &error.into())),
        };
        if !entry.file_type().is_file() {
            continue;
        }
        let relative = entry.path().strip_prefix(dir).ok().and_then(Path::to_str);
        let Some(path) = relative else {
            let message = format!("list {}: the name {} is not UTF-8", dir.display(), entry.path().display());
            return Err(Failure::fatal(Kind::InvalidArgument, message));
        };
        let metadata = entry
            .metadata()
            .map_err(|error| Failure::io(format_args!("look at {}", entry.path().display()), &error.into()))?;
        files.push(LocalFile { path: path.to_owned(), size: metadata.len() });
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn is_not_found(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
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
    if let Some(why) = layout::refuse_file_path(path) {
        return Err(Failure::fatal(Kind::InvalidArgument, format!("file path {path:?} is refused: {why}")));
    }
    let place = dir.join(path);
    if let Some(parent) = place.parent() {
        make_dir(parent)?;
    }
    Ok(place)
}

/// Makes a directory and what is missing above it; not synced.
pub(crate) fn make_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(|error| Failure::io(format_args!("create directory {}", dir.display()), &error))
}

/// Links `src` to `dst`; a link that is there already is no error.
pub(crate) fn link(src: &Path, dst: &Path) -> Result<()> {
    match durable::hard_link(src, dst) {
        Err(failure) if failure.kind == Kind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

/// Renames `from` to `to` without syncing anything: for what is made again after a power cut, or synced later as a
/// whole. `Ok(false)` if `to` is a directory with something in it.
#[allow(clippy::disallowed_methods, reason = "a sync per directory is what this saves")]
pub(crate) fn rename(from: &Path, to: &Path) -> Result<bool> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) => Err(Failure::io(format_args!("rename {} to {}", from.display(), to.display()), &error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

    use super::*;

    #[test]
    fn files_come_in_the_order_a_manifest_wants() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["b", "a/z", "a.x", "a/b/c"] {
            fs::write(place(dir.path(), path).unwrap(), path).unwrap();
        }
        let paths: Vec<String> = walk(dir.path()).unwrap().into_iter().map(|file| file.path).collect();
        assert_eq!(paths, ["a.x", "a/b/c", "a/z", "b"]);
        assert_eq!(walk(&dir.path().join("nothing")).unwrap(), []);
    }

    #[test]
    fn no_name_leads_out_of_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["../x", "/x", "a/../../x", ""] {
            assert_eq!(place(dir.path(), path).unwrap_err().kind, Kind::InvalidArgument, "{path}");
        }
    }
}
