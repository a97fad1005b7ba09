#![allow(clippy::unwrap_used, clippy::panic)]
use std::time::Duration;

use tabvault_common::clock::{ManualClock, Time};

use super::*;
use crate::opendal::OpendalStorage;

fn limited(rates: Rates) -> (LimitStorage, Limits, ManualClock) {
    let clock = ManualClock::new(Time(1_000_000));
    let limits = Limits::new(rates, Arc::new(clock.clone()));
    let memory = OpendalStorage::memory("", Arc::new(clock.clone())).unwrap();
    (LimitStorage::new(Arc::new(memory), limits.clone()), limits, clock)
}

/// Lets every other task do what it can.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn whoever_comes_after_a_large_write_waits_until_it_is_paid() {
    let (storage, _, clock) = limited(Rates { bytes_per_second: Some(10), ..Rates::default() });
    storage.put("a", Bytes::from(vec![0; 30])).await.unwrap();
    let second = tokio::spawn({
        let storage = storage.clone();
        async move { storage.put("b", Bytes::from_static(b"x")).await }
    });
    for _ in 0..2 {
        settle().await;
        assert!(!second.is_finished());
        clock.advance(Duration::from_secs(1));
    }
    settle().await;
    assert!(!second.is_finished());
    clock.advance(Duration::from_secs(1));
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_raised_limit_frees_those_who_wait_already() {
    let (storage, limits, _) = limited(Rates { bytes_per_second: Some(1), ..Rates::default() });
    storage.put("a", Bytes::from(vec![0; 1 << 20])).await.unwrap();
    let second = tokio::spawn({
        let storage = storage.clone();
        async move { storage.put("b", Bytes::from_static(b"x")).await }
    });
    settle().await;
    assert!(!second.is_finished());
    limits.set(Rates::default());
    second.await.unwrap().unwrap();
    assert_eq!(limits.rates(), Rates::default());
}

#[tokio::test]
async fn requests_per_second_count_requests_of_every_kind() {
    let (storage, _, clock) = limited(Rates { requests_per_second: Some(1), ..Rates::default() });
    storage.stat("a").await.unwrap();
    let second = tokio::spawn({
        let storage = storage.clone();
        async move { storage.delete(&["a".to_owned()]).await }
    });
    settle().await;
    assert!(!second.is_finished());
    clock.advance(Duration::from_secs(1));
    second.await.unwrap().unwrap();
}

/// Puts one byte in the background.
fn put(storage: &LimitStorage, path: &'static str) -> tokio::task::JoinHandle<Result<()>> {
    let storage = storage.clone();
    tokio::spawn(async move { storage.put(path, Bytes::from_static(b"x")).await })
}

#[tokio::test]
async fn a_debt_is_paid_at_the_faster_of_the_rates_before_and_after_a_change() {
    let per_second = |bytes| Rates { bytes_per_second: Some(bytes), ..Rates::default() };
    let (storage, limits, clock) = limited(per_second(10));
    storage.put("a", Bytes::from(vec![0; 30])).await.unwrap();
    let waiting = put(&storage, "b");
    settle().await;
    // Three seconds at the old rate stay three seconds, though the new one earns a tenth.
    limits.set(per_second(1));
    clock.advance(Duration::from_millis(2900));
    settle().await;
    assert!(!waiting.is_finished());
    clock.advance(Duration::from_millis(200));
    waiting.await.unwrap().unwrap();

    clock.advance(Duration::from_secs(1));
    storage.put("c", Bytes::from(vec![0; 1000])).await.unwrap();
    let waiting = put(&storage, "d");
    settle().await;
    limits.set(per_second(1000));
    clock.advance(Duration::from_millis(900));
    settle().await;
    assert!(!waiting.is_finished());
    clock.advance(Duration::from_millis(200));
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_writer_in_the_middle_of_an_object_obeys_a_limit_that_is_set_meanwhile() {
    let (storage, limits, clock) = limited(Rates::default());
    let mut writer = storage.writer("a", None).await.unwrap();
    writer.write(Bytes::from(vec![0; 1 << 20])).await.unwrap();
    limits.set(Rates { bytes_per_second: Some(100), ..Rates::default() });
    writer.write(Bytes::from(vec![0; 200])).await.unwrap();
    let rest = tokio::spawn(async move {
        writer.write(Bytes::from_static(b"x")).await.unwrap();
        writer.close().await
    });
    clock.advance(Duration::from_millis(1999));
    settle().await;
    assert!(!rest.is_finished());
    clock.advance(Duration::from_millis(1));
    rest.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_reader_in_the_middle_of_an_object_obeys_a_limit_that_is_set_meanwhile() {
    let (storage, limits, clock) = limited(Rates::default());
    storage.put("a", Bytes::from(vec![7; 3 << 20])).await.unwrap();
    let mut stream = storage.read("a", None).await.unwrap();
    stream.try_next().await.unwrap().unwrap();
    limits.set(Rates { bytes_per_second: Some(1 << 20), ..Rates::default() });
    stream.try_next().await.unwrap().unwrap();
    let rest = tokio::spawn(stream.try_collect::<Vec<_>>());
    settle().await;
    assert!(!rest.is_finished());
    for _ in 0..3 {
        clock.advance(Duration::from_secs(1));
        settle().await;
    }
    rest.await.unwrap().unwrap();
}
