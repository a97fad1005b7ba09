//! Two directory trees, compared by what is in them. Everything here blocks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tabvault_common::failure::{Failure, Kind};
use walkdir::WalkDir;

use crate::output::{bytes, count};

/// Bytes of a file that are compared at once.
const BUFFER: usize = 256 << 10;

/// What is in a directory, by the path below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree(BTreeMap<PathBuf, Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    File { mode: u32, size: u64 },
    Directory { mode: u32 },
    Link { target: PathBuf },
    Other,
}

impl Tree {
    /// Looks at everything below `dir`, without following links.
    pub(super) fn read(dir: &Path) -> Result<Self, Failure> {
        let mut tree = BTreeMap::new();
        for found in WalkDir::new(dir).min_depth(1) {
            let found =
                found.map_err(|error| Failure::fatal(Kind::Internal, format!("list {}: {error}", dir.display())))?;
            let path = found.path().strip_prefix(dir).unwrap_or(found.path()).to_owned();
            tree.insert(path, look(found.path())?);
        }
        Ok(Self(tree))
    }

    /// The first regular file that is not empty, if there is one.
    pub(super) fn first_file(&self) -> Option<PathBuf> {
        let filled = |entry: &Entry| matches!(entry, Entry::File { size: 1.., .. });
        self.0.iter().find(|(_, entry)| filled(entry)).map(|(path, _)| path.clone())
    }

    /// `3 files, 1 link, 2 directories, 4.0 MiB`.
    pub(super) fn summary(&self) -> String {
        let (mut files, mut links, mut directories, mut size) = (0, 0, 0, 0);
        for entry in self.0.values() {
            match entry {
                Entry::File { size: bytes, .. } => {
                    files += 1;
                    size += bytes;
                }
                Entry::Link { .. } => links += 1,
                Entry::Directory { .. } => directories += 1,
                Entry::Other => {}
            }
        }
        let mut parts = vec![count(files, "file")];
        if links > 0 {
            parts.push(count(links, "link"));
        }
        if directories > 0 {
            parts.push(count(directories, "directory"));
        }
        parts.push(bytes(size));
        parts.join(", ")
    }
}

fn look(path: &Path) -> Result<Entry, Failure> {
    let failed = |error: std::io::Error| Failure::io(format_args!("look at {}", path.display()), &error);
    let found = fs::symlink_metadata(path).map_err(failed)?;
    let mode = found.mode() & 0o7777;
    Ok(if found.is_file() {
        Entry::File { mode, size: found.len() }
    } else if found.is_dir() {
        Entry::Directory { mode }
    } else if found.is_symlink() {
        Entry::Link { target: fs::read_link(path).map_err(failed)? }
    } else {
        Entry::Other
    })
}

/// What differs between the directories `left` and `right`: a sentence for each path.
pub(super) fn differences(left: &Path, right: &Path) -> Result<Vec<String>, Failure> {
    let (before, after) = (Tree::read(left)?, Tree::read(right)?);
    let mut differences = Vec::new();
    for (path, entry) in &before.0 {
        let shown = path.display();
        match after.0.get(path) {
            None => differences.push(format!("{shown} is missing")),
            Some(other) if other != entry => differences.push(format!("{shown} was {entry:?} and is {other:?}")),
            Some(Entry::File { .. }) if !same(&left.join(path), &right.join(path))? => {
                differences.push(format!("{shown} has other bytes"));
            }
            Some(_) => {}
        }
    }
    let added = after.0.keys().filter(|path| !before.0.contains_key(*path));
    differences.extend(added.map(|path| format!("{} was not there", path.display())));
    Ok(differences)
}

fn same(left: &Path, right: &Path) -> Result<bool, Failure> {
    let open =
        |path: &Path| File::open(path).map_err(|error| Failure::io(format_args!("open {}", path.display()), &error));
    let (mut left_file, mut right_file) = (open(left)?, open(right)?);
    let (mut a, mut b) = (vec![0; BUFFER], vec![0; BUFFER]);
    loop {
        let length = fill(&mut left_file, &mut a, left)?;
        if fill(&mut right_file, &mut b, right)? != length || a[..length] != b[..length] {
            return Ok(false);
        }
        if length < BUFFER {
            return Ok(true);
        }
    }
}

fn fill(file: &mut File, buffer: &mut [u8], path: &Path) -> Result<usize, Failure> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::io(format_args!("read {}", path.display()), &error)),
        }
    }
    Ok(length)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tabvault_common::durable;

    use super::*;

    fn tree(bytes: &[u8], mode: u32, target: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        let file = dir.path().join("d/f");
        durable::write_file(&file, bytes).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        symlink(target, dir.path().join("l")).unwrap();
        dir
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let left = tree(b"abc", 0o644, "d/f");
        let found = |right: &tempfile::TempDir| differences(left.path(), right.path()).unwrap();
        assert_eq!(found(&tree(b"abc", 0o644, "d/f")), [] as [String; 0]);
        assert_eq!(found(&tree(b"abd", 0o644, "d/f")), ["d/f has other bytes"]);
        assert_eq!(found(&tree(b"ab", 0o644, "d/f")).len(), 1);
        assert_eq!(found(&tree(b"abc", 0o600, "d/f")).len(), 1);
        assert_eq!(found(&tree(b"abc", 0o644, "elsewhere")).len(), 1);
        let right = tree(b"abc", 0o644, "d/f");
        fs::create_dir(right.path().join("new")).unwrap();
        assert_eq!(found(&right), ["new was not there"]);
        fs::remove_file(right.path().join("l")).unwrap();
        assert_eq!(found(&right), ["l is missing", "new was not there"]);
    }

    #[test]
    fn files_longer_than_a_buffer_are_compared_to_their_end() {
        let mut bytes = vec![7; 2 * BUFFER];
        let left = tree(&bytes, 0o644, "x");
        assert!(differences(left.path(), tree(&bytes, 0o644, "x").path()).unwrap().is_empty());
        bytes[2 * BUFFER - 1] = 8;
        assert_eq!(differences(left.path(), tree(&bytes, 0o644, "x").path()).unwrap(), ["d/f has other bytes"]);
    }
}
