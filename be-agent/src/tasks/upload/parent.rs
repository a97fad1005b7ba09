//! Files that an earlier snapshot has stored already: they are referred to where they lie.
//!
//! # Overview
//! 1. [`share`]: the parent's manifests are read into an [`index`] of what they say of these tablets; a file whose size
//!    occurs there is looked up by its digest, which is known or else computed by reading the file.
//! 2. [`remember`]: the digests of all files, for the next backup.
//!
//! # Consistency
//! A file is referred to only if digest and size are equal. What it refers to stays: the coordinator saw to that before
//! it sent the task. Of a pack at least half must be wanted by this task, so that what is not wanted any more does not
//! stay for ever.
//!
//! # Crash consistency
//! Nothing is written but the cache: whoever does the task again finds the same, or stores more.

mod index;

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tabvault_common::digest::Digest;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::{Lineage, TabletId};
use tabvault_common::repo::info::ManifestRef;
use tabvault_common::repo::layout;
use tabvault_common::repo::manifest::ManifestReader;

use super::Job;
use super::sent::Sent;
use crate::files;
use crate::store::Result;
use index::{ENTRY_BYTES, Index, Local};

/// Files that are read at once to learn their digests.
const READS_AT_ONCE: usize = 4;

/// Adds to `sent` what the task's parents have.
///
/// # Errors
/// That of a repository that cannot be reached. A parent that is damaged is no error: less is shared.
pub(super) async fn share(job: &Job, sent: &mut Sent) -> Result<()> {
    let missing: Vec<usize> = sent.missing().collect();
    if job.task.parents.is_empty() || missing.is_empty() {
        return Ok(());
    }
    // All that follows holds this much, and asks for no more.
    let memory = &job.context.shared.memory;
    let largest = job.task.parents.iter().map(|parent| parent.size.min(layout::MAX_MANIFEST_SIZE)).max().unwrap_or(0);
    let files: u64 = job.task.parents.iter().map(|parent| parent.files).fold(0, u64::saturating_add);
    let entries = files.min(memory.budget() / 4 / ENTRY_BYTES);
    let reads = (READS_AT_ONCE * files::PIECE) as u64;
    let _held = memory.reserve(largest + entries * ENTRY_BYTES + reads).await?;

    let sizes: HashSet<u64> = missing.iter().map(|place| job.plan.files[*place].size).collect();
    let mut index = Index::new(sizes, usize::try_from(entries).unwrap_or(usize::MAX));
    for parent in &job.task.parents {
        index = read(job, *parent, index).await?;
    }
    let candidates = missing.into_iter().filter(|place| index.has_size(job.plan.files[*place].size));
    let digests = digests(job, candidates.collect()).await?;
    let local = |(place, digest): (usize, Digest)| Local { place, size: job.plan.files[place].size, digest };
    for shared in index.choose(digests.into_iter().map(local)) {
        let bytes = shared.files.iter().map(|file| file.sums.size).sum();
        job.context.progress.add_done(bytes);
        metrics::counter!("tabvault_agent_bytes_shared_total").increment(bytes);
        sent.take(shared);
    }
    Ok(())
}

/// Adds a manifest of the parent to the index, unless it is damaged.
async fn read(job: &Job, parent: ManifestRef, index: Index) -> Result<Index> {
    let path = parent.path();
    let passed_over = |failure: &Failure| {
        tracing::warn!(path, error = %failure, "a parent's manifest cannot be read: what it names is stored again");
    };
    let bytes = match job.storage.get(&path, parent.size.min(layout::MAX_MANIFEST_SIZE)).await {
        Ok(bytes) => bytes,
        Err(failure) if failure.retry == Retry::Never && failure.kind != Kind::PermissionDenied => {
            passed_over(&failure);
            return Ok(index);
        }
        Err(failure) => return Err(failure),
    };
    let tablets = job.task.tablets.iter().map(|tablet| (tablet.identity.tablet, tablet.identity.lineage));
    let tablets: HashSet<(TabletId, Lineage)> = tablets.collect();
    let filled = job.context.blocking(move || {
        let mut index = index;
        let read = ManifestReader::verified(bytes, &parent).and_then(|manifest| index.fill(manifest, &tablets));
        Ok((index, read))
    });
    let (index, read) = filled.await?;
    if let Err(failure) = read {
        passed_over(&failure);
        return Ok(Index::new(HashSet::new(), 0));
    }
    Ok(index)
}

/// The digests of the files at `places`: what the cache knows in one go, what it does not by reading.
async fn digests(job: &Job, places: Vec<usize>) -> Result<Vec<(usize, Digest)>> {
    let (plan, shared) = (Arc::clone(&job.plan), Arc::clone(&job.context.shared));
    let looked_up = job.context.blocking(move || {
        let (mut known, mut unknown) = (Vec::with_capacity(places.len()), Vec::new());
        for place in places {
            match plan.files[place].id.and_then(|id| shared.digests.get(&id)) {
                Some(digest) => known.push((place, digest)),
                None => unknown.push(place),
            }
        }
        Ok((known, unknown))
    });
    let (mut known, unknown) = looked_up.await?;
    let read = stream::iter(unknown.into_iter().map(|place| digest(job, place))).buffer_unordered(READS_AT_ONCE);
    known.extend(read.try_collect::<Vec<_>>().await?);
    Ok(known)
}

/// The digest of the file at `place`, by reading it.
async fn digest(job: &Job, place: usize) -> Result<(usize, Digest)> {
    let (plan, stop) = (Arc::clone(&job.plan), job.context.stop.clone());
    let read = job.context.blocking(move || files::digest(&plan.local(&plan.files[place]), &stop));
    Ok((place, read.await?))
}

/// Remembers the digests of all files.
pub(super) async fn remember(job: &Job, sent: Arc<Sent>) -> Result<()> {
    let (shared, plan) = (Arc::clone(&job.context.shared), Arc::clone(&job.plan));
    let remembered = job.context.blocking(move || {
        let known = plan.files.iter().zip(sent.digests());
        shared.digests.put(known.filter_map(|(file, digest)| Some((file.id?, digest?))));
        Ok(())
    });
    remembered.await
}
