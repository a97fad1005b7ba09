//! Every file of every snapshot, in the manifest's order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{TabletId, Version};
use tabvault_common::task::Upload;

use crate::context::TaskContext;
use crate::digest_cache::FileId;
use crate::files;
use crate::journal::FileKey;
use crate::store::Result;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Plan {
    tablets: Vec<PlannedTablet>,
    /// By tablet in the task's order, then by path.
    pub(super) files: Vec<PlannedFile>,
    /// Plain bytes of all files.
    pub(super) bytes: u64,
}

#[derive(Debug)]
struct PlannedTablet {
    tablet: TabletId,
    version: Version,
    dir: PathBuf,
    files: usize,
}

/// A file to upload.
#[derive(Debug)]
pub(super) struct PlannedFile {
    tablet: usize,
    /// Within the tablet.
    pub(super) path: String,
    /// Plain bytes.
    pub(super) size: u64,
    /// What it is known by in the cache of digests.
    pub(super) id: Option<FileId>,
}

impl Plan {
    /// How many files the tablet at this index has.
    pub(super) fn count_of(&self, tablet: usize) -> usize {
        self.tablets.get(tablet).map_or(0, |tablet| tablet.files)
    }

    /// Where a file lies on this machine.
    pub(super) fn local(&self, file: &PlannedFile) -> PathBuf {
        self.tablets.get(file.tablet).map_or_else(PathBuf::new, |tablet| tablet.dir.join(Path::new(&file.path)))
    }

    /// How the journal names a file.
    pub(super) fn key(&self, file: &PlannedFile) -> FileKey {
        let (tablet, version) =
            self.tablets.get(file.tablet).map_or((TabletId(0), Version(0)), |at| (at.tablet, at.version));
        FileKey { tablet, version, path: file.path.clone(), size: file.size }
    }
}

/// Finds the snapshots and lists their files.
///
/// # Errors
/// `NotFound` if a snapshot is not here (any more): it has to be taken again. `NoSpace` below the watermark.
pub(super) async fn make(context: &TaskContext, task: &Arc<Upload>) -> Result<Plan> {
    let (shared, job, task) = (Arc::clone(&context.shared), context.key.job, Arc::clone(task));
    let planned = context.blocking(move || {
        let mut plan = Plan::default();
        for (index, tablet) in task.tablets.iter().enumerate() {
            let (tablet, version) = (tablet.identity.tablet, tablet.identity.version);
            let (root, dir) = shared.work.find_snapshot(job, tablet, version).ok_or_else(|| {
                let message = format!("upload tablet {tablet}: its snapshot of version {version} is not on this agent");
                Failure::fatal(Kind::NotFound, message)
            })?;
            shared.require_space(shared.work.root(root)?, 0)?;
            let found = files::walk(&dir)?;
            plan.tablets.push(PlannedTablet { tablet, version, dir, files: found.len() });
            for file in found {
                plan.bytes += file.size;
                plan.files.push(PlannedFile { tablet: index, path: file.path, size: file.size, id: file.id });
            }
        }
        Ok(plan)
    });
    planned.await
}
