//! What is stored: by an earlier run as the journal tells, and by this one.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tabvault_broker::storage::Storage;
use tabvault_common::digest::Digest;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::codec::{Codec, Sums};
use tabvault_common::repo::manifest::{FileLocation, ManifestFile, ManifestPack};

use super::plan::Plan;
use crate::context::TaskContext;
use crate::journal::{Finished, PackLine, Stored};
use crate::store::Result;

/// Files by their place in the plan, and the packs some of them are in.
#[derive(Debug)]
pub(super) struct Sent {
    files: Vec<Option<Where>>,
    packs: Vec<ManifestPack>,
}

/// Bytes that are held of a file that is stored.
pub(super) const FILE: u64 = size_of::<Option<Where>>() as u64;

/// Where a file's bytes are: what a manifest says of it without what the plan knows. There may be very many.
#[derive(Debug)]
struct Where {
    digest: Digest,
    stored_digest: Digest,
    stored_size: u64,
    codec: Codec,
    /// In the pack of this index.
    pack: u32,
    at: At,
}

/// Where stored bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// In an object of their own.
    Object(Box<str>),
    /// From this offset on in a pack.
    Pack(u64),
}

/// What one transfer has stored.
#[derive(Debug)]
pub(super) struct Transferred {
    /// The pack, if it was one.
    pub(super) pack: Option<ManifestPack>,
    pub(super) files: Vec<Placed>,
}

/// A file that is stored.
#[derive(Debug)]
pub(super) struct Placed {
    /// In the plan.
    pub(super) place: usize,
    pub(super) sums: Sums,
    pub(super) at: At,
}

impl Placed {
    /// What a manifest says of it, in `pack` if it is in one.
    pub(super) fn describe(&self, plan: &Plan, pack: Option<&ManifestPack>) -> ManifestFile {
        ManifestFile::new(plan.path(self.place), &self.sums, location(&self.at, pack))
    }
}

fn location(at: &At, pack: Option<&ManifestPack>) -> FileLocation {
    match at {
        At::Object(object) => FileLocation::Object { object: object.to_string() },
        At::Pack(offset) => {
            FileLocation::Pack { pack: pack.map(|pack| pack.path.clone()).unwrap_or_default(), offset: *offset }
        }
    }
}

impl Sent {
    fn nothing(plan: &Plan) -> Self {
        Self { files: plan.files.iter().map(|_| None).collect(), packs: Vec::new() }
    }

    pub(super) fn take(&mut self, stored: Transferred) {
        let pack = u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        self.packs.extend(stored.pack);
        for Placed { place, sums, at } in stored.files {
            let Sums { digest, stored_digest, stored_size, codec, .. } = sums;
            if let Some(slot) = self.files.get_mut(place) {
                *slot = Some(Where { digest, stored_digest, stored_size, codec, pack, at });
            }
        }
    }

    /// Plain bytes of what is stored.
    pub(super) fn bytes(&self, plan: &Plan) -> u64 {
        let stored = plan.files.iter().zip(&self.files).filter(|(_, stored)| stored.is_some());
        stored.map(|(planned, _)| planned.size).sum()
    }

    /// Places in the plan of what is not stored yet.
    pub(super) fn missing(&self) -> impl Iterator<Item = usize> {
        self.files.iter().enumerate().filter(|(_, stored)| stored.is_none()).map(|(place, _)| place)
    }

    /// The digests of what is stored, by place in the plan.
    pub(super) fn digests(&self) -> impl Iterator<Item = Option<Digest>> {
        self.files.iter().map(|stored| stored.as_ref().map(|stored| stored.digest))
    }

    /// The pack that the file at `place` is in.
    pub(super) fn pack(&self, place: usize) -> Option<&ManifestPack> {
        let stored = self.files.get(place)?.as_ref()?;
        match stored.at {
            At::Pack(_) => self.packs.get(stored.pack as usize),
            At::Object(_) => None,
        }
    }

    /// What the manifest says of the file at `place`.
    pub(super) fn describe(&self, plan: &Plan, place: usize) -> Result<ManifestFile> {
        let lost = || Failure::fatal(Kind::Internal, "write a manifest: a file of it was not stored");
        let planned = plan.files.get(place).ok_or_else(lost)?;
        let stored = self.files.get(place).and_then(Option::as_ref).ok_or_else(lost)?;
        let Where { digest, stored_digest, stored_size, codec, .. } = *stored;
        let sums = Sums { size: planned.size, digest, stored_size, stored_digest, codec };
        Ok(ManifestFile::new(plan.path(place), &sums, location(&stored.at, self.pack(place))))
    }
}

/// Of a pack that a journal tells of, the files that the plan has.
pub(super) fn of_pack(plan: &Plan, told: PackLine) -> Transferred {
    let files = told.files.iter().filter_map(|stored| placed(plan, stored)).collect();
    Transferred { pack: Some(told.pack), files }
}

fn placed(plan: &Plan, stored: &Stored) -> Option<Placed> {
    let place = plan.find(stored)?;
    let at = match &stored.file.at {
        FileLocation::Object { object } => At::Object(object.as_str().into()),
        FileLocation::Pack { offset, .. } => At::Pack(*offset),
    };
    Some(Placed { place, sums: stored.file.sums(), at })
}

/// What the journal says is stored, in `packs` and as objects, and the repository still has, with the size it was stored
/// with.
pub(super) async fn still_there(
    context: &TaskContext,
    storage: &Arc<dyn Storage>,
    plan: &Plan,
    finished: Finished,
    packs: Vec<Transferred>,
) -> Result<Sent> {
    let mut sent = Sent::nothing(plan);
    let mut candidates: Vec<(String, u64, Transferred)> = Vec::new();
    for stored in packs {
        let Some(pack) = stored.pack.as_ref().filter(|_| !stored.files.is_empty()) else { continue };
        candidates.push((pack.path.clone(), pack.size, stored));
    }
    for stored in finished.objects.into_values() {
        let (path, size) = (stored.file.at.path().to_owned(), stored.file.stored_size);
        let files = placed(plan, &stored).into_iter().collect();
        candidates.push((path, size, Transferred { pack: None, files }));
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
