//! Loads, restores and exports of trees of real files.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use tabvault_be_agent::load::LoadStore;
use tabvault_be_agent::progress::Progress;
use tabvault_be_agent::store::file::bucket_of;
use tabvault_be_agent::store::{PinnedContent, TabletStore};
use tabvault_common::failure::{Kind, Retry};
use tabvault_common::ids::{JobUuid, SchemaHash, TabletId};

#[path = "file_store/trees.rs"]
mod trees;
use trees::{at, create, export, load, load_task, make_odd_tree, memory, open, pinned, read_tree, restore, set_times};

const TABLETS: [u64; 3] = [1, 2, 3];

/// Writes files given as `path → content`.
fn write(dir: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn contents(dir: &Path) -> BTreeMap<String, String> {
    let found = walkdir::WalkDir::new(dir).min_depth(1).into_iter().map(Result::unwrap);
    let found = found.filter(|found| !found.file_type().is_dir());
    found
        .map(|found| {
            let name = found.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(found.path()).unwrap_or_default())
        })
        .collect()
}

fn pairs(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_the_same_after_load_backup_restore_and_export() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    make_odd_tree(&source);
    let expected = read_tree(&source);
    assert!(expected.len() > 20);
    let (first, second) = (open(&dir.path().join("a")).await, open(&dir.path().join("b")).await);
    let loaded = load(&first, &source, 2, &TABLETS).await.unwrap();
    assert_eq!(loaded.iter().map(|tablet| tablet.loaded_files).sum::<u64>(), 16);
    assert_eq!(read_tree(&source), expected, "the source is not touched");

    export(&first, &dir.path().join("direct"), 2, &TABLETS).await.unwrap();
    assert_eq!(read_tree(&dir.path().join("direct")), expected);
    let restored = restore(&first, &second, 2, &TABLETS).await;
    drop(first);
    fs::remove_dir_all(dir.path().join("a")).unwrap();
    let (files, bytes) = export(&second, &dir.path().join("restored"), 2, &restored).await.unwrap();
    assert_eq!(read_tree(&dir.path().join("restored")), expected);
    assert_eq!(files, 16);
    assert_eq!(bytes, loaded.iter().map(|tablet| tablet.bytes).sum::<u64>());
}

#[tokio::test]
async fn a_later_load_replaces_paths_and_removes_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store")).await;
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    write(&one, &[("a", "1"), ("b", "1"), ("d/c", "1")]);
    write(&two, &[("b", "2"), ("d/e", "2")]);
    load(&store, &one, 2, &TABLETS).await.unwrap();
    load(&store, &two, 3, &TABLETS).await.unwrap();
    for (version, expected) in [
        (2, pairs(&[("a", "1"), ("b", "1"), ("d/c", "1")])),
        (3, pairs(&[("a", "1"), ("b", "2"), ("d/c", "1"), ("d/e", "2")])),
    ] {
        let target = dir.path().join(format!("out{version}"));
        export(&store, &target, version, &TABLETS).await.unwrap();
        assert_eq!(contents(&target), expected);
    }
}

#[tokio::test]
async fn a_restored_table_takes_further_loads() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    write(&one, &[("a", "1"), ("b", "1")]);
    write(&two, &[("b", "2")]);
    let (first, second) = (open(&dir.path().join("a")).await, open(&dir.path().join("b")).await);
    load(&first, &one, 2, &TABLETS).await.unwrap();
    load(&first, &two, 3, &TABLETS).await.unwrap();
    let restored = restore(&first, &second, 3, &TABLETS).await;
    write(&two, &[("b", "3"), ("c", "3")]);
    load(&second, &two, 4, &restored).await.unwrap();
    // And once more, from there.
    let again = restore(&second, &first, 4, &restored).await;
    export(&first, &dir.path().join("out"), 4, &again).await.unwrap();
    assert_eq!(contents(&dir.path().join("out")), pairs(&[("a", "1"), ("b", "3"), ("c", "3")]));
    let old = second.pin(at(restored[0], 2)).await.unwrap_err();
    assert_eq!(old.message, format!("tablet {} does not have version 2: it has 3 to 4", restored[0]));
}

