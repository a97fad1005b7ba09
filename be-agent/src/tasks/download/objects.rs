//! Large files on their way back: one object each.

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tabvault_common::repo::codec::StreamDecoder;

use super::place::Large;
use super::want::Want;
use super::{Job, unreadable};
use crate::files::PIECE;
use crate::store::Result;

/// Streams the object of `want` into its place, verified.
pub(super) async fn fetch(job: &Job, want: Want) -> Result<()> {
    let context = &job.context;
    // Pieces, the decoder's window, and what is gathered for the disk.
    let memory = 4 * PIECE as u64 + want.file.size.min(8 << 20) + want.file.size.min(2 << 20);
    let _slot = context.transfer(memory).await?;
    context.require_space(want.root, want.file.size).await?;
    let path = want.file.at.path().to_owned();
    let named = |failure| unreadable(&job.storage, &path, failure);
    let mut pieces = job.storage.read(&path, None).await.map_err(named)?;
    let mut sink = context.blocking(move || Sink::open(want)).await?;
    let mut piece = pieces.next().await.transpose().map_err(named)?;
    while let Some(stored) = piece {
        metrics::counter!("tabvault_agent_bytes_downloaded_total").increment(stored.len() as u64);
        // While one piece is decoded, the next is on its way.
        let taken = context.blocking(move || sink.take(&stored));
        let next = pieces.next().map(Option::transpose);
        (sink, piece) = futures::try_join!(taken, next).map_err(named)?;
    }
    let size = sink.want.file.size;
    context.blocking(move || sink.finish()).await.map_err(named)?;
    context.progress.add_done(size);
    Ok(())
}

/// A file being filled.
struct Sink {
    want: Want,
    file: Large,
    decoder: StreamDecoder,
}

impl Sink {
    fn open(want: Want) -> Result<Self> {
        let decoder = StreamDecoder::new(want.file.sums())?;
        let file = Large::begin(&want)?;
        Ok(Self { want, file, decoder })
    }

    fn take(mut self, stored: &Bytes) -> Result<Self> {
        let mut input: &[u8] = stored;
        while let Some(plain) = self.decoder.next(&mut input)? {
            self.file.write(&self.want, plain)?;
        }
        Ok(self)
    }

    fn finish(self) -> Result<()> {
        self.decoder.finish()?;
        self.file.finish(&self.want)
    }
}
