//! Time is an argument: what decides by time is given it, so that tests of deadlines take microseconds.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// A moment: milliseconds since 1970-01-01T00:00:00Z. Shown as `yyyy-MM-dd HH:mm:ss` in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub u64);

impl Time {
    /// This moment and `span` more, never overflowing.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long until `later`; zero if it has passed.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }

    fn to_jiff(self) -> jiff::Timestamp {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
    }

    /// `yyyy-MM-dd-HH-mm-ss-SSS`: the form of a snapshot's timestamp.
    pub(crate) fn dashed(self) -> String {
        format!("{}-{:03}", self.to_jiff().strftime("%Y-%m-%d-%H-%M-%S"), self.0 % 1000)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_jiff().strftime("%Y-%m-%d %H:%M:%S"))
    }
}

/// Where time comes from.
#[async_trait::async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment of the wall clock; may jump, never decides correctness.
    fn now(&self) -> Time;
    /// Returns when at least `span` has passed. Cancel safe.
    async fn sleep(&self, span: Duration);
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait::async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

/// A clock that moves only when told: sleepers wake when [`ManualClock::advance`] passes their moment.
#[derive(Debug, Clone)]
pub struct ManualClock {
    inner: Arc<ManualInner>,
}

#[derive(Debug)]
struct ManualInner {
    now: Mutex<Time>,
    moved: Notify,
}

impl ManualClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn new(start: Time) -> Self {
        Self { inner: Arc::new(ManualInner { now: Mutex::new(start), moved: Notify::new() }) }
    }

    /// Moves the clock forward and wakes whoever waited for it.
    pub fn advance(&self, span: Duration) {
        let mut now = self.inner.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = now.after(span);
        drop(now);
        self.inner.moved.notify_waiters();
    }
}

#[async_trait::async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Time {
        *self.inner.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn sleep(&self, span: Duration) {
        let end = self.now().after(span);
        loop {
            let moved = self.inner.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.now() >= end {
                return;
            }
            moved.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_in_utc() {
        assert_eq!(Time(1_753_970_521_042).to_string(), "2025-07-31 14:02:01");
        assert_eq!(Time(1_753_970_521_042).dashed(), "2025-07-31-14-02-01-042");
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_sleepers_when_it_is_moved() {
        let clock = ManualClock::new(Time(0));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(5)).await }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(4));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.expect("the sleeper ends");
    }
}
