//! The tablets of one load, from the first file to the commit.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tabvault_common::digest::Hasher;
use tabvault_common::durable::{self, SyncFs};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{JobUuid, TabletId, Version};
use tabvault_common::task::{Load, LoadedTablet};
use tokio::sync::OwnedMutexGuard;

use super::super::Inner;
use super::super::entry::{DataName, Entry};
use super::super::index::{self, MAX_ENTRIES, Rowset};
use super::super::parallel::{self, Stop};
use super::super::path::TreePath;
use super::super::tablet::{State, Tablet};
use super::super::visible::{Layer, Visible};
use super::tally::{Allowance, Tally};
use super::{answer, bucket_of};
use crate::files;
use crate::store::Result;

/// A tablet that takes part, and the right to change it.
#[derive(Debug)]
pub(super) struct Slot {
    tablet: Arc<Tablet>,
    _change: OwnedMutexGuard<()>,
    state: State,
    bucket: u32,
    /// Entries taken so far; the next one's number.
    taken: u64,
}

impl Slot {
    pub(super) fn new(tablet: Arc<Tablet>, change: OwnedMutexGuard<()>, state: State, bucket: u32) -> Self {
        Self { tablet, _change: change, state, bucket, taken: 0 }
    }
}

/// What one tablet gets, and what is said of it.
#[derive(Debug)]
struct Share {
    brought: Vec<Entry>,
    answer: Option<LoadedTablet>,
}

/// The tablets of one load. Dropped before the end, it removes what was copied.
#[derive(Debug)]
pub(super) struct Batch {
    inner: Arc<Inner>,
    job: JobUuid,
    version: Version,
    buckets: u32,
    slots: Vec<Slot>,
    by_bucket: HashMap<u32, usize>,
    /// The directories in which what is visible so far lies.
    directories: HashSet<Vec<u8>>,
    /// Those of them at which the source has a file or a link.
    covered: Vec<TreePath>,
    /// One per root that is written to.
    syncs: Vec<SyncFs>,
    /// Directories of data files that no index names yet.
    unnamed: Vec<PathBuf>,
    expected: u64,
    /// What may be held of the source.
    pub(super) allowance: Allowance,
}

impl Batch {
    /// A batch for what `tally` has counted.
    pub(super) fn new(inner: Arc<Inner>, job: JobUuid, task: &Load, slots: Vec<Slot>, tally: &Tally) -> Self {
        let (version, buckets) = (task.version, task.buckets);
        let (expected, allowance) = (tally.entries(), Allowance::new(tally.bytes()));
        let by_bucket = slots.iter().enumerate().map(|(index, slot)| (slot.bucket, index)).collect();
        let (directories, covered, syncs, unnamed) = (HashSet::new(), Vec::new(), Vec::new(), Vec::new());
        Self {
            inner,
            job,
            version,
            buckets,
            slots,
            by_bucket,
            directories,
            covered,
            syncs,
            unnamed,
            expected,
            allowance,
        }
    }

    /// Learns where files lie so far. Blocks.
    pub(super) fn prepare(&mut self) -> Result<()> {
        let roots: HashSet<usize> = self.slots.iter().map(|slot| slot.tablet.root).collect();
        for root in roots.into_iter().filter_map(|root| self.inner.roots.get(root)) {
            self.syncs.push(SyncFs::open(&root.data)?);
        }
        for slot in &self.slots {
            let dir = slot.tablet.rowset_dir(self.version, self.job);
            durable::remove_dir_all(&dir)?;
            self.unnamed.push(dir);
            for entry in slot.tablet.visible(&slot.state, self.before())? {
                for above in entry?.path().ancestors() {
                    if !self.directories.contains(above) {
                        self.directories.insert(above.to_vec());
                    }
                }
            }
        }
        Ok(())
    }

    fn before(&self) -> Version {
        Version(self.version.0 - 1)
    }

    /// Whether the entry at `path` goes into one of this agent's tablets.
    pub(super) fn takes(&self, path: &[u8]) -> bool {
        self.slot_of(path).is_some()
    }

    fn slot_of(&self, path: &[u8]) -> Option<usize> {
        self.by_bucket.get(&bucket_of(path, self.buckets)).copied()
    }

