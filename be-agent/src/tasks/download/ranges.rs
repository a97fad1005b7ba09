//! Small files on their way back: ranges of packs, or whole packs.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tabvault_common::digest::{Digest, Hasher};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::codec::BlockDecoder;
use tabvault_common::repo::layout::{self, DataPath};

use super::cut::{Span, bytes_of};
use super::place::Small;
use super::want::{List, Source, Want};
use super::{Job, unreadable};
use crate::files::PIECE;
use crate::store::Result;

/// What is read of a pack.
struct Part {
    list: Arc<List>,
    /// Those that are not placed yet, by their offset.
    wants: Range<usize>,
    bytes: Range<u64>,
    /// For a whole pack: the digest that names it.
    whole: Option<Digest>,
}

impl Part {
    fn of(list: Arc<List>, span: Span) -> Result<Self> {
        let wants = &list.wants[span.wants()];
        let (bytes, whole) = match wants.first().map(|want| list.source(want)) {
            Some(Source::Pack { path, size, .. }) if span.whole => {
                let Some(DataPath::Pack(_, digest)) = layout::parse_data(path) else {
                    return Err(Failure::fatal(Kind::Internal, format!("fetch {path}: this is no pack")));
                };
                (0..*size, Some(digest))
            }
            _ => (bytes_of(wants), None),
        };
        Ok(Self { wants: span.wants(), bytes, whole, list })
    }

    fn next(&self) -> Option<&Want> {
        self.list.wants[self.wants.clone()].first()
    }
}

/// Reads what `span` of the list needs of its pack, and puts the files in it in their places, verified.
pub(super) async fn fetch(job: &Job, list: Arc<List>, span: Span) -> Result<()> {
    let context = &job.context;
    let wants = &list.wants[span.wants()];
    // Pieces, and the largest entry: stored, plain, and the part of it that is waited for.
    let largest = wants.iter().map(|want| want.stored_size.saturating_mul(2).saturating_add(want.size)).max();
    let _slot = context.transfer((4 * PIECE as u64).saturating_add(largest.unwrap_or(0))).await?;
    let path = wants.first().map_or("", |want| list.source(want).path());
    let part = Part::of(Arc::clone(&list), span)?;
    let named = |failure| unreadable(&job.storage, path, failure);
    let asked = part.whole.is_none().then(|| part.bytes.clone());
    let mut taker = Taker::new(part);
    if asked.as_ref().is_none_or(|asked| !asked.is_empty()) {
        let mut pieces = job.storage.read(path, asked).await.map_err(named)?;
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

/// Takes entries out of the bytes of a range as they arrive.
struct Taker {
    part: Part,
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
    fn new(part: Part) -> Self {
        Self {
            at: part.bytes.start,
            part,
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
        if self.part.whole.is_some() {
            self.hasher.update(piece);
            if self.hasher.length() > self.part.bytes.end {
                return Err(damaged(format_args!("it has more than {} bytes", self.part.bytes.end)));
            }
        }
        self.buffer.extend_from_slice(piece);
        self.place_complete()?;
        let needed = self.part.next().map_or(u64::MAX, |want| want.offset);
        let unneeded = usize::try_from(needed.saturating_sub(self.at)).unwrap_or(usize::MAX).min(self.buffer.len());
        self.buffer.drain(..unneeded);
        self.at += unneeded as u64;
        Ok(self)
    }

    /// Places the entries of which all bytes are there.
    fn place_complete(&mut self) -> Result<()> {
        while let Some(want) = self.part.next() {
            let (start, length) = (want.offset.saturating_sub(self.at), want.stored_size);
            let range = usize::try_from(start).ok().zip(usize::try_from(start.saturating_add(length)).ok());
            let Some(stored) = range.and_then(|(start, end)| self.buffer.get(start..end)) else { return Ok(()) };
            let plain = self
                .decoder
                .decode(stored, &want.sums())
                .map_err(|failure| failure.context(format_args!("entry at {}", want.offset)))?;
            self.small.write(self.part.list.target(want), want, plain)?;
            self.placed += want.size;
            self.part.wants.start += 1;
        }
        Ok(())
    }

    /// Says what was placed last, once everything was there and right.
    fn finish(mut self) -> Result<u64> {
        // Empty entries need no byte to arrive.
        self.place_complete()?;
        if let Some(want) = self.part.next() {
            return Err(damaged(format_args!("it ends before its entry at {} does", want.offset)));
        }
        if let Some(digest) = self.part.whole {
            let (length, found) = (self.hasher.length(), self.hasher.finish());
            if length != self.part.bytes.end {
                return Err(damaged(format_args!("it has {length} bytes instead of {}", self.part.bytes.end)));
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
