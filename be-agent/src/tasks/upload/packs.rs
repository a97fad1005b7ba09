//! Small files on their way: many in one pack, named by its digest.
//!
//! Several packs are filled at once, each by a thread of its own that takes the next files off one queue: all cores read,
//! hash and compress, every pack becomes full, and a file is read once.

use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::{self, Stream, StreamExt};
use tabvault_common::durable::Directories;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::codec::{BlockEncoder, Sums};
use tabvault_common::repo::layout;
use tabvault_common::repo::manifest::{FileLocation, ManifestFile};
use tabvault_common::repo::pack::{Pack, PackBuilder};

use super::Job;
use super::plan::PlannedFile;
use super::sent::Transferred;
use crate::journal::{Line, Stored};
use crate::memory::Reservation;
use crate::store::Result;

/// Plain bytes that one thread takes off the queue at once: files beside each other stay beside each other in a pack.
const TAKE: u64 = 1 << 20;

/// A pack in memory.
pub(super) struct Built {
    filled: Filled,
    memory: Reservation,
    queue: Arc<Queue>,
}

/// A pack and what is in it.
struct Filled {
    pack: Pack,
    /// Places in the plan, and what the manifest says of them.
    files: Vec<(usize, ManifestFile)>,
}

/// Whether a file of this many bytes travels in a pack.
pub(super) fn takes(job: &Job, size: u64) -> bool {
    size <= layout::PACK_THRESHOLD && PackBuilder::could_take(job.task.max_pack, size)
}

/// Packs of the files at `places`, in no particular order.
pub(super) fn build(job: Job, places: Vec<usize>) -> impl Stream<Item = Result<Built>> {
    let lanes = job.context.shared.parallel.min(std::thread::available_parallelism().map_or(1, Into::into));
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

    let stored = files.iter().map(|(place, file)| {
        let key = job.plan.key(&job.plan.files[*place]);
        Stored { tablet: key.tablet, version: key.version, file: file.clone() }
    });
    let line = Line::Pack { pack: declaration.clone(), files: stored.collect() };
    let journal = Arc::clone(&job.journal);
    job.context.blocking(move || journal.append(&line)).await?;
    job.context.progress.add_done(files.iter().map(|(_, file)| file.size).sum());
    if let Ok(buffer) = pack.bytes.try_into_mut() {
        queue.reuse(buffer.into(), slot.leave());
    }
    Ok(Transferred { pack: Some(declaration), files })
}

/// Fills one pack with what comes next, if anything does. Blocks.
fn fill(job: &Job, queue: &Queue, buffer: Vec<u8>) -> Result<Option<Filled>> {
    let mut pack = PackBuilder::reusing(buffer, target(job), job.task.max_pack);
    let mut encoder = BlockEncoder::new(job.task.compression);
    let mut reader = Reader::default();
    let mut entries: Vec<(usize, Sums, u64)> = Vec::new();
    'full: while !pack.is_full() {
        let taken = queue.take(job);
        if taken.is_empty() {
            break;
        }
        for (n, place) in taken.iter().enumerate() {
            if job.context.stop.is_cancelled() {
                return Err(Failure::transient(Kind::Cancelled, "fill a pack: the task was stopped"));
            }
            if pack.is_full() {
                queue.give_back(job, &taken[n..]);
                break 'full;
            }
            let block = encoder.encode(reader.read(job, &job.plan.files[*place])?);
            if !pack.fits(block.sums.stored_size) {
                queue.give_back(job, &taken[n..]);
                break 'full;
            }
            entries.push((*place, block.sums, pack.push(block.stored, &block.sums)?));
        }
    }
    if pack.is_empty() {
        return Ok(None);
    }
    let pack = pack.finish()?;
    let path = layout::pack(job.context.key.job, &pack.digest);
    let files = entries.into_iter().map(|(place, sums, offset)| {
        let name = job.plan.files[place].path.as_str();
        (place, ManifestFile::new(name, &sums, FileLocation::Pack { pack: path.clone(), offset }))
    });
    let files = files.collect();
    Ok(Some(Filled { pack, files }))
}

/// Reads small files, one after another, into one buffer.
#[derive(Default)]
struct Reader {
    directories: Directories,
    plain: Vec<u8>,
}

