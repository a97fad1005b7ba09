//! Large files on their way back: one object each.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tabvault_common::durable::BulkWriter;
use tabvault_common::repo::codec::StreamDecoder;

use super::place::Large;
use super::want::List;
use super::{Job, unreadable};
use crate::context::TaskContext;
use crate::files::PIECE;
use crate::store::Result;

/// Streams the object of the want at this place in the list into its place, verified.
pub(super) async fn fetch(job: &Job, list: Arc<List>, place: usize) -> Result<()> {
    let context = &job.context;
    let want = &list.wants[place];
    // Pieces, the decoder's window, and what is gathered for the disk.
    let memory = 4 * PIECE as u64 + want.size.min(8 << 20) + want.size.min(BulkWriter::MEMORY);
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
        // While one piece is decoded and written, the next is on its way.
        let taken = take(context, sink, stored);
        let next = pieces.next().map(Option::transpose);
        (sink, piece) = futures::try_join!(taken, next).map_err(named)?;
    }
    let unsettled = context.blocking(move || sink.finish()).await.map_err(named)?;
    context.progress.add_done(want.size);
    job.writeback.wrote(unsettled);
    Ok(())
}

/// Decodes a piece and writes it, and waits for the disk when it is time to; that needs no core.
async fn take(context: &TaskContext, sink: Sink, stored: Bytes) -> Result<Sink> {
    let mut sink = context.blocking(move || sink.take(&stored)).await?;
    if sink.file.is_due() {
        sink = context.waiting(move || sink.file.settle().map(|()| sink)).await?;
    }
    Ok(sink)
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

    /// Verifies the file and names it; see [`Large::finish`].
    fn finish(self) -> Result<u64> {
        self.decoder.finish()?;
        let want = &self.list.wants[self.place];
        self.file.finish(self.list.target(want), want)
    }
}
