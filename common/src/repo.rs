//! The remote format: what lies in a repository, byte for byte, and how it is read and written.
//!
//! # Version history
//! - **1**: the first. `__repo_info`, intents, infos and tombstones are [`sealed`] JSON; metas and manifests are JSON
//!   Lines in one zstd frame; packs carry a trailer of their entries; objects and pack entries are verbatim or one zstd
//!   frame each; digests are BLAKE3.
//!
//! # Overview
//! Every kind of object has a file here, all of it pure: bytes in, values out. [`layout`] knows the names; nothing else
//! puts a path together. One fixture per version and kind lies in `tests/fixtures`; fixtures are added, never edited.
//!
//! # Consistency
//! A reader tolerates fields it does not know and refuses a `format_version` it does not know by a failure of
//! [`Kind::Unsupported`]. Bytes that are not what their digest says, or do not hang together, are [`Kind::Corrupt`] with
//! the object's path in the message. Writers hold themselves to the rules that readers check.
//!
//! # Crash consistency
//! Encoding is deterministic: the same values give the same bytes with the same release of zstd. What is named by a
//! digest may therefore be written again after a crash; were the bytes to differ, so would the name.

use lines::first_line;

use crate::digest::Digest;
use crate::failure::{Failure, Kind};

pub mod codec;
pub mod info;
pub mod intent;
pub mod layout;
mod lines;
pub mod manifest;
pub mod meta;
pub mod pack;
pub mod repo_info;
pub mod sealed;

/// The version of the remote format that this program writes, and the highest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// zstd level of metas, manifests and pack trailers: part of what makes their bytes a function of their content. They are
/// mostly digests, of which higher levels make no less: a manifest of 50,000 files is larger by a tenth at level 3, and
/// takes twice as long.
const METADATA_LEVEL: i32 = 1;

/// Frames may ask a reader for a window of at most 2^23 bytes (8 MiB), so that a hostile one cannot eat the memory. No
/// level that this program writes with needs more.
const WINDOW_LOG_MAX: u32 = 23;

/// The object at `path` is not what it must be.
pub(crate) fn corrupt(path: &str, what: impl std::fmt::Display) -> Failure {
    Failure::fatal(Kind::Corrupt, format!("{path} is damaged: {what}"))
}

/// A caller broke a rule of the format while writing it.
fn misuse(object: &str, what: impl std::fmt::Display) -> Failure {
    Failure::fatal(Kind::Internal, format!("write {object}: {what}"))
}

/// Refuses a `format_version` that this program cannot read.
fn check_version(path: &str, version: u32) -> Result<(), Failure> {
    match version {
        0 => Err(corrupt(path, "there is no format version 0")),
        1..=FORMAT_VERSION => Ok(()),
        _ => Err(Failure::fatal(
            Kind::Unsupported,
            format!("{path} has format version {version}, this program reads up to {FORMAT_VERSION}: use a newer one"),
        )),
    }
}

/// Refuses stored bytes that are not those of the object at `path`.
fn check_digest(path: &str, bytes: &[u8], size: u64, digest: &Digest) -> Result<(), Failure> {
    if bytes.len() as u64 != size {
        return Err(corrupt(path, format_args!("it has {} bytes instead of {size}", bytes.len())));
    }
    let actual = Digest::of(bytes);
    if actual == *digest { Ok(()) } else { Err(corrupt(path, format_args!("its digest is {actual}, not {digest}"))) }
}