#[tokio::test]
async fn directories_and_files_change_places_across_tablets() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store")).await;
    let tablets: Vec<u64> = (1..=8).collect();
    let sources: Vec<_> = (0..3).map(|number| dir.path().join(number.to_string())).collect();
    let many: Vec<String> = (0..20).map(|number| format!("x/y/{number}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|path| (path.as_str(), "1")).collect();
    write(&sources[0], &many);
    write(&sources[0], &[("x-y", "1")]);
    write(&sources[1], &[("x", "2")]);
    write(&sources[2], &[("x/z/w", "3")]);
    for (version, source) in (2..).zip(&sources) {
        load(&store, source, version, &tablets).await.unwrap();
    }
    let mut expected = vec![pairs(&many), pairs(&[("x", "2")]), pairs(&[("x/z/w", "3")])];
    for (version, expected) in (2..).zip(&mut expected) {
        expected.insert("x-y".into(), "1".into());
        let target = dir.path().join(format!("out{version}"));
        export(&store, &target, version, &tablets).await.unwrap();
        assert_eq!(contents(&target), *expected, "version {version}");
    }
}

#[tokio::test]
async fn what_did_not_change_is_stored_once_and_keeps_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store")).await;
    let source = dir.path().join("source");
    write(&source, &[("same", "12345678"), ("other", "1")]);
    load(&store, &source, 2, &[1]).await.unwrap();
    let before = store.usage().await.unwrap().bytes;
    write(&source, &[("other", "22")]);
    set_times(&source);
    let loaded = load(&store, &source, 3, &[1]).await.unwrap();
    assert_eq!((loaded[0].loaded_bytes, loaded[0].bytes), (10, 10));
    assert_eq!(store.usage().await.unwrap().bytes, before + 2);
    let names = |version| {
        let store = &store;
        async move { pinned(store, 1, version).await.into_iter().map(|(path, _)| path).collect::<Vec<_>>() }
    };
    assert_eq!(names(2).await, ["files/2-0/1", "files/2-0/2", "index.jsonl"]);
    assert_eq!(names(3).await, ["files/2-0/2", "files/3-0/1", "index.jsonl"]);
}

#[tokio::test]
async fn of_very_many_loads_each_leaves_what_no_later_one_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store")).await;
    let source = dir.path().join("source");
    write(&source, &[("was/a/file", "0"), ("was a file", "0")]);
    load(&store, &source, 2, &[1]).await.unwrap();
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    for version in 3..100 {
        fs::remove_dir_all(&source).unwrap();
        let (own, content) = (format!("{version}"), format!("{}", version % 7));
        write(&source, &[(&own, &content), ("every time", &content), ("was a file/now", &content)]);
        if version == 50 {
            fs::write(source.join("was"), "a directory").unwrap();
            expected.insert("was".to_owned(), "a directory".to_owned());
        }
        load(&store, &source, version, &[1]).await.unwrap();
        expected
            .extend([own, "every time".to_owned(), "was a file/now".to_owned()].map(|path| (path, content.clone())));
    }
    let target = dir.path().join("target");
    export(&store, &target, 99, &[1]).await.unwrap();
    assert_eq!(contents(&target), expected);
}

#[tokio::test]
async fn replicas_agree_and_different_attributes_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (open(&dir.path().join("a")).await, open(&dir.path().join("b")).await);
    let source = dir.path().join("source");
    write(&source, &[("a", "1"), ("d/b", "1")]);
    let one = load(&first, &source, 2, &[1]).await.unwrap();
    assert_eq!(load(&second, &source, 2, &[1]).await.unwrap(), one);
    let index = |store| async move { trees_index(store).await };
    assert_eq!(index(first.clone()).await, index(second.clone()).await);
    fs::set_permissions(source.join("a"), fs::Permissions::from_mode(0o640)).unwrap();
    let mode = load(&second, &source, 3, &[1]).await.unwrap();
    assert_ne!(mode[0].digest, one[0].digest);
    set_times(&source);
    assert_ne!(load(&second, &source, 4, &[1]).await.unwrap()[0].digest, mode[0].digest);
}

async fn trees_index(store: tabvault_be_agent::store::file::FileTabletStore) -> Vec<u8> {
    let (name, index) = pinned(&store, 1, 2).await.pop().unwrap();
    assert_eq!(name, "index.jsonl");
    index
}

