//! What is visible in a tablet at a version: its loads laid one over the other.

use std::collections::BTreeMap;
use std::ops::Bound;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::TabletId;

use super::entry::Entry;
use super::index::MAX_ENTRIES;
use super::path::TreePath;
use crate::store::Result;

/// The visible entries of one tablet, by path.
///
/// A later entry takes the place of an earlier one at its path. One that is no directory hides, in addition, what lay
/// beneath it, and anything hides what is no directory above it. So no entry lies in what is no directory.
#[derive(Debug, Default)]
pub(crate) struct View {
    entries: BTreeMap<TreePath, Entry>,
}

impl View {
    /// Lays `entry` over what is there.
    ///
    /// # Errors
    /// `ResourceExhausted` when `tablet` gets more entries than fit into memory.
    pub(crate) fn apply(&mut self, tablet: TabletId, entry: Entry) -> Result<()> {
        let path = entry.path().clone();
        if matches!(entry, Entry::Gone { .. }) {
            self.entries.remove(&path);
            return Ok(());
        }
        if !matches!(entry, Entry::Directory { .. }) {
            for hidden in self.beneath(&path) {
                self.entries.remove(&hidden);
            }
        }
        let above: Vec<TreePath> = path
            .ancestors()
            .filter_map(|above| TreePath::new(above.to_vec()).ok())
            .filter(|above| self.entries.get(above).is_some_and(|entry| !matches!(entry, Entry::Directory { .. })))
            .collect();
        for hidden in above {
            self.entries.remove(&hidden);
        }
        self.entries.insert(path, entry);
        if self.entries.len() as u64 > MAX_ENTRIES {
            let message =
                format!("tablet {tablet} gets more than {MAX_ENTRIES} files: spread the table over more buckets");
            return Err(Failure::fatal(Kind::ResourceExhausted, message));
        }
        Ok(())
    }

    /// The paths that lie in `directory`, however deep.
    pub(crate) fn beneath(&self, directory: &TreePath) -> Vec<TreePath> {
        self.entries
            .range((Bound::Excluded(directory), Bound::Unbounded))
            .map(|(path, _)| path)
            .take_while(|path| path.is_beneath(directory.as_bytes()))
            .cloned()
            .collect()
    }

    /// The entry at `path`.
    pub(crate) fn get(&self, path: &TreePath) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// All entries, sorted by path.
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> + Clone {
        self.entries.values()
    }

    /// All entries, sorted by path.
    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.entries.into_values().collect()
    }

    /// Number and bytes of the visible files.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let files = self.entries().filter(|entry| entry.counts()).count() as u64;
        (files, self.entries().map(Entry::size).sum())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::file::entry::Mode;
    use crate::store::file::path::RawBytes;

    fn path(text: &str) -> TreePath {
        TreePath::new(text.into()).unwrap()
    }

    fn directory(text: &str) -> Entry {
        Entry::Directory { path: path(text), mode: Mode(0o755), mtime: None, empty: false }
    }

    fn leaf(text: &str) -> Entry {
        Entry::Symlink { path: path(text), mtime: None, target: RawBytes(b"t".to_vec()) }
    }

    fn visible(entries: Vec<Entry>) -> Vec<String> {
        let mut view = View::default();
        for entry in entries {
            view.apply(TabletId(1), entry).unwrap();
        }
        view.entries().map(|entry| entry.path().to_string()).collect()
    }

    #[test]
    fn a_leaf_hides_what_was_a_directory_with_all_in_it() {
        let entries = vec![directory("a"), leaf("a/b"), leaf("a-b"), directory("a/c"), leaf("a/c/d"), leaf("a")];
        assert_eq!(visible(entries), ["a", "a-b"]);
    }

    #[test]
    fn a_path_in_a_former_leaf_hides_the_leaf() {
        assert_eq!(visible(vec![leaf("a"), leaf("a/b/c")]), ["a/b/c"]);
        assert_eq!(visible(vec![leaf("a/b"), directory("a"), leaf("a/b/c")]), ["a", "a/b/c"]);
    }

    #[test]
    fn a_directory_that_comes_again_keeps_what_is_in_it() {
        assert_eq!(visible(vec![directory("a"), leaf("a/b"), directory("a")]), ["a", "a/b"]);
    }

    #[test]
    fn what_is_gone_is_not_visible() {
        assert_eq!(visible(vec![leaf("a/b"), leaf("a/c"), Entry::Gone { path: path("a/b") }]), ["a/c"]);
    }
}
