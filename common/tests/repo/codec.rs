use proptest::prelude::*;
use tabvault_common::compression::Compression;
use tabvault_common::digest::Digest;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::codec::{
    BlockDecoder, BlockEncoder, Codec, StreamDecoder, StreamEncoder, Sums, is_worth_compressing,
};
use tabvault_common::repo::layout;

use super::{any_compression, any_plain, samples};

fn encode_stream(plain: &[u8], compression: Compression, cut: usize) -> (Sums, Vec<u8>) {
    let mut encoder = StreamEncoder::new(compression, plain.len() as u64).unwrap();
    let mut stored = Vec::new();
    for chunk in plain.chunks(cut.max(1)) {
        encoder.push(chunk, &mut stored).unwrap();
    }
    let sums = encoder.finish(&mut stored).unwrap();
    (sums, stored)
}

fn decode_stream(stored: &[u8], sums: Sums, cut: usize) -> Result<Vec<u8>, Failure> {
    let mut decoder = StreamDecoder::new(sums)?;
    let mut plain = Vec::new();
    for mut chunk in stored.chunks(cut.max(1)) {
        while let Some(piece) = decoder.next(&mut chunk)? {
            assert!(piece.len() <= 256 << 10, "a piece of {} bytes", piece.len());
            plain.extend_from_slice(piece);
        }
        assert!(chunk.is_empty());
    }
    decoder.finish()?;
    Ok(plain)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn small_files_come_back(
        files in proptest::collection::vec(any_plain(5000), 1..4),
        compression in any_compression(),
    ) {
        let (mut encoder, mut decoder) = (BlockEncoder::new(compression), BlockDecoder::default());
        for plain in &files {
            let block = encoder.encode(plain);
            prop_assert!(block.stored.len() <= plain.len());
            prop_assert_eq!(block.sums.refuse(), None);
            prop_assert_eq!(decoder.decode(block.stored, &block.sums).unwrap(), plain);
            // What came before leaves no trace.
            prop_assert!(block == BlockEncoder::new(compression).encode(plain));
        }
    }

    #[test]
    fn a_large_file_comes_back_however_it_is_cut(
        plain in any_plain(200_000),
        compression in any_compression(),
        cuts in (1usize..300_000, 1usize..300_000),
    ) {
        let (sums, stored) = encode_stream(&plain, compression, cuts.0);
        prop_assert_eq!(sums.stored_digest, Digest::of(&stored));
        prop_assert_eq!(decode_stream(&stored, sums, cuts.1).unwrap(), plain);
    }

    #[test]
    fn stored_bytes_do_not_depend_on_how_the_file_was_cut(
        plain in any_plain(200_000),
        compression in any_compression(),
        cut in 1usize..100_000,
    ) {
        let whole = encode_stream(&plain, compression, usize::MAX);
        prop_assert_eq!(encode_stream(&plain, compression, cut), whole);
    }

    #[test]
    fn a_flipped_bit_of_a_large_file_is_found(at in 0usize..1000, cut in 1usize..5000) {
        let (sums, mut stored) = samples::large_object().unwrap();
        let at = at % (stored.len() * 8);
        stored[at / 8] ^= 1 << (at % 8);
        let failure = decode_stream(&stored, sums, cut).unwrap_err();
        prop_assert_eq!(failure.kind, Kind::Corrupt);
    }
}

#[test]
fn what_does_not_shrink_is_stored_verbatim() {
    let [text, noise, empty] = samples::small_files();
    let codec = |plain: &[u8], compression| BlockEncoder::new(compression).encode(plain).sums.codec;
    assert_eq!(codec(&text, Compression::Fastest), Codec::Zstd);
    assert_eq!(codec(&text, Compression::None), Codec::None);
    assert_eq!(codec(&noise, Compression::Best), Codec::None);
    assert_eq!(codec(&empty, Compression::Best), Codec::None);
}

#[test]
fn a_small_file_of_which_little_shrinks_is_not_taken_for_noise() {
    let noise: Vec<u8> = (0u32..2048).flat_map(|i| *Digest::of(&i.to_le_bytes()).as_bytes()).collect();
    // Of every eight bytes one is always the same.
    let numbers: Vec<u8> = noise.iter().enumerate().map(|(n, byte)| if n % 8 == 0 { 64 } else { *byte }).collect();
    let repeated: Vec<u8> = noise[..100].iter().copied().cycle().take(32 << 10).collect();
    let codec = |plain: &[u8]| BlockEncoder::new(Compression::Best).encode(plain).sums.codec;
    assert_eq!([&noise, &numbers, &repeated].map(|plain| codec(plain)), [Codec::None, Codec::Zstd, Codec::Zstd]);
}

#[test]
fn a_sample_tells_whether_compressing_is_worth_it() {
    let [text, noise, empty] = samples::small_files();
    assert!(is_worth_compressing(&text, Compression::Best));
    assert!(!is_worth_compressing(&text, Compression::None));
    assert!(!is_worth_compressing(&noise, Compression::Best));
    assert!(!is_worth_compressing(&empty, Compression::Best));
}

