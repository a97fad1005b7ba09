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

#[tokio::test]
async fn no_more_requests_than_allowed_are_under_way_and_idle_streams_hold_none() {
    let (storage, _, _) = limited(Rates { in_flight: Some(1), ..Rates::default() });
    storage.put("a", Bytes::from_static(b"abc")).await.unwrap();
    let first = storage.read("a", None).await.unwrap();
    let mut writer = storage.writer("b", None).await.unwrap();
    writer.write(Bytes::from_static(b"b")).await.unwrap();
    let second = storage.read("a", None).await.unwrap();
    let whole = |stream: BoxStream<'static, Result<Bytes>>| stream.try_collect::<Vec<_>>();
    assert_eq!(whole(first).await.unwrap(), whole(second).await.unwrap());
    writer.close().await.unwrap();

    let turnstile = Turnstile::default();
    let rates = watch::Sender::new(Rates { in_flight: Some(1), ..Rates::default() });
    let inside = turnstile.enter(&rates).await;
    let mut waiting = Box::pin(turnstile.enter(&rates));
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(inside);
    assert!(futures::poll!(&mut waiting).is_ready());
}
