//! The job stores: the promises they share, and what the directory keeps through restarts and crashes.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use tabvault_common::failure::Kind;
use tabvault_common::ids::Epoch;
use tabvault_fe_coordinator::store::large::{get_large, put_large};
use tabvault_fe_coordinator::store::{
    Committed, JobStore, MAX_VALUE, MemoryStore, SharedDb, SledStore, Transaction, conformance,
};

/// Names the directory to a child process that is to write until it is killed.
const CHILD_DIR: &str = "TABVAULT_TEST_STORE_DIR";

fn put(records: &[(String, Bytes)]) -> Transaction {
    Transaction { put: records.to_vec(), ..Transaction::default() }
}

fn open(dir: &Path) -> SledStore {
    SledStore::open(&SharedDb::open(dir).unwrap()).unwrap()
}

#[tokio::test]
async fn the_memory_store_keeps_the_promises() {
    conformance::all(&MemoryStore::new()).await.unwrap();
}

#[tokio::test]
async fn no_value_is_shown_for_debugging() {
    let dir = tempfile::tempdir().unwrap();
    let stores: [&dyn JobStore; 2] = [&MemoryStore::new(), &open(dir.path())];
    let change = put(&[("repository/r".to_owned(), Bytes::from_static(b"hunter2"))]);
    assert!(!format!("{change:?}").contains("hunter2"));
    for store in stores {
        let epoch = store.lead().await.unwrap();
        store.commit(epoch, change.clone()).await.unwrap();
        assert!(!format!("{store:?}").contains("hunter2"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_store_keeps_the_promises() {
    let dir = tempfile::tempdir().unwrap();
    conformance::all(&open(dir.path())).await.unwrap();
}

#[tokio::test]
async fn records_and_epoch_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=5_u64 {
        let store = open(dir.path());
        assert_eq!(store.lead().await.unwrap(), Epoch(round));
        let before = store.get("round").await.unwrap();
        let expected = (round > 1).then(|| Bytes::from((round - 1).to_string()));
        assert_eq!(before, expected);
        store.commit(Epoch(round), put(&[("round".to_owned(), round.to_string().into())])).await.unwrap();
    }
}

#[tokio::test]
async fn a_directory_in_use_is_refused_by_name_and_free_when_it_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let first = SharedDb::open(dir.path()).unwrap();
    let refusal = SharedDb::open(dir.path()).unwrap_err();
    assert_eq!(refusal.kind, Kind::Busy);
    assert!(refusal.message.contains(&dir.path().display().to_string()), "{refusal}");
    drop(first);
    SharedDb::open(dir.path()).unwrap();
}

#[tokio::test]
async fn the_directory_is_for_its_owner_only() {
    let above = tempfile::tempdir().unwrap();
    let dir = above.path().join("meta").join("db");
    drop(SharedDb::open(&dir).unwrap());
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn no_record_ever_leaves_the_file_that_is_synced() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let epoch = store.lead().await.unwrap();
    let value = Bytes::from(vec![1; MAX_VALUE]);
    for round in 0..40 {
        let keys = (0..8).map(|n| (format!("{}/{}", "k".repeat(900), round * 8 + n), value.clone()));
        store.commit(epoch, put(&keys.collect::<Vec<_>>())).await.unwrap();
    }
    let others: Vec<_> = std::fs::read_dir(dir.path().join("blobs")).unwrap().collect();
    assert!(others.is_empty(), "sled does not sync these: {others:?}");
}

#[tokio::test]
async fn overwriting_a_large_value_many_times_does_not_fill_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let epoch = store.lead().await.unwrap();
    for round in 0..100_u8 {
        put_large(&store, epoch, "plan", &Bytes::from(vec![round; 1 << 20])).await.unwrap();
    }
    assert_eq!(get_large(&store, "plan").await.unwrap().unwrap()[0], 99);
    let bytes: u64 = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 256 << 20, "{bytes} bytes for 1 MiB of records");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_the_process_was_killed() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        write_until_killed(Path::new(&dir)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = vec![0_u64; WRITERS];
    for round in 1..=6_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "what_was_acknowledged_is_there_after_the_process_was_killed", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut heard = 0;
        let mut note = |line: &str| {
            let Some((writer, number)) = line.strip_prefix("done ").and_then(|rest| rest.split_once(' ')) else {
                return 0;
            };
            acknowledged[writer.parse::<usize>().unwrap()] = number.parse().unwrap();
            1
        };
        while heard < 60 * round {
            heard += note(&said.next().expect("the child writes until it is killed"));
        }
        child.kill().unwrap();
        // What it said before it died counts as well; of the last line only if it is whole.
        said.for_each(|line| {
            note(line.trim_end());
        });
        child.wait().unwrap();
        check(dir.path(), &acknowledged).await;
    }
}

const WRITERS: usize = 4;

/// Every writer counts up, in pairs of records that must agree, beside a large value.
async fn write_until_killed(dir: &Path) {
    use std::io::Write;
    let store = open(dir);
    let epoch = store.lead().await.unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let stored = store.get(&format!("{writer}/a")).await.unwrap();
            let mut number: u64 = stored.map_or(0, |value| String::from_utf8_lossy(&value).parse().unwrap());
            loop {
                number += 1;
                let value = Bytes::from(number.to_string());
                let pair = put(&[(format!("{writer}/a"), value.clone()), (format!("{writer}/b"), value.clone())]);
                assert_eq!(store.commit(epoch, pair).await.unwrap(), Committed::Done);
                if number.is_multiple_of(8) {
                    let large = Bytes::from(number.to_string().repeat(40_000));
                    put_large(&store, epoch, &format!("{writer}/large"), &large).await.unwrap();
                }
                let mut out = std::io::stdout().lock();
                writeln!(out, "\ndone {writer} {number}").unwrap();
                out.flush().unwrap();
            }
        })
    });
    futures::future::join_all(writers).await;
}

async fn check(dir: &Path, acknowledged: &[u64]) {
    let store = open(dir);
    for (writer, least) in acknowledged.iter().enumerate() {
        let number =
            |value: Option<Bytes>| value.map_or(0, |value| String::from_utf8_lossy(&value).parse::<u64>().unwrap());
        let a = number(store.get(&format!("{writer}/a")).await.unwrap());
        let b = number(store.get(&format!("{writer}/b")).await.unwrap());
        assert_eq!(a, b, "a transaction is whole");
        assert!(a >= *least, "writer {writer} was told {least}, and {a} is there");
        let Some(large) = get_large(&store, &format!("{writer}/large")).await.unwrap() else {
            assert!(*least < 8, "the large value is gone");
            continue;
        };
        let unit = &large[..large.len() / 40_000];
        let large_number: u64 = String::from_utf8_lossy(unit).parse().unwrap();
        assert!(large_number >= least / 8 * 8, "writer {writer} had stored {least}, its large value is {large_number}");
    }
}
