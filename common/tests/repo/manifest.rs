use std::io::Read;

use bytes::Bytes;
use proptest::prelude::*;
use tabvault_common::compression::Compression;
use tabvault_common::digest::Digest;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::TaskId;
use tabvault_common::repo::codec::{BlockEncoder, Codec};
use tabvault_common::repo::info::ManifestRef;
use tabvault_common::repo::layout;
use tabvault_common::repo::manifest::{
    EncodedManifest, FileLocation, ManifestFile, ManifestPack, ManifestReader, ManifestRecord, ManifestWriter,
};

use super::{assert_corrupt, flipped, plain, samples};

fn read(encoded: &EncodedManifest) -> Result<Vec<ManifestRecord>, Failure> {
    ManifestReader::verified(encoded.bytes.clone(), &encoded.reference())?.collect()
}

/// Reads lines that somebody else wrote, with the right digest around them.
fn read_lines(text: &str) -> Result<Vec<ManifestRecord>, Failure> {
    let bytes = zstd::encode_all(text.as_bytes(), 3).unwrap();
    ManifestReader::new("the manifest", &bytes[..])?.collect()
}

fn object(n: u32) -> FileLocation {
    FileLocation::Object { object: layout::object(samples::job(), TaskId(1), 1, n, false) }
}

fn file(path: &str, size: u64) -> ManifestFile {
    let digest = Digest::of(path.as_bytes());
    ManifestFile {
        path: path.to_owned(),
        size,
        digest,
        at: object(0),
        stored_size: size,
        stored_digest: digest,
        codec: Codec::None,
    }
}

/// Tablets of files (path, size, whether in the pack).
type Shape = Vec<std::collections::BTreeMap<String, (u32, bool)>>;

fn any_shape() -> impl Strategy<Value = Shape> {
    let path = "[a-zä.]{1,8}x(/[0-9]{1,3})?";
    proptest::collection::vec(proptest::collection::btree_map(path, (any::<u32>(), any::<bool>()), 0..20), 0..12)
}

fn write(shape: &Shape) -> Result<(EncodedManifest, Vec<ManifestRecord>), Failure> {
    let mut writer = ManifestWriter::new(&samples::header())?;
    let path = layout::pack(samples::job(), &Digest::of(b"pack"));
    let pack = ManifestPack { path: path.clone(), size: layout::PACK_MAX, entries: 1 };
    writer.pack(&pack)?;
    let mut records = vec![ManifestRecord::Pack(pack)];
    for (number, files) in shape.iter().enumerate() {
        let mut tablet = samples::tablet(number as u64, number as u32);
        let files: Vec<_> = files
            .iter()
            .map(|(name, &(size, packed))| {
                let size = u64::from(size) % (1 << 20);
                let at = if packed { FileLocation::Pack { pack: path.clone(), offset: size } } else { object(7) };
                ManifestFile { at, ..file(name, size) }
            })
            .collect();
        tablet.files = files.len() as u64;
        tablet.bytes = files.iter().map(|file| file.size).sum();
        records.push(ManifestRecord::Tablet(tablet.clone()));
        records.extend(files.iter().cloned().map(ManifestRecord::File));
        writer.whole_tablet(tablet, files.into_iter().rev().collect())?;
    }
    Ok((writer.finish()?, records))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_manifest_comes_back_and_is_written_the_same_again(shape in any_shape()) {
        let (encoded, records) = write(&shape).unwrap();
        let mut reader = ManifestReader::verified(encoded.bytes.clone(), &encoded.reference()).unwrap();
        prop_assert_eq!(reader.header(), &samples::header());
        let back: Result<Vec<_>, _> = reader.by_ref().collect();
        prop_assert_eq!(back.unwrap(), records);
        prop_assert_eq!(reader.totals(), Some(encoded.totals));
        prop_assert_eq!(write(&shape).unwrap().0, encoded);
    }

    #[test]
    fn a_flipped_bit_is_found_and_named(shape in any_shape(), at in any::<prop::sample::Index>()) {
        let (encoded, _) = write(&shape).unwrap();
        let mut bytes = encoded.bytes.to_vec();
        let at = at.index(bytes.len() * 8);
        bytes[at / 8] ^= 1 << (at % 8);
        let failure = ManifestReader::verified(bytes.into(), &encoded.reference()).unwrap_err();
        assert_corrupt(&failure, &encoded.path());
    }

    #[test]
    fn damage_without_a_digest_to_compare_never_panics(shape in any_shape(), at in any::<prop::sample::Index>()) {
        let (encoded, _) = write(&shape).unwrap();
        let mut text = plain(&encoded.bytes).into_bytes();
        let at = at.index(text.len());
        text[at] ^= 1;
        let bytes = zstd::encode_all(&text[..], 1).unwrap();
        let read = ManifestReader::new("m", &bytes[..]).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        if let Err(failure) = read {
            prop_assert!(failure.message.starts_with("m "), "{}", failure);
        }
    }
}

