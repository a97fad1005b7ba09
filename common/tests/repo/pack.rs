use proptest::prelude::*;
use tabvault_common::compression::Compression;
use tabvault_common::failure::Kind;
use tabvault_common::repo::codec::{BlockEncoder, Sums};
use tabvault_common::repo::layout;
use tabvault_common::repo::pack::{Pack, PackBuilder, Trailer, read_entry, read_trailer, verify};

use super::{any_compression, any_plain, assert_corrupt, flipped, samples};

fn build(files: &[Vec<u8>], compression: Compression) -> Pack {
    let mut builder = PackBuilder::new(layout::PACK_TARGET, layout::PACK_MAX);
    let mut encoder = BlockEncoder::new(compression);
    for plain in files {
        let block = encoder.encode(plain);
        builder.push(block.stored, &block.sums).unwrap();
    }
    builder.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_pack_gives_back_its_files(
        files in proptest::collection::vec(any_plain(300), 0..20),
        compression in any_compression(),
    ) {
        let pack = build(&files, compression);
        let entries = verify("p", &pack.bytes, &pack.digest).unwrap();
        let back: Vec<_> = entries.iter().map(|entry| read_entry("p", &pack.bytes, entry).unwrap()).collect();
        prop_assert_eq!(back, files.clone());
        prop_assert_eq!(build(&files, compression), pack);
    }

    #[test]
    fn the_trailer_is_read_from_the_end_alone(files in proptest::collection::vec(any_plain(300), 0..20)) {
        let pack = build(&files, Compression::Balanced);
        let size = pack.bytes.len() as u64;
        let tail = |n: u64| &pack.bytes[pack.bytes.len() - n as usize..];
        let Trailer::NeedTail(footer) = read_trailer("p", b"", size).unwrap() else { panic!("nothing was read") };
        let Trailer::NeedTail(all) = read_trailer("p", tail(footer), size).unwrap() else { panic!("footer only") };
        let Trailer::Entries(entries) = read_trailer("p", tail(all), size).unwrap() else { panic!("enough was read") };
        prop_assert_eq!(entries.len() as u64, pack.entries);
    }

    #[test]
    fn a_flipped_bit_is_found_and_named(
        files in proptest::collection::vec(any_plain(300), 0..20),
        at in any::<prop::sample::Index>(),
    ) {
        let pack = build(&files, Compression::Balanced);
        let mut bytes = pack.bytes.to_vec();
        let at = at.index(bytes.len() * 8);
        bytes[at / 8] ^= 1 << (at % 8);
        assert_corrupt(&verify("__data/p", &bytes, &pack.digest).unwrap_err(), "__data/p");
    }
}

#[test]
fn every_flipped_bit_of_an_entry_or_the_trailer_is_found_without_the_packs_digest() {
    let pack = samples::pack().unwrap();
    let size = pack.bytes.len() as u64;
    let Trailer::Entries(entries) = read_trailer("p", &pack.bytes, size).unwrap() else { panic!("it is whole") };
    let last = entries.last().unwrap();
    let body = usize::try_from(last.offset + last.stored_size).unwrap();
    for (bit, damaged) in flipped(&pack.bytes).enumerate().skip(8 * 8) {
        if bit / 8 < body {
            let failures: Vec<_> = entries.iter().filter_map(|entry| read_entry("p", &damaged, entry).err()).collect();
            assert_eq!(failures.len(), 1);
            assert_corrupt(&failures[0], "p");
        } else {
            assert!(!matches!(read_trailer("p", &damaged, size), Ok(Trailer::Entries(_))), "bit {bit}");
        }
    }
}

#[test]
fn a_pack_that_is_cut_off_is_found() {
    let pack = samples::pack().unwrap();
    for length in 0..pack.bytes.len() {
        let cut = &pack.bytes[..length];
        assert_corrupt(&verify("p", cut, &tabvault_common::digest::Digest::of(cut)).unwrap_err(), "p");
    }
}

#[test]
fn a_pack_is_full_at_its_target_and_never_beyond_its_maximum() {
    let mut builder = PackBuilder::new(1000, 4000);
    assert!(builder.is_empty() && !builder.is_full());
    let plain = [7u8; 600];
    let mut encoder = BlockEncoder::new(Compression::None);
    let block = encoder.encode(&plain);
    assert_eq!(builder.push(block.stored, &block.sums).unwrap(), 8);
    assert!(!builder.is_full());
    assert_eq!(builder.push(block.stored, &block.sums).unwrap(), 608);
    assert!(builder.is_full());
    while builder.fits(600) {
        builder.push(block.stored, &block.sums).unwrap();
    }
    assert_eq!(builder.push(block.stored, &block.sums).unwrap_err().kind, Kind::Internal);
    assert!(builder.finish().unwrap().bytes.len() <= 4000);
}

#[test]
fn an_entry_must_be_what_its_sums_say() {
    let mut builder = PackBuilder::new(1000, 4000);
    let mut encoder = BlockEncoder::new(Compression::None);
    let block = encoder.encode(b"abc");
    assert!(builder.push(b"abcd", &block.sums).is_err());
    assert!(builder.push(b"abc", &Sums { size: 4, ..block.sums }).is_err());
}

#[test]
fn the_largest_entry_fits_the_room_kept_for_it_in_the_trailer() {
    let digest = tabvault_common::digest::Digest::of(b"");
    let entry = tabvault_common::repo::pack::PackEntry {
        offset: u64::MAX,
        stored_size: u64::MAX,
        size: u64::MAX,
        digest,
        stored_digest: digest,
        codec: tabvault_common::repo::codec::Codec::Zstd,
    };
    assert!(serde_json::to_vec(&entry).unwrap().len() < 320);
}
