//! A store that the test can look into and hold back: a tablet is a directory at one version.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use tabvault_be_agent::store::{DataRoot, PinnedContent, PinnedFile, PinnedTablet, Result, TabletStore, Usage};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{JobUuid, Lineage, TabletId, Version};
use tabvault_common::task::{CreateTablet, JobEnd, TabletMapping, TabletVersion};
use tokio::sync::Semaphore;

#[derive(Debug)]
pub struct DirStore {
    roots: Vec<DataRoot>,
    tablets: Mutex<BTreeMap<TabletId, Tablet>>,
    /// Calls of `pin`, and how many of them may go on.
    pub pins: AtomicUsize,
    pin_gate: Semaphore,
    pub settled: Mutex<Vec<(JobUuid, JobEnd)>>,
    /// Makes `pin` panic.
    pub panics: Mutex<BTreeSet<TabletId>>,
}

#[derive(Debug, Clone, Copy)]
struct Tablet {
    version: Version,
    owner: Option<JobUuid>,
}

pub const GENERATED: &[u8] = b"made for the snapshot";

impl DirStore {
    /// Under `data`; snapshots under `work`.
    pub fn new(data: &Path, work: &Path) -> Arc<Self> {
        fs::create_dir_all(data).unwrap();
        Arc::new(Self {
            roots: vec![DataRoot { data: data.to_owned(), work: work.to_owned() }],
            tablets: Mutex::default(),
            pins: AtomicUsize::new(0),
            pin_gate: Semaphore::new(Semaphore::MAX_PERMITS),
            settled: Mutex::default(),
            panics: Mutex::default(),
        })
    }

    pub fn dir(&self, tablet: TabletId) -> PathBuf {
        self.roots[0].data.join(tablet.to_string())
    }

    pub fn work(&self) -> &Path {
        &self.roots[0].work
    }

    /// A tablet with these files.
    pub fn fill(&self, tablet: TabletId, version: Version, files: &BTreeMap<String, Vec<u8>>) {
        let dir = self.dir(tablet);
        fs::create_dir_all(&dir).unwrap();
        for (path, bytes) in files {
            let place = dir.join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, bytes).unwrap();
        }
        self.tablets.lock().unwrap().insert(tablet, Tablet { version, owner: None });
    }

    /// The files of a tablet.
    pub fn read(&self, tablet: TabletId) -> BTreeMap<String, Vec<u8>> {
        list(&self.dir(tablet)).into_iter().map(|(path, file)| (path, fs::read(file).unwrap())).collect()
    }

    /// From now on calls of `pin` wait.
    pub fn hold_pins(&self) {
        while self.pin_gate.available_permits() > 0 {
            self.pin_gate.forget_permits(usize::MAX >> 4);
        }
    }

    pub fn let_pins_go(&self) {
        self.pin_gate.add_permits(1 << 20);
    }

    /// Returns when `pin` has been called more than `calls` times.
    pub async fn pinned_more_than(&self, calls: usize) {
        while self.pins.load(Ordering::SeqCst) <= calls {
            tokio::task::yield_now().await;
        }
    }

    fn get(&self, tablet: TabletId) -> Result<Tablet> {
        let known = self.tablets.lock().unwrap().get(&tablet).copied();
        known.ok_or_else(|| Failure::fatal(Kind::NotFound, format!("there is no tablet {tablet}")))
    }
}

fn list(dir: &Path) -> Vec<(String, PathBuf)> {
    let files = walkdir::WalkDir::new(dir).into_iter().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
    files.map(|file| (file.strip_prefix(dir).unwrap().to_str().unwrap().to_owned(), file)).collect()
}

#[async_trait]
impl TabletStore for DirStore {
    fn roots(&self) -> &[DataRoot] {
        &self.roots
    }

    async fn usage(&self) -> Result<Usage> {
        Ok(Usage { tablets: self.tablets.lock().unwrap().len() as u64, bytes: 0 })
    }

    async fn pin(&self, at: TabletVersion) -> Result<PinnedTablet> {
        self.pins.fetch_add(1, Ordering::SeqCst);
        self.pin_gate.acquire().await.unwrap().forget();
        assert!(!self.panics.lock().unwrap().contains(&at.tablet), "told to panic");
        if self.get(at.tablet)?.version != at.version {
            let message = format!("tablet {} has not got version {}", at.tablet, at.version);
            return Err(Failure::fatal(Kind::FailedPrecondition, message));
        }
        let files = list(&self.dir(at.tablet)).into_iter();
        let mut files: Vec<PinnedFile> =
            files.map(|(path, file)| PinnedFile { path, content: PinnedContent::File(file) }).collect();
        if files.iter().all(|file| file.path != "header") {
            let content = PinnedContent::Generated(Bytes::from_static(GENERATED));
            files.push(PinnedFile { path: "header".into(), content });
        }
        let files = Box::new(files.into_iter().map(Ok));
        Ok(PinnedTablet { root: 0, lineage: Lineage(uuid::Uuid::nil()), files, guard: Box::new(()) })
    }

    async fn create(&self, job: JobUuid, tablet: &CreateTablet) -> Result<()> {
        fs::create_dir_all(self.dir(tablet.tablet)).unwrap();
        let made = Tablet { version: Version::INITIAL, owner: Some(job) };
        self.tablets.lock().unwrap().entry(tablet.tablet).or_insert(made);
        Ok(())
    }

    async fn root_of(&self, tablet: TabletId) -> Result<usize> {
        self.get(tablet).map(|_| 0)
    }

    async fn adopt(&self, job: JobUuid, mapping: &TabletMapping, directory: &Path) -> Result<()> {
        let to = self.dir(mapping.target);
        for (path, file) in list(directory) {
            let place = to.join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::rename(file, place).unwrap();
        }
        let adopted = Tablet { version: mapping.source.version, owner: Some(job) };
        self.tablets.lock().unwrap().insert(mapping.target, adopted);
        Ok(())
    }

    async fn settle(&self, job: JobUuid, end: JobEnd) -> Result<()> {
        self.settled.lock().unwrap().push((job, end));
        let mut tablets = self.tablets.lock().unwrap();
        let owned: Vec<TabletId> =
            tablets.iter().filter(|(_, tablet)| tablet.owner == Some(job)).map(|(id, _)| *id).collect();
        for id in owned {
            match end {
                JobEnd::Published => tablets.get_mut(&id).unwrap().owner = None,
                JobEnd::Discarded => {
                    tablets.remove(&id);
                    fs::remove_dir_all(self.dir(id)).unwrap();
                }
            }
        }
        Ok(())
    }

    async fn jobs(&self) -> Result<Vec<JobUuid>> {
        let jobs: BTreeSet<JobUuid> = self.tablets.lock().unwrap().values().filter_map(|tablet| tablet.owner).collect();
        Ok(jobs.into_iter().collect())
    }

    async fn drop_tablet(&self, tablet: TabletId) -> Result<()> {
        if self.tablets.lock().unwrap().remove(&tablet).is_some() {
            fs::remove_dir_all(self.dir(tablet)).unwrap();
        }
        Ok(())
    }
}