    /// How many entries will come, at most.
    pub(super) fn expected(&self) -> usize {
        usize::try_from(self.expected).unwrap_or(0)
    }

    /// Names the data file of an entry of this agent's. Every such entry of the source is named once, in an order that
    /// depends on the source only, so that replicas name their data files alike.
    pub(super) fn place(&mut self, entry: &mut Entry) -> Result<()> {
        let slot =
            self.slot_of(entry.path().as_bytes()).and_then(|slot| self.slots.get_mut(slot)).ok_or_else(homeless)?;
        slot.taken += 1;
        if slot.taken > MAX_ENTRIES {
            return Err(too_many(slot.tablet.id));
        }
        if let Entry::File { data, .. } = entry {
            *data = DataName { version: self.version, number: slot.taken };
        }
        Ok(())
    }

    /// Makes the directories for the data files that were named. Blocks.
    pub(super) fn make_directories(&self) -> Result<()> {
        for slot in &self.slots {
            let dir = slot.tablet.rowset_dir(self.version, self.job);
            DataName::groups(self.version, slot.taken).try_for_each(|group| files::make_dir(&dir.join(group)))?;
        }
        Ok(())
    }

    /// Takes note that the source has something else than a directory at `path`, whosever it is.
    pub(super) fn note_leaf(&mut self, path: &TreePath) {
        if self.directories.contains(path.as_bytes()) {
            self.covered.push(path.clone());
        }
    }

    /// The file to copy into; only the directory for what is no file.
    pub(super) fn data_path(&self, entry: &Entry) -> Result<PathBuf> {
        let slot = self.slot_of(entry.path().as_bytes()).and_then(|slot| self.slots.get(slot)).ok_or_else(homeless)?;
        let dir = slot.tablet.rowset_dir(self.version, self.job);
        Ok(if let Entry::File { data, .. } = entry { dir.join(data.to_string()) } else { dir })
    }

    /// Makes what was copied durable and then, tablet by tablet, part of it. Blocks.
    pub(super) fn commit(mut self, brought: Vec<Entry>, stop: &Stop) -> Result<Vec<LoadedTablet>> {
        let room = |slot: &Slot| Vec::with_capacity(usize::try_from(slot.taken).unwrap_or(0));
        let mut shares: Vec<Share> =
            self.slots.iter().map(|slot| Share { brought: room(slot), answer: None }).collect();
        for entry in brought {
            let slot = self.slot_of(entry.path().as_bytes());
            slot.and_then(|slot| shares.get_mut(slot)).ok_or_else(homeless)?.brought.push(entry);
        }
        for sync in self.syncs.drain(..) {
            sync.sync()?;
        }
        let this = &self;
        let mut pairs: Vec<_> = self.slots.iter().zip(&mut shares).collect();
        let committed = parallel::each(
            &mut pairs,
            stop,
            || (),
            |(), (slot, share)| {
                share.answer = Some(this.commit_slot(slot, std::mem::take(&mut share.brought))?);
                Ok(())
            },
        );
        // One tablet's failure does not undo the others' commits: the directories that an index names stay.
        let (version, job) = (self.version, self.job);
        let named = |slot: &Slot| slot.tablet.state().rowsets.get(&version).is_some_and(|rowset| rowset.job == job);
        self.unnamed =
            self.slots.iter().filter(|slot| !named(slot)).map(|slot| slot.tablet.rowset_dir(version, job)).collect();
        committed.map(|()| shares.into_iter().filter_map(|share| share.answer).collect())
    }

    fn commit_slot(&self, slot: &Slot, mut brought: Vec<Entry>) -> Result<LoadedTablet> {
        let tablet = &slot.tablet;
        brought.sort_unstable_by(|a, b| a.path().cmp(b.path()));
        let gone = self.compare(slot, &mut brought)?;
        let mut hasher = Hasher::new();
        brought.iter().for_each(|entry| entry.hash_into(&mut hasher));
        let is_new = |entry: &&Entry| matches!(entry, Entry::File { data, .. } if data.version == self.version);
        let stored_bytes = brought.iter().filter(is_new).map(Entry::size).sum();
        let loaded_files = brought.iter().filter(|entry| entry.counts()).count() as u64;
        let loaded_bytes = brought.iter().map(Entry::size).sum();
        brought.extend(gone);
        brought.sort_unstable_by(|a, b| a.path().cmp(b.path()));
        let (files, bytes) = self.visible_with(slot, &brought)?;
        let digest = hasher.finish();
        let rowset = Rowset { job: self.job, digest, loaded_files, loaded_bytes, files, bytes, stored_bytes };
        self.write(slot, &brought, rowset)?;
        Ok(answer(tablet.id, &rowset))
    }