#[test]
fn every_flipped_bit_of_a_manifest_is_found() {
    let encoded = samples::manifest().unwrap();
    for damaged in flipped(&encoded.bytes) {
        assert_corrupt(&ManifestReader::verified(damaged.into(), &encoded.reference()).unwrap_err(), &encoded.path());
    }
}

#[test]
fn the_lines_are_those_of_the_format() {
    let text = plain(&samples::manifest().unwrap().bytes);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["manifest", "pack", "tablet", "file", "file", "file", "tablet", "file", "end"]);
    let object = layout::object(samples::job(), TaskId(7), 1, 0, true);
    assert_eq!(lines[3]["at"], serde_json::json!({"object": object}));
    assert_eq!(lines[3]["codec"], "zstd");
    assert_eq!(lines[4]["at"]["pack"], lines[1]["path"]);
    assert_eq!(lines[4]["path"], "data/1.dat");
}

#[test]
fn a_reader_holds_lines_to_the_rules() {
    let good = plain(&samples::manifest().unwrap().bytes);
    assert!(read_lines(&good).is_ok());
    let lines: Vec<&str> = good.lines().collect();
    let without = |n: usize| {
        let rest: Vec<&str> = lines.iter().enumerate().filter(|&(i, _)| i != n).map(|(_, line)| *line).collect();
        rest.join("\n") + "\n"
    };
    for (text, why) in [
        (good.replace("data/0.dat", "../0.dat"), "`.` or `..`"),
        (good.replace("data/0.dat", "/etc/passwd"), "absolute"),
        (good.replace("data/0.dat", "zzz"), "comes after"),
        (good.replace("data/0.dat", "data/1.dat"), "comes after"),
        (good.replace("/o/7-1-0.zst", "/../../x"), "is not the path of an object"),
        (good.replace("\"position\":0", "\"position\":-1"), "invalid value"),
        (good.replace("\"object\":", "\"objects\":"), "a file lies in an object, or in a pack"),
        (good.replace("\"offset\":", "\"object\":\"\",\"offset\":"), "a file lies in an object, or in a pack"),
        (good.replace("1002", "1001"), "comes twice"),
        (without(0), "it is a pack, not a manifest"),
        (without(1), "was not declared"),
        (without(2), "belongs to no tablet"),
        (without(4), "fewer files or bytes"),
        (without(6).replace("\"header\",\"size\":0", "\"z\",\"size\":0"), "more files or bytes"),
        (without(8), "it has no end line"),
        (good.clone() + lines[1] + "\n", "something follows its end line"),
        (good.replace("\"type\":\"end\",\"tablets\":2", "\"type\":\"end\",\"tablets\":3"), "sums of its end line"),
        (good.replace("\"format_version\":1", "\"format_version\":0"), "format version 0"),
        (good.trim_end().to_owned(), "its last line is cut off"),
        (String::new(), "it is empty"),
        ("x".repeat(100_000), "too long a line"),
    ] {
        assert_ne!(text, good, "{why}");
        let failure = read_lines(&text).unwrap_err();
        assert_corrupt(&failure, "the manifest");
        assert!(failure.message.contains(why), "`{failure}` should contain `{why}`");
    }
    let newer = read_lines(&good.replace("\"format_version\":1", "\"format_version\":2")).unwrap_err();
    assert_eq!(newer.kind, Kind::Unsupported);
    let unknown_field = good.replace("\"position\":0", "\"position\":0,\"new\":{\"a\":[]}");
    let spelt_otherwise = good.replace("{\"type\":\"file\",", "{ \"type\": \"file\",");
    for same in [unknown_field, spelt_otherwise] {
        assert_ne!(same, good);
        assert_eq!(read_lines(&same).unwrap(), read_lines(&good).unwrap());
    }
}

#[test]
fn a_writer_holds_its_caller_to_the_rules() {
    let open = || {
        let mut writer = ManifestWriter::new(&samples::header()).unwrap();
        let mut tablet = samples::tablet(1, 0);
        (tablet.files, tablet.bytes) = (2, 20);
        writer.tablet(&tablet).unwrap();
        writer
    };
    for bad in ["", "/a", "../a", "a/../b", "a\0"] {
        assert_eq!(open().file(&file(bad, 10)).unwrap_err().kind, Kind::Internal);
    }
    let mut writer = open();
    writer.file(&file("b", 10)).unwrap();
    assert!(writer.file(&file("a", 10)).is_err());
    assert!(open().file(&file("a", 21)).is_err());
    let elsewhere = FileLocation::Object { object: "__repo_info".to_owned() };
    assert!(open().file(&ManifestFile { at: elsewhere, ..file("a", 10) }).is_err());
    let undeclared = FileLocation::Pack { pack: layout::pack(samples::job(), &Digest::of(b"")), offset: 8 };
    assert!(open().file(&ManifestFile { at: undeclared, ..file("a", 10) }).is_err());
    assert!(open().file(&ManifestFile { stored_size: 9, ..file("a", 10) }).is_err());
    assert!(open().finish().is_err());
}

