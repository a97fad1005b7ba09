//! A token bucket that lets anything pass and makes the next one wait, and a turnstile of changeable width.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tabvault_common::clock::{Clock, Time};
use tokio::sync::{Notify, watch};

use super::Rates;

/// What the bucket holds at most, as seconds of its rate: how much may go at once after a quiet time.
const BURST: f64 = 1.0;
/// Waiting in slices, so that a clock that was set back holds nobody up for long.
const SLICE: Duration = Duration::from_secs(1);

/// Who takes goes into debt, and who comes next waits until it is paid: so a single large taker always passes.
#[derive(Debug)]
pub(super) struct Bucket {
    state: Mutex<State>,
    /// Held while waiting, so that takers pass in the order in which they came.
    queue: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    filled: Time,
}

impl Bucket {
    pub(super) fn new(now: Time) -> Self {
        Self { state: Mutex::new(State { tokens: 0.0, filled: now }), queue: tokio::sync::Mutex::default() }
    }

    pub(super) async fn take(
        &self,
        amount: u64,
        rate: fn(&Rates) -> Option<u64>,
        clock: &dyn Clock,
        rates: &watch::Sender<Rates>,
    ) {
        if amount == 0 || rate(&rates.borrow()).is_none() {
            return;
        }
        let mut changes = rates.subscribe();
        let _place = self.queue.lock().await;
        loop {
            let Some(per_second) = rate(&changes.borrow_and_update()) else { return };
            let Some(pause) = self.try_take(amount, per_second.max(1), clock.now()) else { return };
            tokio::select! {
                () = clock.sleep(pause.min(SLICE)) => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Takes, or says how long the debt lasts.
    fn try_take(&self, amount: u64, per_second: u64, now: Time) -> Option<Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = per_second as f64;
        let earned = state.filled.until(now).as_secs_f64() * rate;
        state.tokens = (state.tokens + earned).min(rate * BURST);
        state.filled = now;
        if state.tokens < 0.0 {
            // Rounded up, since clocks count milliseconds.
            let millis = (-state.tokens / rate * 1000.0).ceil().max(1.0);
            return Some(Duration::from_millis(millis as u64));
        }
        state.tokens -= amount as f64;
        None
    }
}

/// Lets so many in at once as the rates say when they come.
#[derive(Debug, Default)]
pub(super) struct Turnstile {
    inside: Mutex<usize>,
    left: Notify,
}

/// Inside until dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Turnstile);

impl Turnstile {
    pub(super) async fn enter(&self, rates: &watch::Sender<Rates>) -> Turn<'_> {
        let mut changes = rates.subscribe();
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            let most = changes.borrow_and_update().in_flight.map_or(usize::MAX, |most| most.max(1));
            if self.try_enter(most) {
                return Turn(self);
            }
            tokio::select! {
                () = left => {}
                // The sender outlives this call, so this is a change and never its end.
                _ = changes.changed() => {}
            }
        }
    }

    fn try_enter(&self, most: usize) -> bool {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let free = *inside < most;
        *inside += usize::from(free);
        free
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.inside.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.left.notify_waiters();
    }
}
