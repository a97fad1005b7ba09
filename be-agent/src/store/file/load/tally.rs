//! How much of a source falls to this agent: counted before any of it is held, so that what is too much is refused as
//! soon as that shows, and the rest is reserved at once.

use std::collections::HashSet;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::task::Load;

use super::super::budget::{self, ENTRY, PATH};
use super::super::index::MAX_ENTRIES;
use super::super::path::TreePath;
use super::bucket_of;
use crate::memory::Memory;
use crate::store::Result;

/// See the module.
#[derive(Debug)]
pub(super) struct Tally {
    memory: Memory,
    mine: HashSet<u32>,
    buckets: u32,
    /// Most entries that the tablets together may take.
    limit: u64,
    entries: u64,
    bytes: u64,
}

impl Tally {
    pub(super) fn new(task: &Load, memory: &Memory) -> Self {
        let mine: HashSet<u32> = task.tablets.iter().map(|tablet| tablet.bucket).collect();
        let limit = MAX_ENTRIES.saturating_mul(task.tablets.len() as u64);
        Self { memory: memory.clone(), mine, buckets: task.buckets, limit, entries: 0, bytes: 0 }
    }

    /// Whether the entry at `path` goes into one of the tablets.
    pub(super) fn takes(&self, path: &[u8]) -> bool {
        self.mine.contains(&bucket_of(path, self.buckets))
    }

    /// Counts an entry that will be held, of which `more` bytes are neither path nor of fixed size.
    ///
    /// # Errors
    /// `ResourceExhausted` if there are more entries than the tablets, or than the memory, can take.
    pub(super) fn add(&mut self, path: &[u8], more: u64) -> Result<()> {
        self.entries += 1;
        self.bytes += weight(path) + more;
        if self.entries > self.limit {
            let message = format!(
                "more than {} files are for the tablets of this backend: spread the table over more buckets",
                self.limit
            );
            return Err(Failure::fatal(Kind::ResourceExhausted, message));
        }
        budget::check(&self.memory, self.bytes)
    }

    /// How many entries there are.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// How many bytes of memory they take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Bytes of memory that the entry at `path` takes.
fn weight(path: &[u8]) -> u64 {
    ENTRY + (path.len() as u64).saturating_sub(PATH)
}

/// What may be held of a source that was counted before.
#[derive(Debug)]
pub(super) struct Allowance(u64);

impl Allowance {
    pub(super) fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Takes the share of an entry, as [`Tally::add`] counted it.
    ///
    /// # Errors
    /// `Busy`, never to be tried again by itself: there is more than there was.
    pub(super) fn take(&mut self, path: &TreePath, more: u64) -> Result<()> {
        let left = self.0.checked_sub(weight(path.as_bytes()) + more);
        self.0 = left.ok_or_else(|| {
            let message = format!(
                "there is more than when the load began, `{path}` for one: load it again when nothing writes to it"
            );
            Failure::fatal(Kind::Busy, message)
        })?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tabvault_common::access::StorageAccess;
    use tabvault_common::ids::{Lineage, SchemaHash, TabletId, Version};
    use tabvault_common::task::LoadTablet;

    use super::super::super::budget::BUFFERS;
    use super::*;

    fn tally(bytes: u64) -> Tally {
        let lineage = Lineage(uuid::Uuid::nil());
        let tablet = LoadTablet { tablet: TabletId(1), schema_hash: SchemaHash(1), bucket: 0, lineage };
        let source = StorageAccess::direct("/x");
        let task = Load { source, version: Version(2), buckets: 1, tablets: vec![tablet] };
        Tally::new(&task, &Memory::new(BUFFERS + bytes))
    }

    #[test]
    fn the_first_entry_that_does_not_fit_into_the_memory_is_refused() {
        let mut tally = tally(10 * 4096);
        let fitting = 10 * 4096 / ENTRY;
        for _ in 0..fitting {
            tally.add(b"path", 0).unwrap();
        }
        let failure = tally.add(b"path", 0).unwrap_err();
        assert_eq!(failure.kind, Kind::ResourceExhausted);
        assert!(failure.message.ends_with("raise memory_budget"), "{failure}");
    }

    #[test]
    fn long_paths_and_targets_count() {
        let mut tally = tally(10 * 4096);
        tally.add(&[b'x'; PATH as usize + 1000], 70).unwrap();
        assert_eq!((tally.entries(), tally.bytes()), (1, ENTRY + 1070));
        tally.add(b"x", 10 * 4096).unwrap_err();
    }

    #[test]
    fn the_first_entry_that_the_tablets_cannot_take_is_refused() {
        let mut tally = tally(1 << 40);
        tally.entries = MAX_ENTRIES - 1;
        tally.add(b"path", 0).unwrap();
        assert!(tally.add(b"path", 0).unwrap_err().message.contains("spread the table over more buckets"));
    }

    #[test]
    fn no_more_is_held_than_was_counted() {
        let mut tally = tally(1 << 20);
        tally.add(b"a", 0).unwrap();
        let mut allowance = Allowance::new(tally.bytes());
        let path = TreePath::new(b"a".to_vec()).unwrap();
        allowance.take(&path, 0).unwrap();
        let failure = allowance.take(&path, 0).unwrap_err();
        assert_eq!((failure.kind, failure.retry), (Kind::Busy, tabvault_common::failure::Retry::Never));
    }
}
