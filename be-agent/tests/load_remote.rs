//! Loads from and exports to object storage.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tabvault_be_agent::load::LoadStore;
use tabvault_common::failure::Kind;
use tabvault_common::ids::JobUuid;
use tabvault_common::task::ExportStep;

#[path = "file_store/bucket.rs"]
mod bucket;
#[path = "file_store/trees.rs"]
mod trees;
use bucket::Bucket;
use trees::{export, load, load_task, memory, read_tree};

#[tokio::test]
async fn objects_are_loaded_as_a_tree_of_files() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::new().await;
    for (path, content) in [("a", "1"), ("d/e/f", "22"), ("d/g", ""), ("größe", "x")] {
        bucket.put(path, content).await;
    }
    let (store, other) = (bucket.open(&dir.path().join("a")).await, bucket.open(&dir.path().join("b")).await);
    let loaded = bucket.load(&store, 2, &[1, 2, 3]).await.unwrap();
    assert_eq!(bucket.load(&other, 2, &[1, 2, 3]).await.unwrap(), loaded, "replicas agree");
    assert_eq!(
        loaded.iter().map(|tablet| (tablet.files, tablet.bytes)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        (4, 4)
    );
    let target = dir.path().join("target");
    export(&store, &target, 2, &[1, 2, 3]).await.unwrap();
    let paths: Vec<_> = read_tree(&target).into_keys().map(|path| String::from_utf8(path).unwrap()).collect();
    assert_eq!(paths, ["a", "d", "d/e", "d/e/f", "d/g", "größe"]);
    assert_eq!(fs::read(target.join("d/e/f")).unwrap(), b"22");
}

#[tokio::test]
async fn a_path_that_is_an_object_and_a_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::new().await;
    bucket.put("a", "1").await;
    bucket.put("a/b", "1").await;
    let store = bucket.open(dir.path()).await;
    // Wherever the two paths lie, somebody sees both.
    let failure = bucket.load(&store, 2, &[1, 2, 3, 4]).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Unsupported);
    assert!(failure.message.contains("`a` is an object and, for others, a directory"), "{failure}");
    let empty = Bucket::new().await;
    let mut task = load_task(Path::new("/"), 2, &[9]);
    task.source = empty.access.clone();
    let nothing = store.load(JobUuid::random(), &task, &Arc::default(), &memory()).await.unwrap_err();
    assert_eq!(nothing.kind, Kind::NotFound);
}

#[tokio::test]
async fn an_object_takes_the_place_of_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (Bucket::new().await, Bucket::new().await);
    for number in 0..10 {
        one.put(&format!("x/{number}"), "1").await;
    }
    two.put("x", "2").await;
    let store = one.open(&dir.path().join("store")).await;
    let tablets = [1, 2, 3, 4];
    one.load(&store, 2, &tablets).await.unwrap();
    two.load(&store, 3, &tablets).await.unwrap();
    let target = dir.path().join("target");
    assert_eq!(export(&store, &target, 3, &tablets).await.unwrap(), (1, 1));
    assert_eq!(fs::read(target.join("x")).unwrap(), b"2");
}

#[tokio::test]
async fn files_are_exported_as_objects_by_several_agents() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("d/e")).unwrap();
    for number in 0..20 {
        fs::write(source.join(format!("d/e/{number}")), number.to_string()).unwrap();
    }
    let bucket = Bucket::new().await;
    let (first, second) = (bucket.open(&dir.path().join("a")).await, bucket.open(&dir.path().join("b")).await);
    let mut task = load_task(&source, 2, &[1, 2]);
    let rest = task.tablets.split_off(1);
    first.load(JobUuid::random(), &task, &Arc::default(), &memory()).await.unwrap();
    task.tablets = rest;
    second.load(JobUuid::random(), &task, &Arc::default(), &memory()).await.unwrap();
    let job = JobUuid::random();
    for _ in 0..2 {
        let one =
            first.export(job, &bucket.export(ExportStep::Write, 2, &[1]), &Arc::default(), &memory()).await.unwrap();
        let two =
            second.export(job, &bucket.export(ExportStep::Write, 2, &[2]), &Arc::default(), &memory()).await.unwrap();
        assert_eq!(one.0 + two.0, 20);
    }
    assert!(bucket.objects().await.contains(&format!(".tabvault-export-{job}/1-held")), "as long as it is unfinished");
    for (store, tablet) in [(&first, 1), (&second, 2)] {
        store.export(job, &bucket.export(ExportStep::Publish, 2, &[tablet]), &Arc::default(), &memory()).await.unwrap();
    }
    assert_eq!(bucket.objects().await.len(), 20);
    assert_eq!(&bucket.storage.get("d/e/17", 10).await.unwrap()[..], b"17");
}

#[tokio::test]
async fn what_objects_cannot_hold_is_refused_by_name_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::new().await;
    let store = bucket.open(&dir.path().join("store")).await;
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("empty")).unwrap();
    fs::write(source.join("a"), "1").unwrap();
    load(&store, &source, 2, &[1]).await.unwrap();
    fs::remove_dir(source.join("empty")).unwrap();
    std::os::unix::fs::symlink("a", source.join("link")).unwrap();
    load(&store, &source, 2, &[2]).await.unwrap();
    for (tablet, expected) in [(1, "`empty` is an empty directory"), (2, "`link` is a symbolic link")] {
        let task = bucket.export(ExportStep::Write, 2, &[tablet]);
        let failure = store.export(JobUuid::random(), &task, &Arc::default(), &memory()).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Unsupported);
        assert!(failure.message.contains(expected), "{failure}");
    }
    assert_eq!(bucket.objects().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_prefix_with_objects_of_others_is_refused_and_never_discarded() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::new().await;
    let store = bucket.open(&dir.path().join("store")).await;
    let source = dir.path().join("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("a"), "1").unwrap();
    load(&store, &source, 2, &[1]).await.unwrap();
    bucket.put("theirs", "x").await;
    let job = JobUuid::random();
    let write = bucket.export(ExportStep::Write, 2, &[1]);
    let failure = store.export(job, &write, &Arc::default(), &memory()).await.unwrap_err();
    assert_eq!(failure.kind, Kind::AlreadyExists);
    let discard = bucket.export(ExportStep::Discard, 2, &[1]);
    store.export(job, &discard, &Arc::default(), &memory()).await.unwrap();
    assert_eq!(bucket.objects().await, ["theirs"]);

    bucket.storage.delete(&["theirs".to_owned()]).await.unwrap();
    let late = store.export(job, &write, &Arc::default(), &memory()).await.unwrap_err();
    assert_eq!(late.kind, Kind::Cancelled, "what was discarded writes nothing any more");
    let job = JobUuid::random();
    store.export(job, &write, &Arc::default(), &memory()).await.unwrap();
    for _ in 0..2 {
        store.export(job, &discard, &Arc::default(), &memory()).await.unwrap();
    }
    assert_eq!(bucket.objects().await, Vec::<String>::new());
}
