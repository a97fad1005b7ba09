//! Exports to directories: shared by agents, whole or not at all, and never outside their target.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use tabvault_be_agent::load::LoadStore;
use tabvault_be_agent::progress::Progress;
use tabvault_be_agent::store::TabletStore;
use tabvault_be_agent::store::file::FileTabletStore;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{JobUuid, TabletId};
use tabvault_common::task::{Export, ExportStep};

#[path = "file_store/trees.rs"]
mod trees;
use trees::{at, export, export_task, load, make_odd_tree, memory, open, read_tree};

/// A store with one file `a` in tablet 1 at version 2.
async fn small(dir: &Path) -> FileTabletStore {
    let store = open(&dir.join("store")).await;
    fs::create_dir(dir.join("source")).unwrap();
    fs::write(dir.join("source/a"), "content").unwrap();
    load(&store, &dir.join("source"), 2, &[1]).await.unwrap();
    store
}

async fn step(store: &FileTabletStore, job: JobUuid, task: &Export) -> Result<(u64, u64), Failure> {
    store.export(job, task, &Arc::default(), &memory()).await
}

/// Names in `dir`.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_of_one_machine_write_one_tree_and_publish_it_once() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    make_odd_tree(&source);
    let tablets = [1, 2, 3, 4, 5];
    let mut agents = Vec::new();
    for agent in 0..3_u64 {
        let store = open(&dir.path().join(agent.to_string())).await;
        let mut task = trees::load_task(&source, 2, &tablets);
        task.tablets.retain(|tablet| tablet.tablet.0 % 3 == agent);
        store.load(JobUuid::random(), &task, &Arc::default(), &memory()).await.unwrap();
        agents.push((store, tablets.into_iter().filter(|tablet| tablet % 3 == agent).collect::<Vec<_>>()));
    }
    let (job, target) = (JobUuid::random(), dir.path().join("made/on the way/target"));
    for wanted in [ExportStep::Write, ExportStep::Write, ExportStep::Publish, ExportStep::Publish] {
        let mut steps = Vec::new();
        for (store, tablets) in agents.clone() {
            let task = export_task(&target, wanted, 2, &tablets);
            steps.push(tokio::spawn(async move { step(&store, job, &task).await }));
        }
        for step in steps {
            step.await.unwrap().unwrap();
        }
        assert_eq!(target.exists(), wanted == ExportStep::Publish);
    }
    assert_eq!(read_tree(&target), read_tree(&source));
    assert_eq!(names(target.parent().unwrap()), ["target"], "no staging directory is left");
}

#[tokio::test]
async fn a_target_must_be_absent_or_empty() {
    let dir = tempfile::tempdir().unwrap();
    let store = small(dir.path()).await;
    let target = dir.path().join("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("x"), "theirs").unwrap();
    let failure = export(&store, &target, 2, &[1]).await.unwrap_err();
    assert_eq!(failure.kind, Kind::AlreadyExists);
    let text = target.display();
    let expected = format!("export to {text}: directory {text} is not empty: name one that is empty or does not exist");
    assert_eq!(failure.message, expected);
    assert_eq!(names(dir.path()), ["source", "store", "target"]);

    fs::remove_file(target.join("x")).unwrap();
    export(&store, &target, 2, &[1]).await.unwrap();
    assert_eq!(names(&target), ["a"]);

    symlink("nowhere", dir.path().join("link")).unwrap();
    for taken in ["source/a", "link"] {
        assert_eq!(export(&store, &dir.path().join(taken), 2, &[1]).await.unwrap_err().kind, Kind::AlreadyExists);
    }
    for wrong in ["relative", "/"] {
        assert_eq!(export(&store, Path::new(wrong), 2, &[1]).await.unwrap_err().kind, Kind::InvalidArgument);
    }
}

#[tokio::test]
async fn a_target_that_was_filled_meanwhile_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let store = small(dir.path()).await;
    let (job, target) = (JobUuid::random(), dir.path().join("target"));
    step(&store, job, &export_task(&target, ExportStep::Write, 2, &[1])).await.unwrap();
    fs::create_dir(&target).unwrap();
    fs::write(target.join("x"), "theirs").unwrap();
    let failure = step(&store, job, &export_task(&target, ExportStep::Publish, 2, &[1])).await.unwrap_err();
    assert!(failure.message.contains("is not empty"), "{failure}");
    step(&store, job, &export_task(&target, ExportStep::Discard, 2, &[1])).await.unwrap();
    assert_eq!(names(&target), ["x"]);
    assert_eq!(names(dir.path()), ["source", "store", "target"]);
}

#[tokio::test]
async fn a_discarded_export_leaves_nothing_and_cannot_be_published() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    make_odd_tree(&source);
    let store = open(&dir.path().join("store")).await;
    load(&store, &source, 2, &[1]).await.unwrap();
    let (job, target) = (JobUuid::random(), dir.path().join("target"));
    let task = |step| export_task(&target, step, 2, &[1]);
    step(&store, job, &task(ExportStep::Write)).await.unwrap();
    for _ in 0..2 {
        step(&store, job, &task(ExportStep::Discard)).await.unwrap();
    }
    assert_eq!(names(dir.path()), ["source", "store"]);
    assert_eq!(step(&store, job, &task(ExportStep::Publish)).await.unwrap_err().kind, Kind::Cancelled);
}

