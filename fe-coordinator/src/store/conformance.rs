//! What every [`JobStore`] promises, as a suite to run over each. A store passes if [`all`] returns `Ok`; a broken
//! promise is an assertion that fails.

use bytes::Bytes;
use futures::future::join_all;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::Epoch;

use super::large::{delete_large, get_large, put_large, stage_large, sweep_large};
use super::{Committed, JobStore, MAX_KEY, MAX_OPERATIONS, MAX_VALUE, Result, Transaction};

/// Runs the whole suite over an empty store.
///
/// # Errors
/// What the store answers where it should not fail.
pub async fn all(store: &dyn JobStore) -> Result<()> {
    epochs_grow_and_older_ones_are_refused(store).await?;
    a_transaction_happens_wholly_or_not_at_all(store).await?;
    of_racing_claims_one_wins(store).await?;
    a_scan_is_ordered_and_paged(store).await?;
    what_breaks_a_limit_is_refused(store).await?;
    large_values_are_whole(store).await?;
    leftovers_of_large_values_are_swept(store).await?;
    a_damaged_large_value_is_refused(store).await
}

/// Every leadership has a higher epoch than those before, which can write no more.
pub async fn epochs_grow_and_older_ones_are_refused(store: &dyn JobStore) -> Result<()> {
    let first = store.lead().await?;
    assert_eq!(store.commit(first, put("epoch/a", "1")).await?, Committed::Done);
    let second = store.lead().await?;
    assert!(second > first, "epoch {second} must be above {first}");
    let refusal = refused(store.commit(first, put("epoch/a", "2")).await);
    assert_eq!(refusal.kind, Kind::Stale, "{refusal}");
    let unheard = refused(store.commit(Epoch(second.0 + 1), put("epoch/a", "3")).await);
    assert_eq!(unheard.kind, Kind::Stale, "an epoch that nobody was given is refused: {unheard}");
    assert_eq!(text(store, "epoch/a").await?.as_deref(), Some("1"));
    assert_eq!(store.commit(second, put("epoch/a", "4")).await?, Committed::Done);
    assert_eq!(text(store, "epoch/a").await?.as_deref(), Some("4"));
    Ok(())
}

/// Expectations are checked before anything is changed, and one that fails changes nothing.
pub async fn a_transaction_happens_wholly_or_not_at_all(store: &dyn JobStore) -> Result<()> {
    let epoch = store.lead().await?;
    let claim = Transaction {
        expect: vec![key_value("atomic/slot", None)],
        put: vec![record("atomic/slot", "mine"), record("atomic/job", "PENDING")],
        delete: vec!["atomic/never".to_owned()],
    };
    assert_eq!(store.commit(epoch, claim.clone()).await?, Committed::Done);
    let again = store.commit(epoch, claim).await?;
    assert_eq!(again, Committed::Conflict { key: "atomic/slot".to_owned() });
    let partly = Transaction {
        expect: vec![key_value("atomic/slot", Some("mine")), key_value("atomic/job", Some("FINISHED"))],
        put: vec![record("atomic/new", "x")],
        delete: vec!["atomic/slot".to_owned()],
    };
    assert_eq!(store.commit(epoch, partly).await?, Committed::Conflict { key: "atomic/job".to_owned() });
    assert_eq!(text(store, "atomic/new").await?, None);
    assert_eq!(text(store, "atomic/slot").await?.as_deref(), Some("mine"));
    let swap = Transaction {
        expect: vec![key_value("atomic/job", Some("PENDING"))],
        put: vec![record("atomic/job", "")],
        delete: vec!["atomic/slot".to_owned()],
    };
    assert_eq!(store.commit(epoch, swap).await?, Committed::Done);
    assert_eq!(text(store, "atomic/slot").await?, None);
    assert_eq!(text(store, "atomic/job").await?.as_deref(), Some(""), "an empty value is not the same as none");
    assert_eq!(store.commit(epoch, Transaction::default()).await?, Committed::Done);
    Ok(())
}

/// Of many who expect the same record to be missing, one writes it.
pub async fn of_racing_claims_one_wins(store: &dyn JobStore) -> Result<()> {
    let epoch = store.lead().await?;
    let claims = (0..16).map(|claimant: u32| {
        let claim = Transaction {
            expect: vec![key_value("race/slot", None)],
            put: vec![record("race/slot", &claimant.to_string())],
            delete: Vec::new(),
        };
        store.commit(epoch, claim)
    });
    let mut winners = 0;
    for outcome in join_all(claims).await {
        winners += u32::from(outcome? == Committed::Done);
    }
    assert_eq!(winners, 1);
    Ok(())
}

