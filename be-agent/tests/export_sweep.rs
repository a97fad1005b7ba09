//! What is left of exports into directories that nobody finishes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tabvault_be_agent::load::LoadStore;
use tabvault_be_agent::store::TabletStore;
use tabvault_be_agent::store::file::FileTabletStore;
use tabvault_common::failure::Kind;
use tabvault_common::ids::JobUuid;
use tabvault_common::task::{ExportStep, JobEnd};

#[path = "file_store/trees.rs"]
mod trees;
use trees::{export_task, load, make_odd_tree, memory, open, read_tree};

/// A store with an odd tree in tablet 1 at version 2, which is also at `source`.
async fn odd(dir: &Path) -> FileTabletStore {
    let store = open(&dir.join("store")).await;
    fs::create_dir_all(dir.join("source")).unwrap();
    make_odd_tree(&dir.join("source"));
    load(&store, &dir.join("source"), 2, &[1]).await.unwrap();
    store
}

async fn step(store: &FileTabletStore, job: JobUuid, target: &Path, step: ExportStep) {
    store.export(job, &export_task(target, step, 2, &[1]), &Arc::default(), &memory()).await.unwrap();
}

fn staging(dir: &Path, job: JobUuid) -> std::path::PathBuf {
    dir.join(format!(".target.tabvault-{job}"))
}

#[tokio::test]
async fn a_staging_directory_goes_when_nobody_will_finish_it_even_after_a_restart() {
    for restart in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = odd(dir.path()).await;
        let (job, target) = (JobUuid::random(), dir.path().join("target"));
        step(&store, job, &target, ExportStep::Write).await;
        if restart {
            drop(store);
            store = open(&dir.path().join("store")).await;
        }
        assert_eq!(store.jobs().await.unwrap(), [job], "the agent asks the coordinator about it");
        assert!(staging(dir.path(), job).exists(), "nothing is swept before the coordinator has said so");
        store.settle(job, JobEnd::Discarded).await.unwrap();
        assert!(!staging(dir.path(), job).exists());
        assert!(!target.exists());
        assert!(store.jobs().await.unwrap().is_empty());
        drop(store);
        assert!(open(&dir.path().join("store")).await.jobs().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_export_goes_on_after_a_restart_if_the_coordinator_wants_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = odd(dir.path()).await;
    let (job, target) = (JobUuid::random(), dir.path().join("target"));
    step(&store, job, &target, ExportStep::Write).await;
    drop(store);
    let store = open(&dir.path().join("store")).await;
    step(&store, job, &target, ExportStep::Write).await;
    step(&store, job, &target, ExportStep::Publish).await;
    store.settle(job, JobEnd::Published).await.unwrap();
    assert_eq!(read_tree(&target), read_tree(&dir.path().join("source")));
    assert!(!staging(dir.path(), job).exists());
    drop(store);
    assert!(open(&dir.path().join("store")).await.jobs().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_publish_that_died_before_it_could_tidy_up_is_not_undone() {
    let dir = tempfile::tempdir().unwrap();
    let store = odd(dir.path()).await;
    let (job, target) = (JobUuid::random(), dir.path().join("target"));
    step(&store, job, &target, ExportStep::Write).await;
    fs::rename(staging(dir.path(), job).join("tree"), &target).unwrap();
    drop(store);
    let store = open(&dir.path().join("store")).await;
    store.settle(job, JobEnd::Discarded).await.unwrap();
    assert_eq!(read_tree(&target).len(), read_tree(&dir.path().join("source")).len());
    assert!(!staging(dir.path(), job).exists());
}

#[tokio::test]
async fn what_was_discarded_is_not_written_by_an_attempt_that_comes_late() {
    let dir = tempfile::tempdir().unwrap();
    let store = odd(dir.path()).await;
    let (job, target) = (JobUuid::random(), dir.path().join("target"));
    step(&store, job, &target, ExportStep::Write).await;
    step(&store, job, &target, ExportStep::Discard).await;
    for late in [ExportStep::Write, ExportStep::Publish] {
        let task = export_task(&target, late, 2, &[1]);
        let failure = store.export(job, &task, &Arc::default(), &memory()).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Cancelled);
    }
    assert!(!staging(dir.path(), job).exists());
}

#[tokio::test]
async fn a_record_that_cannot_be_read_holds_nothing_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = odd(dir.path()).await;
    let (job, target) = (JobUuid::random(), dir.path().join("target"));
    step(&store, job, &target, ExportStep::Write).await;
    drop(store);
    fs::write(dir.path().join(format!("store/export/{job}.json")), "{").unwrap();
    assert!(open(&dir.path().join("store")).await.jobs().await.unwrap().is_empty());
    assert!(staging(dir.path(), job).exists());
}
