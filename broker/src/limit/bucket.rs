//! A token bucket that lets anything pass and makes the next one wait.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tabvault_common::clock::{Clock, Time};
use tokio::sync::watch;

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
    /// The rate that `tokens` were counted at.
    rate: f64,
}

impl Bucket {
    pub(super) fn new(now: Time) -> Self {
        Self { state: Mutex::new(State { tokens: 0.0, filled: now, rate: 0.0 }), queue: tokio::sync::Mutex::default() }
    }

    /// Takes `amount`, and says how long it had to wait, if at all.
    pub(super) async fn take(
        &self,
        amount: u64,
        rate: fn(&Rates) -> Option<u64>,
        clock: &dyn Clock,
        rates: &watch::Sender<Rates>,
    ) -> Option<Duration> {
        if amount == 0 || rate(&rates.borrow()).is_none() {
            return None;
        }
        let mut changes = rates.subscribe();
        let began = clock.now();
        let mut waited = false;
        let place = self.queue.try_lock();
        let _place = match place {
            Ok(place) => place,
            Err(_) => {
                waited = true;
                self.queue.lock().await
            }
        };
        loop {
            let Some(per_second) = rate(&changes.borrow_and_update()) else { break };
            let Some(pause) = self.try_take(amount, per_second.max(1), clock.now()) else { break };
            waited = true;
            tokio::select! {
                () = clock.sleep(pause.min(SLICE)) => {}
                changed = changes.changed() => if changed.is_err() { break },
            }
        }
        waited.then(|| began.until(clock.now()))
    }

    /// Takes, or says how long the debt lasts.
    fn try_take(&self, amount: u64, per_second: u64, now: Time) -> Option<Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = per_second as f64;
        if state.tokens < 0.0 && rate < state.rate {
            // What was taken at a higher rate is paid at that rate: a lower one holds nobody up for what was allowed.
            state.tokens *= rate / state.rate;
        }
        state.rate = rate;
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