#[tokio::test]
async fn every_path_goes_to_the_tablet_of_its_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store")).await;
    let source = dir.path().join("source");
    for number in 0..40 {
        write(&source, &[(&format!("f{number}"), "")]);
    }
    // One agent has two of the three buckets.
    let mut task = load_task(&source, 2, &TABLETS);
    task.tablets.remove(1);
    let loaded = store.load(JobUuid::random(), &task, &Arc::default(), &memory()).await.unwrap();
    let expected =
        |bucket| (0..40).filter(|number| bucket_of(format!("f{number}").as_bytes(), 3) == bucket).count() as u64;
    assert_eq!(
        loaded.iter().map(|tablet| (tablet.tablet, tablet.files)).collect::<Vec<_>>(),
        [(TabletId(1), expected(0)), (TabletId(3), expected(2)),]
    );
    assert_eq!(store.pin(at(2, 2)).await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn another_load_takes_the_place_of_one_that_was_not_published() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store")).await;
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    write(&one, &[("a", "1"), ("b", "1")]);
    write(&two, &[("c", "22")]);
    load(&store, &one, 2, &[1]).await.unwrap();
    let loaded = load(&store, &two, 2, &[1]).await.unwrap();
    assert_eq!((loaded[0].files, loaded[0].bytes), (1, 2));
    assert_eq!(store.usage().await.unwrap().bytes, 2, "the files of the first are gone");
    let rowsets =
        fs::read_dir(dir.path().join("store/data/1")).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(rowsets.count(), 1);
    export(&store, &dir.path().join("out"), 2, &[1]).await.unwrap();
    assert_eq!(contents(&dir.path().join("out")), pairs(&[("c", "22")]));
}

#[tokio::test]
async fn the_same_load_again_answers_the_same_though_its_source_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store")).await;
    let source = dir.path().join("source");
    write(&source, &[("a", "1")]);
    let (job, task) = (JobUuid::random(), load_task(&source, 2, &TABLETS));
    let first = store.load(job, &task, &Arc::default(), &memory()).await.unwrap();
    write(&source, &[("a", "2")]);
    assert_eq!(store.load(job, &task, &Arc::default(), &memory()).await.unwrap(), first);
    let third = load(&store, &source, 3, &TABLETS).await.unwrap();
    assert_ne!(third, first);
    assert_eq!(
        store.load(job, &task, &Arc::default(), &memory()).await.unwrap(),
        first,
        "also when a later version is there"
    );
}

#[tokio::test]
async fn versions_without_their_predecessor_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store")).await;
    let source = dir.path().join("source");
    write(&source, &[("a", "1")]);
    for version in 2..=3 {
        load(&store, &source, version, &[1]).await.unwrap();
    }
    let gap = load(&store, &source, 5, &[1]).await.unwrap_err();
    assert_eq!(gap.kind, Kind::FailedPrecondition);
    assert!(gap.message.ends_with("tablet 1 does not have version 4: it has 1 to 3"), "{gap}");
    let late = load(&store, &source, 2, &[1]).await.unwrap_err();
    assert_eq!(late.kind, Kind::FailedPrecondition);
    assert!(late.message.ends_with("tablet 1 has version 3 already: version 2 can no longer be loaded"), "{late}");
    assert_eq!(load(&store, &source, 1, &[1]).await.unwrap_err().kind, Kind::InvalidArgument);
    let mut task = load_task(&source, 4, &[1]);
    task.tablets[0].schema_hash = SchemaHash(8);
    let other = store.load(JobUuid::random(), &task, &Arc::default(), &memory()).await.unwrap_err();
    assert_eq!(other.kind, Kind::Mismatch);
    create(&store, JobUuid::random(), 9).await;
    assert_eq!(load(&store, &source, 2, &[9]).await.unwrap_err().kind, Kind::FailedPrecondition);
}