#[tokio::test]
async fn a_publish_that_died_after_the_rename_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    let store = small(dir.path()).await;
    let (job, target) = (JobUuid::random(), dir.path().join("target"));
    step(&store, job, &export_task(&target, ExportStep::Write, 2, &[1])).await.unwrap();
    fs::rename(dir.path().join(format!(".target.tabvault-{job}/tree")), &target).unwrap();
    step(&store, job, &export_task(&target, ExportStep::Publish, 2, &[1])).await.unwrap();
    assert_eq!(names(dir.path()), ["source", "store", "target"]);
    assert_eq!(names(&target), ["a"]);
}

#[tokio::test]
async fn a_damaged_data_file_is_named_and_nothing_is_published() {
    let dir = tempfile::tempdir().unwrap();
    let store = small(dir.path()).await;
    let rowset = fs::read_dir(dir.path().join("store/data/1")).unwrap().map(|entry| entry.unwrap().path());
    let data = rowset.into_iter().find(|path| path.is_dir()).unwrap().join("files/2-0/1");
    fs::write(&data, "c0ntent").unwrap();
    let failure = export(&store, &dir.path().join("target"), 2, &[1]).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Corrupt);
    assert!(failure.message.contains("`a`") && failure.message.contains("files/2-0/1"), "{failure}");
    assert!(!dir.path().join("target").exists());
}

#[tokio::test]
async fn one_tablets_link_does_not_lead_another_tablets_file_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    for made in [&outside, &one, &two.join("x/y")] {
        fs::create_dir_all(made).unwrap();
    }
    symlink(&outside, one.join("x")).unwrap();
    fs::write(two.join("x/secret"), "s").unwrap();
    let store = open(&dir.path().join("store")).await;
    load(&store, &one, 2, &[1]).await.unwrap();
    load(&store, &two, 2, &[2]).await.unwrap();
    for tablets in [[1, 2], [2, 1]] {
        let failure = export(&store, &dir.path().join("target"), 2, &tablets).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Corrupt, "{failure}");
        assert_eq!(names(&outside), Vec::<String>::new());
    }
}

#[tokio::test]
async fn tablets_go_into_the_directories_they_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = small(dir.path()).await;
    load(&store, &dir.path().join("source"), 2, &[2]).await.unwrap();
    let (job, target) = (JobUuid::random(), dir.path().join("target"));
    let mut task = export_task(&target, ExportStep::Write, 2, &[1, 2]);
    task.tablets[0].directory = "p1".into();
    task.tablets[1].directory = "p2/sub".into();
    step(&store, job, &task).await.unwrap();
    task.step = ExportStep::Publish;
    step(&store, job, &task).await.unwrap();
    let found: Vec<_> = read_tree(&target).into_keys().collect();
    assert_eq!(found, [b"p1".as_slice(), b"p1/a", b"p2", b"p2/sub", b"p2/sub/a"]);
    for wrong in ["../up", "/abs", "a//b"] {
        task.step = ExportStep::Write;
        task.target.location = dir.path().join("other").to_str().unwrap().into();
        task.tablets[0].directory = wrong.into();
        assert_eq!(step(&store, job, &task).await.unwrap_err().kind, Kind::InvalidArgument);
    }
}

#[tokio::test]
async fn only_readable_versions_are_exported_and_bytes_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = small(dir.path()).await;
    let target = dir.path().join("target");
    assert_eq!(export(&store, &target, 3, &[1]).await.unwrap_err().kind, Kind::FailedPrecondition);
    assert_eq!(export(&store, &target, 2, &[9]).await.unwrap_err().kind, Kind::NotFound);
    trees::create(&store, JobUuid::random(), 5).await;
    assert_eq!(export(&store, &target, 1, &[5]).await.unwrap_err().kind, Kind::FailedPrecondition);
    let progress = Arc::new(Progress::default());
    let write = export_task(&target, ExportStep::Write, 2, &[1]);
    assert_eq!(store.export(JobUuid::random(), &write, &progress, &memory()).await.unwrap(), (1, 7));
    assert_eq!(progress.read(), (7, 7));
    let empty = dir.path().join("empty");
    export(&store, &empty, 1, &[1]).await.unwrap();
    assert_eq!(names(&empty), Vec::<String>::new(), "version 1 is an empty tree");
    store.drop_tablet(TabletId(1)).await.unwrap();
    assert_eq!(store.pin(at(1, 2)).await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn directories_that_forbid_writing_are_filled_first() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir_all(source.join("closed/inner")).unwrap();
    fs::write(source.join("closed/inner/file"), "x").unwrap();
    for closed in ["closed/inner", "closed"] {
        fs::set_permissions(source.join(closed), fs::Permissions::from_mode(0o555)).unwrap();
    }
    let store = open(&dir.path().join("store")).await;
    load(&store, &source, 2, &[1, 2]).await.unwrap();
    let target = dir.path().join("target");
    export(&store, &target, 2, &[1, 2]).await.unwrap();
    assert_eq!(read_tree(&target), read_tree(&source));
    for closed in ["closed", "closed/inner"] {
        for top in [&source, &target] {
            fs::set_permissions(top.join(closed), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}
