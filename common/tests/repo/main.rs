//! The remote format: what is written is read back, what is damaged is named, what was frozen stays readable.
#![allow(clippy::unwrap_used, clippy::panic)]

mod codec;
mod fixtures;
mod manifest;
mod meta;
mod pack;
mod samples;
mod sealed;

use proptest::prelude::*;
use tabvault_common::compression::Compression;
use tabvault_common::failure::{Failure, Kind};

/// A failure must say that this very object is damaged.
#[track_caller]
fn assert_corrupt(failure: &Failure, path: &str) {
    assert_eq!(failure.kind, Kind::Corrupt, "{failure}");
    assert!(failure.message.starts_with(path), "`{failure}` must begin with the object's name {path}");
}

/// Every copy of `bytes` with one flipped bit.
fn flipped(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len() * 8).map(|at| {
        let mut copy = bytes.to_vec();
        copy[at / 8] ^= 1 << (at % 8);
        copy
    })
}

/// Decompresses JSON Lines.
fn plain(bytes: &[u8]) -> String {
    String::from_utf8(zstd::decode_all(bytes).unwrap()).unwrap()
}

fn any_compression() -> impl Strategy<Value = Compression> {
    prop_oneof![
        Just(Compression::Fastest),
        Just(Compression::Balanced),
        Just(Compression::Best),
        Just(Compression::None)
    ]
}

/// File contents: noise, or noise repeated so that it compresses.
fn any_plain(most: usize) -> impl Strategy<Value = Vec<u8>> {
    (proptest::collection::vec(any::<u8>(), 0..most), 1usize..8).prop_map(|(noise, times)| noise.repeat(times))
}
