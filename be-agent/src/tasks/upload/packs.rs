//! Small files on their way: many in one pack, named by its digest.
//!
//! Several packs are filled at once, each by a thread of its own that takes the next files off one queue: all cores read,
//! hash and compress, every pack becomes full, and a file is read once.

mod queue;
mod reader;

use std::collections::VecDeque;
use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::codec::BlockEncoder;
use tabvault_common::repo::layout;
use tabvault_common::repo::pack::{Pack, PackBuilder};

use super::Job;
use super::sent::{At, Placed, Transferred};
use crate::journal::Stored;
use crate::memory::Reservation;
use crate::store::Result;
use queue::Queue;
use reader::Reader;

/// Bytes that are held of a file in a pack beside its own: here, and in the pack's trailer while that is spelt. They
/// count, so that packs of tiny files take no more memory than others.
const ENTRY: u64 = 512;

/// A pack in memory.
pub(super) struct Built {
    filled: Filled,
    memory: Reservation,
    queue: Arc<Queue>,
}

/// A pack and what is in it.
struct Filled {
    pack: Pack,
    files: Vec<Placed>,
}

/// Whether a file of this many bytes travels in a pack.
pub(super) fn takes(job: &Job, size: u64) -> bool {
    size <= layout::PACK_THRESHOLD && PackBuilder::could_take(job.task.max_pack, size)
}

/// Packs of the files at `places`, in no particular order.
pub(super) fn build(job: Job, places: Vec<usize>) -> impl Stream<Item = Result<Built>> {
    let lanes = lanes(&job);
    let queue = Arc::new(Queue::new(&job, places));
    let lane = move |_| {
        let (job, queue) = (job.clone(), Arc::clone(&queue));
        stream::try_unfold((), move |()| {
            let (job, queue) = (job.clone(), Arc::clone(&queue));
            async move { Ok(next(job, queue).await?.map(|built| (built, ()))) }
        })
        .boxed()
    };
    stream::iter(0..lanes).flat_map_unordered(None, lane)
}

/// Packs that are filled at once.
fn lanes(job: &Job) -> usize {
    job.context.shared.parallel.min(std::thread::available_parallelism().map_or(1, Into::into))
}

/// The next pack, if there are files left. Whoever waits for memory here has none yet.
async fn next(job: Job, queue: Arc<Queue>) -> Result<Option<Built>> {
    let left = queue.left();
    if left == 0 {
        return Ok(None);
    }
    let (buffer, memory) = match queue.spare() {
        Some(spare) => spare,
        None => {
            let bytes = left.min(target(&job)) + 4 * layout::PACK_THRESHOLD;
            let memory = job.context.shared.memory.reserve(bytes).await?;
            (queue.reserved(), memory)
        }
    };
    let (context, files) = (job.context.clone(), Arc::clone(&queue));
    let filled = context.blocking(move || fill(&job, &files, buffer)).await?;
    Ok(filled.map(|filled| Built { filled, memory, queue }))
}

/// Stores a pack.
pub(super) async fn send(job: Job, built: Built) -> Result<Transferred> {
    let Built { filled: Filled { pack, files }, memory, queue } = built;
    let slot = job.context.permit(memory).await?;
    let declaration = pack.declaration(job.context.key.job);
    let size = pack.bytes.len() as u64;
    job.storage.put(&declaration.path, pack.bytes.clone()).await?;
    metrics::counter!("tabvault_agent_bytes_uploaded_total").increment(size);

    let (journal, plan) = (Arc::clone(&job.journal), Arc::clone(&job.plan));
    let journaled = job.context.blocking(move || {
        let stored = files.iter().map(|file| {
            let key = plan.key(file.place);
            let file = file.describe(&plan, Some(&declaration));
            Stored { tablet: key.tablet, version: key.version, file }
        });
        journal.append_pack(&declaration, stored)?;
        Ok((declaration, files))
    });
    let (declaration, files) = journaled.await?;
    job.context.progress.add_done(files.iter().map(|file| file.sums.size).sum());
    if let Ok(buffer) = pack.bytes.try_into_mut() {
        queue.reuse(buffer.into(), slot.leave());
    }
    Ok(Transferred { pack: Some(declaration), files })
}

/// Fills one pack with what comes next, if anything does. Blocks.
fn fill(job: &Job, queue: &Queue, buffer: Vec<u8>) -> Result<Option<Filled>> {
    let target = target(job);
    let mut pack = PackBuilder::reusing(buffer, target, job.task.max_pack);
    let mut encoder = BlockEncoder::new(job.task.compression);
    let mut reader = Reader::new(lanes(job));
    let (mut taken, mut files): (VecDeque<usize>, Vec<Placed>) = Default::default();
    let mut too_large = None;
    while !pack.is_full() && pack.len() + files.len() as u64 * ENTRY < target {
        if job.context.stop.is_cancelled() {
            return Err(Failure::transient(Kind::Cancelled, "fill a pack: the task was stopped"));
        }
        if taken.is_empty() {
            taken = queue.take(job).into();
        }
        let (place, plain) = match taken.front().copied() {
            Some(place) if reader.may_ask() => {
                taken.pop_front();
                let Some(plain) = reader.read(&job.plan, place)? else { continue };
                (place, plain)
            }
            _ => {
                let Some(asked) = reader.wait(&job.plan)? else { break };
                asked
            }
        };
        let block = encoder.encode(plain);
        if !pack.fits(block.sums.stored_size) {
            too_large = Some(place);
            break;
        }
        let at = At::Pack(pack.push(block.stored, &block.sums)?);
        files.push(Placed { place, sums: block.sums, at });
    }
    queue.give_back(job, too_large.into_iter().chain(reader.asked()).chain(taken).collect());
    if pack.is_empty() {
        return Ok(None);
    }
    Ok(Some(Filled { pack: pack.finish()?, files }))
}

/// Several packs must fit into the memory budget at once.
fn target(job: &Job) -> u64 {
    layout::PACK_TARGET.min(job.task.max_pack).min(job.context.shared.memory.budget() / 8)
}
