#![allow(clippy::unwrap_used, clippy::panic)]
use bytes::Bytes;
use tabvault_common::clock::SystemClock;

use super::*;
use crate::opendal::OpendalStorage;

fn faulty(seed: u64) -> (Arc<dyn Storage>, Arc<dyn Storage>, Faults) {
    let plain: Arc<dyn Storage> = Arc::new(OpendalStorage::memory("", Arc::new(SystemClock)).unwrap());
    let faults = Faults::new(seed);
    (plain.clone(), faults.wrap(plain), faults)
}

fn refuse() -> Act {
    Act::Refuse(Failure::fatal(Kind::PermissionDenied, "no"))
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (_, storage, faults) = faulty(7);
        faults.chances(Chances { refused: 0.3, unheard: 0.3 });
        let mut heard = Vec::new();
        for n in 0..50 {
            heard.push(storage.put(&format!("o{n}"), Bytes::new()).await.map_err(|failure| failure.message));
        }
        assert!(faults.injected() > 10);
        runs.push(heard);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn what_is_unheard_has_happened_and_what_is_refused_has_not() {
    let (plain, storage, faults) = faulty(1);
    faults.rule(Rule::next(Op::Create, "", Act::Unheard));
    let failure = storage.create("a", Bytes::new()).await.unwrap_err();
    assert_eq!(failure.retry, Retry::OutcomeUnknown);
    assert!(failure.message.contains("seed 1"), "{failure}");
    assert!(plain.stat("a").await.unwrap().is_some());

    faults.rule(Rule::next(Op::Close, "b", refuse()));
    let writer = storage.writer("b", None).await.unwrap();
    assert_eq!(writer.close().await.unwrap_err().kind, Kind::PermissionDenied);
    assert!(plain.stat("b").await.unwrap().is_none());
}

#[tokio::test]
async fn the_nth_operation_below_a_prefix_can_be_hit() {
    let (_, storage, faults) = faulty(1);
    faults.rule(Rule::nth(2, Op::Put, "x/", refuse()));
    for (path, fails) in [("x/1", false), ("y/1", false), ("x/2", true), ("x/3", false)] {
        assert_eq!(storage.put(path, Bytes::new()).await.is_err(), fails, "{path}");
    }
    assert_eq!(faults.count(Op::Put, "x/"), 3);
    faults.rule(Rule::outage());
    assert!(storage.stat("x/1").await.is_err());
    faults.clear();
    assert!(storage.stat("x/1").await.is_ok());
}

#[tokio::test]
async fn an_operation_waits_at_its_gate() {
    let (plain, storage, faults) = faulty(1);
    let gate = faults.block(Op::Put, "a");
    let task = tokio::spawn(async move { storage.put("a", Bytes::new()).await });
    gate.reached().await;
    assert!(plain.stat("a").await.unwrap().is_none());
    gate.open();
    task.await.unwrap().unwrap();
    assert!(plain.stat("a").await.unwrap().is_some());
}

#[tokio::test]
async fn a_corrupted_read_differs_in_one_bit() {
    let (_, storage, faults) = faulty(3);
    storage.put("a", Bytes::from_static(&[0; 64])).await.unwrap();
    faults.rule(Rule::next(Op::Get, "a", Act::Corrupt));
    let ones: u32 = storage.get("a", 64).await.unwrap().iter().map(|byte| byte.count_ones()).sum();
    assert_eq!(ones, 1);
}
