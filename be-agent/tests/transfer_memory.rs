//! Loads and exports hold only what the agent's budget allows.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tabvault_be_agent::load::LoadStore;
use tabvault_be_agent::memory::Memory;
use tabvault_be_agent::store::TabletStore;
use tabvault_be_agent::store::file::FileTabletStore;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::JobUuid;
use tabvault_common::task::{ExportStep, LoadedTablet};

#[path = "file_store/bucket.rs"]
mod bucket;
#[path = "file_store/trees.rs"]
mod trees;
use bucket::Bucket;
use trees::{export_task, load_task, open};

/// What the buffers of a load or an export between directories take.
const BUFFERS: u64 = 2 << 20;

fn many_files(dir: &Path, number: usize) {
    fs::create_dir_all(dir).unwrap();
    for number in 0..number {
        fs::write(dir.join(number.to_string()), "x").unwrap();
    }
}

async fn load(store: &FileTabletStore, source: &Path, memory: &Memory) -> Result<Vec<LoadedTablet>, Failure> {
    store.load(JobUuid::random(), &load_task(source, 2, &[1]), &Arc::default(), memory).await
}

#[tokio::test]
async fn a_load_of_more_files_than_the_memory_can_take_is_refused_before_anything_is_held_or_made() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    many_files(&source, 2000);
    let store = open(&dir.path().join("store")).await;
    let memory = Memory::new(BUFFERS + (100 << 10));
    let failure = load(&store, &source, &memory).await.unwrap_err();
    assert_eq!(failure.kind, Kind::ResourceExhausted);
    assert!(failure.message.contains("raise memory_budget"), "{failure}");
    assert_eq!((memory.peak(), store.usage().await.unwrap().tablets), (0, 0));
    assert!(load(&store, &source, &Memory::new(BUFFERS + (2 << 20))).await.is_ok());
}

#[tokio::test]
async fn a_load_and_an_export_reserve_entries_and_buffers_and_give_them_back() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    many_files(&source, 2000);
    let store = open(&dir.path().join("store")).await;
    let memory = trees::memory();
    load(&store, &source, &memory).await.unwrap();
    assert!(memory.peak() > BUFFERS + 2000 * 500, "{}", memory.peak());
    let exporting = trees::memory();
    let write = export_task(&dir.path().join("target"), ExportStep::Write, 2, &[1]);
    store.export(JobUuid::random(), &write, &Arc::default(), &exporting).await.unwrap();
    assert!(exporting.peak() > BUFFERS + 2000 * 500, "{}", exporting.peak());
    assert_eq!((memory.reserved(), exporting.reserved()), (0, 0));
    let small = Memory::new(BUFFERS + (100 << 10));
    let failure = store.export(JobUuid::random(), &write, &Arc::default(), &small).await.unwrap_err();
    assert_eq!(failure.kind, Kind::ResourceExhausted);
}

#[tokio::test]
async fn a_load_waits_for_memory_before_it_takes_a_tablet() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    many_files(&source, 10);
    let store = open(&dir.path().join("store")).await;
    let memory = trees::memory();
    let all = memory.reserve(memory.budget()).await.unwrap();
    let mut waiting = Box::pin(load(&store, &source, &memory));
    // Another load of the same tablet, with memory of its own, gets through meanwhile.
    tokio::select! {
        biased;
        ended = &mut waiting => panic!("it did not wait: {ended:?}"),
        other = async { load(&store, &source, &trees::memory()).await } => drop(other.unwrap()),
    }
    drop(all);
    waiting.await.unwrap();
}

#[tokio::test]
async fn objects_are_loaded_and_exported_within_the_budget_however_small_it_is() {
    let (dir, bucket) = (tempfile::tempdir().unwrap(), Bucket::new().await);
    let content = "0123456789abcdef".repeat(64 << 10);
    for number in 0..20 {
        bucket.put(&format!("d/{number}"), &content).await;
    }
    let store = bucket.open(&dir.path().join("store")).await;
    let memory = Memory::new(3 << 20);
    let mut task = load_task(Path::new("/"), 2, &[1]);
    task.source = bucket.access.clone();
    store.load(JobUuid::random(), &task, &Arc::default(), &memory).await.unwrap();
    assert_eq!(memory.peak(), memory.budget(), "the buffers take what is left");
    let (to, exporting) = (Bucket::new().await, Memory::new(3 << 20));
    let write = to.export(ExportStep::Write, 2, &[1]);
    assert_eq!(store.export(JobUuid::random(), &write, &Arc::default(), &exporting).await.unwrap().0, 20);
    assert_eq!(exporting.peak(), exporting.budget());

    let tiny = Memory::new(BUFFERS);
    let failure = store.load(JobUuid::random(), &task, &Arc::default(), &tiny).await.unwrap_err();
    assert_eq!(failure.kind, Kind::ResourceExhausted);
}
