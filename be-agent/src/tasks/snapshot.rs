//! MakeSnapshot: versions are pinned and their files hard-linked.
//!
//! # Consistency
//! A snapshot's directory appears whole, by rename; a second attempt finds it and gives the same answer. Data files are
//! linked, never copied.
//!
//! # Crash consistency
//! Nothing is synced: a snapshot need not outlive the machine. What a crash leaves under a temporary name goes with
//! the job.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt, stream};
use tabvault_common::durable::{self, Directories};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::TabletId;
use tabvault_common::task::{MakeSnapshot, TabletTotals, TabletVersion, TaskResult};
use uuid::Uuid;

use crate::context::TaskContext;
use crate::files::{self, Places};
use crate::store::{PinnedContent, PinnedFiles, PinnedTablet, Result};

/// Tablets that are linked at once: the file system does it for several directories side by side.
const AT_ONCE: usize = 2;

pub(super) async fn run(context: &TaskContext, task: MakeSnapshot) -> Result<TaskResult> {
    let (mut tablets, mut failed) = (Vec::new(), Vec::new());
    let each = task.tablets.into_iter().map(|at| async move { (at.tablet, snapshot(context, at).await) });
    let mut each = stream::iter(each).buffered(AT_ONCE);
    while let Some((tablet, made)) = each.next().await {
        match made {
            Ok(totals) => {
                context.progress.add_total(totals.bytes);
                context.progress.add_done(totals.bytes);
                tablets.push(totals);
            }
            // What is wrong with this machine rather than with the tablet is no better with the next one.
            Err(failure) if matches!(failure.kind, Kind::Unsupported | Kind::NoSpace | Kind::Cancelled) => {
                return Err(failure);
            }
            Err(failure) => failed.push((tablet, failure)),
        }
    }
    Ok(TaskResult::Snapshotted { tablets, failed })
}

async fn snapshot(context: &TaskContext, at: TabletVersion) -> Result<TabletTotals> {
    let (shared, job) = (Arc::clone(&context.shared), context.key.job);
    let existing = context.blocking(move || {
        let found = shared.work.find_snapshot(job, at.tablet, at.version);
        found.map(|(_, dir)| totals(at.tablet, &dir)).transpose()
    });
    if let Some(totals) = existing.await? {
        return Ok(totals);
    }
    let store = Arc::clone(&context.shared.store);
    let pinned = context.to_end(async move { store.pin(at).await }).await?;
    context.require_space(pinned.root, 0).await?;
    let dir = context.shared.work.snapshot(pinned.root, job, at.tablet, at.version)?;
    let linked = context.blocking(move || {
        link_all(pinned, &dir)?;
        totals(at.tablet, &dir)
    });
    linked.await.map_err(|failure| failure.context(format_args!("snapshot tablet {}", at.tablet)))
}

/// Brings a pinned tablet's files into `dir`, which appears whole.
fn link_all(pinned: PinnedTablet, dir: &Path) -> Result<()> {
    let mut name = dir.as_os_str().to_owned();
    name.push(format!(".tmp-{}", Uuid::new_v4()));
    let temporary = Path::new(&name);
    files::make_dir(temporary)?;
    let filled = fill(pinned.files, temporary).and_then(|()| files::rename(temporary, dir));
    match filled {
        Ok(true) => Ok(()),
        // Somebody else made it meanwhile, of the same version.
        Ok(false) => durable::remove_dir_all(temporary),
        Err(failure) => {
            if let Err(error) = durable::remove_dir_all(temporary) {
                tracing::warn!(%error, "could not remove a half-made snapshot");
            }
            Err(failure)
        }
    }
}

fn fill(files: PinnedFiles, dir: &Path) -> Result<()> {
    let (mut places, mut directories) = (Places::default(), Directories::default());
    for file in files {
        let file = file?;
        let place = places.place(dir, &file.path)?;
        match &file.content {
            PinnedContent::File(from) => directories.link(from, &place)?,
            PinnedContent::Generated(bytes) => directories
                .create_new(&place)
                .and_then(|mut file| file.write_all(bytes))
                .map_err(|error| Failure::io(format_args!("write {}", place.display()), &error))?,
        }
    }
    Ok(())
}

fn totals(tablet: TabletId, dir: &Path) -> Result<TabletTotals> {
    let mut totals = TabletTotals { tablet, files: 0, bytes: 0 };
    files::each_below(dir, &mut |_, entry| {
        if let files::Entry::File(size, _) = entry {
            (totals.files, totals.bytes) = (totals.files + 1, totals.bytes + size);
        }
        Ok(())
    })?;
    Ok(totals)
}
