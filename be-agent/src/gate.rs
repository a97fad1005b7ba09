//! Places for work that may run at once, as many as is set meanwhile. Who waits is served in order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tabvault_common::failure::{Failure, Kind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// See the module. Clones are handles of the same one.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    width: usize,
    taken: usize,
    /// Places that are to go as soon as they are left.
    owed: usize,
}

impl Gate {
    /// A gate with `width` places; zero counts as one.
    pub(crate) fn new(width: usize) -> Self {
        let width = width.clamp(1, Semaphore::MAX_PERMITS);
        let state = Mutex::new(State { width, taken: 0, owed: 0 });
        Self { inner: Arc::new(Inner { places: Arc::new(Semaphore::new(width)), state }) }
    }

    /// A gate that lets all in.
    pub(crate) fn open() -> Self {
        Self::new(Semaphore::MAX_PERMITS)
    }

    /// Waits for a place. Cancel safe.
    ///
    /// # Errors
    /// None while the gate lives; `Internal` guards against a closed one.
    pub(crate) async fn enter(&self) -> Result<Place, Failure> {
        let permit = Arc::clone(&self.inner.places)
            .acquire_owned()
            .await
            .map_err(|_| Failure::transient(Kind::Internal, "wait for a place: the agent is shutting down"))?;
        self.inner.state().taken += 1;
        Ok(Place { inner: Arc::clone(&self.inner), permit: Some(permit) })
    }

    /// Changes the number of places, zero counting as one; whoever is inside stays.
    pub(crate) fn resize(&self, width: usize) {
        let width = width.clamp(1, Semaphore::MAX_PERMITS);
        let mut state = self.inner.state();
        let (more, fewer) = (width.saturating_sub(state.width), state.width.saturating_sub(width));
        state.width = width;
        let paid = more.min(state.owed);
        state.owed = state.owed - paid + (fewer - self.inner.places.forget_permits(fewer));
        self.inner.places.add_permits(more - paid);
    }

    /// How many are inside.
    pub(crate) fn taken(&self) -> usize {
        self.inner.state().taken
    }

    /// How many may be inside.
    pub(crate) fn width(&self) -> usize {
        self.inner.state().width
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place, until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    inner: Arc<Inner>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        state.taken = state.taken.saturating_sub(1);
        if state.owed > 0
            && let Some(permit) = self.permit.take()
        {
            state.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use futures::FutureExt;

    use super::*;

    fn inside(gate: &Gate, most: usize) -> Vec<Place> {
        (0..most).map_while(|_| gate.enter().now_or_never()).map(Result::unwrap).collect()
    }

    #[test]
    fn as_many_are_inside_as_the_width_says_whatever_it_was_before() {
        let gate = Gate::new(4);
        let mut places = inside(&gate, 10);
        assert_eq!((places.len(), gate.taken()), (4, 4));
        gate.resize(2);
        places.truncate(2);
        assert!(inside(&gate, 10).is_empty(), "two have left, and two places went with them");
        gate.resize(1);
        gate.resize(5);
        assert_eq!((inside(&gate, 10).len(), gate.width()), (3, 5));
        drop(places);
        assert_eq!(inside(&gate, 10).len(), 5);
        assert_eq!(gate.taken(), 0);
    }

    #[test]
    fn whoever_waits_enters_when_the_gate_is_widened() {
        let gate = Gate::new(0);
        let first = gate.enter().now_or_never().unwrap();
        let mut waiting = Box::pin(gate.enter());
        assert!(waiting.as_mut().now_or_never().is_none());
        gate.resize(2);
        assert!(waiting.as_mut().now_or_never().is_some());
        drop(first);
        assert_eq!(inside(&Gate::open(), 1000).len(), 1000);
    }
}
