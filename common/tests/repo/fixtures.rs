//! Objects frozen when their format version was new. Fixtures are added, never edited.

use std::path::Path;

use bytes::Bytes;
use tabvault_common::digest::Digest;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::codec::StreamDecoder;
use tabvault_common::repo::info::{Info, SnapshotObject};
use tabvault_common::repo::intent::Intent;
use tabvault_common::repo::layout;
use tabvault_common::repo::manifest::{ManifestReader, ManifestRecord};
use tabvault_common::repo::meta::{MetaReader, WholeMeta};
use tabvault_common::repo::pack;
use tabvault_common::repo::repo_info::RepoInfo;

use super::{plain, samples};

fn fixture(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into()
}

fn manifest(name: &str) -> Result<Vec<ManifestRecord>, Failure> {
    ManifestReader::new(name, &fixture(name)[..])?.collect()
}

fn meta(name: &str) -> Result<WholeMeta, Failure> {
    MetaReader::new(name, &fixture(name)[..])?.read_whole()
}

/// A sample as it was frozen: meta and manifest are named by what zstd made of them then.
fn as_frozen(mut info: Info) -> Info {
    let (meta, manifest) = (fixture("v1/meta"), fixture("v1/manifest"));
    (info.meta.digest, info.meta.size) = (Digest::of(&meta), meta.len() as u64);
    (info.manifests[0].digest, info.manifests[0].size) = (Digest::of(&manifest), manifest.len() as u64);
    info
}

/// The lines of the sample, with the pack that was frozen: its trailer is compressed, too.
fn lines_as_frozen() -> String {
    let (now, then) = (samples::pack().unwrap(), fixture("v1/pack"));
    let path = |digest| layout::pack(samples::job(), &digest);
    let size = |size: usize| format!("\"size\":{size},\"entries\"");
    let lines = plain(&samples::manifest().unwrap().bytes);
    let lines = lines.replace(&path(now.digest), &path(Digest::of(&then)));
    lines.replace(&size(now.bytes.len()), &size(then.len()))
}

#[test]
fn sealed_objects_of_version_1_are_read_and_still_written_the_same() {
    assert_eq!(RepoInfo::decode("x", &fixture("v1/repo_info")).unwrap(), samples::repo_info());
    let intent = samples::intent().unwrap();
    let intent = Intent { parent: intent.parent.map(as_frozen), ..intent };
    assert_eq!(Intent::decode("x", &fixture("v1/intent")).unwrap(), intent);
    let snapshot = SnapshotObject::Snapshot(as_frozen(samples::info().unwrap()));
    assert_eq!(SnapshotObject::decode("x", &fixture("v1/info")).unwrap(), snapshot);
    assert_eq!(SnapshotObject::decode("x", &fixture("v1/tombstone")).unwrap(), samples::tombstone());
    assert_eq!(samples::repo_info().encode().unwrap(), fixture("v1/repo_info"));
    assert_eq!(samples::tombstone().encode().unwrap(), fixture("v1/tombstone"));
}

#[test]
fn a_manifest_of_version_1_is_read_by_what_its_info_says() {
    let SnapshotObject::Snapshot(info) = SnapshotObject::decode("x", &fixture("v1/info")).unwrap() else {
        panic!("it is a snapshot");
    };
    let reader = ManifestReader::verified(fixture("v1/manifest"), &info.manifests[0]).unwrap();
    assert_eq!(reader.header(), &samples::header());
    let records: Vec<_> = reader.collect::<Result<_, _>>().unwrap();
    let tablets = records.iter().filter(|record| matches!(record, ManifestRecord::Tablet(_))).count();
    let files = records.iter().filter(|record| matches!(record, ManifestRecord::File(_))).count();
    assert_eq!((records.len(), tablets, files), (7, 2, 4));
    // Another release of zstd may compress otherwise; the lines must stay.
    assert_eq!(lines_as_frozen(), plain(&fixture("v1/manifest")));
}

