//! One suite for every implementation of [`TabletStore`]. **For tests**: it asserts, and panics where a store is wrong.

#![allow(clippy::panic, clippy::unwrap_used, clippy::missing_panics_doc, reason = "a suite of assertions")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tabvault_common::durable;
use tabvault_common::failure::Kind;
use tabvault_common::ids::{ClusterId, JobUuid, Lineage, SchemaHash, TabletId, TabletIdentity, Version};
use tabvault_common::task::{CreateTablet, JobEnd, TabletMapping, TabletVersion};

use super::{PinnedContent, PinnedFile, PinnedTablet, Result, TabletStore};

/// What the suite cannot do through the port.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Makes the ordinary tablet `tablet`, which is not there, puts some files into it by the engine's own means, and
    /// says how to pin it. What is said must be the latest version.
    async fn fill(&self, tablet: TabletId) -> TabletVersion;
}

/// The numbers from which the suite's tablets count.
const FIRST: u64 = 7_000_000;

/// Runs the whole suite on `store`, which must not hold tablets numbered from 7,000,000 on and is left without them.
pub async fn run(store: Arc<dyn TabletStore>, fixture: &dyn Fixture) {
    let suite = Suite { store, fixture };
    suite.roots_are_fit_for_links();
    suite.what_is_not_there().await;
    suite.pinning().await;
    suite.creating().await;
    suite.adopting().await;
    suite.adopting_too_little().await;
    suite.discarding().await;
    suite.dropping_while_pinned().await;
}

struct Suite<'a> {
    store: Arc<dyn TabletStore>,
    fixture: &'a dyn Fixture,
}

/// A snapshot that was linked as the agent links it, and what it was taken of.
struct Snapshot {
    at: TabletVersion,
    source: TabletIdentity,
    files: BTreeMap<String, Vec<u8>>,
}

