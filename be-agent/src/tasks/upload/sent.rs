//! What is stored: by an earlier run as the journal tells, and by this one.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tabvault_broker::storage::Storage;
use tabvault_common::digest::Digest;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::codec::{Codec, Sums};
use tabvault_common::repo::manifest::{FileLocation, ManifestFile, ManifestPack};

use super::plan::Plan;
use crate::context::TaskContext;
use crate::journal::{FileKey, Finished, Stored};
use crate::store::Result;

/// Files by their place in the plan, and the packs some of them are in.
#[derive(Debug)]
pub(super) struct Sent {
    files: Vec<Option<Where>>,
    packs: Vec<ManifestPack>,
}

/// Where a file's bytes are: what a manifest says of it without what the plan knows. There may be very many.
#[derive(Debug)]
struct Where {
    digest: Digest,
    stored_digest: Digest,
    stored_size: u64,
    codec: Codec,
    at: At,
}

#[derive(Debug)]
enum At {
    Object(Box<str>),
    /// An index into the packs, and the offset in that pack.
    Pack(u32, u64),
}

/// What one transfer has stored.
#[derive(Debug)]
pub(super) struct Transferred {
    pub(super) pack: Option<ManifestPack>,
    /// Places in the plan.
    pub(super) files: Vec<(usize, ManifestFile)>,
}

impl Sent {
    fn nothing(plan: &Plan) -> Self {
        Self { files: plan.files.iter().map(|_| None).collect(), packs: Vec::new() }
    }

    pub(super) fn take(&mut self, stored: Transferred) {
        let pack = u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        self.packs.extend(stored.pack);
        for (place, file) in stored.files {
            let ManifestFile { digest, stored_digest, stored_size, codec, at, .. } = file;
            let at = match at {
                FileLocation::Object { object } => At::Object(object.into()),
                FileLocation::Pack { offset, .. } => At::Pack(pack, offset),
            };
            if let Some(slot) = self.files.get_mut(place) {
                *slot = Some(Where { digest, stored_digest, stored_size, codec, at });
            }
        }
    }

    /// Plain bytes of what is stored.
    pub(super) fn bytes(&self, plan: &Plan) -> u64 {
        let stored = plan.files.iter().zip(&self.files).filter(|(_, stored)| stored.is_some());
        stored.map(|(planned, _)| planned.size).sum()
    }

    /// Places in the plan of what is not stored yet.
    pub(super) fn missing(&self) -> Vec<usize> {
        self.files.iter().enumerate().filter(|(_, stored)| stored.is_none()).map(|(place, _)| place).collect()
    }

    /// The digests of what is stored, by place in the plan.
    pub(super) fn digests(&self) -> impl Iterator<Item = Option<Digest>> {
        self.files.iter().map(|stored| stored.as_ref().map(|stored| stored.digest))
    }

    /// The pack that the file at `place` is in.
    pub(super) fn pack(&self, place: usize) -> Option<&ManifestPack> {
        match self.files.get(place)?.as_ref()?.at {
            At::Pack(pack, _) => self.packs.get(pack as usize),
            At::Object(_) => None,
        }
    }

    /// What the manifest says of the file at `place`.
    pub(super) fn describe(&self, plan: &Plan, place: usize) -> Result<ManifestFile> {
        let lost = || Failure::fatal(Kind::Internal, "write a manifest: a file of it was not stored");
        let planned = plan.files.get(place).ok_or_else(lost)?;
        let stored = self.files.get(place).and_then(Option::as_ref).ok_or_else(lost)?;
        let at = match &stored.at {
            At::Object(object) => FileLocation::Object { object: object.to_string() },
            At::Pack(_, offset) => {
                FileLocation::Pack { pack: self.pack(place).ok_or_else(lost)?.path.clone(), offset: *offset }
            }
        };
        let Where { digest, stored_digest, stored_size, codec, .. } = *stored;
        let sums = Sums { size: planned.size, digest, stored_size, stored_digest, codec };
        Ok(ManifestFile::new(planned.path.as_str(), &sums, at))
    }
}

/// What the journal says is stored and the repository still has, with the size it was stored with.
pub(super) async fn still_there(
    context: &TaskContext,
    storage: &Arc<dyn Storage>,
    plan: &Plan,
    finished: Finished,
) -> Result<Sent> {
    let mut sent = Sent::nothing(plan);
    if finished.objects.is_empty() && finished.packs.is_empty() {
        return Ok(sent);
    }
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
