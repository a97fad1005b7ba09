//! Which files are wanted, and where they go.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use tabvault_common::durable;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::TabletIdentity;
use tabvault_common::repo::layout;
use tabvault_common::repo::manifest::{ManifestFile, ManifestPack, ManifestReader, ManifestRecord};
use tabvault_common::task::{Download, TabletMapping};

use super::{Job, unreadable};
use crate::context::TaskContext;
use crate::files;
use crate::store::Result;

/// A local tablet that files are fetched for.
#[derive(Debug)]
pub(super) struct Target {
    /// As the manifest names it.
    pub(super) source: TabletIdentity,
    /// The data root of the local tablet.
    pub(super) root: usize,
    /// Where verified files go.
    pub(super) dir: PathBuf,
    /// Where files are that are not verified yet; emptied before the first.
    pub(super) temporary: PathBuf,
    /// Where files may be that can be linked instead.
    pub(super) reuse: PathBuf,
}

/// A file and where it goes.
#[derive(Debug, Clone)]
pub(super) struct Want {
    /// Index into the targets.
    pub(super) target: usize,
    /// The data root of the target.
    pub(super) root: usize,
    /// The target's directories.
    pub(super) dirs: Arc<Dirs>,
    /// Unlike that of any other file of the task.
    number: usize,
    /// What the manifest says.
    pub(super) file: ManifestFile,
}

/// See [`Target`].
#[derive(Debug)]
pub(super) struct Dirs {
    pub(super) dir: PathBuf,
    temporary: PathBuf,
}

impl Want {
    /// A name for it until it is verified.
    pub(super) fn temporary(&self) -> PathBuf {
        self.dirs.temporary.join(self.number.to_string())
    }
}

/// Where the files of each mapping go. The directories are made.
pub(super) async fn targets(context: &TaskContext, mappings: &[TabletMapping]) -> Result<Vec<Target>> {
    let (shared, job) = (Arc::clone(&context.shared), context.key.job);
    let mut targets = Vec::with_capacity(mappings.len());
    for mapping in mappings {
        let (store, target) = (Arc::clone(&shared.store), mapping.target);
        let root = context.to_end(async move { store.root_of(target).await }).await?;
        let dir = shared.work.download(root, job, target)?;
        let mut temporary = dir.clone().into_os_string();
        temporary.push(".tmp");
        let reuse = shared.work.reuse(root, job, target)?;
        targets.push(Target { source: mapping.source.clone(), root, dir, temporary: temporary.into(), reuse });
    }
    let made = context.blocking(move || {
        for target in &targets {
            durable::remove_dir_all(&target.temporary)?;
            files::make_dir(&target.temporary)?;
            files::make_dir(&target.dir)?;
        }
        Ok(targets)
    });
    made.await
}

/// The wanted files, and the packs that the manifest declares.
///
/// # Errors
/// `NotFound` or `Corrupt`, naming the manifest, if it is not there, not what its reference says, or lacks a tablet.
pub(super) async fn read_manifest(
    job: &Job,
    task: &Download,
    targets: &Arc<Vec<Target>>,
) -> Result<(Vec<Want>, BTreeMap<String, ManifestPack>)> {
    let path = task.manifest.path();
    if task.manifest.size > layout::MAX_MANIFEST_SIZE {
        let message = format!("{path} is damaged: a manifest cannot have {} bytes", task.manifest.size);
        return Err(Failure::fatal(Kind::Corrupt, message));
    }
    let memory = job.context.shared.memory.reserve(task.manifest.size).await?;
    let bytes = job.storage.get(&path, task.manifest.size).await.map_err(|failure| match failure.kind {
        Kind::ResourceExhausted => {
            let message = format!("{path} is damaged: it has more than {} bytes", task.manifest.size);
            Failure::fatal(Kind::Corrupt, message)
        }
        _ => unreadable(&job.storage, &path, failure),
    })?;
    let (reference, targets) = (task.manifest, Arc::clone(targets));
    let read = job.context.blocking(move || {
        let _memory = memory;
        select(ManifestReader::verified(bytes, &reference)?, &targets, &path)
    });
    read.await
}

fn select(
    manifest: impl Iterator<Item = Result<ManifestRecord>>,
    targets: &[Target],
    path: &str,
) -> Result<(Vec<Want>, BTreeMap<String, ManifestPack>)> {
    let mut missing: HashMap<&TabletIdentity, Vec<usize>> = HashMap::new();
    for (index, target) in targets.iter().enumerate() {
        missing.entry(&target.source).or_default().push(index);
    }
    let dirs = |target: &Target| Arc::new(Dirs { dir: target.dir.clone(), temporary: target.temporary.clone() });
    let dirs: Vec<Arc<Dirs>> = targets.iter().map(dirs).collect();
    let (mut wants, mut packs, mut current) = (Vec::new(), BTreeMap::new(), Vec::new());
    for record in manifest {
        match record? {
            ManifestRecord::Pack(pack) => {
                packs.insert(pack.path.clone(), pack);
            }
            ManifestRecord::Tablet(tablet) => current = missing.remove(&tablet.identity).unwrap_or_default(),
            ManifestRecord::File(file) => {
                wants.extend(current.iter().zip(wants.len()..).map(|(target, number)| Want {
                    target: *target,
                    root: targets[*target].root,
                    dirs: Arc::clone(&dirs[*target]),
                    number,
                    file: file.clone(),
                }))
            }
        }
    }
    match missing.keys().next() {
        None => Ok((wants, packs)),
        Some(identity) => {
            let message = format!("{path} does not hold tablet {} at version {}", identity.tablet, identity.version);
            Err(Failure::fatal(Kind::NotFound, message))
        }
    }
}
