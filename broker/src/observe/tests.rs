#![allow(clippy::unwrap_used, clippy::panic)]
use std::sync::Mutex;

use tabvault_common::access::StorageAccess;
use tabvault_common::clock::{ManualClock, Time};

use super::*;
use crate::faults::{Act, Faults, Op, Rule};
use crate::open::Options;
use crate::opendal::OpendalStorage;
use crate::retry::Policy;

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Told {
    Done(Work, u64, Duration),
    PushedBack,
}

#[derive(Debug, Default)]
struct Notes(Mutex<Vec<Told>>);

impl Notes {
    fn taken(&self) -> Vec<Told> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Notes {
    fn done(&self, work: Work, bytes: u64, took: Duration) {
        self.0.lock().unwrap().push(Told::Done(work, bytes, took));
    }

    fn pushed_back(&self) {
        self.0.lock().unwrap().push(Told::PushedBack);
    }
}

fn refused(kind: Kind) -> Act {
    Act::Refuse(Failure::transient(kind, "no"))
}

#[tokio::test]
async fn every_attempt_that_a_storage_pushes_back_is_told_though_the_call_succeeds() {
    let (notes, faults) = (Arc::new(Notes::default()), Faults::new(1));
    let options = Options {
        retry: Policy { base: Duration::ZERO, ..Policy::default() },
        observer: Some(notes.clone()),
        memory: true,
        faults: Some(faults.clone()),
        ..Options::default()
    };
    let storage = options.open(&StorageAccess::direct("memory://")).await.unwrap();
    faults.rule(Rule::next(Op::Put, "", refused(Kind::RateLimited)));
    faults.rule(Rule::nth(2, Op::Put, "", refused(Kind::TimedOut)));
    faults.rule(Rule::nth(3, Op::Put, "", refused(Kind::Unreachable)));
    storage.put("a", Bytes::from_static(b"abc")).await.unwrap();
    let told = notes.taken();
    assert!(matches!(told[..], [Told::PushedBack, Told::PushedBack, Told::Done(Work::Write, 3, _)]), "{told:?}");
}

#[tokio::test]
async fn the_time_that_producers_and_consumers_take_is_not_the_storages() {
    let (notes, clock) = (Arc::new(Notes::default()), ManualClock::new(Time(0)));
    let faults = Faults::new(1);
    let memory = OpendalStorage::memory("", Arc::new(clock.clone())).unwrap();
    let plain = faults.wrap(Arc::new(memory));
    let storage = ObserveStorage::new(plain, notes.clone(), Arc::new(clock.clone()));
    let mut writer = storage.writer("a", None).await.unwrap();
    clock.advance(Duration::from_secs(100));
    writer.write(Bytes::from_static(b"abc")).await.unwrap();
    clock.advance(Duration::from_secs(100));
    let gate = crate::faults::Gate::default();
    faults.rule(Rule::next(Op::Close, "", Act::Wait(gate.clone())));
    let closing = tokio::spawn(writer.close());
    gate.reached().await;
    clock.advance(Duration::from_secs(3));
    gate.open();
    closing.await.unwrap().unwrap();
    assert_eq!(notes.taken(), [Told::Done(Work::Write, 3, Duration::from_secs(3))]);

    let mut stream = storage.read("a", None).await.unwrap();
    assert_eq!(notes.taken(), []);
    stream.try_next().await.unwrap().unwrap();
    clock.advance(Duration::from_secs(100));
    assert_eq!(stream.try_next().await.unwrap(), None);
    assert_eq!(notes.taken(), [Told::Done(Work::Read, 3, Duration::ZERO)]);
}
