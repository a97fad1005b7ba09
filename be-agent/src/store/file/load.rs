//! A load: a directory's files become a version of tablets.
//!
//! # Overview
//! Every agent walks the whole source and takes what falls into the buckets of its tablets ([`bucket_of`]). It walks
//! twice: first it counts what it will have to hold, and reserves the memory for it. Regular
//! files are copied while they are hashed, and must not change meanwhile. Symbolic links are kept as links, whatever
//! they point to, and directories as entries of their own, so that empty ones and permissions survive. Permission bits
//! and modification times are kept; see [`super::entry::Entry`] for what is not.
//!
//! # Consistency
//! A path replaces what was loaded at that path before. Where the source has a file or link and an earlier load had a
//! directory, what lay in that directory is marked as gone, in whatever tablet it is: each agent sees the whole source
//! and so knows. The same load done again answers as it did, without reading: it must not change what may be published.
//!
//! # Crash consistency
//! Data files are copied to their final place, where they mean nothing until the tablet's index names them; they are
//! synced before. A load that failed, or that was given up, removes what it copied and leaves its tablets as they were.

use std::path::PathBuf;
use std::sync::Arc;

use tabvault_broker::storage::Storage;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{JobUuid, TabletId, Version};
use tabvault_common::task::{Load, LoadTablet, LoadedTablet};
use tokio::sync::OwnedMutexGuard;

use self::batch::{Batch, Slot};
use self::tally::Tally;
use super::Inner;
use super::budget::{self, BUFFERS};
use super::header::Header;
use super::index::Rowset;
use super::location::{self, Location};
use super::parallel::blocking;
use super::tablet::Tablet;
use crate::memory::Memory;
use crate::progress::Progress;
use crate::store::Result;

mod batch;
mod copy;
mod local;
mod remote;
mod tally;

/// The bucket that a file belongs to: the first eight bytes of the BLAKE3 digest of its path below the source
/// directory (`/` between parts, any bytes, as they are), read as a little-endian number, modulo `buckets`, of which
/// there is at least one.
#[must_use]
pub fn bucket_of(path: &[u8], buckets: u32) -> u32 {
    let digest = blake3::hash(path);
    let (first, _) = digest.as_bytes().split_at(8);
    let number = first.iter().rev().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    // Less than `buckets`, so it fits.
    u32::try_from(number % u64::from(buckets.max(1))).unwrap_or_default()
}

/// See [`crate::load::LoadStore::load`].
pub(super) async fn load(
    inner: &Arc<Inner>,
    job: JobUuid,
    task: &Load,
    progress: &Arc<Progress>,
    memory: &Memory,
) -> Result<Vec<LoadedTablet>> {
    let context = |failure: Failure| failure.context(format_args!("load {}", task.source.location));
    load_from(inner, job, task, progress, memory).await.map_err(context)
}

async fn load_from(
    inner: &Arc<Inner>,
    job: JobUuid,
    task: &Load,
    progress: &Arc<Progress>,
    memory: &Memory,
) -> Result<Vec<LoadedTablet>> {
    check(task)?;
    let source = match location::parse(&task.source)? {
        Location::Local(dir) => {
            let (source, inner) = (dir.clone(), inner.clone());
            blocking(move |_| local::check_source(&source, &inner.roots)).await?;
            Source::Local(dir)
        }
        Location::Remote => Source::Remote(inner.storage.open(&task.source).await?),
    };
    // In one order everywhere: two loads of the same tablets must not wait for each other.
    let mut tablets = task.tablets.clone();
    tablets.sort_unstable_by_key(|tablet| tablet.tablet);
    if let Some(answers) = tablets.iter().map(|wanted| done_before(inner, job, task.version, wanted)).collect() {
        return Ok(answers);
    }
    // Memory comes before the tablets: whoever waits for a tablet holds memory that nobody with the tablet waits for.
    let tally = Tally::new(task, memory);
    let (tally, buffers) = match &source {
        Source::Local(dir) => {
            let dir = dir.clone();
            (blocking(move |stop| local::count(tally, &dir, stop)).await?, BUFFERS)
        }
        Source::Remote(storage) => (remote::count(tally, storage).await?, remote::BUFFERS),
    };
    let (held, buffers) = budget::reserve(memory, tally.bytes(), buffers).await?;
    let mut answers = Vec::new();
    let mut slots = Vec::new();
    for wanted in &tablets {
        let (tablet, change) = enter(inner, wanted).await?;
        if let Some(answer) = done_before(inner, job, task.version, wanted) {
            answers.push(answer);
            continue;
        }
        let state = tablet.snapshot()?;
        state.check_schema(wanted.schema_hash)?;
        state.check_settled()?;
        check_next(&state, task.version)?;
        slots.push(Slot::new(tablet, change, state, wanted.bucket));
    }
    if slots.is_empty() {
        return Ok(answers);
    }
    let batch = Batch::new(inner.clone(), job, task, slots, &tally);
    let progress = Arc::clone(progress);
    let loaded = match source {
        Source::Local(dir) => {
            let loaded = blocking(move |stop| {
                let _held = held;
                local::load(batch, &dir, &progress, stop)
            });
            loaded.await?
        }
        Source::Remote(storage) => {
            let _held = held;
            remote::load(batch, &storage, &Memory::new(buffers), &progress).await?
        }
    };
    answers.extend(loaded);
    answers.sort_unstable_by_key(|answer| answer.tablet);
    Ok(answers)
}