#[test]
fn a_frame_that_would_expand_beyond_its_size_is_stopped() {
    let bomb = zstd::encode_all(&vec![0u8; 64 << 20][..], 19).unwrap();
    assert!(bomb.len() < 16 << 10);
    let digest = Digest::of(b"");
    let sums = Sums {
        size: 1000,
        digest,
        stored_size: bomb.len() as u64,
        stored_digest: Digest::of(&bomb),
        codec: Codec::Zstd,
    };
    for size in [1000, u64::MAX] {
        let failure = BlockDecoder::default().decode(&bomb, &Sums { size, ..sums }).unwrap_err();
        assert_eq!(failure.kind, Kind::Corrupt, "{failure}");
        assert!(!failure.message.contains("digest"), "{failure}");
    }
    let mut decoder = StreamDecoder::new(sums).unwrap();
    let mut input = &bomb[..];
    let failure = decoder.next(&mut input).unwrap_err();
    assert_eq!(failure.message, "it decodes into more than 1000 bytes");
}

#[test]
fn a_frame_that_asks_for_a_huge_window_is_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    std::io::Write::write_all(&mut encoder, &samples::large_file()).unwrap();
    let stored = encoder.finish().unwrap();
    let plain = samples::large_file();
    let sums = Sums {
        size: plain.len() as u64,
        digest: Digest::of(&plain),
        stored_size: stored.len() as u64,
        stored_digest: Digest::of(&stored),
        codec: Codec::Zstd,
    };
    assert!(decode_stream(&stored, sums, 1000).unwrap_err().message.contains("zstd"));
}

#[test]
fn sizes_and_digests_must_agree() {
    let (sums, stored) = samples::large_object().unwrap();
    let other = Digest::of(b"other");
    for wrong in [
        Sums { size: sums.size - 1, ..sums },
        Sums { size: sums.size + 1, ..sums },
        Sums { digest: other, ..sums },
        Sums { stored_size: sums.stored_size - 1, ..sums },
        Sums { stored_size: sums.stored_size + 1, ..sums },
        Sums { stored_digest: other, ..sums },
        Sums { codec: Codec::None, ..sums },
    ] {
        assert_eq!(decode_stream(&stored, wrong, 777).unwrap_err().kind, Kind::Corrupt, "{wrong:?}");
    }
    for compression in [Compression::None, Compression::Fastest] {
        let mut encoder = BlockEncoder::new(compression);
        let block = encoder.encode(b"0123456789012345678901234567890123456789");
        for wrong in [
            Sums { size: 39, ..block.sums },
            Sums { size: 41, ..block.sums },
            Sums { digest: other, ..block.sums },
            Sums { stored_digest: other, ..block.sums },
        ] {
            let failure = BlockDecoder::default().decode(block.stored, &wrong).unwrap_err();
            assert_eq!(failure.kind, Kind::Corrupt, "{wrong:?}");
        }
    }
}

#[test]
fn nothing_may_follow_a_frame() {
    let plain = samples::large_file();
    let (sums, stored) = samples::large_object().unwrap();
    let twice = stored.repeat(2);
    let sums_twice = Sums { stored_size: twice.len() as u64, stored_digest: Digest::of(&twice), ..sums };
    for cut in [1, 100, usize::MAX] {
        assert_eq!(decode_stream(&twice, sums_twice, cut).unwrap_err().message, "something follows its zstd frame");
    }
    let sums = Sums { size: 2 * plain.len() as u64, ..sums_twice };
    let failure = BlockDecoder::default().decode(&twice, &sums).unwrap_err();
    assert_eq!(failure.message, "something follows its zstd frame");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noticed() {
    let mut out = Vec::new();
    let mut encoder = StreamEncoder::new(Compression::Fastest, 3).unwrap();
    assert!(encoder.push(b"four", &mut out).is_err());
    let mut encoder = StreamEncoder::new(Compression::None, 3).unwrap();
    encoder.push(b"ab", &mut out).unwrap();
    assert_eq!(encoder.finish(&mut out).unwrap_err().kind, Kind::Corrupt);
}

#[test]
fn a_stored_file_tells_the_zstd_command_its_size() {
    let (sums, stored) = samples::large_object().unwrap();
    assert_eq!(zstd::zstd_safe::get_frame_content_size(&stored).unwrap(), Some(sums.size));
    assert_eq!(zstd::decode_all(&stored[..]).unwrap(), samples::large_file());
}

#[test]
fn too_large_a_small_file_is_refused_before_memory_is_taken() {
    let sums = BlockEncoder::new(Compression::None).encode(b"").sums;
    assert!(BlockDecoder::default().decode(b"", &Sums { size: layout::PACK_MAX + 1, ..sums }).is_err());
}
