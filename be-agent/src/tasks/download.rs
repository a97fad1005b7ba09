//! Download: a manifest's files come to where the restored tablets' stores will adopt them, verified and durable.
//!
//! # Overview
//! 1. [`want`]: the manifest is fetched, verified and read; the wanted tablets' files are placed.
//!    What is remembered of them has its [`room`].
//! 2. [`local`]: files whose digest is here already are linked; what an earlier attempt fetched is kept if its bytes
//!    are still right.
//! 3. What is missing is [`cut`] into transfers. [`objects`] are streamed; of packs, [`ranges`] are read that cover the
//!    wanted entries, or the pack as a whole.
//! 4. [`writeback`]: disks are synced while more is written, and once more at the end; opened before the first write.
//!
//! # Consistency
//! A file gets its name only after its stored and plain bytes were verified. A pack of which most is wanted is read
//! as a whole, so that damage anywhere in it is found. Whatever is damaged or missing is named by its path in the
//! repository and ends the task for good.
//!
//! # Crash consistency
//! When the task answers, every file is durable. A crash before that leaves files that the next attempt hashes before
//! it believes them. Where the sync fails nothing is kept: the kernel may show bytes that the disk has not got.
//!
//! # Cancellation
//! What was begun lies under temporary names, which the next attempt or the end of the job removes.

mod cut;
mod local;
mod objects;
mod place;
mod ranges;
mod room;
#[cfg(test)]
mod samples;
mod want;
mod writeback;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tabvault_broker::storage::Storage;
use tabvault_common::durable;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::task::{Download, TaskResult};

use crate::context::TaskContext;
use crate::store::Result;
use cut::Span;
use want::{List, Source, Target};
use writeback::{Disks, Writeback};

/// What every transfer of one download shares.
#[derive(Clone)]
struct Job {
    context: TaskContext,
    storage: Arc<dyn Storage>,
    writeback: Arc<Writeback>,
}

impl Job {
    /// Bytes of small files are in their places.
    fn placed(&self, bytes: u64) {
        self.context.progress.add_done(bytes);
        self.writeback.wrote(bytes);
    }
}

pub(super) async fn run(context: &TaskContext, task: Download) -> Result<TaskResult> {
    let storage = context.shared.storage.open(&task.repository).await?;
    let job = Job { context: context.clone(), storage, writeback: Arc::default() };
    let targets = Arc::new(want::targets(context, &task.tablets).await?);
    let (list, _listed) = want::read_manifest(&job, &task, &targets).await?;
    let bytes: u64 = list.wants.iter().map(|want| want.size).sum();
    context.progress.add_total(bytes);

    let disks = Disks::open(context, &targets).await?;
    let (local, list) = local::look(context, list).await?;
    context.progress.add_done(local.kept + local.reused);
    metrics::counter!("tabvault_agent_bytes_reused_total").increment(local.reused);
    require_space(context, &list).await?;

    let fetched = async {
        let fetched = fetch(&job, list).await;
        job.writeback.end();
        fetched
    };
    let (fetched, written) = tokio::join!(fetched, job.writeback.run(context, &disks));
    written?;
    if fetched.is_err() {
        // What is left for the next attempt must not be what a disk has lost: the kernel tells that once.
        sync(context, &disks).await?;
    }
    fetched?;
    finish(context, &targets, &disks).await?;
    Ok(TaskResult::Downloaded { bytes, reused_bytes: local.reused })
}

async fn require_space(context: &TaskContext, missing: &List) -> Result<()> {
    let mut more: BTreeMap<usize, u64> = missing.targets.iter().map(|target| (target.root, 0)).collect();
    for want in &missing.wants {
        *more.entry(missing.target(want).root).or_default() += want.size;
    }
    for (root, bytes) in more {
        context.require_space(root, bytes).await?;
    }
    Ok(())
}

/// Fetches every file of `missing`, several transfers at once.
async fn fetch(job: &Job, mut missing: List) -> Result<()> {
    let cut = move || {
        let spans = cut::cut(&mut missing);
        Ok((spans, Arc::new(missing)))
    };
    let (spans, missing) = job.context.blocking(cut).await?;
    let transfers = stream::iter(spans).map(|span| transfer(job.clone(), Arc::clone(&missing), span));
    transfers.buffer_unordered(job.context.shared.parallel).try_for_each(|()| async { Ok(()) }).await
}

async fn transfer(job: Job, list: Arc<List>, span: Span) -> Result<()> {
    let source = list.wants[span.wants()].first().map(|want| list.source(want));
    if matches!(source, Some(Source::Object(_))) {
        objects::fetch(&job, list, span.wants().start).await
    } else {
        ranges::fetch(&job, list, span).await
    }
}

/// Makes everything durable.
async fn finish(context: &TaskContext, targets: &Arc<Vec<Target>>, disks: &Arc<Disks>) -> Result<()> {
    let targets = Arc::clone(targets);
    let removed =
        context.blocking(move || targets.iter().try_for_each(|target| durable::remove_dir_all(&target.temporary)));
    removed.await?;
    sync(context, disks).await
}

async fn sync(context: &TaskContext, disks: &Arc<Disks>) -> Result<()> {
    let disks = Arc::clone(disks);
    context.waiting(move || disks.sync()).await
}

/// What it means that `path` could not be read as it must be: damage and absence are final and named.
fn unreadable(storage: &Arc<dyn Storage>, path: &str, failure: Failure) -> Failure {
    match failure.kind {
        Kind::NotFound => {
            Failure::fatal(Kind::NotFound, format!("{path} is missing from the repository at {}", storage.location()))
        }
        Kind::Corrupt if failure.message.contains(path) => Failure::fatal(Kind::Corrupt, failure.message),
        Kind::Corrupt => Failure::fatal(Kind::Corrupt, format!("{path} is damaged: {}", failure.message)),
        _ => failure,
    }
}