/// Where the files come from.
enum Source {
    Local(PathBuf),
    Remote(Arc<dyn Storage>),
}

/// What this very load has answered for a tablet before, if it has.
fn done_before(inner: &Inner, job: JobUuid, version: Version, wanted: &LoadTablet) -> Option<LoadedTablet> {
    let tablet = inner.tablet(wanted.tablet).ok()?;
    let state = tablet.snapshot().ok()?;
    state.check_schema(wanted.schema_hash).ok()?;
    state.check_settled().ok()?;
    let rowset = state.rowsets.get(&version).filter(|rowset| rowset.job == job && version > state.header.base)?;
    Some(answer(tablet.id, rowset))
}

/// Refuses a task that contradicts itself.
fn check(task: &Load) -> Result<()> {
    let wrong = |why: &str| Err(Failure::fatal(Kind::InvalidArgument, why));
    if task.version <= Version::INITIAL {
        return wrong("the first load makes version 2");
    }
    if let Some(outside) = task.tablets.iter().find(|tablet| tablet.bucket >= task.buckets) {
        return wrong(&format!("tablet {} is bucket {} of {}", outside.tablet, outside.bucket, task.buckets));
    }
    for (index, tablet) in task.tablets.iter().enumerate() {
        let others = task.tablets.iter().skip(index + 1);
        if others.into_iter().any(|other| other.tablet == tablet.tablet || other.bucket == tablet.bucket) {
            return wrong(&format!("tablet {} or its bucket {} is named twice", tablet.tablet, tablet.bucket));
        }
    }
    Ok(())
}

/// Finds a tablet, or makes it for its first load, and takes the right to change it.
async fn enter(inner: &Arc<Inner>, wanted: &LoadTablet) -> Result<(Arc<Tablet>, OwnedMutexGuard<()>)> {
    let tablet = match inner.tablet(wanted.tablet) {
        Ok(tablet) => tablet,
        Err(_) => {
            let creating = inner.creating.clone().lock_owned().await;
            let (inner, wanted) = (inner.clone(), *wanted);
            blocking(move |_| {
                let _creating = creating;
                // Somebody else may have made it meanwhile.
                inner.tablet(wanted.tablet).or_else(|_| {
                    let header = Header::new(wanted.tablet, wanted.schema_hash, wanted.lineage, None);
                    inner.make(header, inner.choose_root(None)?)
                })
            })
            .await?
        }
    };
    let change = tablet.change.clone().lock_owned().await;
    Ok((tablet, change))
}

/// Refuses a version that would leave a gap, or that others were built on.
fn check_next(state: &super::tablet::State, version: Version) -> Result<()> {
    let (tablet, latest) = (state.header.tablet, state.latest());
    if version > latest.next() {
        return Err(state.lacks(Version(version.0 - 1)));
    }
    if version < latest || version <= state.header.base {
        let message =
            format!("tablet {tablet} has version {latest} already: version {version} can no longer be loaded");
        return Err(Failure::fatal(Kind::FailedPrecondition, message));
    }
    Ok(())
}

/// What is said of a tablet after a load.
fn answer(tablet: TabletId, rowset: &Rowset) -> LoadedTablet {
    LoadedTablet {
        tablet,
        loaded_files: rowset.loaded_files,
        loaded_bytes: rowset.loaded_bytes,
        files: rowset.files,
        bytes: rowset.bytes,
        digest: rowset.digest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_what_the_documentation_says() {
        // From `printf %s dir/file | b3sum`: the first eight bytes, the last of them first.
        let digest = blake3::hash(b"dir/file");
        let mut eight = [0; 8];
        eight.copy_from_slice(&digest.as_bytes()[..8]);
        for buckets in [1, 2, 7, 48, u32::MAX] {
            assert_eq!(u64::from(bucket_of(b"dir/file", buckets)), u64::from_le_bytes(eight) % u64::from(buckets));
        }
    }

    #[test]
    fn buckets_never_move() {
        // A table that was loaded by an earlier version must be loaded on by this one.
        let buckets: Vec<u32> =
            ["a", "dir/file", "größe", ""].iter().map(|path| bucket_of(path.as_bytes(), 16)).collect();
        assert_eq!(buckets, FROZEN);
    }

    const FROZEN: [u32; 4] = [7, 11, 8, 15];
}
