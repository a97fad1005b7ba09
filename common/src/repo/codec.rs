//! How a file's bytes are stored: verbatim, or as one standard zstd frame.
//!
//! # Overview
//! Small files go through a [`BlockEncoder`] and a [`BlockDecoder`] in memory. Large ones go through a [`StreamEncoder`] and come back through a
//! [`StreamDecoder`], a piece at a time.
//!
//! # Consistency
//! Nothing is believed: plain and stored sizes and digests are checked, output is bounded by the expected size, and a
//! frame that asks for a large window is refused. Stored bytes are exactly one frame, so that the `zstd` command reads
//! them.

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
    pub stored: &'a [u8],
}

/// Makes small files ready to be stored, one after another. Keeps the compressor's tables: for a small file making them
/// takes longer than compressing. Deterministic, whatever came before.
pub struct BlockEncoder {
    /// `None` for verbatim; zstd that cannot be prepared also stores verbatim, which is right, too.
    compressor: Option<zstd::bulk::Compressor<'static>>,
    frame: Vec<u8>,
}

impl std::fmt::Debug for BlockEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockEncoder").field("compresses", &self.compressor.is_some()).finish_non_exhaustive()
    }
}

impl BlockEncoder {
    /// An encoder that tries as hard as `compression` says.
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        let compressor = compression.level().and_then(|level| zstd::bulk::Compressor::new(level).ok());
        Self { compressor, frame: Vec::new() }
    }

    /// Makes a file ready to be stored.
    #[must_use]
    pub fn encode<'a>(&'a mut self, plain: &'a [u8]) -> Block<'a> {
        let digest = Digest::of(plain);
        let size = plain.len() as u64;
        let (codec, stored) = match self.compressed(plain) {
            Some(frame) => (Codec::Zstd, frame),
            None => (Codec::None, plain),
        };
        let stored_digest = if codec == Codec::None { digest } else { Digest::of(stored) };
        Block { sums: Sums { size, digest, stored_size: stored.len() as u64, stored_digest, codec }, stored }
    }

    /// A frame that is shorter than `plain`, if there is one.
    fn compressed(&mut self, plain: &[u8]) -> Option<&[u8]> {
        let compressor = self.compressor.as_mut()?;
        if is_noise(plain) {
            return None;
        }
        // A buffer one byte short of the plain bytes: what does not shrink does not fit.
        let room = plain.len().checked_sub(1)?;
        if self.frame.len() < room {
            self.frame.resize(room, 0);
        }
        let length = compressor.compress_to_buffer(plain, &mut self.frame[..room]).ok()?;
        self.frame.get(..length)
    }
}

/// Brings small files back, one after another, and keeps zstd's tables in between.
#[derive(Default)]
pub struct BlockDecoder {
    /// Made for the first frame.
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
    plain: Vec<u8>,
}

impl std::fmt::Debug for BlockDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockDecoder").finish_non_exhaustive()
    }
}

impl BlockDecoder {
    /// The plain bytes of a small file, checked against all of `sums`. Allocates no more than `sums.size` for them,
    /// whatever the frame says.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] if anything differs; the caller puts the object's name before the message.
    pub fn decode<'a>(&'a mut self, stored: &'a [u8], sums: &Sums) -> Result<&'a [u8], Failure> {
        let differs = |what: &str| wrong(format!("the digest of its {what} bytes differs"));
        if Digest::of(stored) != sums.stored_digest {
            return Err(differs("stored"));
        }
        let plain = self.plain(sums.codec, stored, sums.size)?;
        // Verbatim, these are the bytes that were just compared.
        let known = sums.codec == Codec::None && sums.digest == sums.stored_digest;
        if known || Digest::of(plain) == sums.digest { Ok(plain) } else { Err(differs("plain")) }
    }

    /// The plain bytes, whatever their digest.
    fn plain<'a>(&'a mut self, codec: Codec, stored: &'a [u8], size: u64) -> Result<&'a [u8], Failure> {
        if size > layout::PACK_MAX {
            return Err(wrong(format!("{size} bytes are too many for a small file")));
        }
        let differs = |found: usize| wrong(format!("it has {found} bytes instead of {size}"));
        match codec {
            Codec::None if stored.len() as u64 == size => Ok(stored),
            Codec::None => Err(differs(stored.len())),
            Codec::Zstd => {
                one_frame(stored).map_err(wrong)?;
                let room = usize::try_from(size).map_err(|error| wrong(error.to_string()))?;
                if self.plain.len() < room {
                    self.plain.resize(room, 0);
                }
                let decompressor = match &mut self.decompressor {
                    Some(decompressor) => decompressor,
                    None => self
                        .decompressor
                        .insert(zstd::bulk::Decompressor::new().map_err(|error| Failure::io("prepare zstd", &error))?),
                };
                let length = decompressor
                    .decompress_to_buffer(stored, &mut self.plain[..room])
                    .map_err(|error| wrong(format!("its zstd frame does not decode into {size} bytes: {error}")))?;
                if length == room { Ok(&self.plain[..room]) } else { Err(differs(length)) }
            }
        }
    }
}

fn wrong(what: String) -> Failure {
    Failure::fatal(Kind::Corrupt, what)
}

/// Whether a large file of which `sample` is a part will shrink enough to be worth the work. 64 KiB from several places
/// say enough: what begins with a compressed image may go on as text.
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

/// Whether a small file looks as if it were compressed or encrypted already: in a sample of it all bytes are about as
/// frequent. Finding that out by compressing takes ten times as long; it would also find noise that comes again after some
/// hundred bytes, which is stored verbatim now.
fn is_noise(plain: &[u8]) -> bool {
    const PLACES: usize = 4;
    const PIECE: usize = 256;
    const SAMPLE: usize = PLACES * PIECE;
    // Of a smaller file the sample would be a large part.
    if plain.len() < 4 * SAMPLE {
        return false;
    }
    let mut counts = [0_u32; 256];
    for piece in plain.chunks(plain.len() / PLACES).take(PLACES) {
        piece.iter().take(PIECE).for_each(|byte| counts[usize::from(*byte)] += 1);
    }
    // How many pairs of equal bytes there are: each with itself, and of noise SAMPLE² / 256 more with a deviation of 90;
    // of text there are ten times as many.
    let pairs: u32 = counts.iter().map(|count| count * count).sum();
    pairs < (SAMPLE + SAMPLE * SAMPLE / 256 + SAMPLE / 2) as u32
}

/// Refuses what is not exactly one frame: zstd itself would join several.
fn one_frame(stored: &[u8]) -> Result<(), String> {
    let length = zstd::zstd_safe::find_frame_compressed_size(stored)
        .map_err(|code| format!("it is no zstd frame: {}", zstd::zstd_safe::get_error_name(code)))?;
    if length == stored.len() { Ok(()) } else { Err("something follows its zstd frame".to_owned()) }
}
