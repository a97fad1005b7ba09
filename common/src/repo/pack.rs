//! `__data/<job>/p/<digest>`: many small files in one object.
//!
//! # Overview
//! ```text
//! "TVPACK01"                                   8 bytes
//! stored bytes of every entry, one after the other
//! trailer: JSON array of entries, one zstd frame
//! length of the trailer                        8 bytes, little-endian
//! BLAKE3 of the trailer                        32 bytes
//! "TVPACK01"                                   8 bytes
//! ```
//! Manifests say where each file lies, so that a restore reads ranges and no trailer. The trailer is for whoever looks
//! at a pack alone: to verify it, or to salvage from it when manifests are lost.
//!
//! # Consistency
//! Entries lie side by side and fill the pack from the magic to the trailer: every byte belongs to something that has a
//! digest. The pack's name is the digest of all its bytes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::codec::{BlockDecoder, Codec, Sums};
use super::manifest::ManifestPack;
use super::{METADATA_LEVEL, check_digest, corrupt, layout, misuse};
use crate::digest::Digest;
use crate::failure::Failure;
use crate::ids::JobUuid;

const MAGIC: &[u8; 8] = b"TVPACK01";
/// Length, digest and magic after the trailer.
const FOOTER: u64 = 48;
/// No entry takes more bytes than this in the trailer, compressed or not.
const ENTRY_MAX: u64 = 320;

/// A file in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackEntry {
    /// Bytes before it in the pack.
    pub offset: u64,
    /// Stored bytes.
    pub stored_size: u64,
    /// Plain bytes.
    pub size: u64,
    /// BLAKE3 of the plain bytes.
    pub digest: Digest,
    /// BLAKE3 of the stored bytes.
    pub stored_digest: Digest,
    /// How stored bytes become plain ones.
    pub codec: Codec,
}

impl PackEntry {
    /// Its sizes and digests.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let Self { size, digest, stored_size, stored_digest, codec, .. } = *self;
        Sums { size, digest, stored_size, stored_digest, codec }
    }
}

/// A pack ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// What to store.
    pub bytes: Bytes,
    /// Its digest, which names it.
    pub digest: Digest,
    /// What is in it.
    pub entries: u64,
}

impl Pack {
    /// How a manifest declares it when `job` stores it.
    #[must_use]
    pub fn declaration(&self, job: JobUuid) -> ManifestPack {
        let path = layout::pack(job, &self.digest);
        ManifestPack { path, size: self.bytes.len() as u64, entries: self.entries }
    }
}

/// Fills a pack. Deterministic.
#[derive(Debug)]
pub struct PackBuilder {
    target: u64,
    max: u64,
    bytes: Vec<u8>,
    entries: Vec<PackEntry>,
}

impl PackBuilder {
    /// For a pack that is full at `target` bytes of entries and never larger than `max` bytes in all.
    #[must_use]
    pub fn new(target: u64, max: u64) -> Self {
        Self::reusing(Vec::new(), target, max)
    }

    /// Like [`PackBuilder::new`], in the memory of an earlier pack: that of a new one the kernel must first clear.
    #[must_use]
    pub fn reusing(mut bytes: Vec<u8>, target: u64, max: u64) -> Self {
        let max = max.min(layout::PACK_MAX);
        let target = target.min(max);
        // All that it usually takes: growing would copy it again and again. What is not used costs no memory.
        let room = target.saturating_add(layout::PACK_THRESHOLD).min(max);
        bytes.clear();
        bytes.reserve(usize::try_from(room).unwrap_or(0));
        bytes.extend_from_slice(MAGIC);
        Self { target, max, bytes, entries: Vec::new() }
    }

    /// Whether an entry of `stored_size` bytes has room in an empty pack of at most `max` bytes. One that has none is no
    /// small file: it must become an object.
    #[must_use]
    pub fn could_take(max: u64, stored_size: u64) -> bool {
        stored_size.saturating_add(MAGIC.len() as u64 + FOOTER + ENTRY_MAX) <= max.min(layout::PACK_MAX)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it should be finished.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() >= self.target || self.entries.len() >= layout::PACK_MAX_ENTRIES
    }

    /// Bytes so far, without the trailer.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether one more entry of `stored_size` bytes has room.
    #[must_use]
    pub fn fits(&self, stored_size: u64) -> bool {
        let trailer = FOOTER + ENTRY_MAX * (self.entries.len() as u64 + 1);
        let length = self.len().saturating_add(stored_size).saturating_add(trailer);
        length <= self.max && self.entries.len() < layout::PACK_MAX_ENTRIES
    }

    /// Adds a file and says at which offset it lies.
    ///
    /// # Errors
    /// [`crate::failure::Kind::Internal`] if it has no room ([`PackBuilder::fits`]) or other sums than `sums`.
    pub fn push(&mut self, stored: &[u8], sums: &Sums) -> Result<u64, Failure> {
        if stored.len() as u64 != sums.stored_size {
            return Err(misuse("a pack", "an entry's sums are not those of its bytes"));
        }
        if let Some(why) = sums.refuse() {
            return Err(misuse("a pack", why));
        }
        if !self.fits(sums.stored_size) {
            return Err(misuse("a pack", "there is no room for one more entry"));
        }
        let offset = self.len();
        let Sums { size, digest, stored_size, stored_digest, codec } = *sums;
        self.bytes.extend_from_slice(stored);
        self.entries.push(PackEntry { offset, stored_size, size, digest, stored_digest, codec });
        Ok(offset)
    }

