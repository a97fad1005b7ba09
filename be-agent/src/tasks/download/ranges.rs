//! Small files on their way back: ranges of packs, or whole packs.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tabvault_common::digest::{Digest, Hasher};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::codec::BlockDecoder;
use tabvault_common::repo::layout::{self, DataPath};
use tabvault_common::repo::manifest::{FileLocation, ManifestPack};

use super::place::Small;
use super::want::Want;
use super::{Job, unreadable};
use crate::files::PIECE;
use crate::store::Result;

/// Bytes that are not wanted, but cheaper to read than another request.
const MAX_GAP: u64 = 1 << 20;
/// No range of several entries is longer.
const MAX_RANGE: u64 = 16 << 20;

/// A part of a pack, and the files in it by their offset.
#[derive(Debug)]
pub(super) struct Range {
    path: String,
    start: u64,
    end: u64,
    /// For a whole pack: the digest that names it.
    whole: Option<Digest>,
    wants: VecDeque<Want>,
}

/// Ranges that cover `wants`, all of them entries of `pack`. The whole pack, if all that it holds or at least half of its
/// bytes are wanted: then damage anywhere in it is found.
pub(super) fn cover(pack: &ManifestPack, mut wants: Vec<Want>) -> Result<Vec<Range>> {
    wants.sort_by_key(offset);
    let wanted: u64 = wants.iter().map(|want| want.file.stored_size).fold(0, u64::saturating_add);
    if wants.len() as u64 >= pack.entries || wanted >= pack.size / 2 {
        let Some(DataPath::Pack(_, digest)) = layout::parse_data(&pack.path) else {
            return Err(Failure::fatal(Kind::Internal, format!("fetch {}: this is no pack", pack.path)));
        };
        let (path, wants) = (pack.path.clone(), wants.into());
        return Ok(vec![Range { path, start: 0, end: pack.size, whole: Some(digest), wants }]);
    }
    let mut ranges: Vec<Range> = Vec::new();
    for want in wants {
        let start = offset(&want);
        let end = start.saturating_add(want.file.stored_size);
        match ranges.last_mut() {
            Some(last) if start <= last.end.saturating_add(MAX_GAP) && end.max(last.end) - last.start <= MAX_RANGE => {
                last.end = last.end.max(end);
                last.wants.push_back(want);
            }
            _ => ranges.push(Range { path: pack.path.clone(), start, end, whole: None, wants: [want].into() }),
        }
    }
    Ok(ranges)
}

/// Reads a range and puts the files in it in their places, verified.
pub(super) async fn fetch(job: &Job, range: Range) -> Result<()> {
    let context = &job.context;
    // Pieces, and the largest entry: stored, plain, and the part of it that is waited for.
    let largest = range.wants.iter().map(|want| want.file.stored_size * 2 + want.file.size).max().unwrap_or(0);
    let _slot = context.transfer(4 * PIECE as u64 + largest).await?;
    let path = range.path.clone();
    let named = |failure| unreadable(&job.storage, &path, failure);
    let asked = range.whole.is_none().then_some(range.start..range.end);
    let mut taker = Taker::new(range);
    if asked.as_ref().is_none_or(|asked| !asked.is_empty()) {
        let mut pieces = job.storage.read(&path, asked).await.map_err(named)?;
        let mut piece = pieces.next().await.transpose().map_err(named)?;
        while let Some(stored) = piece {
            metrics::counter!("tabvault_agent_bytes_downloaded_total").increment(stored.len() as u64);
            // While one piece is taken apart, the next is on its way.
            let taken = context.blocking(move || taker.take(&stored));
            let next = pieces.next().map(Option::transpose);
            (taker, piece) = futures::try_join!(taken, next).map_err(named)?;
            job.placed(taker.placed());
        }
    }
    let placed = context.blocking(move || taker.finish()).await.map_err(named)?;
    job.placed(placed);
    Ok(())
}

fn offset(want: &Want) -> u64 {
    match &want.file.at {
        FileLocation::Pack { offset, .. } => *offset,
        FileLocation::Object { .. } => 0,
    }
}

/// Takes entries out of the bytes of a range as they arrive.
struct Taker {
    range: Range,
    /// Of all bytes, for a whole pack.
    hasher: Hasher,
    /// The bytes from `at` on that have arrived and may still be needed.
    buffer: Vec<u8>,
    at: u64,
    placed: u64,
    decoder: BlockDecoder,
    small: Small,
}

impl Taker {
    fn new(range: Range) -> Self {
        Self {
            at: range.start,
            range,
            hasher: Hasher::new(),
            buffer: Vec::new(),
            placed: 0,
            decoder: BlockDecoder::default(),
            small: Small::default(),
        }
    }

    /// Plain bytes placed since this was last asked.
    fn placed(&mut self) -> u64 {
        std::mem::take(&mut self.placed)
    }

    fn take(mut self, piece: &Bytes) -> Result<Self> {
        if self.range.whole.is_some() {
            self.hasher.update(piece);
            if self.hasher.length() > self.range.end {
                return Err(damaged(format_args!("it has more than {} bytes", self.range.end)));
            }
        }
        self.buffer.extend_from_slice(piece);
        self.place_complete()?;
        let needed = self.range.wants.front().map_or(u64::MAX, offset);
        let unneeded = usize::try_from(needed.saturating_sub(self.at)).unwrap_or(usize::MAX).min(self.buffer.len());
        self.buffer.drain(..unneeded);
        self.at += unneeded as u64;
        Ok(self)
    }

    /// Places the entries of which all bytes are there.
    fn place_complete(&mut self) -> Result<()> {
        while let Some(want) = self.range.wants.front() {
            let (start, length) = (offset(want).saturating_sub(self.at), want.file.stored_size);
            let range = usize::try_from(start).ok().zip(usize::try_from(start.saturating_add(length)).ok());
            let Some(stored) = range.and_then(|(start, end)| self.buffer.get(start..end)) else { return Ok(()) };
            let plain = self
                .decoder
                .decode(stored, &want.file.sums())
                .map_err(|failure| failure.context(format_args!("entry at {}", offset(want))))?;
            self.small.write(want, plain)?;
            self.placed += want.file.size;
            self.range.wants.pop_front();
        }
        Ok(())
    }

    /// Says what was placed last, once everything was there and right.
    fn finish(mut self) -> Result<u64> {
        // Empty entries need no byte to arrive.
        self.place_complete()?;
        if let Some(want) = self.range.wants.front() {
            return Err(damaged(format_args!("it ends before its entry at {} does", offset(want))));
        }
        if let Some(digest) = self.range.whole {
            let (length, found) = (self.hasher.length(), self.hasher.finish());
            if length != self.range.end {
                return Err(damaged(format_args!("it has {length} bytes instead of {}", self.range.end)));
            }
            if found != digest {
                return Err(damaged("the digest of its bytes is not its name"));
            }
        }
        Ok(self.placed)
    }
}

fn damaged(what: impl std::fmt::Display) -> Failure {
    Failure::fatal(Kind::Corrupt, what.to_string())
}
