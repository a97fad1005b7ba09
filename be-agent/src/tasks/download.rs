//! Download: a manifest's files come to where the restored tablets' stores will adopt them, verified and durable.
//!
//! # Overview
//! 1. [`want`]: the manifest is fetched, verified and read; the wanted tablets' files are placed.
//! 2. [`local`]: files whose digest is here already are linked; what an earlier attempt fetched is kept if its bytes
//!    are still right.
//! 3. [`objects`] are streamed; of packs, [`ranges`] are read that cover the wanted entries, or the pack as a whole.
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

mod local;
mod objects;
mod place;
mod ranges;
mod want;
mod writeback;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tabvault_broker::storage::Storage;
use tabvault_common::durable;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::manifest::{FileLocation, ManifestPack};
use tabvault_common::task::{Download, TaskResult};

use crate::context::TaskContext;
use crate::store::Result;
use want::{Target, Want};
use writeback::{Disks, Writeback};

/// Bytes that are kept per file: what the manifest says of it, and where it goes.
const FILE: u64 = 500;

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
    let _listed = context.shared.lists.reserve(task.manifest.files.saturating_mul(FILE)).await?;
    let targets = Arc::new(want::targets(context, &task.tablets).await?);
    let (wants, packs) = want::read_manifest(&job, &task, &targets).await?;
    let bytes: u64 = wants.iter().map(|want| want.file.size).sum();
    context.progress.add_total(bytes);

    let disks = Disks::open(context, &targets).await?;
    let local = local::look(context, &targets, wants).await?;
    context.progress.add_done(local.kept_bytes + local.reused_bytes);
    metrics::counter!("tabvault_agent_bytes_reused_total").increment(local.reused_bytes);
    require_space(context, &targets, &local.missing).await?;

    let fetched = async {
        let fetched = fetch(&job, local.missing, &packs).await;
        job.writeback.end();
        fetched
    };
    let (fetched, written) = tokio::join!(fetched, job.writeback.run(context, &disks));
    written?;
    fetched?;
    finish(context, &targets, disks).await?;
    Ok(TaskResult::Downloaded { bytes, reused_bytes: local.reused_bytes })
}

async fn require_space(context: &TaskContext, targets: &[Target], missing: &[Want]) -> Result<()> {
    let mut more: BTreeMap<usize, u64> = targets.iter().map(|target| (target.root, 0)).collect();
    for want in missing {
        *more.entry(want.root).or_default() += want.file.size;
    }
    for (root, bytes) in more {
        context.require_space(root, bytes).await?;
    }
    Ok(())
}

/// Fetches every file of `missing`, several transfers at once.
async fn fetch(job: &Job, missing: Vec<Want>, packs: &BTreeMap<String, ManifestPack>) -> Result<()> {
    let mut in_packs: BTreeMap<String, Vec<Want>> = BTreeMap::new();
    let mut alone = Vec::new();
    for want in missing {
        match &want.file.at {
            FileLocation::Pack { pack, .. } => in_packs.entry(pack.clone()).or_default().push(want),
            FileLocation::Object { .. } => alone.push(want),
        }
    }
    let mut ranges = Vec::new();
    for (path, wants) in in_packs {
        let pack = packs.get(&path).ok_or_else(|| {
            Failure::fatal(Kind::Internal, format!("fetch pack {path}: its manifest did not declare it"))
        })?;
        ranges.extend(ranges::cover(pack, wants)?);
    }
    let objects = alone.into_iter().map(|want| {
        let job = job.clone();
        async move { objects::fetch(&job, want).await }.left_future()
    });
    let ranges = ranges.into_iter().map(|range| {
        let job = job.clone();
        async move { ranges::fetch(&job, range).await }.right_future()
    });
    let transfers = stream::iter(ranges.chain(objects)).buffer_unordered(job.context.shared.parallel);
    transfers.try_for_each(|()| async { Ok(()) }).await
}

/// Makes everything durable.
async fn finish(context: &TaskContext, targets: &Arc<Vec<Target>>, disks: Arc<Disks>) -> Result<()> {
    let targets = Arc::clone(targets);
    let removed =
        context.blocking(move || targets.iter().try_for_each(|target| durable::remove_dir_all(&target.temporary)));
    removed.await?;
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