    /// Ends the pack.
    pub fn finish(mut self) -> Result<Pack, Failure> {
        let json = serde_json::to_vec(&self.entries).map_err(|error| misuse("a pack", error))?;
        let trailer = zstd::bulk::compress(&json, METADATA_LEVEL).map_err(|e| Failure::io("write a pack", &e))?;
        self.bytes.extend_from_slice(&trailer);
        self.bytes.extend_from_slice(&(trailer.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(Digest::of(&trailer).as_bytes());
        self.bytes.extend_from_slice(MAGIC);
        let digest = Digest::of(&self.bytes);
        Ok(Pack { bytes: self.bytes.into(), digest, entries: self.entries.len() as u64 })
    }
}

/// What the end of a pack tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trailer {
    /// The pack's entries.
    Entries(Vec<PackEntry>),
    /// This many bytes of the pack's end are needed to read them.
    NeedTail(u64),
}

/// Reads the entries of the pack at `path`, which has `pack_size` bytes, from its last bytes `tail`. Does not look at
/// the entries' bytes: see [`verify`].
///
/// # Errors
/// [`crate::failure::Kind::Corrupt`] with `path`.
pub fn read_trailer(path: &str, tail: &[u8], pack_size: u64) -> Result<Trailer, Failure> {
    let least = MAGIC.len() as u64 + FOOTER;
    if !(least..=layout::PACK_MAX).contains(&pack_size) || tail.len() as u64 > pack_size {
        return Err(corrupt(path, format_args!("a pack cannot have {pack_size} bytes")));
    }
    let Some((rest, footer)) = tail.split_last_chunk::<{ FOOTER as usize }>() else {
        return Ok(Trailer::NeedTail(FOOTER));
    };
    let (length, digest) = (footer.first_chunk(), footer[8..40].first_chunk());
    let (Some(length), Some(digest), true) = (length, digest, footer.ends_with(MAGIC)) else {
        return Err(corrupt(path, "its footer is not that of a pack"));
    };
    let length = u64::from_le_bytes(*length);
    if length > pack_size - least {
        return Err(corrupt(path, format_args!("its trailer cannot have {length} bytes")));
    }
    let Some(start) = (rest.len() as u64).checked_sub(length).and_then(|start| usize::try_from(start).ok()) else {
        return Ok(Trailer::NeedTail(length + FOOTER));
    };
    let trailer = &rest[start..];
    if Digest::of(trailer).as_bytes() != digest {
        return Err(corrupt(path, "the digest of its trailer differs"));
    }
    let most = ENTRY_MAX * (layout::PACK_MAX_ENTRIES as u64 + 1);
    let capacity = usize::try_from(most).unwrap_or(usize::MAX);
    let json = zstd::bulk::decompress(trailer, capacity).map_err(|error| corrupt(path, error))?;
    let entries: Vec<PackEntry> = serde_json::from_slice(&json).map_err(|error| corrupt(path, error))?;
    check_entries(path, &entries, pack_size - FOOTER - length)?;
    Ok(Trailer::Entries(entries))
}

/// Reads and verifies a whole pack: its digest, and every entry's stored and plain bytes.
///
/// # Errors
/// [`crate::failure::Kind::Corrupt`] with `path`.
pub fn verify(path: &str, bytes: &[u8], digest: &Digest) -> Result<Vec<PackEntry>, Failure> {
    check_digest(path, bytes, bytes.len() as u64, digest)?;
    if !bytes.starts_with(MAGIC) {
        return Err(corrupt(path, "it does not begin as a pack"));
    }
    let Trailer::Entries(entries) = read_trailer(path, bytes, bytes.len() as u64)? else {
        return Err(corrupt(path, "it is cut off"));
    };
    let mut decoder = BlockDecoder::default();
    for entry in &entries {
        decode_entry(path, bytes, entry, &mut decoder)?;
    }
    Ok(entries)
}

/// The plain bytes of an entry out of a pack's `bytes`, verified.
///
/// # Errors
/// [`crate::failure::Kind::Corrupt`] with `path`.
pub fn read_entry(path: &str, bytes: &[u8], entry: &PackEntry) -> Result<Vec<u8>, Failure> {
    decode_entry(path, bytes, entry, &mut BlockDecoder::default()).map(<[u8]>::to_vec)
}

fn decode_entry<'a>(
    path: &str,
    bytes: &'a [u8],
    entry: &PackEntry,
    decoder: &'a mut BlockDecoder,
) -> Result<&'a [u8], Failure> {
    let range = usize::try_from(entry.offset).ok().zip(usize::try_from(entry.stored_size).ok());
    let stored = range
        .and_then(|(start, length)| bytes.get(start..start.checked_add(length)?))
        .ok_or_else(|| corrupt(path, format_args!("it ends before its entry at {}", entry.offset)))?;
    decoder
        .decode(stored, &entry.sums())
        .map_err(|failure| failure.context(format_args!("{path} is damaged: entry at {}", entry.offset)))
}

/// Entries fill the pack from its magic to its trailer.
fn check_entries(path: &str, entries: &[PackEntry], end: u64) -> Result<(), Failure> {
    let mut at = MAGIC.len() as u64;
    for entry in entries {
        if entry.offset != at || entry.sums().refuse().is_some() {
            return Err(corrupt(path, format_args!("its entry at {} is out of place", entry.offset)));
        }
        at = at.saturating_add(entry.stored_size);
    }
    if at == end { Ok(()) } else { Err(corrupt(path, "its entries do not fill it")) }
}
