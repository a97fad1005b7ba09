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
    pub(crate) fn set(&self) {
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

/// Does `work` on all `items`, [`IN_FLIGHT`] at a time, each thread with a state of its own. After the first error no
/// other item is begun.
pub(crate) fn each<T: Send, S>(
    items: &mut [T],
    stop: &Stop,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &mut T) -> Result<()> + Sync,
) -> Result<()> {
    let threads = items.len().clamp(1, IN_FLIGHT);
    let items = Mutex::new(items.iter_mut());
    let first: Mutex<Option<Failure>> = Mutex::default();
    let failed = AtomicBool::new(false);
    let run = || {
        let mut state = state();
        while !failed.load(Ordering::Relaxed) {
            let Some(item) = items.lock().unwrap_or_else(PoisonError::into_inner).next() else { break };
            if let Err(failure) = stop.check().and_then(|()| work(&mut state, item)) {
                failed.store(true, Ordering::Relaxed);
                first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    first.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
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

/// Runs `work` to its end, also when the caller is dropped: then it is told to stop, and never dropped half-way.
pub(crate) async fn to_end<R: Send + 'static, F: Future<Output = Result<R>> + Send + 'static>(
    work: impl FnOnce(Stop) -> F,
) -> Result<R> {
    let stop = Stop::default();
    let _stop = stop.on_drop();
    match tokio::spawn(work(stop.clone())).await {
        Ok(answer) => answer,
        Err(error) => Err(Failure::transient(Kind::Internal, format!("the work did not end: {error}"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once() {
        let mut items = vec![0; 1000];
        each(
            &mut items,
            &Stop::default(),
            || (),
            |(), item| {
                *item += 1;
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(items, vec![1; 1000]);
    }

    #[test]
    fn the_first_error_is_the_answer_and_ends_the_work() {
        let begun = Mutex::new(0);
        let mut items: Vec<i32> = (0..100_000).collect();
        let failure = each(
            &mut items,
            &Stop::default(),
            || (),
            |(), item| {
                *begun.lock().unwrap() += 1;
                if *item == 10 { Err(Failure::fatal(Kind::Corrupt, "ten")) } else { Ok(()) }
            },
        );
        assert_eq!(failure.unwrap_err().message, "ten");
        assert!(*begun.lock().unwrap() < 100_000);
    }

    #[test]
    fn work_that_nobody_waits_for_stops() {
        let stop = Stop::default();
        drop(stop.on_drop());
        assert_eq!(each(&mut [1], &stop, || (), |(), _| Ok(())).unwrap_err().kind, Kind::Cancelled);
    }
}
