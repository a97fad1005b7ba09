use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use bytes::Bytes;
use futures::stream::TryStreamExt;
use tabvault_broker::local::LocalStorage;
use tabvault_broker::storage::{Created, Storage};
use tabvault_common::failure::{Kind, Retry};

fn storage(root: &Path) -> LocalStorage {
    LocalStorage::new(root).unwrap()
}

async fn listed(storage: &LocalStorage, prefix: &str) -> Vec<String> {
    let mut paths: Vec<_> =
        storage.list(prefix).await.unwrap().map_ok(|object| object.path).try_collect().await.unwrap();
    paths.sort();
    paths
}

async fn level(storage: &LocalStorage, prefix: &str) -> Vec<String> {
    let mut names: Vec<_> = storage.list_level(prefix).await.unwrap().try_collect().await.unwrap();
    names.sort();
    names
}

#[tokio::test]
async fn unfinished_files_are_never_listed_and_cannot_be_named() {
    let root = tempfile::tempdir().unwrap();
    let storage = storage(root.path());
    let mut writer = storage.writer("a/b", None).await.unwrap();
    writer.write(Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(fs::read_dir(root.path().join(".tabvault-tmp")).unwrap().count(), 1);
    assert_eq!(listed(&storage, "").await, [""; 0]);
    assert_eq!(level(&storage, "").await, [""; 0]);
    assert_eq!(storage.list(".tabvault-tmp/").await.err().unwrap().kind, Kind::InvalidArgument);
    assert_eq!(storage.stat(".tabvault-tmp/x").await.unwrap_err().kind, Kind::InvalidArgument);
    writer.abort().await.unwrap();
    assert_eq!(fs::read_dir(root.path().join(".tabvault-tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn links_and_strange_files_are_no_objects() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "s").unwrap();
    let root = tempfile::tempdir().unwrap();
    symlink(outside.path(), root.path().join("dir")).unwrap();
    symlink(outside.path().join("secret"), root.path().join("file")).unwrap();
    symlink("nowhere", root.path().join("dangling")).unwrap();
    fs::create_dir_all(root.path().join("empty/deep")).unwrap();
    fs::write(root.path().join("object"), "o").unwrap();
    let storage = storage(root.path());
    assert_eq!(listed(&storage, "").await, ["object"]);
    assert_eq!(level(&storage, "").await, ["object"]);
    assert_eq!(listed(&storage, "dir/").await, [""; 0]);
    assert_eq!(storage.get("file", 9).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(storage.stat("file").await.unwrap(), None);
}

#[tokio::test]
async fn a_root_that_is_itself_a_link_is_followed() {
    let real = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let link = other.path().join("link");
    symlink(real.path(), &link).unwrap();
    let storage = storage(&link);
    storage.put("a/b", Bytes::new()).await.unwrap();
    assert_eq!(listed(&storage, "").await, ["a/b"]);
    assert!(real.path().join("a/b").exists());
}

#[tokio::test]
async fn a_path_through_a_file_is_told_from_one_that_is_missing() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "f").unwrap();
    fs::create_dir(root.path().join("dir")).unwrap();
    let inner = storage(root.path());
    assert_eq!(inner.stat("file/x").await.unwrap(), None);
    let failure = inner.put("file/x", Bytes::new()).await.unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::FailedPrecondition, Retry::Never));
    assert!(failure.message.contains("a part of this path is not a directory"), "{failure}");
    let failure = inner.put("dir", Bytes::new()).await.unwrap_err();
    assert!(failure.message.contains("this is a directory"), "{failure}");

    let below_a_file = storage(&root.path().join("file"));
    for failure in [
        below_a_file.put("x", Bytes::new()).await.unwrap_err(),
        below_a_file.list("").await.unwrap().try_collect::<Vec<_>>().await.unwrap_err(),
    ] {
        assert_eq!(failure.kind, Kind::FailedPrecondition);
        assert!(failure.message.contains("not a directory"), "{failure}");
    }
}

#[tokio::test]
async fn deleting_the_last_object_removes_its_levels_but_never_the_root() {
    let root = tempfile::tempdir().unwrap();
    let storage = storage(root.path());
    for path in ["a/b/c", "a/d"] {
        storage.put(path, Bytes::new()).await.unwrap();
    }
    storage.delete(&["a/b/c".to_owned()]).await.unwrap();
    assert!(!root.path().join("a/b").exists() && root.path().join("a").exists());
    storage.delete(&["a/d".to_owned(), "a/b/c".to_owned()]).await.unwrap();
    assert!(!root.path().join("a").exists() && root.path().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_beside_deletes_and_listings_never_fail() {
    let root = tempfile::tempdir().unwrap();
    let storage = storage(root.path());
    let tasks: Vec<_> = (0..4)
        .map(|n| {
            let storage = storage.clone();
            tokio::spawn(async move {
                for round in 0..50 {
                    let path = format!("shared/deep/{n}-{round}");
                    assert_eq!(storage.create(&path, Bytes::from_static(b"x")).await.unwrap(), Created::New);
                    storage.list("").await.unwrap().try_collect::<Vec<_>>().await.unwrap();
                    storage.list_level("shared/").await.unwrap().try_collect::<Vec<_>>().await.unwrap();
                    assert_eq!(storage.get(&path, 9).await.unwrap(), "x");
                    storage.delete(&[path]).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(listed(&storage, "").await, [""; 0]);
}
