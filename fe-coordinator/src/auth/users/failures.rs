//! Logins that failed: whoever guesses is slowed down.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};

use super::check_name;

/// Failures in a row that cost nothing.
const FREE: u32 = 5;
/// After them, one attempt in this time is looked at.
const PAUSE: Duration = Duration::from_secs(1);
/// After so long without a failure, a name begins anew.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// Names that are counted; beyond that, the one whose last failure is oldest is forgotten.
const MOST: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Row {
    failures: u32,
    last: Time,
}

/// By name, whether or not there is such a user: the refusal tells nothing. What can be nobody's name is counted in one
/// row, and not kept: it may be of any length. Logins that are remembered do not come here,
/// so that a guesser does not stop the clients that work; a new login may have to be tried again.
#[derive(Debug, Default)]
pub(super) struct Failures {
    rows: Mutex<HashMap<String, Row>>,
}

impl Failures {
    /// Refuses an attempt that comes too early.
    pub(super) fn admit(&self, user: &str, now: Time) -> Result<(), Failure> {
        let row = self.rows().get(key(user)).copied();
        let early = |row: Row| row.failures >= FREE && row.last <= now && row.last.until(now) < PAUSE;
        if row.is_some_and(early) {
            let why = format!("Access denied: {FREE} logins in a row have failed, try again in {} s", PAUSE.as_secs());
            return Err(Failure::transient(Kind::RateLimited, why));
        }
        Ok(())
    }

    /// Counts an attempt.
    pub(super) fn count(&self, user: &str, right: bool, now: Time) {
        let user = key(user);
        let mut rows = self.rows();
        if right {
            rows.remove(user);
            return;
        }
        if rows.len() >= MOST && !rows.contains_key(user) {
            rows.retain(|_, row| row.last.until(now) < FORGOTTEN);
            if rows.len() >= MOST
                && let Some(oldest) = rows.iter().min_by_key(|(_, row)| row.last).map(|(name, _)| name.clone())
            {
                rows.remove(&oldest);
            }
        }
        let row = rows.entry(user.to_owned()).or_insert(Row { failures: 0, last: now });
        if row.last.until(now) >= FORGOTTEN {
            row.failures = 0;
        }
        *row = Row { failures: row.failures.saturating_add(1), last: now };
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<String, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `user` is counted under; what can be nobody's name, under the empty name.
fn key(user: &str) -> &str {
    if check_name(user).is_ok() { user } else { "" }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BEGIN: Time = Time(1_000_000);

    fn failed(failures: &Failures, user: &str, times: u32) {
        for _ in 0..times {
            failures.count(user, false, BEGIN);
        }
    }

    #[test]
    fn after_five_failures_in_a_row_one_attempt_a_second_is_looked_at() {
        let failures = Failures::default();
        failed(&failures, "u", FREE - 1);
        failures.admit("u", BEGIN).unwrap();
        failed(&failures, "u", 1);
        assert_eq!(failures.admit("u", BEGIN).unwrap_err().kind, Kind::RateLimited);
        failures.admit("v", BEGIN).unwrap();
        failures.admit("u", BEGIN.after(PAUSE)).unwrap();
        // A clock that jumped back locks nobody out.
        failures.admit("u", Time(0)).unwrap();
    }

    #[test]
    fn a_success_or_a_minute_makes_it_good() {
        let failures = Failures::default();
        failed(&failures, "u", FREE);
        failures.count("u", true, BEGIN);
        failures.admit("u", BEGIN).unwrap();
        failed(&failures, "u", FREE);
        let later = BEGIN.after(FORGOTTEN);
        failures.count("u", false, later);
        failures.admit("u", later).unwrap();
    }

    #[test]
    fn what_can_be_nobodys_name_is_counted_together_and_not_kept() {
        let failures = Failures::default();
        for n in 0..FREE {
            failures.count(&format!("{n}{}", "x".repeat(1 << 16)), false, BEGIN);
        }
        assert_eq!(failures.rows().keys().collect::<Vec<_>>(), [""]);
        assert_eq!(failures.admit("no name", BEGIN).unwrap_err().kind, Kind::RateLimited);
        failures.admit("u", BEGIN).unwrap();
    }

    #[test]
    fn names_are_counted_up_to_a_number() {
        let failures = Failures::default();
        failed(&failures, "u", FREE);
        for n in 0..MOST as u64 {
            failures.count(&format!("u{n}"), false, BEGIN.after(Duration::from_millis(n + 1)));
        }
        assert_eq!(failures.rows().len(), MOST);
        failures.admit("u", BEGIN).unwrap();
    }
}