#[tokio::test]
async fn a_source_that_cannot_be_loaded_is_refused_in_a_sentence_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store")).await;
    let source = dir.path().join("source");
    write(&source, &[("a", "1"), ("z", "1")]);
    load(&store, &source, 2, &TABLETS).await.unwrap();
    let clean = contents(&dir.path().join("store"));

    rustix::fs::mkfifoat(rustix::fs::CWD, source.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(dir.path().join("s")).unwrap();
    let display = source.display().to_string();
    let pipe = load(&store, &source, 3, &TABLETS).await.unwrap_err();
    assert_eq!((pipe.kind, pipe.retry), (Kind::Unsupported, Retry::Never));
    let expected = format!(
        "load {display}: {display}/pipe is a named pipe: only files, directories and symbolic links can be loaded"
    );
    assert_eq!(pipe.message, expected);
    drop(socket);

    let missing = load(&store, &dir.path().join("missing"), 3, &TABLETS).await.unwrap_err();
    assert_eq!(missing.kind, Kind::NotFound);
    let file = load(&store, &source.join("a"), 3, &TABLETS).await.unwrap_err();
    assert_eq!((file.kind, file.message.contains("it is no directory")), (Kind::InvalidArgument, true));
    let own = load(&store, dir.path(), 3, &TABLETS).await.unwrap_err();
    assert!(own.message.contains("must not lie in it or around it"), "{own}");
    assert_eq!(contents(&dir.path().join("store")), clean);
}

#[tokio::test]
async fn a_load_that_is_given_up_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store")).await;
    let source = dir.path().join("source");
    write(&source, &[("a", "1")]);
    load(&store, &source, 2, &[1]).await.unwrap();
    // The same load as the next version, dropped at every point at which it waits.
    for polls in 0..40 {
        let mut loading = Box::pin(load(&store, &source, 3, &[1]));
        for _ in 0..polls {
            if futures::poll!(&mut loading).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    // Whoever comes next waits for the work that was still running.
    write(&source, &[("a", "2")]);
    load(&store, &source, 3, &[1]).await.unwrap();
    let dirs = fs::read_dir(dir.path().join("store/data/1")).unwrap();
    assert_eq!(dirs.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count(), 2, "one directory per version");
    export(&store, &dir.path().join("out"), 3, &[1]).await.unwrap();
    assert_eq!(contents(&dir.path().join("out")), pairs(&[("a", "2")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_is_not_disturbed_by_loads_and_holds_back_a_replacement() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store")).await;
    let source = dir.path().join("source");
    write(&source, &[("a", "2")]);
    load(&store, &source, 2, &[1]).await.unwrap();
    let held = store.pin(at(1, 2)).await.unwrap();
    let before = pinned(&store, 1, 2).await;
    write(&source, &[("a", "3")]);
    load(&store, &source, 3, &[1]).await.unwrap();
    assert_eq!(pinned(&store, 1, 2).await, before);
    drop(held);

    let mut held = store.pin(at(1, 3)).await.unwrap();
    let PinnedContent::File(file) = held.files.next().unwrap().unwrap().content else { panic!("no file") };
    let before = pinned(&store, 1, 3).await;
    write(&source, &[("a", "4")]);
    let replacing = tokio::spawn({
        let (store, source) = (store.clone(), source.clone());
        async move { load(&store, &source, 3, &[1]).await }
    });
    // It may come as far as it can: what is pinned must still be there.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
        assert_eq!(fs::read(&file).unwrap(), b"3");
    }
    assert!(!replacing.is_finished());
    drop(held);
    replacing.await.unwrap().unwrap();
    assert_ne!(pinned(&store, 1, 3).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_of_the_same_tablets_at_once_end_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store")).await;
    let mut loads = Vec::new();
    for number in 0..6 {
        let source = dir.path().join(format!("source{number}"));
        write(&source, &[("a", &number.to_string()), ("b", &number.to_string())]);
        let store = store.clone();
        loads.push(tokio::spawn(async move { load(&store, &source, 2, &TABLETS).await }));
    }
    for load in loads {
        load.await.unwrap().unwrap();
    }
    export(&store, &dir.path().join("out"), 2, &TABLETS).await.unwrap();
    let out = contents(&dir.path().join("out"));
    assert_eq!(out.len(), 2);
    assert_eq!(store.usage().await.unwrap().bytes, 2);
}

#[tokio::test]
async fn progress_counts_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store")).await;
    let source = dir.path().join("source");
    write(&source, &[("a", "123"), ("d/b", "4567")]);
    symlink("a", source.join("l")).unwrap();
    let progress = Arc::new(Progress::default());
    store.load(JobUuid::random(), &load_task(&source, 2, &TABLETS), &progress, &memory()).await.unwrap();
    assert_eq!(progress.read(), (7, 7));
}
