#![allow(clippy::unwrap_used, clippy::panic)]
use tabvault_common::clock::{ManualClock, SystemClock, Time};
use tabvault_common::failure::Kind;

use super::*;
use crate::faults::{Act, Faults, Op, Rule};
use crate::opendal::OpendalStorage;

/// Pauses of zero, so that tests need no clock.
const AT_ONCE: Policy = Policy { attempts: 4, base: Duration::ZERO, cap: Duration::ZERO };

fn retrying() -> (Arc<dyn Storage>, RetryStorage, Faults) {
    let plain: Arc<dyn Storage> = Arc::new(OpendalStorage::memory("", Arc::new(SystemClock)).unwrap());
    let faults = Faults::new(1);
    let storage = RetryStorage::new(faults.wrap(plain.clone()), AT_ONCE, Arc::new(SystemClock));
    (plain, storage, faults)
}

fn refuse(retry: Retry) -> Act {
    Act::Refuse(Failure { kind: Kind::Unreachable, retry, message: "no".to_owned() })
}

#[tokio::test]
async fn what_may_be_repeated_is_repeated_a_bounded_number_of_times() {
    let (_, storage, faults) = retrying();
    faults.rule(Rule { times: Some(3), ..Rule::always(Op::Put, "", refuse(Retry::OutcomeUnknown)) });
    storage.put("a", Bytes::new()).await.unwrap();
    assert_eq!(faults.count(Op::Put, ""), 4);
    faults.rule(Rule::always(Op::Stat, "", refuse(Retry::Safe)));
    storage.stat("a").await.unwrap_err();
    assert_eq!(faults.count(Op::Stat, ""), 4);
}

#[tokio::test]
async fn what_would_fail_again_is_not_repeated() {
    let (_, storage, faults) = retrying();
    faults.rule(Rule::always(Op::Put, "", refuse(Retry::Never)));
    storage.put("a", Bytes::new()).await.unwrap_err();
    assert_eq!(faults.count(Op::Put, ""), 1);
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_left_to_the_caller() {
    let (plain, storage, faults) = retrying();
    faults.rule(Rule::next(Op::Create, "", Act::Unheard));
    let failure = storage.create("a", Bytes::new()).await.unwrap_err();
    assert_eq!(failure.retry, Retry::OutcomeUnknown);
    assert_eq!(faults.count(Op::Create, ""), 1);
    assert!(plain.stat("a").await.unwrap().is_some());
    faults.rule(Rule::next(Op::Create, "", refuse(Retry::Safe)));
    assert_eq!(storage.create("b", Bytes::new()).await.unwrap(), Created::New);
}

#[tokio::test]
async fn a_read_goes_on_where_it_broke() {
    let (plain, storage, faults) = retrying();
    let data: Bytes = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>().into();
    plain.put("a", data.clone()).await.unwrap();
    for range in [None, Some(10..4_999_990)] {
        faults.rule(Rule::nth(2, Op::ReadPiece, "a", refuse(Retry::Safe)));
        faults.rule(Rule::nth(5, Op::ReadPiece, "a", refuse(Retry::Safe)));
        let read: Vec<_> = storage.read("a", range.clone()).await.unwrap().try_collect().await.unwrap();
        let wanted = range.map_or(data.clone(), |range| {
            data.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap())
        });
        assert!(read.concat() == wanted);
    }
    assert_eq!(faults.injected(), 4);
}

#[tokio::test]
async fn a_writer_is_retried_only_while_it_is_opened() {
    let (plain, storage, faults) = retrying();
    faults.rule(Rule::next(Op::Writer, "", refuse(Retry::Safe)));
    let mut writer = storage.writer("a", None).await.unwrap();
    faults.rule(Rule::next(Op::Write, "", refuse(Retry::Safe)));
    writer.write(Bytes::from_static(b"x")).await.unwrap_err();
    writer.abort().await.unwrap();
    assert!(plain.stat("a").await.unwrap().is_none());
}

#[tokio::test]
async fn pauses_are_waited_for_by_the_clock() {
    let (_, storage, faults) = retrying();
    let clock = ManualClock::new(Time(0));
    let policy = Policy { attempts: 2, base: Duration::from_secs(1 << 20), cap: Duration::from_secs(1 << 20) };
    let storage = RetryStorage::new(storage.inner, policy, Arc::new(clock.clone()));
    faults.rule(Rule::next(Op::Stat, "", refuse(Retry::Safe)));
    let task = tokio::spawn(async move { storage.stat("a").await });
    while faults.count(Op::Stat, "") == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(!task.is_finished());
    clock.advance(policy.cap);
    assert_eq!(task.await.unwrap().unwrap(), None);
}

#[test]
fn pauses_double_up_to_the_cap_and_attempts_end() {
    let policy = Policy { attempts: 40, base: Duration::from_millis(100), cap: Duration::from_secs(1) };
    for failed in 1..40 {
        let most = Duration::from_millis(100 << (failed - 1).min(10)).min(policy.cap);
        assert!(policy.pause(failed).unwrap() <= most);
    }
    assert_eq!(policy.pause(40), None);
}
