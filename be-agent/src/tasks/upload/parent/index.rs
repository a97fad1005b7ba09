//! What a parent's manifests say of the tablets that are uploaded now, by digest.

use std::collections::{BTreeSet, HashMap, HashSet};

use tabvault_common::digest::Digest;
use tabvault_common::ids::{Lineage, TabletId};
use tabvault_common::repo::codec::Sums;
use tabvault_common::repo::manifest::{FileLocation, ManifestPack, ManifestRecord};

use super::super::sent::{At as Stored, Placed, Transferred};
use crate::store::Result;

#[cfg(test)]
mod tests;

/// What an entry takes in memory at most, its share of the maps included.
pub(super) const ENTRY_BYTES: u64 = 384;

/// What an entry of a pack costs beside its bytes: its two digests in the trailer, which do not compress.
const IN_TRAILER: u64 = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Index {
    /// Sizes that are of interest.
    sizes: HashSet<u64>,
    /// Most entries.
    room: usize,
    entries: HashMap<Digest, Entry>,
    /// Sizes that entries have.
    known: HashSet<u64>,
    packs: Vec<ManifestPack>,
}

/// A file on this machine.
#[derive(Debug)]
pub(super) struct Local {
    /// Its place in the plan.
    pub(super) place: usize,
    /// Plain bytes.
    pub(super) size: u64,
    /// Of those.
    pub(super) digest: Digest,
}

/// A file that is stored.
#[derive(Debug)]
struct Entry {
    sums: Sums,
    at: At,
}

#[derive(Debug)]
enum At {
    Object(Box<str>),
    /// A position in the list of packs.
    Pack {
        pack: usize,
        offset: u64,
    },
}

impl Index {
    /// An index of at most `room` files, all of these sizes.
    pub(super) fn new(sizes: HashSet<u64>, room: usize) -> Self {
        Self { sizes, room, entries: HashMap::new(), known: HashSet::new(), packs: Vec::new() }
    }

    /// Adds what a manifest says of `tablets`. What has no room is left out. After a failure the index is worth nothing.
    pub(super) fn fill(
        &mut self,
        manifest: impl Iterator<Item = Result<ManifestRecord>>,
        tablets: &HashSet<(TabletId, Lineage)>,
    ) -> Result<()> {
        let mut packs: HashMap<String, usize> = HashMap::new();
        let mut declared: HashMap<String, ManifestPack> = HashMap::new();
        let mut wanted = false;
        for record in manifest {
            match record? {
                ManifestRecord::Pack(pack) => {
                    declared.insert(pack.path.clone(), pack);
                }
                ManifestRecord::Tablet(tablet) => {
                    wanted = tablets.contains(&(tablet.identity.tablet, tablet.identity.lineage));
                }
                ManifestRecord::File(file) => {
                    let new = wanted && self.sizes.contains(&file.size) && !self.entries.contains_key(&file.digest);
                    if !new || self.entries.len() >= self.room {
                        continue;
                    }
                    let sums = file.sums();
                    let at = match file.at {
                        FileLocation::Object { object } => At::Object(object.into()),
                        FileLocation::Pack { pack, offset } => {
                            if let Some(declaration) = declared.remove(&pack) {
                                packs.insert(pack.clone(), self.packs.len());
                                self.packs.push(declaration);
                            }
                            // The reader lets no file lie in a pack that was not declared.
                            let Some(pack) = packs.get(&pack).copied() else { continue };
                            At::Pack { pack, offset }
                        }
                    };
                    self.known.insert(sums.size);
                    self.entries.insert(sums.digest, Entry { sums, at });
                }
            }
        }
        Ok(())
    }

    /// Whether a file of this size may be here.
    pub(super) fn has_size(&self, size: u64) -> bool {
        self.known.contains(&size)
    }

    /// Those of the files that need not be stored again, by object or pack.
    pub(super) fn choose(&self, files: impl Iterator<Item = Local>) -> Vec<Transferred> {
        let mut chosen = Vec::new();
        let mut in_packs: HashMap<usize, Vec<Placed>> = HashMap::new();
        for Local { place, size, digest } in files {
            let Some(entry) = self.entries.get(&digest).filter(|entry| entry.sums.size == size) else { continue };
            let sums = entry.sums;
            match &entry.at {
                At::Object(path) => {
                    let file = Placed { place, sums, at: Stored::Object(path.clone()) };
                    chosen.push(Transferred { pack: None, files: vec![file] });
                }
                At::Pack { pack, offset } => {
                    in_packs.entry(*pack).or_default().push(Placed { place, sums, at: Stored::Pack(*offset) });
                }
            }
        }
        for (pack, files) in in_packs {
            let pack = &self.packs[pack];
            if half_is_wanted(pack, &files) {
                chosen.push(Transferred { pack: Some(pack.clone()), files });
            }
        }
        chosen
    }
}

/// Whether at least half of a pack is wanted.
fn half_is_wanted(pack: &ManifestPack, files: &[Placed]) -> bool {
    let offset = |file: &Placed| match file.at {
        Stored::Pack(offset) => offset,
        Stored::Object(_) => 0,
    };
    // Equal files may refer to one entry.
    let entries: BTreeSet<(u64, u64)> = files.iter().map(|file| (offset(file), file.sums.stored_size)).collect();
    let wanted: u64 = entries.into_iter().map(|(_, stored)| stored + IN_TRAILER).sum();
    wanted.saturating_mul(2) >= pack.size
}
