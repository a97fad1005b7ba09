//! What is stored: by an earlier run as the journal tells, and by this one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tabvault_broker::storage::Storage;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::manifest::{ManifestFile, ManifestPack};

use super::plan::Plan;
use crate::context::TaskContext;
use crate::journal::{FileKey, Finished, Stored};
use crate::store::Result;

/// Files by their place in the plan, and the packs some of them are in.
#[derive(Debug)]
pub(super) struct Sent {
    files: Vec<Option<ManifestFile>>,
    packs: BTreeMap<String, ManifestPack>,
}

/// What one transfer has stored.
#[derive(Debug)]
pub(super) struct Transferred {
    pub(super) pack: Option<ManifestPack>,
    /// Places in the plan.
    pub(super) files: Vec<(usize, ManifestFile)>,
}

impl Sent {
    pub(super) fn take(&mut self, stored: Transferred) {
        if let Some(pack) = stored.pack {
            self.packs.insert(pack.path.clone(), pack);
        }
        for (place, file) in stored.files {
            if let Some(slot) = self.files.get_mut(place) {
                *slot = Some(file);
            }
        }
    }

    /// Plain bytes of what is stored.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().flatten().map(|file| file.size).sum()
    }

    /// What is stored, by place in the plan.
    pub(super) fn files(&self) -> &[Option<ManifestFile>] {
        &self.files
    }

    /// Places in the plan of what is not stored yet.
    pub(super) fn missing(&self, plan: &Plan) -> Vec<usize> {
        (0..plan.files.len()).filter(|place| self.files.get(*place).is_none_or(Option::is_none)).collect()
    }

    /// All files in the plan's order, and the packs by path.
    pub(super) fn into_parts(self) -> Result<(std::vec::IntoIter<ManifestFile>, BTreeMap<String, ManifestPack>)> {
        let files: Option<Vec<_>> = self.files.into_iter().collect();
        let files =
            files.ok_or_else(|| Failure::fatal(Kind::Internal, "write a manifest: a file of it was not stored"))?;
        Ok((files.into_iter(), self.packs))
    }
}

/// What the journal says is stored and the repository still has, with the size it was stored with.
pub(super) async fn still_there(
    context: &TaskContext,
    storage: &Arc<dyn Storage>,
    plan: &Plan,
    finished: Finished,
) -> Result<Sent> {
    let mut places: HashMap<FileKey, usize> =
        plan.files.iter().enumerate().map(|(place, file)| (plan.key(file), place)).collect();
    let mut candidates: Vec<(String, u64, Transferred)> = Vec::new();
    for (pack, files) in finished.packs {
        let files = wanted(&mut places, files);
        candidates.push((pack.path.clone(), pack.size, Transferred { pack: Some(pack), files }));
    }
    for stored in finished.objects.into_values() {
        let (path, size) = (stored.file.at.path().to_owned(), stored.file.stored_size);
        candidates.push((path, size, Transferred { pack: None, files: wanted(&mut places, vec![stored]) }));
    }
    candidates.retain(|(_, _, stored)| !stored.files.is_empty());

    let mut sent = Sent { files: Vec::new(), packs: BTreeMap::new() };
    sent.files.resize(plan.files.len(), None);
    let mut looks = stream::iter(candidates)
        .map(|(path, size, stored)| async move {
            let there = storage.stat(&path).await?.is_some_and(|object| object.size == size);
            Result::Ok(there.then_some(stored))
        })
        .buffer_unordered(context.shared.parallel);
    while let Some(stored) = looks.try_next().await? {
        if let Some(stored) = stored {
            sent.take(stored);
        }
    }
    Ok(sent)
}

/// Those of `files` that the plan has, each once.
fn wanted(places: &mut HashMap<FileKey, usize>, files: Vec<Stored>) -> Vec<(usize, ManifestFile)> {
    files.into_iter().filter_map(|stored| Some((places.remove(&stored.key())?, stored.file))).collect()
}