impl Reader {
    fn read(&mut self, job: &Job, planned: &PlannedFile) -> Result<&[u8]> {
        let local = job.plan.local(planned);
        let read = self.directories.open(&local).and_then(|file| self.fill(file, planned.size));
        let found = read.map_err(|error| Failure::io(format_args!("read {}", local.display()), &error))?;
        if found as u64 != planned.size {
            let message = format!("read {}: it has {found} bytes or more instead of {}", local.display(), planned.size);
            return Err(Failure::fatal(Kind::Corrupt, message));
        }
        Ok(&self.plain[..found])
    }

    /// Reads up to one byte more than there should be: a regular file gives fewer than asked for only at its end.
    fn fill(&mut self, mut file: File, size: u64) -> std::io::Result<usize> {
        let room = usize::try_from(size).map_or(usize::MAX, |size| size.saturating_add(1));
        if self.plain.len() < room {
            self.plain.resize(room, 0);
        }
        let mut filled = 0;
        while filled < room {
            match file.read(&mut self.plain[filled..room]) {
                Ok(0) => break,
                Ok(more) => {
                    filled += more;
                    if filled + 1 == room {
                        break;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

/// Files that are in no pack yet, and memory for those that will be.
struct Queue(Mutex<Waiting>);

struct Waiting {
    /// Places in the plan, the next one last.
    places: Vec<usize>,
    /// Their plain bytes, and one for each file, so that empty ones count, too.
    weight: u64,
    /// Threads that wait for memory.
    waiting: usize,
    /// Of packs that were stored. Empty as soon as no file waits: nobody would come for it.
    spare: Vec<(Vec<u8>, Reservation)>,
    /// The same for threads that wait: what they wait for has been given back.
    given_back: Vec<Vec<u8>>,
}

impl Queue {
    fn new(job: &Job, mut places: Vec<usize>) -> Self {
        places.reverse();
        let weight = places.iter().map(|place| weight(job, *place)).sum();
        Self(Mutex::new(Waiting { places, weight, waiting: 0, spare: Vec::new(), given_back: Vec::new() }))
    }

    /// Zero when nothing waits.
    fn left(&self) -> u64 {
        self.lock().weight
    }

    fn take(&self, job: &Job) -> Vec<usize> {
        let mut waiting = self.lock();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < TAKE
            && let Some(place) = waiting.places.pop()
        {
            bytes += weight(job, place);
            taken.push(place);
        }
        waiting.weight = waiting.weight.saturating_sub(bytes);
        if waiting.places.is_empty() {
            waiting.spare.clear();
        }
        taken
    }

    /// Memory for a pack; if there is none, the caller waits for it and says so when it is [`Queue::reserved`].
    fn spare(&self) -> Option<(Vec<u8>, Reservation)> {
        let mut waiting = self.lock();
        let spare = waiting.spare.pop();
        waiting.waiting += usize::from(spare.is_none());
        spare
    }

    fn reserved(&self) -> Vec<u8> {
        let mut waiting = self.lock();
        waiting.waiting -= 1;
        waiting.given_back.pop().unwrap_or_default()
    }

    /// Keeps the memory of a pack that was stored, for the next one. Who waits for it waits with everybody else who uses
    /// the budget: what it would keep from them is given back.
    fn reuse(&self, buffer: Vec<u8>, memory: Reservation) {
        let mut waiting = self.lock();
        if waiting.given_back.len() < waiting.waiting {
            waiting.given_back.push(buffer);
        } else if waiting.waiting == 0 && !waiting.places.is_empty() {
            waiting.spare.push((buffer, memory));
        }
    }

    fn give_back(&self, job: &Job, places: &[usize]) {
        let mut waiting = self.lock();
        waiting.weight += places.iter().map(|place| weight(job, *place)).sum::<u64>();
        waiting.places.extend(places.iter().rev());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(job: &Job, place: usize) -> u64 {
    job.plan.files[place].size + 1
}

/// Several packs must fit into the memory budget at once.
fn target(job: &Job) -> u64 {
    layout::PACK_TARGET.min(job.task.max_pack).min(job.context.shared.memory.budget() / 8)
}
