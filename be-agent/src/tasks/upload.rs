//! Upload: snapshots stream into the repository; the answer is one manifest.
//!
//! # Overview
//! 1. [`plan`]: every file of every snapshot, in the manifest's order.
//! 2. Files that the journal says are stored already, and that still are, are not sent again, nor those that a
//!    [`parent`] has.
//! 3. Small files travel in [`packs`], larger ones as [`objects`] of their own; several of both are in flight.
//! 4. The manifest, named by its digest, is stored last.
//!
//! # Consistency
//! Everything a manifest names is durable before the manifest is. Objects carry the attempt in their name and no name
//! is used twice; packs and manifests are named by their digest.
//!
//! # Crash consistency
//! What a crash interrupts is invisible; what was complete is in the journal. Objects that no manifest names are
//! garbage for as long as the job's intent stands, and then collected.
//!
//! # Cancellation
//! Interrupted objects are aborted before the task counts as stopped; one that was being completed, in the background.

mod objects;
mod packs;
mod parent;
mod plan;
mod sent;

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tabvault_broker::storage::Storage;
use tabvault_common::repo::FORMAT_VERSION;
use tabvault_common::repo::manifest::{EncodedManifest, ManifestHeader, ManifestTablet, ManifestWriter};
use tabvault_common::task::{TaskResult, Upload};

use crate::context::TaskContext;
use crate::journal::Journal;
use crate::store::Result;
use plan::Plan;
use sent::Sent;

/// Bytes that a file takes in a manifest, which is made in memory: two digests and some more.
const IN_MANIFEST: u64 = 128;

/// What every transfer of one upload shares.
#[derive(Clone)]
struct Job {
    context: TaskContext,
    task: Arc<Upload>,
    storage: Arc<dyn Storage>,
    journal: Arc<Journal>,
    plan: Arc<Plan>,
}

pub(super) async fn run(context: &TaskContext, task: Upload) -> Result<TaskResult> {
    let task = Arc::new(task);
    let storage = context.shared.storage.open(&task.repository).await?;
    let plan = Arc::new(plan::make(context, &task).await?);
    context.progress.add_total(plan.bytes);

    let (shared, key, planned) = (Arc::clone(&context.shared), context.key, Arc::clone(&plan));
    let opened = context.blocking(move || {
        let mut packs = Vec::new();
        let (journal, finished) =
            shared.journals.open(key.job, key.task, |pack| packs.push(sent::of_pack(&planned, pack)))?;
        Ok((journal, finished, packs))
    });
    let (journal, finished, packs) = opened.await?;
    let mut names = finished.names.get(&key.attempt).copied().unwrap_or(0);
    let mut sent = sent::still_there(context, &storage, &plan, finished, packs).await?;
    context.progress.add_done(sent.bytes(&plan));

    let job = Job { context: context.clone(), task, storage, journal: Arc::new(journal), plan };
    parent::share(&job, &mut sent).await?;
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for file in sent.missing() {
        if packs::takes(&job, job.plan.files[file].size) {
            small.push(file);
        } else {
            large.push((file, names));
            names += 1;
        }
    }
    let parallel = context.shared.parallel;
    // Each kind in a buffer of its own: a pack that is built holds memory and must never wait for an object that waits
    // for memory.
    let objects = stream::iter(large.into_iter().map(|(file, n)| objects::send(job.clone(), file, n)));
    let objects = objects.buffer_unordered(parallel);
    let packs = packs::build(job.clone(), small).map_ok(|pack| packs::send(job.clone(), pack));
    // Their memory bounds them. A buffer that became full would leave the builders alone with a core that they were
    // given, and those who send need one to get their pack out of it.
    let packs = packs.try_buffer_unordered(usize::MAX);
    let mut stored = stream::select(objects, packs).boxed();
    while let Some(stored) = stored.try_next().await? {
        sent.take(stored);
    }
    drop(stored);
    let sent = Arc::new(sent);
    let (manifest, ()) = tokio::try_join!(store_manifest(&job, Arc::clone(&sent)), parent::remember(&job, sent))?;
    Ok(TaskResult::Uploaded { manifest: manifest.reference() })
}

async fn store_manifest(job: &Job, sent: Arc<Sent>) -> Result<EncodedManifest> {
    let (task, plan, key) = (Arc::clone(&job.task), Arc::clone(&job.plan), job.context.key);
    let held = job.context.shared.memory.reserve(plan.files.len() as u64 * IN_MANIFEST).await?;
    let manifest = job.context.blocking(move || {
        let mut manifest = ManifestWriter::new(&ManifestHeader {
            format_version: FORMAT_VERSION,
            job: key.job,
            task: key.task,
            attempt: key.attempt,
            table: task.table.clone(),
            partition: task.partition.clone(),
            compression: task.compression,
        })?;
        let mut declared = HashSet::new();
        for (index, tablet) in task.tablets.iter().enumerate() {
            let own = plan.files_of(index);
            for place in own.clone() {
                if let Some(pack) = sent.pack(place)
                    && declared.insert(pack.path.as_str())
                {
                    manifest.pack(pack)?;
                }
            }
            manifest.tablet(&ManifestTablet {
                identity: tablet.identity.clone(),
                index: tablet.index.clone(),
                position: tablet.position,
                schema_hash: tablet.schema_hash,
                files: own.len() as u64,
                bytes: plan.files[own.clone()].iter().map(|file| file.size).sum(),
            })?;
            for place in own {
                manifest.file(&sent.describe(&plan, place)?)?;
            }
        }
        manifest.finish()
    });
    let manifest = manifest.await?;
    job.storage.put(&manifest.path(), manifest.bytes.clone()).await?;
    drop(held);
    Ok(manifest)
}