    /// Lets what did not change keep its data file, which is stored once, and tells what is gone: what lies so far where
    /// the source has a file or a link. `brought` is sorted by path.
    fn compare(&self, slot: &Slot, brought: &mut [Entry]) -> Result<Vec<Entry>> {
        let tablet = &slot.tablet;
        let covered: HashSet<&[u8]> = self.covered.iter().map(TreePath::as_bytes).collect();
        let (mut gone, mut at, mut emptier) = (Vec::new(), 0, HashSet::new());
        for before in tablet.visible(&slot.state, self.before())? {
            let before = before?;
            while brought.get(at).is_some_and(|entry| entry.path() < before.path()) {
                at += 1;
            }
            let Some(now) = brought.get_mut(at).filter(|entry| entry.path() == before.path()) else {
                if before.path().ancestors().any(|above| covered.contains(above)) {
                    gone.push(Entry::Gone { path: before.path().clone() });
                }
                continue;
            };
            if let Entry::File { size, digest, data, .. } = now
                && let Entry::File { size: had_size, digest: had, data: there, .. } = before
                && (*digest, *size) == (had, had_size)
            {
                durable::remove_file(&tablet.rowset_dir(self.version, self.job).join(data.to_string()))?;
                emptier.insert(data.group());
                *data = there;
            }
        }
        for group in emptier {
            // Those that still hold something stay.
            let _ = fs::remove_dir(tablet.rowset_dir(self.version, self.job).join(group));
        }
        Ok(gone)
    }

    /// Files and bytes that are visible with `brought`.
    fn visible_with(&self, slot: &Slot, brought: &[Entry]) -> Result<(u64, u64)> {
        let mut layers: Vec<Layer<'_>> = slot.tablet.layers(&slot.state, self.before())?;
        layers.push(Box::new(brought.iter().cloned().map(Ok)));
        let (mut entries, mut files, mut bytes) = (0_u64, 0, 0);
        for entry in Visible::of(layers) {
            let entry = entry?;
            entries += 1;
            files += u64::from(entry.counts());
            bytes += entry.size();
        }
        if entries > MAX_ENTRIES {
            return Err(too_many(slot.tablet.id));
        }
        Ok((files, bytes))
    }

    /// The commit of one tablet.
    fn write(&self, slot: &Slot, brought: &[Entry], rowset: Rowset) -> Result<()> {
        let tablet = &slot.tablet;
        let replaced = slot.state.rowsets.get(&self.version);
        // Nobody may be looking at what is replaced. Whoever pins a version that was there before is not disturbed.
        let _unpinned = replaced.map(|_| tablet.pins.blocking_write());
        index::write_file(&tablet.index_path(self.version), brought, Some(rowset))?;
        tablet.state().rowsets.insert(self.version, rowset);
        if let Some(old) = replaced {
            let old = tablet.rowset_dir(self.version, old.job);
            if let Err(failure) = durable::remove_dir_all(&old) {
                // Committed all the same; opening the root removes it.
                tracing::warn!(tablet = tablet.id.0, %failure, "leave the files of a replaced load behind");
            }
        }
        Ok(())
    }
}

fn too_many(tablet: TabletId) -> Failure {
    let message = format!("tablet {tablet} gets more than {MAX_ENTRIES} files: spread the table over more buckets");
    Failure::fatal(Kind::ResourceExhausted, message)
}

fn homeless() -> Failure {
    Failure::fatal(Kind::Internal, "a file was placed in no tablet")
}

impl Drop for Batch {
    fn drop(&mut self) {
        for dir in &self.unnamed {
            if let Err(failure) = durable::remove_dir_all(dir) {
                tracing::warn!(%failure, "leave the files of a load that failed behind until the store is opened again");
            }
        }
    }
}
