//! The built-in store: the conformance suite, ownership, and what a crash leaves behind.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use tabvault_be_agent::load::LoadStore;
use tabvault_be_agent::store::TabletStore;
use tabvault_be_agent::store::conformance::{self, Fixture};
use tabvault_be_agent::store::file::FileTabletStore;
use tabvault_common::failure::Kind;
use tabvault_common::ids::{JobUuid, TabletId, Version};
use tabvault_common::task::{JobEnd, TabletVersion};

#[path = "file_store/trees.rs"]
mod trees;
use trees::{SCHEMA, at, create, load_task, memory, open, pinned, snapshot};

struct Loaded {
    store: FileTabletStore,
    source: tempfile::TempDir,
}

#[async_trait::async_trait]
impl Fixture for Loaded {
    async fn fill(&self, tablet: TabletId) -> TabletVersion {
        let task = load_task(self.source.path(), 2, &[tablet.0]);
        self.store.load(JobUuid::random(), &task, &Arc::default(), &memory()).await.unwrap();
        TabletVersion { tablet, version: Version(2), schema_hash: SCHEMA }
    }
}

#[tokio::test]
async fn the_store_conforms_on_one_root_and_on_several() {
    for roots in 1..=3 {
        let dir = tempfile::tempdir().unwrap();
        let source = tempfile::tempdir().unwrap();
        fs::write(source.path().join("a"), "one").unwrap();
        fs::create_dir(source.path().join("d")).unwrap();
        fs::write(source.path().join("d/b"), "").unwrap();
        let roots = (0..roots).map(|root| dir.path().join(root.to_string())).collect();
        let store = FileTabletStore::open(roots).await.unwrap();
        conformance::run(Arc::new(store.clone()), &Loaded { store: store.clone(), source }).await;
        assert_eq!(store.usage().await.unwrap(), Default::default(), "nothing is left");
    }
}

#[tokio::test]
async fn a_root_that_is_in_use_is_refused_and_free_again_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let busy = FileTabletStore::open(vec![dir.path().to_owned()]).await.unwrap_err();
    assert_eq!(busy.kind, Kind::Busy);
    assert!(busy.message.contains(dir.path().to_str().unwrap()), "{busy}");
    drop(store);
    open(dir.path()).await;
    let twice = FileTabletStore::open(vec![dir.path().to_owned(), dir.path().join(".")]).await.unwrap_err();
    assert_eq!(twice.kind, Kind::InvalidArgument);
}

#[tokio::test]
async fn contents_and_ownership_are_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("a"), "one").unwrap();
    let store = open(dir.path()).await;
    store.load(JobUuid::random(), &load_task(source.path(), 2, &[1]), &Arc::default(), &memory()).await.unwrap();
    let job = JobUuid::random();
    create(&store, job, 2).await;
    let (before, usage) = (pinned(&store, 1, 2).await, store.usage().await.unwrap());
    assert_eq!((usage.tablets, usage.bytes), (2, 3));
    drop(store);

    let store = open(dir.path()).await;
    assert_eq!(pinned(&store, 1, 2).await, before);
    assert_eq!(store.usage().await.unwrap(), usage);
    assert_eq!(store.jobs().await.unwrap(), [job]);
    assert_eq!(store.pin(at(2, 1)).await.unwrap_err().kind, Kind::FailedPrecondition);
    store.settle(job, JobEnd::Published).await.unwrap();
    drop(store);
    let store = open(dir.path()).await;
    assert_eq!(store.jobs().await.unwrap(), []);
    assert_eq!(pinned(&store, 2, 1).await.len(), 1);
}

#[tokio::test]
async fn what_a_crash_left_half_made_is_removed_when_the_root_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("a"), "one").unwrap();
    let store = open(dir.path()).await;
    store.load(JobUuid::random(), &load_task(source.path(), 2, &[1]), &Arc::default(), &memory()).await.unwrap();
    let job = JobUuid::random();
    create(&store, job, 2).await;
    drop(store);
    let clean = names(dir.path());

    // A tablet being made, one being removed, a load that had copied files, one that was writing its index, and an
    // adoption before its commit.
    let data = dir.path().join("data");
    for half in ["data/.new-1", "trash/9-1", "data/1/3-00000000-0000-4000-8000-000000000000/files", "data/2/2-x/files"]
    {
        fs::create_dir_all(dir.path().join(half)).unwrap();
        fs::write(dir.path().join(half).join("3-1"), "x").unwrap();
    }
    fs::write(data.join("1/.tabvault-tmp-1"), "{").unwrap();
    fs::write(data.join("2/2.jsonl"), "{").unwrap();
    let store = open(dir.path()).await;
    assert_eq!(names(dir.path()), clean);
    assert_eq!(store.usage().await.unwrap().tablets, 2);
    assert_eq!(store.jobs().await.unwrap(), [job]);
}

