//! Large files on their way back: one object each.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tabvault_common::repo::codec::StreamDecoder;

use super::place::Large;
use super::want::List;
use super::{Job, unreadable};
use crate::files::PIECE;
use crate::store::Result;

/// Streams the object of the want at this place in the list into its place, verified.
pub(super) async fn fetch(job: &Job, list: Arc<List>, place: usize) -> Result<()> {
    let context = &job.context;
    let want = &list.wants[place];
    // Pieces, the decoder's window, and what is gathered for the disk.
    let memory = 4 * PIECE as u64 + want.size.min(8 << 20) + want.size.min(2 << 20);
    let _slot = context.transfer(memory).await?;
    context.require_space(list.target(want).root, want.size).await?;
    let path = list.source(want).path();
    let named = |failure| unreadable(&job.storage, path, failure);
    let mut pieces = job.storage.read(path, None).await.map_err(named)?;
    let opened = Arc::clone(&list);
    let mut sink = context.blocking(move || Sink::open(opened, place)).await?;
    let mut piece = pieces.next().await.transpose().map_err(named)?;
    while let Some(stored) = piece {
        metrics::counter!("tabvault_agent_bytes_downloaded_total").increment(stored.len() as u64);
        // While one piece is decoded, the next is on its way.
        let taken = context.blocking(move || sink.take(&stored));
        let next = pieces.next().map(Option::transpose);
        (sink, piece) = futures::try_join!(taken, next).map_err(named)?;
    }
    context.blocking(move || sink.finish()).await.map_err(named)?;
    context.progress.add_done(want.size);
    Ok(())
}

/// A file being filled.
struct Sink {
    list: Arc<List>,
    place: usize,
    file: Large,
    decoder: StreamDecoder,
}

impl Sink {
    fn open(list: Arc<List>, place: usize) -> Result<Self> {
        let want = &list.wants[place];
        let decoder = StreamDecoder::new(want.sums())?;
        let file = Large::begin(list.temporary(want))?;
        Ok(Self { list, place, file, decoder })
    }

    fn take(mut self, stored: &Bytes) -> Result<Self> {
        let mut input: &[u8] = stored;
        while let Some(plain) = self.decoder.next(&mut input)? {
            self.file.write(plain)?;
        }
        Ok(self)
    }

    fn finish(self) -> Result<()> {
        self.decoder.finish()?;
        let want = &self.list.wants[self.place];
        self.file.finish(self.list.target(want), want)
    }
}
