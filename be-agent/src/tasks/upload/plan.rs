//! Every file of every snapshot, in the manifest's order.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{TabletId, Version};
use tabvault_common::task::Upload;

use super::sent;
use crate::context::TaskContext;
use crate::digest_cache::FileId;
use crate::files;
use crate::journal::{FileKey, Stored};
use crate::memory::list::Listed;
use crate::store::Result;

/// Bytes that are held of a file: here, of where it is stored, and in lists of what is still to be sent.
const FILE: u64 = size_of::<PlannedFile>() as u64 + PATH + sent::FILE + 2 * size_of::<usize>() as u64;

/// Tablets that are listed at once.
const AT_ONCE: usize = 4;

/// Bytes that the path of a file takes, as the built-in store and others name files; longer ones take more.
const PATH: u64 = 32;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Plan {
    tablets: Vec<PlannedTablet>,
    /// By tablet in the task's order, then by path.
    pub(super) files: Vec<PlannedFile>,
    /// Plain bytes of all files.
    pub(super) bytes: u64,
    /// Memory for all of this.
    _listed: Option<Listed>,
}

#[derive(Debug)]
struct PlannedTablet {
    tablet: TabletId,
    version: Version,
    dir: PathBuf,
    /// Its files' places.
    files: Range<usize>,
}

/// A file to upload. There may be very many.
#[derive(Debug)]
pub(super) struct PlannedFile {
    tablet: u32,
    /// Within the tablet.
    path: Box<str>,
    /// Plain bytes.
    pub(super) size: u64,
    /// What it is known by in the cache of digests.
    pub(super) id: Option<FileId>,
}

impl Plan {
    /// Of the tablets in the task's order, each with its files.
    fn whole(lists: Vec<(PlannedTablet, Vec<PlannedFile>)>, listed: Option<Listed>) -> Self {
        let mut plan = Self { _listed: listed, ..Self::default() };
        let count: usize = lists.iter().map(|(_, own)| own.len()).sum();
        for (mut tablet, own) in lists {
            let start = plan.files.len();
            // Of one tablet alone, which may have very many, nothing is copied.
            if start == 0 {
                plan.files = own;
                plan.files.reserve_exact(count - plan.files.len());
            } else {
                plan.files.extend(own);
            }
            tablet.files = start..plan.files.len();
            plan.tablets.push(tablet);
        }
        plan.bytes = plan.files.iter().map(|file| file.size).sum();
        plan
    }

    /// The places of the files of the tablet at this index.
    pub(super) fn files_of(&self, tablet: usize) -> Range<usize> {
        self.tablets.get(tablet).map_or(0..0, |tablet| tablet.files.clone())
    }

    /// The path of the file at `place` within its tablet.
    pub(super) fn path(&self, place: usize) -> &str {
        self.files.get(place).map_or("", |file| &file.path)
    }

    /// Where a file lies on this machine.
    pub(super) fn local(&self, file: &PlannedFile) -> PathBuf {
        let tablet = self.tablets.get(file.tablet as usize);
        tablet.map_or_else(PathBuf::new, |tablet| tablet.dir.join(Path::new(&*file.path)))
    }

    /// How the journal names the file at `place`.
    pub(super) fn key(&self, place: usize) -> FileKey {
        let file = self.files.get(place);
        let tablet = file.and_then(|file| self.tablets.get(file.tablet as usize));
        let (tablet, version) = tablet.map_or((TabletId(0), Version(0)), |at| (at.tablet, at.version));
        FileKey { tablet, version, path: self.path(place).to_owned(), size: file.map_or(0, |file| file.size) }
    }

    /// The place of a file that the journal tells of.
    pub(super) fn find(&self, stored: &Stored) -> Option<usize> {
        let at = |tablet: &&PlannedTablet| (tablet.tablet, tablet.version) == (stored.tablet, stored.version);
        let tablet = self.tablets.iter().find(at)?;
        let files = self.files.get(tablet.files.clone())?;
        let n = files.binary_search_by(|file| (*file.path).cmp(stored.file.path.as_str())).ok()?;
        (files.get(n)?.size == stored.file.size).then_some(tablet.files.start + n)
    }
}

/// Finds the snapshots and lists their files, which are counted first: what they take in memory is waited for.
///
/// # Errors
/// `NotFound` if a snapshot is not here (any more): it has to be taken again. `NoSpace` below the watermark.
/// `ResourceExhausted` if there are too many files for the agent's memory.
pub(super) async fn make(context: &TaskContext, task: &Arc<Upload>) -> Result<Plan> {
    let found: Vec<(PlannedTablet, u64)> =
        side_by_side(context, 0..task.tablets.len(), |n| find(context, task, n)).await?;
    let count = found.iter().map(|(_, files)| files).sum();
    let listed = context.shared.list(count, count * FILE).await?;
    let tablets = (0_u32..).zip(found);
    let listing = |(number, (tablet, files))| move || list(tablet, number, files);
    let lists = side_by_side(context, tablets, listing).await?;
    Ok(Plan::whole(lists, Some(listed)))
}

/// Does the blocking work that `work` makes of each of `items`, [`AT_ONCE`] at a time; the answers in their order.
async fn side_by_side<I, T: Send + 'static, W: FnOnce() -> Result<T> + Send + 'static>(
    context: &TaskContext,
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> W,
) -> Result<Vec<T>> {
    stream::iter(items).map(|item| context.blocking(work(item))).buffered(AT_ONCE).try_collect().await
}

/// What finds the snapshot of the task's `n`th tablet and counts its files.
fn find(
    context: &TaskContext,
    task: &Arc<Upload>,
    n: usize,
) -> impl FnOnce() -> Result<(PlannedTablet, u64)> + Send + use<> {
    let (shared, job, task) = (Arc::clone(&context.shared), context.key.job, Arc::clone(task));
    move || {
        let identity = &task.tablets[n].identity;
        let (tablet, version) = (identity.tablet, identity.version);
        let (root, dir) = shared.work.find_snapshot(job, tablet, version).ok_or_else(|| {
            let message = format!("upload tablet {tablet}: its snapshot of version {version} is not on this agent");
            Failure::fatal(Kind::NotFound, message)
        })?;
        shared.require_space(shared.work.root(root)?, 0)?;
        let files = files::count(&dir)?;
        Ok((PlannedTablet { tablet, version, dir, files: 0..0 }, files))
    }
}

#[cfg(test)]
impl Plan {
    /// The files below `dir`, as those of one tablet.
    pub(super) fn of(dir: &Path) -> Result<Self> {
        let tablet = PlannedTablet { tablet: TabletId(1), version: Version(1), dir: dir.to_owned(), files: 0..0 };
        Ok(Self::whole(vec![list(tablet, 0, 0)?], None))
    }
}

/// The files of a tablet, the task's `number`th, by path; about `count`.
fn list(tablet: PlannedTablet, number: u32, count: u64) -> Result<(PlannedTablet, Vec<PlannedFile>)> {
    let mut files: Vec<PlannedFile> = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    files::each_below(&tablet.dir, &mut |path, entry| {
        if let files::Entry::File(size, id) = entry {
            files.push(PlannedFile { tablet: number, path: path.into(), size, id });
        }
        Ok(())
    })?;
    // It is released in one step: what is still under its name now was whole all the time.
    if !tablet.dir.is_dir() {
        let message = format!("upload tablet {}: its snapshot was released meanwhile", tablet.tablet);
        return Err(Failure::fatal(Kind::NotFound, message));
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok((tablet, files))
}
