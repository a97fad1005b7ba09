//! An export: tablets' visible files written out as the tree they came from.
//!
//! # Overview
//! Into a directory of this machine, the tree is written beside the target first, in a staging directory that all
//! agents of the machine share, and then renamed; see [`tree`] and [`place`]. To remote storage, regular files are
//! written as objects; see [`remote`]. Every file's bytes are compared with the digest in the index while they are
//! copied.
//!
//! # Consistency
//! A local target appears whole, or not at all. The steps are idempotent, each for itself, and may be taken by several
//! agents of one machine at once; the coordinator takes the next step when all have taken the one before.
//!
//! # Crash consistency
//! Until the rename there is only the staging directory, which [`ExportStep::Discard`] removes. Before the rename
//! everything in it is synced.

use std::path::PathBuf;
use std::sync::Arc;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{JobUuid, TabletId};
use tabvault_common::task::{Export, ExportStep, ExportTablet};

use super::Inner;
use super::entry::Entry;
use super::location::{self, Location};
use super::parallel::blocking;
use super::path::TreePath;
use crate::progress::Progress;
use crate::store::Result;

mod directories;
mod place;
mod remote;
mod tree;

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
) -> Result<(u64, u64)> {
    let context = |failure: Failure| failure.context(format_args!("export to {}", task.target.location));
    match location::parse(&task.target).map_err(context)? {
        Location::Local(target) => {
            let (inner, task, progress) = (inner.clone(), task.clone(), progress.clone());
            let exported = blocking(move |stop| {
                let place = place::Place::new(target, job)?;
                match task.step {
                    ExportStep::Write => tree::write(&place, &inner, &task.tablets, &progress, stop),
                    ExportStep::Publish => place.publish().map(|()| (0, 0)),
                    ExportStep::Discard => place.discard().map(|()| (0, 0)),
                }
            });
            exported.await.map_err(context)
        }
        Location::Remote => {
            let storage = inner.storage.open(&task.target).await.map_err(context)?;
            match task.step {
                ExportStep::Write => remote::write(&storage, inner, job, &task.tablets, progress).await,
                ExportStep::Publish => remote::publish(&storage, job).await.map(|()| (0, 0)),
                ExportStep::Discard => remote::discard(&storage, job).await.map(|()| (0, 0)),
            }
            .map_err(context)
        }
    }
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
    for entry in tablet.view(&state, wanted.at.version)?.into_entries() {
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
