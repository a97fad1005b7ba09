//! Durable file operations: what they promise short of a loss of power.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tabvault_common::durable::{self, Creation, SyncFs};
use tabvault_common::failure::{Kind, Retry};

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_is_replaced_whole_and_nothing_is_left_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    durable::write_file(&path, b"one").unwrap();
    durable::write_file(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(names(dir.path()), ["a".to_owned()].into());
}

#[test]
fn of_many_who_create_a_file_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("commit");
    let outcomes: Vec<(u8, Creation)> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8u8)
            .map(|n| {
                let path = &path;
                scope.spawn(move || (n, durable::create_file(path, &[n; 100]).unwrap()))
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let winners: Vec<u8> = outcomes.iter().filter(|(_, c)| *c == Creation::Created).map(|(n, _)| *n).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(fs::read(&path).unwrap(), [winners[0]; 100]);
    assert_eq!(names(dir.path()), ["commit".to_owned()].into());
}

#[test]
fn a_write_that_fails_names_its_path_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing/a");
    for failure in [durable::write_file(&path, b"x").unwrap_err(), durable::create_file(&path, b"x").unwrap_err()] {
        assert_eq!(failure.kind, Kind::NotFound);
        assert!(failure.message.contains("missing/a"), "{failure}");
    }
    let taken = dir.path().join("taken");
    fs::create_dir(&taken).unwrap();
    assert!(durable::write_file(&taken, b"x").is_err());
    assert_eq!(durable::create_file(&taken, b"x").unwrap(), Creation::Exists);
    assert_eq!(names(dir.path()), ["taken".to_owned()].into());
}

#[test]
fn a_temporary_file_is_known_by_its_name() {
    assert!(durable::is_temporary(".tabvault-tmp-x"));
    assert!(!durable::is_temporary("__info_x"));
}

#[test]
fn a_directory_is_renamed_and_removed_with_all_that_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a/b/c"), dir.path().join("d/e"));
    durable::create_dir_all(&from).unwrap();
    durable::create_dir_all(&from).unwrap();
    durable::create_dir_all(to.parent().unwrap()).unwrap();
    durable::write_file(&from.join("f"), b"x").unwrap();
    durable::rename(&from, &to).unwrap();
    assert_eq!(fs::read(to.join("f")).unwrap(), b"x");
    assert_eq!(durable::rename(&from, &to).unwrap_err().kind, Kind::NotFound);
    durable::remove_dir_all(&to).unwrap();
    durable::remove_dir_all(&to).unwrap();
    durable::remove_file(&to.join("f")).unwrap();
    assert!(!to.exists());
}

#[test]
fn a_directory_cannot_be_made_where_a_file_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    durable::write_file(&path, b"x").unwrap();
    assert!(durable::create_dir_all(&path).is_err());
    assert!(durable::create_dir_all(&path.join("below")).is_err());
}

#[test]
fn a_link_shares_the_bytes_and_does_not_replace() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    durable::write_file(&a, b"x").unwrap();
    durable::hard_link(&a, &b).unwrap();
    assert_eq!(durable::hard_link(&a, &b).unwrap_err().kind, Kind::AlreadyExists);
    assert_eq!(std::os::unix::fs::MetadataExt::nlink(&fs::metadata(&b).unwrap()), 2);
}

#[test]
fn a_link_across_filesystems_is_refused_with_both_names() {
    let here = tempfile::tempdir().unwrap();
    let shm = Path::new("/dev/shm");
    if !shm.is_dir() || durable::same_filesystem(here.path(), shm).unwrap() {
        return;
    }
    let there = tempfile::tempdir_in(shm).unwrap();
    let (a, b) = (here.path().join("a"), there.path().join("b"));
    durable::write_file(&a, b"x").unwrap();
    let failure = durable::hard_link(&a, &b).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Unsupported, Retry::Never));
    for part in [a.to_str().unwrap(), b.to_str().unwrap(), "one filesystem"] {
        assert!(failure.message.contains(part), "{failure}");
    }
    assert!(!b.exists(), "the file must not be copied instead");
}

#[test]
fn a_filesystem_is_synced_and_tells_its_room() {
    let dir = tempfile::tempdir().unwrap();
    let sync = SyncFs::open(dir.path()).unwrap();
    fs::write(dir.path().join("a"), b"x").unwrap();
    sync.sync().unwrap();
    durable::sync_file(&dir.path().join("a")).unwrap();
    let space = durable::free_space(dir.path()).unwrap();
    assert!(space.available <= space.total && space.total > 0);
    assert!(durable::same_filesystem(dir.path(), &dir.path().join("a")).unwrap());
    assert_eq!(SyncFs::open(&dir.path().join("none")).unwrap_err().kind, Kind::NotFound);
}

#[test]
fn a_directory_has_one_owner_until_the_lock_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let lock = durable::lock_dir(dir.path()).unwrap();
    let failure = durable::lock_dir(dir.path()).unwrap_err();
    assert_eq!(failure.kind, Kind::Busy);
    let (path, pid) = (dir.path().display(), std::process::id());
    assert_eq!(failure.message, format!("directory {path} is used by another process (pid {pid})"));
    drop(lock);
    let again = durable::lock_dir(dir.path()).unwrap();
    drop(again);
}
