//! `snapshot/`, `reuse/` and `download/` of every data root.
//!
//! # Overview
//! ```text
//! <work>/snapshot/<job>/<tablet>.<version>/   links to a pinned version's files, and generated ones
//! <work>/reuse/<job>/<target tablet>/         links to files that the restored tablet probably needs
//! <work>/download/<job>/<target tablet>/      verified files of a snapshot
//! ```
//! Everything belongs to a job and goes when the coordinator says that the job has ended.
//!
//! # Consistency
//! A snapshot's directory appears whole and goes whole, by rename. A file in a download directory counts only after its bytes were
//! verified, in this run or again.
//!
//! # Crash consistency
//! Nothing here is synced but downloads, by the task that makes them. Snapshots are made again after a restart of the
//! machine: [`WorkDirs::forget_snapshots`].
//!
//! # Cancellation
//! Calls block and run to their end; a removal that was interrupted is completed by the next one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tabvault_common::durable;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{JobUuid, TabletId, Version};

use crate::store::{DataRoot, Result};

const SNAPSHOT: &str = "snapshot";
const REUSE: &str = "reuse";
const DOWNLOAD: &str = "download";

/// The work directories of all data roots.
#[derive(Debug, Clone)]
pub(crate) struct WorkDirs {
    roots: Vec<PathBuf>,
}

impl WorkDirs {
    pub(crate) fn new(roots: &[DataRoot]) -> Self {
        Self { roots: roots.iter().map(|root| root.work.clone()).collect() }
    }

    /// Makes the directories. What jobs download is put apart from what is on the disk already: often that is a table
    /// that was just dropped.
    pub(crate) fn prepare(&self) -> Result<()> {
        self.roots.iter().map(|root| root.join(DOWNLOAD)).try_for_each(|download| {
            durable::create_dir_all(&download)?;
            durable::spread_below(&download)
        })
    }

    /// The work directory of the root with this index.
    pub(crate) fn root(&self, index: usize) -> Result<&Path> {
        self.roots.get(index).map(PathBuf::as_path).ok_or_else(|| {
            let message = format!("the store speaks of data root {index} and has {}", self.roots.len());
            Failure::fatal(Kind::Internal, message)
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.roots.len()
    }

    /// Where the snapshot of a tablet lies if it is on this root.
    pub(crate) fn snapshot(&self, root: usize, job: JobUuid, tablet: TabletId, version: Version) -> Result<PathBuf> {
        Ok(self.root(root)?.join(SNAPSHOT).join(job.to_string()).join(format!("{tablet}.{version}")))
    }

    /// The root on which there is a snapshot of a tablet, and its directory.
    pub(crate) fn find_snapshot(&self, job: JobUuid, tablet: TabletId, version: Version) -> Option<(usize, PathBuf)> {
        (0..self.roots.len())
            .filter_map(|root| self.snapshot(root, job, tablet, version).ok().map(|dir| (root, dir)))
            .find(|(_, dir)| dir.is_dir())
    }

    pub(crate) fn reuse(&self, root: usize, job: JobUuid, tablet: TabletId) -> Result<PathBuf> {
        Ok(self.root(root)?.join(REUSE).join(job.to_string()).join(tablet.to_string()))
    }

    pub(crate) fn download(&self, root: usize, job: JobUuid, tablet: TabletId) -> Result<PathBuf> {
        Ok(self.root(root)?.join(DOWNLOAD).join(job.to_string()).join(tablet.to_string()))
    }

    /// The jobs that have a directory here.
    pub(crate) fn jobs(&self) -> Result<BTreeSet<JobUuid>> {
        let mut jobs = BTreeSet::new();
        for root in &self.roots {
            for kind in [SNAPSHOT, REUSE, DOWNLOAD] {
                jobs.extend(names(&root.join(kind))?.iter().filter_map(|name| name.parse::<JobUuid>().ok()));
            }
        }
        Ok(jobs)
    }

    /// Removes everything of a job.
    pub(crate) fn remove_job(&self, job: JobUuid) -> Result<()> {
        for root in &self.roots {
            for kind in [SNAPSHOT, REUSE, DOWNLOAD] {
                durable::remove_dir_all(&root.join(kind).join(job.to_string()))?;
            }
        }
        Ok(())
    }

    /// Removes all snapshots: after a restart of the machine their generated files may be torn.
    pub(crate) fn forget_snapshots(&self) -> Result<()> {
        self.roots.iter().try_for_each(|root| durable::remove_dir_all(&root.join(SNAPSHOT)))
    }
}

/// The names in a directory; none if it is not there.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>> {
    let failed = |error: &std::io::Error| Failure::io(format_args!("list {}", dir.display()), error);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(&error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(|e| failed(&e))?.file_name().into_string());
    }
    Ok(names)
}
