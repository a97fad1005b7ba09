//! What a download's list of files takes in memory.

use tabvault_common::repo::info::ManifestRef;

use super::cut::Span;
use super::want::{Source, Want};

/// Bytes of a wanted file beside its path. Where each is fetched alone there are as many spans.
const WANT: usize = size_of::<Want>() + size_of::<Span>();

/// Bytes of an object beside its path.
const OBJECT: usize = size_of::<Source>();

/// Bytes of a pack beside its path, which it has three times while the manifest is read: two more in maps.
const PACK: usize = size_of::<Source>() + 2 * 2 * size_of::<(String, u64)>();

/// Bytes that most paths of files take at most, and all those of objects and packs.
const PATH: usize = 48;
const OBJECT_PATH: usize = 112;
const PACK_PATH: usize = 128;

/// What is remembered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// Wanted files: one that goes to two tablets counts as two.
    pub(super) files: u64,
    /// Objects and packs.
    pub(super) sources: u64,
    /// The bytes that all of it takes.
    pub(super) bytes: u64,
}

impl Room {
    /// What is nearly always enough for `manifest`: not if paths are long, or a tablet goes to several places.
    pub(super) fn of(manifest: &ManifestRef) -> Self {
        let bytes = [
            (manifest.files, WANT + PATH),
            (manifest.objects, OBJECT + OBJECT_PATH),
            (manifest.packs, PACK + 3 * PACK_PATH),
        ];
        Self {
            files: manifest.files,
            sources: manifest.objects.saturating_add(manifest.packs),
            bytes: bytes.iter().fold(0, |sum, (number, each)| sum.saturating_add(number.saturating_mul(*each as u64))),
        }
    }

    /// One more wanted file.
    pub(super) fn add_want(&mut self, path: &str) {
        self.files += 1;
        self.bytes += (WANT + allocated(path)) as u64;
    }

    /// One more object.
    pub(super) fn add_object(&mut self, path: &str) {
        self.sources += 1;
        self.bytes += (OBJECT + allocated(path)) as u64;
    }

    /// One more pack.
    pub(super) fn add_pack(&mut self, path: &str) {
        self.sources += 1;
        self.bytes += (PACK + 3 * allocated(path)) as u64;
    }

    /// Whether it is no more than `other` in anything.
    pub(super) fn fits(&self, other: Self) -> bool {
        self.files <= other.files && self.sources <= other.sources && self.bytes <= other.bytes
    }
}

/// What an allocator gives for `path`: a little more than its bytes.
fn allocated(path: &str) -> usize {
    (path.len() + 8).next_multiple_of(16)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tabvault_common::digest::Digest;
    use tabvault_common::ids::{JobUuid, TaskId};
    use tabvault_common::repo::layout;
    use tabvault_common::repo::manifest::ManifestTotals;

    use super::*;

    #[test]
    fn a_wanted_file_takes_120_bytes_beside_its_path() {
        assert_eq!((size_of::<Want>(), size_of::<Span>(), size_of::<Source>()), (120, 16, 32));
    }

    #[test]
    fn what_a_manifest_names_fits_into_what_its_sums_ask_for() {
        let (job, digest) = (JobUuid::random(), Digest::of(b""));
        let totals = ManifestTotals { files: 3, objects: 1, packs: 1, ..ManifestTotals::default() };
        let asked = Room::of(&totals.reference(job, digest, 0));
        let mut needed = Room::default();
        needed.add_pack(&layout::pack(job, &digest));
        needed.add_object(&layout::object(job, TaskId(u64::MAX), u32::MAX, u32::MAX, true));
        (0..3).for_each(|_| needed.add_want(&"x".repeat(40)));
        assert!(needed.fits(asked), "{needed:?} {asked:?}");
        let mut more = needed;
        more.add_want("x");
        assert!(!more.fits(asked));
        assert!(needed.fits(more) && !more.fits(needed));
    }
}
