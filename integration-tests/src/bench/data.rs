//! The trees of files that benches back up: the same bytes on every machine, made once and kept for the next run.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::measure::sync;
use crate::tree::{noise, write};

mod content;

/// Files of one load. The built-in store's loads hold a table of all their files in memory, so a million come in pieces.
const FILES_PER_PART: u64 = 100_000;
/// Files in a directory.
const FILES_PER_DIRECTORY: u64 = 1000;
/// One file in so many changes.
const CHANGED: u64 = 100;
/// Moves on when the trees do: kept ones of an earlier version are made again.
const VERSION: u32 = 2;

/// What a tree is like, at scale 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 1 GiB in 16 files, of which every other 64 KiB compresses well.
    Large,
    /// 50,000 files of 1 to 16 KiB; half of them text.
    Small,
    /// Some 5,000 files of 1 KiB to 64 MiB, log-normal, together about 1 GiB; text and what does not compress.
    Mixed,
    /// 256 MiB in so many files; half of them text.
    Files(u64),
}

impl Kind {
    /// Its name, also that of its directory.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Large => "large".to_owned(),
            Self::Small => "small".to_owned(),
            Self::Mixed => "mixed".to_owned(),
            Self::Files(count) => format!("files-{count}"),
        }
    }

    fn files(self, scale: f64) -> u64 {
        let count = match self {
            // The files become smaller instead.
            Self::Large => return 16,
            Self::Small => 50_000,
            Self::Mixed => 5000,
            Self::Files(count) => count,
        };
        scaled(count, scale)
    }

    /// The content of file `n`, in `generation` 0 or, changed, 1: of the same length.
    fn content(self, n: u64, generation: u64, scale: f64) -> Vec<u8> {
        let seed = n + (generation << 32);
        match self {
            Self::Large => content::half_columns(seed, scaled(64 << 20, scale)),
            Self::Small => content::either(n, seed, 1024 + n * 7919 % 15_360),
            Self::Mixed => {
                let length = content::log_normal(n);
                if n % 5 < 3 { content::text(seed, length) } else { noise(seed, length as usize) }
            }
            Self::Files(count) => content::either(n, seed, ((256 << 20) / count).max(1)),
        }
    }
}

fn scaled(number: u64, scale: f64) -> u64 {
    ((number as f64 * scale).round() as u64).max(1)
}

/// A tree on disk, whole and durable.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// The directory of the parts.
    pub tree: PathBuf,
    /// Directories to load one after the other; a path is in only one of them. More than one only for very many files.
    pub parts: Vec<PathBuf>,
    /// A directory with one file in a hundred, at least one, with other content of the same length.
    pub changed: PathBuf,
    /// Bytes of all parts.
    pub bytes: u64,
    /// Files of all parts.
    pub files: u64,
}

/// What stands beside a tree once it is whole.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    version: u32,
    files: u64,
    bytes: u64,
}

impl DataSet {
    /// The tree of this kind below `place`; made unless it is there.
    ///
    /// # Panics
    /// If it cannot be written.
    #[must_use]
    pub fn make(place: &Path, kind: Kind, scale: f64) -> Self {
        let root = place.join(format!("{}-{scale}", kind.name()));
        let mark = root.join("made.json");
        let known = fs::read(&mark).ok().and_then(|mark| serde_json::from_slice::<Made>(&mark).ok());
        let made = known.filter(|made| made.version == VERSION).unwrap_or_else(|| {
            // An error means that nothing is there.
            let _ = fs::remove_dir_all(&root);
            let made = make(&root, kind, scale);
            sync(&root);
            write(&mark, &serde_json::to_vec(&made).expect("plain numbers"));
            made
        });
        let tree = root.join("tree");
        let parts = (0..made.files.div_ceil(FILES_PER_PART)).map(|part| tree.join(format!("part{part}"))).collect();
        Self { tree, parts, changed: root.join("changed"), bytes: made.bytes, files: made.files }
    }

    /// The directory of a tree that is in one.
    ///
    /// # Panics
    /// If it is in several.
    #[must_use]
    pub fn root(&self) -> &Path {
        assert_eq!(self.parts.len(), 1, "a tree in one part");
        &self.parts[0]
    }
}

fn make(root: &Path, kind: Kind, scale: f64) -> Made {
    let files = kind.files(scale);
    let mut bytes = 0;
    for n in 0..files {
        let part = n / FILES_PER_PART;
        let path = format!("d{}/s{}/f{n}", part, n % FILES_PER_PART / FILES_PER_DIRECTORY);
        let content = kind.content(n, 0, scale);
        bytes += content.len() as u64;
        put(&root.join(format!("tree/part{part}")).join(&path), &content);
        if n % CHANGED == CHANGED / 2 || files <= CHANGED / 2 && n == 0 {
            put(&root.join("changed").join(&path), &kind.content(n, 1, scale));
        }
    }
    Made { version: VERSION, files, bytes }
}

fn put(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("make a directory");
    write(path, content);
}

#[cfg(test)]
mod tests {
    use tabvault_common::digest::Digest;

    use super::*;
    use crate::tree::{Entry, read};

    const KINDS: [Kind; 4] = [Kind::Large, Kind::Small, Kind::Mixed, Kind::Files(200_000)];

    fn digest(root: &Path) -> String {
        let mut all = Vec::new();
        for (path, entry) in read(root) {
            if let Entry::File(_, _, bytes) = entry {
                all.extend_from_slice(path.to_string_lossy().as_bytes());
                all.extend_from_slice(&bytes);
            }
        }
        Digest::of(&all).to_string()
    }

    #[test]
    fn a_tree_is_the_same_whenever_it_is_made() {
        for kind in KINDS {
            let (one, two) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
            let made = DataSet::make(one.path(), kind, 0.001);
            let again = DataSet::make(two.path(), kind, 0.001);
            assert_eq!(digest(made.root()), digest(again.root()), "{kind:?}");
            assert_eq!(digest(&made.changed), digest(&again.changed), "{kind:?}");
        }
    }

    #[test]
    fn what_changes_has_the_same_names_and_lengths_and_other_bytes() {
        for kind in KINDS {
            let dir = tempfile::tempdir().expect("a directory");
            let set = DataSet::make(dir.path(), kind, 0.004);
            let (tree, changed) = (read(set.root()), read(&set.changed));
            let mut files = 0;
            for (path, entry) in &changed {
                if let (Entry::File(_, _, new), Some(Entry::File(_, _, old))) = (entry, tree.get(path)) {
                    assert_eq!(new.len(), old.len(), "{kind:?} {}", path.display());
                    assert!(new != old, "{kind:?} {}", path.display());
                    files += 1;
                }
            }
            assert_eq!(files, set.files.div_ceil(CHANGED), "{kind:?}");
            let bytes: usize =
                tree.values().map(|entry| if let Entry::File(_, _, b) = entry { b.len() } else { 0 }).sum();
            assert_eq!(bytes as u64, set.bytes, "{kind:?}");
        }
    }

    #[test]
    fn a_tree_that_is_there_is_kept_and_one_that_is_half_made_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let set = DataSet::make(dir.path(), Kind::Small, 0.001);
        let trace = set.root().join("trace");
        write(&trace, b"");
        let _ = DataSet::make(dir.path(), Kind::Small, 0.001);
        assert!(trace.exists(), "it was made again");
        fs::remove_file(set.changed.with_file_name("made.json")).expect("remove the mark");
        let _ = DataSet::make(dir.path(), Kind::Small, 0.001);
        assert!(!trace.exists(), "the half-made tree was kept");
    }
}