#[tokio::test]
async fn a_tablet_that_is_damaged_is_left_out_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let source = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for version in 2..=3 {
        let task = load_task(source.path(), version, &[1, 2]);
        store.load(JobUuid::random(), &task, &Arc::default(), &memory()).await.unwrap();
    }
    drop(store);
    fs::remove_file(dir.path().join("data/1/2.jsonl")).unwrap();
    let before = names(dir.path());
    let store = open(dir.path()).await;
    assert_eq!(store.pin(at(1, 3)).await.unwrap_err().kind, Kind::NotFound);
    store.pin(at(2, 3)).await.unwrap();
    assert_eq!(names(dir.path()), before, "nothing of it is removed: somebody may repair it");
}

#[tokio::test]
async fn a_snapshot_that_lacks_or_has_too_much_is_named_and_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("a"), "one").unwrap();
    fs::write(source.path().join("b"), "two").unwrap();
    let store = open(dir.path()).await;
    store.load(JobUuid::random(), &load_task(source.path(), 2, &[1]), &Arc::default(), &memory()).await.unwrap();
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 7] = [
        ("`index.jsonl` is missing", |dir| fs::remove_file(dir.join("index.jsonl")).unwrap()),
        ("`files/2-0/1` is missing", |dir| fs::remove_file(dir.join("files/2-0/1")).unwrap()),
        ("`files/2-0/2` has 5 bytes, its index says 3", |dir| {
            fs::remove_file(dir.join("files/2-0/2")).unwrap();
            fs::write(dir.join("files/2-0/2"), "three").unwrap();
        }),
        ("`files/2-0/9` is named by no index", |dir| fs::write(dir.join("files/2-0/9"), "x").unwrap()),
        ("`files/2-0/1` is no regular file", |dir| {
            fs::remove_file(dir.join("files/2-0/1")).unwrap();
            std::os::unix::fs::symlink("2", dir.join("files/2-0/1")).unwrap();
        }),
        ("line 3", |dir| {
            let text = fs::read_to_string(dir.join("index.jsonl")).unwrap();
            fs::write(dir.join("index.jsonl"), text.replace("\"b\"", "\"../b\"")).unwrap();
        }),
        ("line 1", |dir| fs::write(dir.join("index.jsonl"), "garbage\n").unwrap()),
    ];
    let job = JobUuid::random();
    create(&store, job, 5).await;
    for (number, (message, damage)) in damages.into_iter().enumerate() {
        let download = dir.path().join(format!("download/{number}"));
        let mapping = snapshot(&store, 1, 2, 5, &download).await;
        damage(&download);
        let failure = store.adopt(job, &mapping, &download).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Corrupt, "{failure}");
        assert!(failure.message.contains(message), "{failure}");
    }
    let download = dir.path().join("download/whole");
    let mapping = snapshot(&store, 1, 2, 5, &download).await;
    store.adopt(job, &mapping, &download).await.unwrap();
}

#[tokio::test]
async fn an_adoption_that_died_with_the_files_in_its_hands_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("a"), "one").unwrap();
    let store = open(dir.path()).await;
    store.load(JobUuid::random(), &load_task(source.path(), 2, &[1]), &Arc::default(), &memory()).await.unwrap();
    let (job, download) = (JobUuid::random(), dir.path().join("download/1"));
    let mapping = snapshot(&store, 1, 2, 5, &download).await;
    create(&store, job, 5).await;
    drop(store);
    // Its files have moved and its index is half there; the header, which commits, is not written.
    let taken = dir.path().join(format!("data/5/2-{job}"));
    fs::create_dir_all(&taken).unwrap();
    fs::rename(download.join("files"), taken.join("files")).unwrap();
    fs::write(dir.path().join("data/5/2.jsonl"), "{").unwrap();

    let store = open(dir.path()).await;
    store.adopt(job, &mapping, &download).await.unwrap();
    store.settle(job, JobEnd::Published).await.unwrap();
    assert_eq!(pinned(&store, 5, 2).await[0], ("files/2-0/1".to_owned(), b"one".to_vec()));
}

#[tokio::test]
async fn a_tablet_adopts_once_and_only_for_the_job_that_made_it() {
    let dir = tempfile::tempdir().unwrap();
    let source = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.load(JobUuid::random(), &load_task(source.path(), 2, &[1]), &Arc::default(), &memory()).await.unwrap();
    let download = dir.path().join("download/1");
    let mut mapping = snapshot(&store, 1, 2, 5, &download).await;
    let job = JobUuid::random();
    create(&store, job, 5).await;
    let stranger = store.adopt(JobUuid::random(), &mapping, &download).await.unwrap_err();
    assert_eq!(stranger.kind, Kind::FailedPrecondition);
    store.adopt(job, &mapping, &download).await.unwrap();
    mapping.source.cluster = tabvault_common::ids::ClusterId::random();
    assert_eq!(store.adopt(job, &mapping, &download).await.unwrap_err().kind, Kind::FailedPrecondition);
}

#[tokio::test]
async fn nobody_else_may_read_what_was_loaded() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await;
    let mode = fs::metadata(dir.path().join("data")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

/// All paths below `dir`.
fn names(dir: &Path) -> Vec<String> {
    let found = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter();
    found.map(|found| found.unwrap().path().display().to_string()).collect()
}
