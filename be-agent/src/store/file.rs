//! The built-in store: tablets made of users' files, kept as they are.
//!
//! # Overview
//! A data root `R` looks like this; everything below `data/` is written by this module alone.
//!
//! ```text
//! R/LOCK                                 one process per root
//! R/data/<tablet>/header.json            what the tablet is; see `header`
//! R/data/<tablet>/<v>.jsonl              index of what version v brought; see `index` and `entry`
//! R/data/<tablet>/<v>-<job>/files/<v>-<g>/<n>  data files: opaque names, never changed; see `entry`
//! R/data/<tablet>/.tabvault-tmp-*        being written, or an index while it is linked
//! R/data/.new-<uuid>/                    a tablet being made
//! R/trash/                               tablets being removed
//! R/export/<export>.json                 targets of exports under way; see `export`
//! R/snapshot, R/reuse, R/download        the agent's
//! ```
//!
//! A tablet's versions follow one another without a gap from its base on: version 1, which is empty, or the version of
//! the snapshot it was restored from. A version shows what its loads brought, the later over the earlier: loading never
//! removes a path that the new directory lacks. Every version stays until the tablet is dropped, and what did not
//! change from one load to the next is stored once. The store does not know which version the catalog has published:
//! a load may be done again, by another load as the same version, as long as no later version is there.
//!
//! A snapshot names the data files as `files/<v>-<g>/<n>` and one generated file, `index.jsonl`: the visible entries,
//! sorted by path. The names hold across snapshots and restores, so a file that did not change is uploaded once.
//!
//! # Consistency
//! An index file appears whole, by a rename, and only then do its data files count. A tablet that a job made is hidden
//! until [`TabletStore::settle`]. While a tablet is pinned none of its files are removed: whoever drops it, or loads
//! its last version again, waits until the pins are let go.
//!
//! # Crash consistency
//! Commits are: of a load the rename of its index file, one tablet after the other; of creating a tablet the rename of
//! its directory; of adopting and settling the writing of its header; of dropping the rename into the trash. What a
//! crash left before a commit is removed when the root is opened. Data files are made durable by one `syncfs` per root
//! before the commit.
//!
//! # Cancellation
//! Dropping a future stops its work at the next file or buffer; what has been committed stays, and the rest is removed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use tabvault_common::durable::{self, DirLock};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{JobUuid, TabletId};
use tabvault_common::task::{CreateTablet, Export, JobEnd, Load, LoadedTablet, TabletMapping, TabletVersion};
use uuid::Uuid;

use self::export::UnderWay;
use self::header::Header;
use self::parallel::blocking;
use self::tablet::{Tablet, not_found};
use crate::config::StorageOpener;
use crate::load::LoadStore;
use crate::memory::Memory;
use crate::progress::Progress;
use crate::store::{DataRoot, PinnedTablet, Result, TabletStore, Usage};

mod adopt;
mod budget;
mod entry;
mod export;
mod header;
mod index;
mod load;
mod location;
mod open;
mod parallel;
mod path;
mod pin;
mod tablet;
mod visible;

pub use load::bucket_of;

/// The built-in store; see the module. Cheap to clone: clones are the same store.
#[derive(Debug, Clone)]
pub struct FileTabletStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    roots: Vec<DataRoot>,
    tablets: RwLock<HashMap<TabletId, Arc<Tablet>>>,
    /// Held while a tablet is made: two makers of one tablet must meet.
    creating: Arc<tokio::sync::Mutex<()>>,
    /// How loads and exports reach remote storage.
    storage: StorageOpener,
    exports: UnderWay,
    /// Let go when the last clone is gone and no work runs any more.
    _locks: Vec<DirLock>,
}

impl FileTabletStore {
    /// Takes the directories `roots` into use, makes what is missing in them, and removes what a crash left half-made.
    /// A tablet whose header or indexes cannot be read is logged as an error and left out.
    ///
    /// # Errors
    /// `Busy` if another process uses a root; `FailedPrecondition` if `data/` is on another filesystem than its root;
    /// `Corrupt` if a tablet lies on two roots.
    pub async fn open(roots: Vec<PathBuf>) -> Result<Self> {
        Self::open_with(roots, StorageOpener::default()).await
    }