/// A scan answers in the order of the keys' bytes, only with the prefix, after the given key, up to the limit.
pub async fn a_scan_is_ordered_and_paged(store: &dyn JobStore) -> Result<()> {
    let epoch = store.lead().await?;
    let keys = ["scan/10", "scan/9", "scan/", "scan/a/b", "scan/a", "scan/\u{e4}", "scan0", "sca"];
    let all = Transaction { put: keys.iter().map(|key| record(key, key)).collect(), ..Transaction::default() };
    store.commit(epoch, all).await?;
    let listed = |found: Vec<(String, Bytes)>| {
        assert!(found.iter().all(|(key, value)| key.as_bytes() == value.as_ref()), "values belong to their keys");
        found.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    let expected = ["scan/", "scan/10", "scan/9", "scan/a", "scan/a/b", "scan/\u{e4}"];
    assert_eq!(listed(store.scan("scan/", None, 100).await?), expected);
    assert_eq!(listed(store.scan("scan/", None, 2).await?), expected[..2]);
    assert_eq!(listed(store.scan("scan/", Some("scan/10"), 2).await?), expected[2..4]);
    assert_eq!(listed(store.scan("scan/", Some("scan/5"), 2).await?), expected[2..4], "after a key that is not there");
    assert_eq!(listed(store.scan("scan/", Some("a"), 1).await?), expected[..1], "after a key before the prefix");
    assert!(store.scan("scan/", Some("scan/\u{e4}"), 9).await?.is_empty());
    assert!(store.scan("scan/", Some("z"), 9).await?.is_empty());
    assert!(store.scan("scan/", None, 0).await?.is_empty());
    assert!(store.scan("scan/none/", None, 9).await?.is_empty());
    Ok(())
}

/// Values, keys and transactions that are too large are refused and change nothing, as do keys changed twice.
pub async fn what_breaks_a_limit_is_refused(store: &dyn JobStore) -> Result<()> {
    let epoch = store.lead().await?;
    let largest = Bytes::from(vec![7; MAX_VALUE]);
    let fits = Transaction { put: vec![("limit/largest".to_owned(), largest.clone())], ..Transaction::default() };
    assert_eq!(store.commit(epoch, fits).await?, Committed::Done);
    assert_eq!(store.get("limit/largest").await?, Some(largest));

    let too_large = ("limit/too-large".to_owned(), Bytes::from(vec![7; MAX_VALUE + 1]));
    let many = |count: usize| (0..count).map(|n| record(&format!("limit/many/{n}"), "x")).collect::<Vec<_>>();
    let long = "k".repeat(MAX_KEY + 1);
    let twice = vec!["limit/twice".to_owned(), "limit/twice".to_owned()];
    let broken = [
        Transaction { put: vec![too_large], ..Transaction::default() },
        Transaction { put: many(MAX_OPERATIONS + 1), ..Transaction::default() },
        Transaction {
            expect: vec![key_value("limit/none", None)],
            put: many(MAX_OPERATIONS - 1),
            delete: vec!["limit/largest".to_owned()],
        },
        put("", "x"),
        put(&long, "x"),
        Transaction { delete: twice, ..Transaction::default() },
        Transaction {
            put: vec![record("limit/twice", "x")],
            delete: vec!["limit/twice".to_owned()],
            ..Transaction::default()
        },
    ];
    for transaction in broken {
        let refusal = refused(store.commit(epoch, transaction).await);
        assert_eq!(refusal.kind, Kind::InvalidArgument, "{refusal}");
    }
    assert_eq!(store.scan("limit/", None, 10).await?.len(), 1, "nothing was changed");
    let whole = Transaction { put: many(MAX_OPERATIONS), ..Transaction::default() };
    assert_eq!(store.commit(epoch, whole).await?, Committed::Done);
    assert_eq!(store.scan("limit/many/", None, 1000).await?.len(), MAX_OPERATIONS);
    Ok(())
}

/// Large values come back as they were written, one replaces another, and none leaves anything behind.
pub async fn large_values_are_whole(store: &dyn JobStore) -> Result<()> {
    let epoch = store.lead().await?;
    for length in [0, 1, MAX_VALUE, MAX_VALUE + 1, 40 * MAX_VALUE, 3] {
        let value = pattern(length);
        put_large(store, epoch, "large/v", &value).await?;
        assert_eq!(get_large(store, "large/v").await?, Some(value));
        let records = store.scan("large/v", None, 1000).await?.len();
        assert_eq!(records, 1 + length.div_ceil(MAX_VALUE), "the chunks of the value before are gone");
    }
    delete_large(store, epoch, "large/v").await?;
    delete_large(store, epoch, "large/v").await?;
    assert_eq!(get_large(store, "large/v").await?, None);
    assert!(store.scan("large/", None, 1).await?.is_empty());
    let old = epoch;
    let epoch = store.lead().await?;
    assert_eq!(refused(put_large(store, old, "large/v", &pattern(9)).await).kind, Kind::Stale);
    assert!(store.scan("large/", None, 1).await?.is_empty());
    let record = stage_large(store, epoch, "large/staged", &pattern(MAX_VALUE + 9)).await?;
    assert_eq!(get_large(store, "large/staged").await?, None, "staged is not written");
    let both = vec![("large/staged".to_owned(), record), self::record("large/state", "PLANNED")];
    let change = Transaction { put: both, ..Transaction::default() };
    assert_eq!(store.commit(epoch, change).await?, Committed::Done);
    assert_eq!(get_large(store, "large/staged").await?, Some(pattern(MAX_VALUE + 9)));
    Ok(())
}

/// What a crash between chunks and record leaves is removed, and nothing else.
pub async fn leftovers_of_large_values_are_swept(store: &dyn JobStore) -> Result<()> {
    let epoch = store.lead().await?;
    let kept = pattern(40 * MAX_VALUE);
    put_large(store, epoch, "sweep/kept", &kept).await?;
    stage_large(store, epoch, "sweep/kept", &pattern(3 * MAX_VALUE)).await?;
    stage_large(store, epoch, "sweep/lost", &pattern(2 * MAX_VALUE)).await?;
    stage_large(store, epoch, "swept-not/lost", &pattern(1)).await?;
    store.commit(epoch, put("sweep/small", "x")).await?;
    assert_eq!(sweep_large(store, epoch, "sweep/").await?, 5);
    assert_eq!(sweep_large(store, epoch, "sweep/").await?, 0);
    assert_eq!(get_large(store, "sweep/kept").await?, Some(kept));
    assert_eq!(text(store, "sweep/small").await?.as_deref(), Some("x"));
    assert_eq!(store.scan("swept-not/", None, 9).await?.len(), 1);
    Ok(())
}

/// A large value with a chunk that is missing or altered is named, never returned.
pub async fn a_damaged_large_value_is_refused(store: &dyn JobStore) -> Result<()> {
    let epoch = store.lead().await?;
    put_large(store, epoch, "damage/v", &pattern(2 * MAX_VALUE)).await?;
    let chunks = store.scan("damage/v/", None, 9).await?;
    let Some((key, chunk)) = chunks.last() else { return Ok(()) };
    let mut altered = chunk.to_vec();
    if let Some(byte) = altered.last_mut() {
        *byte ^= 1;
    }
    let alter = Transaction { put: vec![(key.clone(), altered.into())], ..Transaction::default() };
    let remove = Transaction { delete: vec![key.clone()], ..Transaction::default() };
    for damage in [alter, remove] {
        store.commit(epoch, damage).await?;
        let refusal = refused(get_large(store, "damage/v").await);
        assert_eq!(refusal.kind, Kind::Corrupt);
        assert!(refusal.message.contains("damage/v"), "{refusal}");
    }
    Ok(())
}

fn record(key: &str, value: &str) -> (String, Bytes) {
    (key.to_owned(), Bytes::copy_from_slice(value.as_bytes()))
}

fn key_value(key: &str, value: Option<&str>) -> (String, Option<Bytes>) {
    (key.to_owned(), value.map(|value| Bytes::copy_from_slice(value.as_bytes())))
}

fn put(key: &str, value: &str) -> Transaction {
    Transaction { put: vec![record(key, value)], ..Transaction::default() }
}

async fn text(store: &dyn JobStore, key: &str) -> Result<Option<String>> {
    Ok(store.get(key).await?.map(|value| String::from_utf8_lossy(&value).into_owned()))
}

/// Bytes in which no two chunks are alike.
fn pattern(length: usize) -> Bytes {
    (0..length).map(|at| (at % 251) as u8 ^ (at / MAX_VALUE) as u8).collect::<Vec<u8>>().into()
}

fn refused<T: std::fmt::Debug>(outcome: Result<T>) -> Failure {
    assert!(outcome.is_err(), "must be refused, was answered: {outcome:?}");
    outcome.err().unwrap_or_else(|| Failure::fatal(Kind::Internal, "not refused"))
}
