//! Small files on their way: many in one pack, named by its digest.

use std::fs;
use std::sync::Arc;

use futures::stream::{self, Stream};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::codec;
use tabvault_common::repo::layout;
use tabvault_common::repo::manifest::{FileLocation, ManifestFile};
use tabvault_common::repo::pack::{Pack, PackBuilder};

use super::Job;
use super::sent::Transferred;
use crate::journal::{Line, Stored};
use crate::memory::Reservation;
use crate::store::Result;

/// A pack in memory.
pub(super) struct Built {
    filled: Filled,
    memory: Reservation,
}

/// A pack and what is in it.
struct Filled {
    pack: Pack,
    /// Places in the plan, and what the manifest says of them.
    files: Vec<(usize, ManifestFile)>,
    /// Which of the files to pack comes next.
    next: usize,
}

/// Whether a file of this many bytes travels in a pack.
pub(super) fn takes(job: &Job, size: u64) -> bool {
    size <= layout::PACK_THRESHOLD && builder(job).fits(size)
}

/// Packs of the files at `places`, one after the other as they are asked for.
pub(super) fn build(job: Job, places: Vec<usize>) -> impl Stream<Item = Result<Built>> {
    stream::try_unfold((job, places, 0), |(job, places, from)| async move {
        if from >= places.len() {
            return Ok(None);
        }
        // While it grows, a buffer may be copied into one of twice its size.
        let left: u64 = places[from..].iter().map(|place| job.plan.files[*place].size).sum();
        let bytes = 2 * left.min(target(&job)) + 2 * layout::PACK_THRESHOLD;
        let memory = job.context.shared.memory.reserve(bytes).await?;
        let (inside, context) = (job.clone(), job.context.clone());
        let (built, places, next) = context
            .blocking(move || {
                let filled = fill(&inside, &places, from)?;
                let next = filled.next;
                Ok((Built { filled, memory }, places, next))
            })
            .await?;
        Ok(Some((built, (job, places, next))))
    })
}

/// Stores a pack.
pub(super) async fn send(job: Job, built: Built) -> Result<Transferred> {
    let Built { filled: Filled { pack, files, .. }, memory } = built;
    let _slot = job.context.permit(memory).await?;
    let declaration = pack.declaration(job.context.key.job);
    let size = pack.bytes.len() as u64;
    job.storage.put(&declaration.path, pack.bytes).await?;
    metrics::counter!("tabvault_agent_bytes_uploaded_total").increment(size);

    let stored = files.iter().map(|(place, file)| {
        let key = job.plan.key(&job.plan.files[*place]);
        Stored { tablet: key.tablet, version: key.version, file: file.clone() }
    });
    let line = Line::Pack { pack: declaration.clone(), files: stored.collect() };
    let journal = Arc::clone(&job.journal);
    job.context.blocking(move || journal.append(&line)).await?;
    job.context.progress.add_done(files.iter().map(|(_, file)| file.size).sum());
    Ok(Transferred { pack: Some(declaration), files })
}

/// Fills one pack with files from `places[from]` on. Blocks.
fn fill(job: &Job, places: &[usize], from: usize) -> Result<Filled> {
    let mut pack = builder(job);
    let mut entries = Vec::new();
    let mut next = from;
    while let Some(place) = places.get(next)
        && !pack.is_full()
    {
        if job.context.stop.is_cancelled() {
            return Err(Failure::transient(Kind::Cancelled, "fill a pack: the task was stopped"));
        }
        let file = &job.plan.files[*place];
        let local = job.plan.local(file);
        let plain = fs::read(&local).map_err(|error| Failure::io(format_args!("read {}", local.display()), &error))?;
        if plain.len() as u64 != file.size {
            let (found, expected) = (plain.len(), file.size);
            let message = format!("read {}: it has {found} bytes instead of {expected}", local.display());
            return Err(Failure::fatal(Kind::Corrupt, message));
        }
        let block = codec::encode_block(&plain, job.task.compression);
        if !pack.fits(block.sums.stored_size) {
            break;
        }
        let offset = pack.push(&block.stored, &block.sums)?;
        entries.push((*place, file.path.as_str(), block.sums, offset));
        next += 1;
    }
    let pack = pack.finish()?;
    let path = layout::pack(job.context.key.job, &pack.digest);
    let files = entries.into_iter().map(|(place, name, sums, offset)| {
        (place, ManifestFile::new(name, &sums, FileLocation::Pack { pack: path.clone(), offset }))
    });
    let files = files.collect();
    Ok(Filled { pack, files, next })
}

fn builder(job: &Job) -> PackBuilder {
    PackBuilder::new(target(job), job.task.max_pack)
}

/// Several packs must fit into the memory budget at once.
fn target(job: &Job) -> u64 {
    layout::PACK_TARGET.min(job.task.max_pack).min(job.context.shared.memory.budget() / 8)
}