#[test]
fn a_meta_of_version_1_is_read_by_what_its_info_says() {
    let SnapshotObject::Snapshot(info) = SnapshotObject::decode("x", &fixture("v1/info")).unwrap() else {
        panic!("it is a snapshot");
    };
    let whole = MetaReader::verified(fixture("v1/meta"), &info.meta).unwrap().read_whole().unwrap();
    assert_eq!(whole.header, samples::meta_header().unwrap());
    assert_eq!(whole.tables[0].def, samples::table());
    assert_eq!(whole.tables[0].partitions, [samples::partition()]);
    assert_eq!(whole.views, [samples::view()]);
    assert_eq!(plain(&samples::meta().unwrap().bytes), plain(&fixture("v1/meta")));
}

#[test]
fn a_pack_and_an_object_of_version_1_give_back_the_files_of_the_manifest() {
    let bytes = fixture("v1/pack");
    let digest = Digest::of(&bytes);
    let entries = pack::verify("x", &bytes, &digest).unwrap();
    let files: Vec<_> = entries.iter().map(|entry| pack::read_entry("x", &bytes, entry).unwrap()).collect();
    assert_eq!(files, samples::small_files());
    let object = fixture("v1/object.zst");
    for record in manifest("v1/manifest").unwrap() {
        let ManifestRecord::File(file) = record else { continue };
        if file.path == "data/0.dat" {
            let mut decoder = StreamDecoder::new(file.sums()).unwrap();
            let (mut input, mut large) = (&object[..], Vec::new());
            while let Some(piece) = decoder.next(&mut input).unwrap() {
                large.extend_from_slice(piece);
            }
            decoder.finish().unwrap();
            assert_eq!(large, samples::large_file());
        } else {
            assert!(file.at.path().ends_with(&format!("/p/{digest}")));
        }
    }
}

#[test]
fn damaged_fixtures_are_refused_for_the_right_reason() {
    let info = |name: &str| SnapshotObject::decode(name, &fixture(name)).unwrap_err();
    let pack = |name: &str| {
        let bytes = fixture(name);
        pack::verify(name, &bytes, &Digest::of(&bytes)).unwrap_err()
    };
    for (name, failure, why) in [
        ("v1/damaged/info_digit_changed", info("v1/damaged/info_digit_changed"), "its digest is"),
        ("v1/damaged/info_reformatted", info("v1/damaged/info_reformatted"), "its digest is missing"),
        ("v1/damaged/info_cut_off", info("v1/damaged/info_cut_off"), "its digest is missing"),
        ("v1/damaged/meta_without_end", meta("v1/damaged/meta_without_end").unwrap_err(), "no end line"),
        ("v1/damaged/meta_cut_off", meta("v1/damaged/meta_cut_off").unwrap_err(), "incomplete frame"),
        (
            "v1/damaged/manifest_leaving_its_tablet",
            manifest("v1/damaged/manifest_leaving_its_tablet").unwrap_err(),
            "`.` or `..`",
        ),
        (
            "v1/damaged/manifest_leaving_the_repository",
            manifest("v1/damaged/manifest_leaving_the_repository").unwrap_err(),
            "is not the path of an object",
        ),
        (
            "v1/damaged/manifest_missing_a_file",
            manifest("v1/damaged/manifest_missing_a_file").unwrap_err(),
            "fewer files or bytes",
        ),
        ("v1/damaged/manifest_cut_off", manifest("v1/damaged/manifest_cut_off").unwrap_err(), "incomplete frame"),
        ("v1/damaged/pack_entry_changed", pack("v1/damaged/pack_entry_changed"), "stored bytes differs"),
        ("v1/damaged/pack_footer_changed", pack("v1/damaged/pack_footer_changed"), "digest of its trailer"),
        ("v1/damaged/pack_cut_off", pack("v1/damaged/pack_cut_off"), "footer is not that of a pack"),
    ] {
        super::assert_corrupt(&failure, name);
        assert!(failure.message.contains(why), "`{failure}` should contain `{why}`");
    }
    let newer = info("v1/damaged/info_of_a_newer_version");
    assert_eq!(newer.kind, Kind::Unsupported);
}