#[test]
fn a_file_cannot_reach_beyond_its_pack() {
    let mut writer = ManifestWriter::new(&samples::header()).unwrap();
    let path = layout::pack(samples::job(), &Digest::of(b""));
    writer.pack(&ManifestPack { path: path.clone(), size: 100, entries: 1 }).unwrap();
    for (offset, fits) in [(90, true), (91, false), (u64::MAX, false)] {
        let mut tablet = samples::tablet(offset, 0);
        (tablet.files, tablet.bytes) = (1, 10);
        writer.tablet(&tablet).unwrap();
        let at = FileLocation::Pack { pack: path.clone(), offset };
        assert_eq!(writer.file(&ManifestFile { at, ..file("a", 10) }).is_ok(), fits);
        if !fits {
            return;
        }
    }
}

#[test]
fn frames_that_are_cut_off_or_followed_by_another_are_found() {
    let encoded = samples::manifest().unwrap();
    for length in 0..encoded.bytes.len() {
        let read = ManifestReader::new("m", &encoded.bytes[..length]).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        assert_corrupt(&read.unwrap_err(), "m");
    }
    let twice = encoded.bytes.repeat(2);
    let read = ManifestReader::new("m", &twice[..]).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    assert_eq!(read.unwrap_err().message, "m is damaged: something follows its zstd frame");
}

#[test]
fn a_manifest_of_another_job_is_refused() {
    let encoded = samples::manifest().unwrap();
    let reference =
        encoded.totals.reference(tabvault_common::ids::JobUuid::random(), encoded.digest, encoded.bytes.len() as u64);
    assert_corrupt(&ManifestReader::verified(encoded.bytes, &reference).unwrap_err(), &reference.path());
}

#[test]
fn a_manifest_that_has_more_than_its_info_says_is_refused_before_it_fills_the_memory() {
    let encoded = samples::manifest().unwrap();
    let reference = encoded.reference();
    let read = |reference| ManifestReader::verified(encoded.bytes.clone(), &reference).unwrap().collect::<Vec<_>>();
    assert!(read(reference).iter().all(Result::is_ok));
    for (less, says) in [
        (ManifestRef { packs: reference.packs - 1, ..reference }, "packs that its info says"),
        (ManifestRef { tablets: reference.tablets - 1, ..reference }, "tablets that its info says"),
    ] {
        let read = read(less);
        let failure = read.last().unwrap().as_ref().unwrap_err();
        assert_corrupt(failure, &reference.path());
        assert!(failure.message.contains(says), "{failure}");
    }
}

/// Gives some bytes and then an error.
struct Breaking(Bytes, Failure);

impl Read for Breaking {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.0.is_empty() {
            return Err(std::io::Error::other(self.1.clone()));
        }
        let n = self.0.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.0.split_to(n));
        Ok(n)
    }
}

#[test]
fn an_error_of_the_storage_is_not_taken_for_damage() {
    let encoded = samples::manifest().unwrap();
    let cause = Failure::transient(Kind::Unreachable, "the storage is away");
    let input = Breaking(encoded.bytes.slice(..encoded.bytes.len() / 2), cause);
    let read = ManifestReader::new("m", input).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let failure = read.unwrap_err();
    assert_eq!((failure.kind, failure.message.as_str()), (Kind::Unreachable, "read m: the storage is away"));
}

#[test]
fn a_manifest_says_what_it_reaches() {
    let encoded = samples::manifest().unwrap();
    let records = read(&encoded).unwrap();
    let reached: std::collections::BTreeSet<&str> = records.iter().filter_map(ManifestRecord::reaches).collect();
    let pack = samples::pack().unwrap().declaration(samples::job()).path;
    let object = layout::object(samples::job(), TaskId(7), 1, 0, true);
    assert_eq!(reached, [pack.as_str(), object.as_str()].into());
    let sums = BlockEncoder::new(Compression::None).encode(b"").sums;
    assert_eq!(ManifestFile::new("f", &sums, object_at(&object)).sums(), sums);
}

fn object_at(path: &str) -> FileLocation {
    FileLocation::Object { object: path.to_owned() }
}
