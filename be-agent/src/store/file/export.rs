//! An export: tablets' visible files written out as the tree they came from.
//!
//! # Overview
//! Into a directory of this machine, the tree is written beside the target first, in a staging directory that all
//! agents of the machine share, and then renamed; see [`tree`] and [`place`]. To remote storage, regular files are
//! written as objects; see [`remote`]. Every file's bytes are compared with the digest in the index while they are
//! copied.
//!
//! # Consistency
//! A local target appears whole, or not at all. Into one prefix of remote storage one export writes at a time; see
//! [`claim`]. The steps are idempotent, each for itself, and may be taken by several agents at once; the coordinator
//! takes the next step when all have taken the one before. Discarding stops what is still being written, and is final.
//!
//! # Crash consistency
//! Until the rename there is only the staging directory. Before the rename everything in it is synced.
//! [`ExportStep::Discard`] removes what is half-made. Where it never comes, [`sweep`] does the same when the coordinator
//! says that the export has ended; [`under_way`] remembers what there is to remove.
//!
//! # Cancellation
//! Dropping a step stops it at the next buffer; the next step waits until then.

use std::path::PathBuf;
use std::sync::Arc;

use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::{JobUuid, TabletId};
use tabvault_common::task::{Export, ExportStep, ExportTablet};

use self::claim::Claim;
use self::place::Place;
use self::under_way::Begun;
use super::Inner;
use super::budget::{self, BUFFERS, ENTRY};
use super::entry::Entry;
use super::location::{self, Location};
use super::parallel::{Stop, blocking, to_end};
use super::path::TreePath;
use crate::memory::Memory;
use crate::progress::Progress;
use crate::store::Result;

mod claim;
mod directories;
mod place;
mod remote;
mod tree;
mod under_way;

pub(super) use under_way::UnderWay;

/// One tablet's part of the tree.
struct Part {
    tablet: TabletId,
    /// Where they go, below the target, and where a file's bytes are.
    items: Vec<Item>,
}

/// One entry of the tree.
struct Item {
    path: TreePath,
    entry: Entry,
    /// The data file of a regular file.
    data: Option<PathBuf>,
}

/// See [`crate::load::LoadStore::export`].
pub(super) async fn export(
    inner: &Arc<Inner>,
    job: JobUuid,
    task: &Export,
    progress: &Arc<Progress>,
    memory: &Memory,
) -> Result<(u64, u64)> {
    let context = |failure: Failure| failure.context(format_args!("export to {}", task.target.location));
    let target = location::parse(&task.target).map_err(context)?;
    let begun = inner.exports.begin(job, task);
    match task.step {
        ExportStep::Write => write(inner, job, task, (target, begun), progress, memory).await,
        ExportStep::Publish => publish(inner, job, task, target, begun).await.map(|()| (0, 0)),
        ExportStep::Discard => discard(inner, job, task, begun).await.map(|()| (0, 0)),
    }
    .map_err(context)
}

async fn write(
    inner: &Arc<Inner>,
    job: JobUuid,
    task: &Export,
    (target, begun): (Location, Arc<Begun>),
    progress: &Arc<Progress>,
    memory: &Memory,
) -> Result<(u64, u64)> {
    let (inner, task, progress) = (inner.clone(), task.clone(), progress.clone());
    match target {
        Location::Local(target) => {
            // Tablet by tablet.
            let entries = task.tablets.iter().map(|wanted| size(&inner, wanted).0 * ENTRY).max().unwrap_or_default();
            let (held, _) = budget::reserve(memory, entries, BUFFERS).await?;
            let turn = begun.turn().await;
            let written = blocking(move |stop| {
                let _held = (held, turn);
                begun.work(stop)?;
                let place = Place::new(target, job)?;
                place.check_roots(&inner.roots)?;
                inner.exports.record(job, &task.target.location)?;
                tree::write(&place, &inner, &task.tablets, &progress, stop)
            });
            written.await
        }
        Location::Remote => {
            let sizes = task.tablets.iter().map(|wanted| size(&inner, wanted));
            let (files, bytes) = sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
            let storage = inner.storage.open(&task.target).await?;
            // The largest file may be all there is. Smaller ones share the room.
            let buffers = remote::buffers(&*storage, bytes).max(BUFFERS);
            let (held, buffers) = budget::reserve(memory, files * ENTRY, buffers).await?;
            let turn = begun.turn().await;
            let written = to_end(move |stop| async move {
                let _held = (held, turn);
                begun.work(&stop)?;
                let claim = Claim::new(storage.clone(), job, &task.tablets);
                let given = (&*progress, &Memory::new(buffers), &stop);
                remote::write(&storage, &claim, &inner, &task.tablets, given).await
            });
            written.await
        }
    }
}

