//! Manifests and lists for tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use tabvault_common::digest::Digest;
use tabvault_common::ids::{SchemaHash, TabletId, TabletIdentity, TaskId, Version};
use tabvault_common::repo::codec::{Codec, Sums};
use tabvault_common::repo::layout;
use tabvault_common::repo::manifest::{FileLocation, ManifestFile, ManifestPack, ManifestRecord, ManifestTablet};

use super::room::Room;
use super::want::{List, Selected, Target, select};
use crate::store::Result;

const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// Local tablets below `home`, numbered from 0, each for the tablet of the manifest that `sources` names.
pub(super) fn targets(home: &Path, sources: &[u64]) -> Arc<Vec<Target>> {
    let target = |(index, source): (usize, &u64)| {
        let [dir, temporary, reuse] = ["", ".tmp", ".reuse"].map(|suffix| home.join(format!("{index}{suffix}")));
        [&dir, &temporary, &reuse].into_iter().for_each(|dir| std::fs::create_dir(dir).unwrap());
        Target { source: identity(*source), root: 0, dir, temporary, reuse }
    };
    Arc::new(sources.iter().enumerate().map(target).collect())
}

fn identity(tablet: u64) -> TabletIdentity {
    TabletIdentity {
        cluster: NIL.parse().unwrap(),
        tablet: TabletId(tablet),
        lineage: NIL.parse().unwrap(),
        version: Version(2),
    }
}

pub(super) fn tablet(tablet: u64) -> ManifestRecord {
    let (identity, schema_hash) = (identity(tablet), SchemaHash(0));
    let index = String::new();
    ManifestRecord::Tablet(ManifestTablet { identity, index, position: 0, schema_hash, files: 0, bytes: 0 })
}

/// A pack; its path.
pub(super) fn pack(name: &str, size: u64, entries: u64) -> (String, ManifestRecord) {
    let path = layout::pack(NIL.parse().unwrap(), &Digest::of(name.as_bytes()));
    (path.clone(), ManifestRecord::Pack(ManifestPack { path, size, entries }))
}

/// A file stored verbatim in `pack`.
pub(super) fn packed(path: &str, plain: &[u8], pack: &str, offset: u64) -> ManifestRecord {
    file(path, plain, FileLocation::Pack { pack: pack.to_owned(), offset })
}

/// A file stored verbatim as an object.
pub(super) fn alone(path: &str, plain: &[u8]) -> ManifestRecord {
    let object = layout::object(NIL.parse().unwrap(), TaskId(1), 1, 0, false);
    file(path, plain, FileLocation::Object { object })
}

fn file(path: &str, plain: &[u8], at: FileLocation) -> ManifestRecord {
    let (size, digest) = (plain.len() as u64, Digest::of(plain));
    let sums = Sums { size, digest, stored_size: size, stored_digest: digest, codec: Codec::None };
    ManifestRecord::File(ManifestFile::new(path, &sums, at))
}

pub(super) fn select_within(records: &[ManifestRecord], targets: &Arc<Vec<Target>>, room: Room) -> Result<Selected> {
    select(records.iter().cloned().map(Ok), targets, room, "a manifest")
}

pub(super) fn list(records: &[ManifestRecord], targets: &Arc<Vec<Target>>) -> List {
    let room = Room { files: 100, sources: 100, bytes: 1 << 20 };
    match select_within(records, targets, room).unwrap() {
        Selected::All(list) => list,
        Selected::Needs(room) => panic!("{room:?}"),
    }
}