impl Suite<'_> {
    fn roots_are_fit_for_links(&self) {
        assert!(!self.store.roots().is_empty(), "a store has at least one data root");
        for root in self.store.roots() {
            let same = durable::same_filesystem(&root.data, &root.work).unwrap();
            assert!(same, "{} and {} must be on one filesystem", root.data.display(), root.work.display());
        }
    }

    async fn what_is_not_there(&self) {
        let tablet = TabletId(FIRST);
        let at = TabletVersion { tablet, version: Version::INITIAL, schema_hash: SchemaHash(1) };
        assert_eq!(self.store.pin(at).await.unwrap_err().kind, Kind::NotFound);
        assert_eq!(self.store.root_of(tablet).await.unwrap_err().kind, Kind::NotFound);
        self.store.drop_tablet(tablet).await.unwrap();
        for end in [JobEnd::Published, JobEnd::Discarded] {
            self.store.settle(JobUuid::random(), end).await.unwrap();
        }
        self.store.usage().await.unwrap();
    }

    async fn pinning(&self) {
        let at = self.fixture.fill(TabletId(FIRST + 1)).await;
        let mut pinned = self.store.pin(at).await.unwrap();
        assert_eq!(pinned.root, self.store.root_of(at.tablet).await.unwrap());
        let first = read(&named(&mut pinned));
        let lineage = pinned.lineage;
        drop(pinned);
        assert!(!first.is_empty(), "a pinned tablet has files");
        let mut again = self.store.pin(at).await.unwrap();
        assert_eq!((read(&named(&mut again)), again.lineage), (first, lineage), "pinning again names the same files");
        drop(again);

        let other = TabletVersion { schema_hash: SchemaHash(at.schema_hash.0 ^ 1), ..at };
        assert_eq!(self.store.pin(other).await.unwrap_err().kind, Kind::Mismatch);
        let later = TabletVersion { version: at.version.next(), ..at };
        assert_eq!(self.store.pin(later).await.unwrap_err().kind, Kind::FailedPrecondition);
        self.store.drop_tablet(at.tablet).await.unwrap();
    }

    async fn creating(&self) {
        let (job, tablet) = (JobUuid::random(), new_tablet(FIRST + 2, SchemaHash(5)));
        self.store.create(job, &tablet).await.unwrap();
        self.store.create(job, &tablet).await.unwrap();
        let stranger = self.store.create(JobUuid::random(), &tablet).await.unwrap_err();
        assert_eq!(stranger.kind, Kind::AlreadyExists, "a tablet belongs to the job that made it");
        assert!(self.store.jobs().await.unwrap().contains(&job));
        self.assert_hidden(TabletVersion {
            tablet: tablet.tablet,
            version: Version::INITIAL,
            schema_hash: tablet.schema_hash,
        })
        .await;

        let ordinary = self.fixture.fill(TabletId(FIRST + 3)).await;
        let taken = self.store.create(job, &new_tablet(FIRST + 3, ordinary.schema_hash)).await.unwrap_err();
        assert_eq!(taken.kind, Kind::AlreadyExists, "an ordinary tablet is not taken over");
        self.store.settle(job, JobEnd::Discarded).await.unwrap();
        self.store.drop_tablet(ordinary.tablet).await.unwrap();
    }

    async fn adopting(&self) {
        let (snapshot, job, mapping, directory) = self.hidden_copy(FIRST + 4).await;
        self.store.adopt(job, &mapping, &directory).await.unwrap();
        fs::remove_dir_all(&directory).unwrap_or_default();
        self.store.adopt(job, &mapping, &directory).await.unwrap();
        let at = TabletVersion { tablet: mapping.target, ..snapshot.at };
        self.assert_hidden(at).await;
        assert!(self.store.jobs().await.unwrap().contains(&job));

        self.store.settle(job, JobEnd::Published).await.unwrap();
        self.store.settle(job, JobEnd::Published).await.unwrap();
        assert!(!self.store.jobs().await.unwrap().contains(&job));
        let mut pinned = self.store.pin(at).await.unwrap();
        assert_eq!(read(&named(&mut pinned)), snapshot.files, "a restored tablet has the files of the snapshot");
        assert_ne!(pinned.lineage, snapshot.source.lineage, "a restored tablet starts a history of its own");
        drop(pinned);
        self.store.drop_tablet(snapshot.at.tablet).await.unwrap();
        let mut pinned = self.store.pin(at).await.unwrap();
        assert_eq!(read(&named(&mut pinned)), snapshot.files, "a restored tablet does not need its source");
        drop(pinned);
        self.store.drop_tablet(at.tablet).await.unwrap();
    }

    async fn adopting_too_little(&self) {
        let (snapshot, job, mapping, directory) = self.hidden_copy(FIRST + 6).await;
        let empty = directory.with_extension("empty");
        fs::create_dir_all(&empty).unwrap();
        self.store.adopt(job, &mapping, &empty).await.unwrap_err();
        fs::remove_dir_all(&empty).unwrap_or_default();
        let at = TabletVersion { tablet: mapping.target, ..snapshot.at };
        self.assert_hidden(at).await;
        self.store.adopt(job, &mapping, &directory).await.unwrap();
        self.store.settle(job, JobEnd::Published).await.unwrap();
        assert_eq!(
            read(&named(&mut self.store.pin(at).await.unwrap())),
            snapshot.files,
            "a failed attempt does no harm"
        );
        self.store.drop_tablet(at.tablet).await.unwrap();
        self.store.drop_tablet(snapshot.at.tablet).await.unwrap();
        fs::remove_dir_all(&directory).unwrap_or_default();
    }

    async fn discarding(&self) {
        let (snapshot, job, mapping, directory) = self.hidden_copy(FIRST + 8).await;
        self.store.adopt(job, &mapping, &directory).await.unwrap();
        self.store.settle(job, JobEnd::Discarded).await.unwrap();
        self.store.settle(job, JobEnd::Discarded).await.unwrap();
        assert!(!self.store.jobs().await.unwrap().contains(&job));
        assert_eq!(self.store.root_of(mapping.target).await.unwrap_err().kind, Kind::NotFound);
        assert_eq!(
            read(&named(&mut self.store.pin(snapshot.at).await.unwrap())),
            snapshot.files,
            "only the job's tablets go"
        );
        self.store.drop_tablet(snapshot.at.tablet).await.unwrap();
        fs::remove_dir_all(&directory).unwrap_or_default();
    }

    async fn dropping_while_pinned(&self) {
        let at = self.fixture.fill(TabletId(FIRST + 10)).await;
        let mut pinned = self.store.pin(at).await.unwrap();
        let all = named(&mut pinned);
        let files = read(&all);
        let dropping = tokio::spawn({
            let store = self.store.clone();
            async move { store.drop_tablet(at.tablet).await }
        });
        // A store may wait for the pin or keep the files by other means: both are right.
        tokio::task::yield_now().await;
        let directory = self.link(pinned.root, &all);
        drop(pinned);
        dropping.await.unwrap().unwrap();
        assert_eq!(read_dir(&directory), files, "what was pinned was linked and stays");
        assert_eq!(self.store.pin(at).await.unwrap_err().kind, Kind::NotFound);
        self.store.drop_tablet(at.tablet).await.unwrap();
        fs::remove_dir_all(&directory).unwrap_or_default();
    }

    async fn assert_hidden(&self, at: TabletVersion) {
        let kind = self.store.pin(at).await.unwrap_err().kind;
        assert_eq!(kind, Kind::FailedPrecondition, "a tablet is not readable before its job has ended");
    }

    /// A filled tablet numbered `number`, and an empty one numbered one higher that belongs to a job, with the former's
    /// files in a directory on the latter's root.
    async fn hidden_copy(&self, number: u64) -> (Snapshot, JobUuid, TabletMapping, PathBuf) {
        let at = self.fixture.fill(TabletId(number)).await;
        let job = JobUuid::random();
        let mut target = new_tablet(number + 1, at.schema_hash);
        target.reuse_from = Some(at);
        self.store.create(job, &target).await.unwrap();
        let mut pinned = self.store.pin(at).await.unwrap();
        let source = TabletIdentity {
            cluster: ClusterId::random(),
            tablet: at.tablet,
            lineage: pinned.lineage,
            version: at.version,
        };
        let root = self.store.root_of(target.tablet).await.unwrap();
        let same_root = root == pinned.root;
        let all = named(&mut pinned);
        let directory = if same_root { self.link(root, &all) } else { self.copy(root, &all) };
        let snapshot = Snapshot { at, source: source.clone(), files: read(&all) };
        (snapshot, job, TabletMapping { source, target: target.tablet, schema_hash: at.schema_hash }, directory)
    }

    fn new_directory(&self, root: usize) -> PathBuf {
        let directory = self.store.roots()[root].work.join("download").join(JobUuid::random().to_string());
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    /// As the agent does it.
    fn link(&self, root: usize, files: &[PinnedFile]) -> PathBuf {
        let directory = self.new_directory(root);
        for file in files {
            let to = directory.join(&file.path);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            match &file.content {
                PinnedContent::File(from) => durable::hard_link(from, &to).unwrap(),
                PinnedContent::Generated(bytes) => durable::write_file(&to, bytes).unwrap(),
            }
        }
        directory
    }

    fn copy(&self, root: usize, files: &[PinnedFile]) -> PathBuf {
        let directory = self.new_directory(root);
        for (path, bytes) in read(files) {
            let to = directory.join(path);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            durable::write_file(&to, &bytes).unwrap();
        }
        directory
    }
}

