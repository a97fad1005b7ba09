#![allow(clippy::unwrap_used, clippy::panic)]

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{ClusterId, SchemaHash, TabletIdentity, Version};
use tabvault_common::repo::codec::Codec;
use tabvault_common::repo::manifest::{ManifestFile, ManifestTablet};
use uuid::Uuid;

use super::*;

const LINEAGE: Lineage = Lineage(Uuid::from_u128(7));
const TABLET: TabletId = TabletId(1);

fn tablet(tablet: TabletId, lineage: Lineage) -> Result<ManifestRecord> {
    let identity = TabletIdentity { cluster: ClusterId(Uuid::nil()), tablet, lineage, version: Version(2) };
    let (schema_hash, position) = (SchemaHash(1), 0);
    let (files, bytes) = (0, 0);
    Ok(ManifestRecord::Tablet(ManifestTablet { identity, index: "t".into(), position, schema_hash, files, bytes }))
}

fn file(content: &str, at: FileLocation) -> Result<ManifestRecord> {
    let digest = Digest::of(content.as_bytes());
    let size = content.len() as u64;
    let sums = Sums { size, digest, stored_size: size, stored_digest: digest, codec: Codec::None };
    Ok(ManifestRecord::File(ManifestFile::new("there", &sums, at)))
}

fn object(path: &str) -> FileLocation {
    FileLocation::Object { object: path.into() }
}

fn packed(offset: u64) -> FileLocation {
    FileLocation::Pack { pack: "pack".into(), offset }
}

fn pack(size: u64) -> Result<ManifestRecord> {
    Ok(ManifestRecord::Pack(ManifestPack { path: "pack".into(), size, entries: 9 }))
}

fn filled(manifest: Vec<Result<ManifestRecord>>, room: usize) -> Index {
    let mut index = Index::new((0..1000).collect(), room);
    index.fill(manifest.into_iter(), &HashSet::from([(TABLET, LINEAGE)])).unwrap();
    index
}

/// Where the files with these contents are referred to, by their place.
fn chosen(index: &Index, contents: &[&str]) -> Vec<(usize, String)> {
    let local = |(place, content): (usize, &&str)| Local {
        place,
        size: content.len() as u64,
        digest: Digest::of(content.as_bytes()),
    };
    let mut found = Vec::new();
    for shared in index.choose(contents.iter().enumerate().map(local)) {
        let pack = shared.pack.map(|pack| pack.path);
        for file in shared.files {
            let path = match &file.at {
                Stored::Object(path) => path.to_string(),
                Stored::Pack(_) => pack.clone().unwrap(),
            };
            found.push((file.place, path));
        }
    }
    found.sort();
    found
}

#[test]
fn a_file_of_equal_content_is_referred_to_whatever_its_name() {
    let index = filled(vec![tablet(TABLET, LINEAGE), file("one", object("a")), file("two", object("b"))], 10);
    assert_eq!(chosen(&index, &["two", "three", "two"]), [(0, "b".into()), (2, "b".into())]);
    assert!(index.has_size(3) && !index.has_size(5));
}

#[test]
fn only_files_of_the_same_tablets_and_of_sizes_of_interest_are_kept() {
    let manifest = vec![
        tablet(TabletId(2), LINEAGE),
        file("one", object("a")),
        tablet(TABLET, Lineage(Uuid::from_u128(8))),
        file("two", object("b")),
        tablet(TABLET, LINEAGE),
        file("four", object("c")),
    ];
    let mut index = Index::new(HashSet::from([3]), 10);
    index.fill(manifest.into_iter(), &HashSet::from([(TABLET, LINEAGE)])).unwrap();
    assert_eq!((chosen(&index, &["one", "two", "four"]), index.entries.len()), (Vec::new(), 0));
}

#[test]
fn a_pack_is_kept_while_half_of_it_is_wanted() {
    let ten = |letter: &str| letter.repeat(10);
    // Two entries of ten bytes, each with its share of the trailer.
    let of_size = |size| {
        let manifest = vec![
            pack(size),
            tablet(TABLET, LINEAGE),
            file(&ten("a"), packed(8)),
            file(&ten("b"), packed(18)),
            file(&ten("c"), packed(28)),
        ];
        filled(manifest, 10)
    };
    let both = 2 * (10 + IN_TRAILER);
    let wanted = [ten("a"), ten("b")];
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    assert_eq!(chosen(&of_size(2 * both), &wanted), [(0, "pack".into()), (1, "pack".into())]);
    assert_eq!(chosen(&of_size(2 * both + 1), &wanted), []);
    // Equal files are one entry.
    assert_eq!(chosen(&of_size(2 * both), &[wanted[0], wanted[0]]), []);
}

#[test]
fn no_more_is_kept_than_there_is_room_for() {
    let manifest = vec![tablet(TABLET, LINEAGE), file("one", object("a")), file("two", object("b"))];
    let index = filled(manifest, 1);
    assert_eq!(chosen(&index, &["one", "two"]), [(0, "a".into())]);
}

#[test]
fn a_manifest_that_ends_in_a_failure_is_one() {
    let failure = Failure::fatal(Kind::Corrupt, "it is cut off");
    let manifest = vec![tablet(TABLET, LINEAGE), Err(failure.clone())];
    let mut index = Index::new(HashSet::from([3]), 10);
    assert_eq!(index.fill(manifest.into_iter(), &HashSet::new()), Err(failure));
}