async fn publish(inner: &Arc<Inner>, job: JobUuid, task: &Export, target: Location, begun: Arc<Begun>) -> Result<()> {
    let turn = begun.turn().await;
    begun.work(&Stop::default())?;
    if let Location::Remote = target {
        let storage = inner.storage.open(&task.target).await?;
        Claim::new(storage, job, &task.tablets).publish().await?;
    }
    let inner = inner.clone();
    let published = blocking(move |_| {
        let _turn = turn;
        if let Location::Local(target) = target {
            Place::new(target, job)?.publish()?;
        }
        inner.exports.settle(job, &begun)
    });
    published.await
}

/// Stops what is being written, and removes it.
async fn discard(inner: &Arc<Inner>, job: JobUuid, task: &Export, begun: Arc<Begun>) -> Result<()> {
    begun.give_up();
    let turn = begun.turn().await;
    let target = location::parse(&task.target)?;
    let (inner, task) = (inner.clone(), task.clone());
    // To the end: a deletion that is on its way must not arrive when the claim is given up.
    let discarded = to_end(move |_| async move {
        let _turn = turn;
        if let Location::Remote = target {
            let storage = inner.storage.open(&task.target).await?;
            let claim = Claim::new(storage, job, &task.tablets);
            claim.discard(remote::names(&inner, &task.tablets)).await?;
        }
        let removed = blocking(move |_| {
            if let Location::Local(target) = target {
                Place::new(target, job)?.discard()?;
            }
            inner.exports.settle(job, &begun)
        });
        removed.await
    });
    discarded.await
}

/// Removes what is left here of an export that nobody will finish, and forgets it.
pub(super) async fn sweep(inner: &Arc<Inner>, job: JobUuid) -> Result<()> {
    let Some(begun) = inner.exports.get(job) else { return Ok(()) };
    if !begun.is_settled() {
        let target = &begun.task.target;
        let remote = matches!(location::parse(target), Ok(Location::Remote));
        let context =
            |failure: Failure| failure.context(format_args!("remove what export {job} left in {}", target.location));
        match discard(inner, job, &begun.task, begun.clone()).await.map_err(context) {
            // It would fail for ever: keys have changed, or the tablet is gone whose files were written.
            Err(failure) if remote && failure.retry == Retry::Never => {
                tracing::error!(%failure, "leave objects of an export that was given up behind");
            }
            discarded => discarded?,
        }
    }
    inner.exports.forget(job);
    Ok(())
}

/// About how many files and bytes are visible in a tablet; none if it cannot be read.
fn size(inner: &Inner, wanted: &ExportTablet) -> (u64, u64) {
    let Ok(tablet) = inner.tablet(wanted.at.tablet) else { return (0, 0) };
    let state = tablet.state();
    state.rowsets.get(&wanted.at.version).map_or((0, 0), |rowset| (rowset.files, rowset.bytes))
}

/// Reads what is visible in a tablet. Blocks.
///
/// The tablet is not kept from being dropped: an export may take hours. Then a file is missing, and that is said.
fn part(inner: &Inner, wanted: &ExportTablet) -> Result<Part> {
    let tablet = inner.tablet(wanted.at.tablet)?;
    let state = tablet.snapshot()?;
    state.check_readable(wanted.at)?;
    let directory = wanted.directory.as_str();
    if !directory.is_empty() {
        TreePath::new(directory.as_bytes().to_vec()).map_err(|error| {
            Failure::fatal(Kind::InvalidArgument, format!("the directory of tablet {}: {error}", tablet.id))
        })?;
    }
    let mut items = Vec::new();
    for entry in tablet.visible(&state, wanted.at.version)? {
        let entry = entry?;
        let path = entry.path().within(directory).map_err(|error| {
            Failure::fatal(Kind::InvalidArgument, format!("a file of tablet {}: {error}", tablet.id))
        })?;
        let data = match &entry {
            Entry::File { data, .. } => Some(tablet.data_path(&state, *data)?),
            Entry::Symlink { .. } | Entry::Directory { .. } | Entry::Gone { .. } => None,
        };
        items.push(Item { path, entry, data });
    }
    Ok(Part { tablet: tablet.id, items })
}

/// The refusal of bytes that are not what the index says.
fn corrupt(item: &Item) -> Failure {
    let data = item.data.as_deref().unwrap_or(item.path.as_path()).display();
    Failure::fatal(
        Kind::Corrupt,
        format!("`{}`: the data file {data} does not have the digest that its index says", item.path),
    )
}

/// Why the data file of `item` cannot be read.
fn unreadable(item: &Item, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::NotFound {
        let message = format!("`{}`: its data file is gone; was the table dropped meanwhile?", item.path);
        return Failure::fatal(Kind::FailedPrecondition, message);
    }
    Failure::io(format_args!("read the data file of `{}`", item.path), error)
}
