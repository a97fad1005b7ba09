#![allow(clippy::unwrap_used, clippy::panic)]
use std::sync::Arc;

use tabvault_common::clock::SystemClock;

use super::*;
use crate::faults::{Act, Faults, Op, Rule};
use crate::local::LocalStorage;
use crate::opendal::OpendalStorage;

fn faulty() -> (Arc<dyn Storage>, Arc<dyn Storage>, Faults) {
    let plain: Arc<dyn Storage> = Arc::new(OpendalStorage::memory("", Arc::new(SystemClock)).unwrap());
    let faults = Faults::new(1);
    (plain.clone(), faults.wrap(plain), faults)
}

async fn count(storage: &dyn Storage) -> usize {
    storage.list("").await.unwrap().try_collect::<Vec<_>>().await.unwrap().len()
}

#[tokio::test]
async fn a_directory_can_do_everything_and_is_left_clean() {
    let root = tempfile::tempdir().unwrap();
    let storage = LocalStorage::new(root.path()).unwrap();
    let probe = probe(&storage, "repository", false).await.unwrap();
    assert!(probe.conditional_writes);
    assert_eq!(count(&storage).await, 0);
    assert!(!root.path().join("repository").exists());
}

#[tokio::test]
async fn the_right_that_is_missing_is_named() {
    for (op, verb) in
        [(Op::Put, "write"), (Op::Get, "read"), (Op::List, "list"), (Op::Create, "create"), (Op::Delete, "delete")]
    {
        let (plain, storage, faults) = faulty();
        let denied = Failure::fatal(Kind::PermissionDenied, "no");
        faults.rule(Rule::always(op, "", Act::Refuse(denied)));
        let failure = probe(&*storage, "", false).await.unwrap_err();
        assert_eq!(failure.kind, Kind::PermissionDenied);
        assert!(failure.message.starts_with(&format!("cannot {verb} in memory://")), "{failure}");
        assert_eq!(count(&*plain).await > 0, op == Op::Delete);
    }
}

#[tokio::test]
async fn a_storage_without_conditions_is_told_from_one_that_has_them() {
    let (_, storage, faults) = faulty();
    let unsupported = Failure::fatal(Kind::Unsupported, "no");
    faults.rule(Rule::always(Op::Create, "", Act::Refuse(unsupported)));
    assert!(!probe(&*storage, "", false).await.unwrap().conditional_writes);
}

#[tokio::test]
async fn a_lost_answer_of_the_winner_does_not_spoil_the_probe() {
    let (_, storage, faults) = faulty();
    faults.rule(Rule::next(Op::Create, "", Act::Unheard));
    assert!(probe(&*storage, "", false).await.unwrap().conditional_writes);
}

#[tokio::test]
async fn damage_on_the_way_is_noticed() {
    let (_, storage, faults) = faulty();
    faults.rule(Rule::next(Op::Get, "", Act::Corrupt));
    let failure = probe(&*storage, "", false).await.unwrap_err();
    assert!(failure.message.contains("something else than was written"), "{failure}");
}

#[tokio::test]
async fn a_read_only_probe_writes_nothing() {
    let (plain, storage, faults) = faulty();
    probe(&*storage, "", true).await.unwrap();
    assert_eq!(faults.log().len(), 1);
    assert_eq!(count(&*plain).await, 0);
}
