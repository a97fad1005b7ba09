//! Large files on their way: one object each.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tabvault_common::compression::Compression;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::codec::{self, Codec, StreamEncoder, Sums};
use tabvault_common::repo::layout;

use super::Job;
use super::sent::{At, Placed, Transferred};
use crate::context::TaskContext;
use crate::files::PIECE;
use crate::journal::{Line, Stored};
use crate::store::Result;

/// How much of a file decides whether it is worth compressing: so many pieces from all over it, of so many bytes.
const SAMPLES: u64 = 8;
const SAMPLE: usize = 8 << 10;

/// Streams the file at `place` of the plan into the `n`th object of this attempt.
pub(super) async fn send(job: Job, place: usize, n: u32) -> Result<Transferred> {
    let context = &job.context;
    let file = &job.plan.files[place];
    let held = memory(job.task.compression) + job.storage.writer_memory(Some(file.size));
    let _slot = context.transfer(held).await?;

    let (local, size, compression) = (job.plan.local(file), file.size, job.task.compression);
    let (journal, attempt) = (Arc::clone(&job.journal), context.key.attempt);
    let source = context
        .blocking(move || {
            journal.append(&Line::Begun { attempt, n })?;
            Source::open(local, size, compression)
        })
        .await?;
    let zst = source.codec() == Codec::Zstd;
    let path = layout::object(context.key.job, context.key.task, attempt, n, zst);
    let sums = stream(&job, source, &path).await?;

    let placed = Placed { place, sums, at: At::Object(path.into()) };
    let key = job.plan.key(place);
    let file = placed.describe(&job.plan, None);
    let line = Line::Object(Stored { tablet: key.tablet, version: key.version, file });
    let journal = Arc::clone(&job.journal);
    context.blocking(move || journal.append(&line)).await?;
    Ok(Transferred { pack: None, files: vec![placed] })
}

/// Writes all of `source` to the object `path`: while one piece is written, the next is read.
async fn stream(job: &Job, source: Source, path: &str) -> Result<Sums> {
    let context = &job.context;
    let mut writer = context.writer(&job.storage, path, Some(source.size)).await?;
    let mut piece = next(context, source).await?;
    loop {
        context.progress.add_done(piece.plain);
        metrics::counter!("tabvault_agent_bytes_uploaded_total").increment(piece.stored.len() as u64);
        let written = async { if piece.stored.is_empty() { Ok(()) } else { writer.write(piece.stored).await } };
        match piece.rest {
            Rest::More(source) => ((), piece) = futures::try_join!(written, next(context, source))?,
            Rest::Done(sums) => {
                written.await?;
                writer.close().await?;
                return Ok(sums);
            }
        }
    }
}

/// A local file being read, hashed and compressed.
struct Source {
    file: File,
    path: PathBuf,
    size: u64,
    encoder: StreamEncoder,
}

/// What one read gave.
struct Piece {
    plain: u64,
    stored: Bytes,
    rest: Rest,
}

enum Rest {
    More(Box<Source>),
    Done(Sums),
}

impl Source {
    /// Opens a file and decides how it is stored. Blocks.
    fn open(path: PathBuf, size: u64, compression: Compression) -> Result<Self> {
        let sampled = File::open(&path).and_then(|file| Ok((sample(&file, size)?, file)));
        let (sample, file) = sampled.map_err(|error| Failure::io(format_args!("read {}", path.display()), &error))?;
        let shrinks = codec::is_worth_compressing(&sample, compression);
        let encoder = StreamEncoder::new(if shrinks { compression } else { Compression::None }, size)?;
        Ok(Self { file, path, size, encoder })
    }

    fn codec(&self) -> Codec {
        self.encoder.codec()
    }

    /// Reads on. Blocks.
    fn read(mut self: Box<Self>) -> Result<Piece> {
        let mut plain = Vec::with_capacity(PIECE);
        (&mut self.file)
            .take(PIECE as u64)
            .read_to_end(&mut plain)
            .map_err(|error| Failure::io(format_args!("read {}", self.path.display()), &error))?;
        let mut stored = Vec::with_capacity(plain.len());
        let in_file = |path: &PathBuf, failure: Failure| failure.context(format_args!("read {}", path.display()));
        let length = plain.len() as u64;
        if plain.is_empty() {
            let path = self.path;
            let sums = self.encoder.finish(&mut stored).map_err(|failure| in_file(&path, failure))?;
            return Ok(Piece { plain: 0, stored: stored.into(), rest: Rest::Done(sums) });
        }
        self.encoder.push(&plain, &mut stored).map_err(|failure| in_file(&self.path, failure))?;
        // Parts are counted by their bytes: pieces that shrank to a tenth must not hold ten times as much.
        stored.shrink_to_fit();
        Ok(Piece { plain: length, stored: stored.into(), rest: Rest::More(self) })
    }
}

fn sample(file: &File, size: u64) -> std::io::Result<Vec<u8>> {
    let mut sample = vec![0; SAMPLE * SAMPLES as usize];
    let mut filled = 0;
    // Steps of the golden ratio: what repeats within a file, repeats at other distances.
    for (n, piece) in (0..SAMPLES).zip(sample.chunks_mut(SAMPLE)) {
        let read = file.read_at(piece, size.saturating_sub(SAMPLE as u64) / (1 << 16) * (n * 40_503 % (1 << 16)))?;
        filled = if read == SAMPLE { filled + SAMPLE } else { break };
    }
    sample.truncate(filled);
    Ok(sample)
}

async fn next(context: &TaskContext, source: impl Into<Box<Source>>) -> Result<Piece> {
    let (source, stop) = (source.into(), context.stop.clone());
    context
        .blocking(move || {
            if stop.is_cancelled() {
                return Err(Failure::transient(Kind::Cancelled, "the task was stopped"));
            }
            source.read()
        })
        .await
}

/// Bytes that streaming one file holds beside its writer: pieces and the compressor's tables.
fn memory(compression: Compression) -> u64 {
    let compressor = match compression {
        Compression::None => 0,
        Compression::Fastest => 4 << 20,
        Compression::Balanced => 8 << 20,
        Compression::Best => 64 << 20,
    };
    4 * PIECE as u64 + compressor
}