fn new_tablet(number: u64, schema_hash: SchemaHash) -> CreateTablet {
    CreateTablet { tablet: TabletId(number), schema_hash, lineage: Lineage::random(), reuse_from: None }
}

/// All files of a tablet that stays pinned.
fn named(pinned: &mut PinnedTablet) -> Vec<PinnedFile> {
    pinned.files.by_ref().collect::<Result<_>>().unwrap()
}

/// The names and bytes of a pinned tablet's files. Asserts what must hold of the names.
fn read(pinned: &[PinnedFile]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for file in pinned {
        let why = tabvault_common::repo::layout::refuse_file_path(&file.path);
        assert_eq!(why, None, "the file name {:?} cannot stand in a manifest", file.path);
        let bytes = match &file.content {
            PinnedContent::File(path) => fs::read(path).unwrap(),
            PinnedContent::Generated(bytes) => bytes.to_vec(),
        };
        assert!(files.insert(file.path.clone(), bytes).is_none(), "{} is named twice", file.path);
    }
    files
}

fn read_dir(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = walkdir::WalkDir::new(directory).into_iter().map(|found| found.unwrap());
    files
        .filter(|found| found.file_type().is_file())
        .map(|found| {
            let name = found.path().strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
            (name, fs::read(found.path()).unwrap())
        })
        .collect()
}
