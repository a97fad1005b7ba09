//! How a file's bytes are stored: verbatim, or as one standard zstd frame.
//!
//! # Overview
//! Small files are [`encode_block`]ed in memory. Large ones go through a [`StreamEncoder`] and come back through a
//! [`StreamDecoder`], a piece at a time.
//!
//! # Consistency
//! Nothing is believed: plain and stored sizes and digests are checked, output is bounded by the expected size, and a
//! frame that asks for a large window is refused. Stored bytes are exactly one frame, so that the `zstd` command reads
//! them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{WINDOW_LOG_MAX, layout};
use crate::compression::Compression;
use crate::digest::Digest;
use crate::failure::{Failure, Kind};

mod decoder;
mod encoder;

pub use decoder::StreamDecoder;
pub use encoder::StreamEncoder;

/// How stored bytes become plain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// They are one zstd frame.
    Zstd,
    /// They are the plain bytes.
    None,
}

/// Sizes and digests of one file, plain and stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sums {
    /// Plain bytes.
    pub size: u64,
    /// BLAKE3 of the plain bytes.
    pub digest: Digest,
    /// Stored bytes.
    pub stored_size: u64,
    /// BLAKE3 of the stored bytes.
    pub stored_digest: Digest,
    /// How one becomes the other.
    pub codec: Codec,
}

impl Sums {
    /// Why no file can have these sums; `None` if one can.
    #[must_use]
    pub fn refuse(&self) -> Option<&'static str> {
        let differ = self.size != self.stored_size || self.digest != self.stored_digest;
        (self.codec == Codec::None && differ).then_some("plain and stored bytes differ although it is stored verbatim")
    }
}

/// A small file ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block<'a> {
    /// What describes it.
    pub sums: Sums,
    /// What is stored: the plain bytes themselves where compressing them does not make them fewer.
    pub stored: Cow<'a, [u8]>,
}

/// Makes a small file ready to be stored. Deterministic.
#[must_use]
pub fn encode_block(plain: &[u8], compression: Compression) -> Block<'_> {
    let digest = Digest::of(plain);
    let size = plain.len() as u64;
    let (codec, stored) = match compressed(plain, compression) {
        Some(frame) => (Codec::Zstd, Cow::Owned(frame)),
        None => (Codec::None, Cow::Borrowed(plain)),
    };
    let stored_digest = if codec == Codec::None { digest } else { Digest::of(&stored) };
    Block { sums: Sums { size, digest, stored_size: stored.len() as u64, stored_digest, codec }, stored }
}

/// A frame that is shorter than `plain`; `None` if there is none or zstd cannot make it, where verbatim is right, too.
fn compressed(plain: &[u8], compression: Compression) -> Option<Vec<u8>> {
    let level = compression.level()?;
    let mut frame = vec![0; plain.len().checked_sub(1)?];
    // A buffer one byte short of the plain bytes: what does not shrink does not fit.
    let length = zstd::bulk::compress_to_buffer(plain, &mut frame[..], level).ok()?;
    frame.truncate(length);
    frame.shrink_to_fit();
    Some(frame)
}

/// The plain bytes of a small file. Allocates no more than `expected_size` for them, whatever the frame says.
///
/// # Errors
/// [`Kind::Corrupt`] if `stored` is no frame of exactly `expected_size` bytes. Digests are the caller's to compare, see
/// [`decode_verified`].
pub fn decode_block(codec: Codec, stored: &[u8], expected_size: u64) -> Result<Vec<u8>, Failure> {
    let wrong = |what: String| Failure::fatal(Kind::Corrupt, what);
    if expected_size > layout::PACK_MAX {
        return Err(wrong(format!("{expected_size} bytes are too many for a small file")));
    }
    let plain = match codec {
        Codec::None if stored.len() as u64 == expected_size => stored.to_vec(),
        Codec::None => {
            return Err(wrong(format!("it has {} bytes instead of {expected_size}", stored.len())));
        }
        Codec::Zstd => {
            one_frame(stored).map_err(wrong)?;
            let capacity = usize::try_from(expected_size).map_err(|error| wrong(error.to_string()))?;
            let mut plain = vec![0; capacity];
            let length = zstd::bulk::decompress_to_buffer(stored, &mut plain[..]).map_err(|error| {
                wrong(format!("its zstd frame does not decode into {expected_size} bytes: {error}"))
            })?;
            plain.truncate(length);
            plain
        }
    };
    if plain.len() as u64 == expected_size {
        Ok(plain)
    } else {
        Err(wrong(format!("it decodes into {} bytes instead of {expected_size}", plain.len())))
    }
}

/// The plain bytes of a small file, checked against all of `sums`.
///
/// # Errors
/// [`Kind::Corrupt`] if anything differs; the caller puts the object's name before the message.
pub fn decode_verified(stored: &[u8], sums: &Sums) -> Result<Vec<u8>, Failure> {
    let differs = |what: &str| Failure::fatal(Kind::Corrupt, format!("the digest of its {what} bytes differs"));
    if Digest::of(stored) != sums.stored_digest {
        return Err(differs("stored"));
    }
    let plain = decode_block(sums.codec, stored, sums.size)?;
    if Digest::of(&plain) == sums.digest { Ok(plain) } else { Err(differs("plain")) }
}

/// Whether a large file whose first bytes are `sample` (64 KiB say enough) will shrink enough to be worth the work.
#[must_use]
pub fn is_worth_compressing(sample: &[u8], compression: Compression) -> bool {
    if compression.level().is_none() || sample.is_empty() {
        return false;
    }
    // One part in sixteen: below that the processor's time is worth more than the bytes.
    let budget = sample.len() - sample.len() / 16;
    let mut frame = vec![0; budget];
    zstd::bulk::compress_to_buffer(sample, &mut frame[..], 1).is_ok()
}

/// Refuses what is not exactly one frame: zstd itself would join several.
fn one_frame(stored: &[u8]) -> Result<(), String> {
    let length = zstd::zstd_safe::find_frame_compressed_size(stored)
        .map_err(|code| format!("it is no zstd frame: {}", zstd::zstd_safe::get_error_name(code)))?;
    if length == stored.len() { Ok(()) } else { Err("something follows its zstd frame".to_owned()) }
}
