//! A few blocking threads that share out a list of work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tabvault_common::failure::{Failure, Kind};

use crate::store::Result;

/// Files in flight of one task. Each needs a buffer of [`BUFFER`] bytes.
pub(crate) const IN_FLIGHT: usize = 8;

/// Bytes that are read and written at once.
pub(crate) const BUFFER: usize = 256 * 1024;

/// Tells blocking work that whoever waited for it is gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

/// Stops the work when it is dropped.
#[derive(Debug)]
pub(crate) struct StopOnDrop(Stop);

impl Stop {
    /// A handle whose end stops the work.
    pub(crate) fn on_drop(&self) -> StopOnDrop {
        StopOnDrop(self.clone())
    }

    /// Asks for the work to stop.
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Fails when the work is to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Failure::transient(Kind::Cancelled, "the task was given up while it ran"));
        }
        Ok(())
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Does `work` on all `items`, [`IN_FLIGHT`] at a time, each thread with a state of its own. Answers in no particular
/// order. After the first error no other item is begun.
pub(crate) fn map<T: Send, S, R: Send>(
    items: Vec<T>,
    stop: &Stop,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let threads = items.len().clamp(1, IN_FLIGHT);
    let items = Mutex::new(items.into_iter());
    let outcome: Mutex<(Vec<R>, Option<Failure>)> = Mutex::new((Vec::new(), None));
    let failed = AtomicBool::new(false);
    let run = || {
        let mut state = state();
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let Some(item) = items.lock().unwrap_or_else(PoisonError::into_inner).next() else { break };
            match stop.check().and_then(|()| work(&mut state, item)) {
                Ok(answer) => done.push(answer),
                Err(failure) => {
                    failed.store(true, Ordering::Relaxed);
                    outcome.lock().unwrap_or_else(PoisonError::into_inner).1.get_or_insert(failure);
                }
            }
        }
        outcome.lock().unwrap_or_else(PoisonError::into_inner).0.append(&mut done);
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    let (done, failure) = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    failure.map_or(Ok(done), Err)
}

/// Runs `work` where it may block. It is told to stop when the caller is dropped.
pub(crate) async fn blocking<R: Send + 'static>(work: impl FnOnce(&Stop) -> Result<R> + Send + 'static) -> Result<R> {
    let stop = Stop::default();
    let _stop = stop.on_drop();
    match tokio::task::spawn_blocking(move || work(&stop)).await {
        Ok(answer) => answer,
        Err(error) => Err(Failure::transient(Kind::Internal, format!("blocking work did not end: {error}"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once() {
        let mut done = map((0..1000).collect(), &Stop::default(), || (), |(), item| Ok(item)).unwrap();
        done.sort_unstable();
        assert_eq!(done, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_error_is_the_answer_and_ends_the_work() {
        let begun = Mutex::new(0);
        let failure = map(
            (0..100_000).collect(),
            &Stop::default(),
            || (),
            |(), item: i32| {
                *begun.lock().unwrap() += 1;
                if item == 10 { Err(Failure::fatal(Kind::Corrupt, "ten")) } else { Ok(()) }
            },
        );
        assert_eq!(failure.unwrap_err().message, "ten");
        assert!(*begun.lock().unwrap() < 100_000);
    }

    #[test]
    fn work_that_nobody_waits_for_stops() {
        let stop = Stop::default();
        drop(stop.on_drop());
        assert_eq!(map(vec![1], &stop, || (), |(), _| Ok(())).unwrap_err().kind, Kind::Cancelled);
    }
}