    /// As [`FileTabletStore::open`]; loads and exports of other than local directories go through `storage`.
    ///
    /// # Errors
    /// As [`FileTabletStore::open`].
    pub async fn open_with(roots: Vec<PathBuf>, storage: StorageOpener) -> Result<Self> {
        let (opened, exports) = blocking(move |_| {
            let opened = open::open(&roots)?;
            let exports = UnderWay::open(&opened.roots)?;
            Ok((opened, exports))
        })
        .await?;
        let inner = Inner {
            roots: opened.roots,
            tablets: RwLock::new(opened.tablets),
            creating: Arc::default(),
            storage,
            exports,
            _locks: opened.locks,
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

impl Inner {
    fn tablet(&self, id: TabletId) -> Result<Arc<Tablet>> {
        let tablets = self.tablets.read().unwrap_or_else(PoisonError::into_inner);
        tablets.get(&id).cloned().ok_or_else(|| not_found(id))
    }

    fn all(&self) -> Vec<Arc<Tablet>> {
        self.tablets.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn root(&self, tablet: &Tablet) -> Result<&DataRoot> {
        self.roots
            .get(tablet.root)
            .ok_or_else(|| Failure::fatal(Kind::Internal, format!("tablet {} is on no known root", tablet.id)))
    }

    /// The root for a new tablet: that of the tablet whose files it will share, else the one with most room.
    fn choose_root(&self, beside: Option<TabletId>) -> Result<usize> {
        if let Some(tablet) = beside.and_then(|id| self.tablet(id).ok()) {
            return Ok(tablet.root);
        }
        let mut best = (0, 0);
        for (index, root) in self.roots.iter().enumerate() {
            let available = durable::free_space(&root.data)?.available;
            if available > best.1 {
                best = (index, available);
            }
        }
        Ok(best.0)
    }

    /// Makes an empty tablet. Blocks; whoever calls holds `creating` and knows that there is none.
    fn make(&self, header: Header, root: usize) -> Result<Arc<Tablet>> {
        let id = header.tablet;
        let data = &self.roots.get(root).ok_or_else(|| not_found(id))?.data;
        let new = data.join(format!("{}{}", open::NEW_PREFIX, Uuid::new_v4()));
        let dir = data.join(id.to_string());
        let made =
            durable::create_dir_all(&new).and_then(|()| header.write(&new)).and_then(|()| durable::rename(&new, &dir));
        if let Err(failure) = made {
            // Opening the root removes it otherwise.
            let _ = durable::remove_dir_all(&new);
            return Err(failure.context(format_args!("make tablet {id}")));
        }
        let tablet = Arc::new(Tablet::new(root, dir, header, std::collections::BTreeMap::new()));
        self.tablets.write().unwrap_or_else(PoisonError::into_inner).insert(id, tablet.clone());
        Ok(tablet)
    }

    /// Removes a tablet whose `change` the caller holds. Blocks; waits for its pins.
    fn remove(&self, tablet: &Tablet) -> Result<()> {
        let _unpinned = tablet.pins.blocking_write();
        if tablet.state().dropped {
            return Ok(());
        }
        let trash = open::trash(self.root(tablet)?).join(format!("{}-{}", tablet.id, Uuid::new_v4()));
        durable::rename(&tablet.dir, &trash)?;
        tablet.state().dropped = true;
        self.tablets.write().unwrap_or_else(PoisonError::into_inner).remove(&tablet.id);
        durable::remove_dir_all(&trash)
    }
}

#[async_trait]
impl TabletStore for FileTabletStore {
    fn roots(&self) -> &[DataRoot] {
        &self.inner.roots
    }

    async fn usage(&self) -> Result<Usage> {
        let tablets = self.inner.all();
        let bytes = tablets.iter().map(|tablet| tablet.state().stored_bytes()).sum();
        Ok(Usage { tablets: tablets.len() as u64, bytes })
    }

    async fn pin(&self, at: TabletVersion) -> Result<PinnedTablet> {
        let tablet = self.inner.tablet(at.tablet)?;
        let guard = tablet.pins.clone().read_owned().await;
        blocking(move |_| {
            let state = tablet.snapshot()?;
            state.check_readable(at)?;
            pin::pin(tablet, state, at.version, guard)
        })
        .await
    }

    async fn create(&self, job: JobUuid, tablet: &CreateTablet) -> Result<()> {
        let creating = self.inner.creating.clone().lock_owned().await;
        let (inner, tablet) = (self.inner.clone(), *tablet);
        let owner = (job != JobUuid::HOUSEKEEPING).then_some(job);
        blocking(move |_| {
            let _creating = creating;
            if let Ok(there) = inner.tablet(tablet.tablet) {
                let state = there.snapshot()?;
                let header = &state.header;
                if header.owner == owner && header.lineage == tablet.lineage {
                    return state.check_schema(tablet.schema_hash);
                }
                let message = format!("tablet {} exists already and was not made by job {job}", tablet.tablet);
                return Err(Failure::fatal(Kind::AlreadyExists, message));
            }
            let root = inner.choose_root(tablet.reuse_from.map(|from| from.tablet))?;
            inner.make(Header::new(tablet.tablet, tablet.schema_hash, tablet.lineage, owner), root).map(|_| ())
        })
        .await
    }

    async fn root_of(&self, tablet: TabletId) -> Result<usize> {
        Ok(self.inner.tablet(tablet)?.root)
    }

    async fn adopt(&self, job: JobUuid, mapping: &TabletMapping, directory: &Path) -> Result<()> {
        let tablet = self.inner.tablet(mapping.target)?;
        let change = tablet.change.clone().lock_owned().await;
        let (mapping, directory) = (mapping.clone(), directory.to_owned());
        blocking(move |_| {
            let _change = change;
            adopt::adopt(&tablet, job, &mapping, &directory)
        })
        .await
    }

    async fn settle(&self, job: JobUuid, end: JobEnd) -> Result<()> {
        for tablet in self.inner.all() {
            if tablet.state().header.owner != Some(job) {
                continue;
            }
            let change = tablet.change.clone().lock_owned().await;
            let inner = self.inner.clone();
            blocking(move |_| {
                let _change = change;
                let mut header = tablet.state().header.clone();
                if header.owner != Some(job) {
                    return Ok(());
                }
                match end {
                    JobEnd::Published => {
                        header.owner = None;
                        header.write(&tablet.dir)?;
                        tablet.state().header = header;
                        Ok(())
                    }
                    JobEnd::Discarded => inner.remove(&tablet),
                }
            })
            .await?;
        }
        export::sweep(&self.inner, job).await
    }

    async fn jobs(&self) -> Result<Vec<JobUuid>> {
        let mut jobs: Vec<_> = self.inner.all().iter().filter_map(|tablet| tablet.state().header.owner).collect();
        jobs.extend(self.inner.exports.jobs());
        jobs.sort_unstable();
        jobs.dedup();
        Ok(jobs)
    }

    async fn drop_tablet(&self, tablet: TabletId) -> Result<()> {
        let Ok(tablet) = self.inner.tablet(tablet) else { return Ok(()) };
        let change = tablet.change.clone().lock_owned().await;
        let inner = self.inner.clone();
        blocking(move |_| {
            let _change = change;
            inner.remove(&tablet)
        })
        .await
    }
}

#[async_trait]
impl LoadStore for FileTabletStore {
    async fn load(
        &self,
        load: JobUuid,
        task: &Load,
        progress: &Arc<Progress>,
        memory: &Memory,
    ) -> Result<Vec<LoadedTablet>> {
        load::load(&self.inner, load, task, progress, memory).await
    }

    async fn export(
        &self,
        export: JobUuid,
        task: &Export,
        progress: &Arc<Progress>,
        memory: &Memory,
    ) -> Result<(u64, u64)> {
        export::export(&self.inner, export, task, progress, memory).await
    }
}
