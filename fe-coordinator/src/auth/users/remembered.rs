//! Passwords that were verified a moment ago: gRPC carries the password with every call, and the slow hash takes longer
//! than most calls.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tabvault_common::clock::Time;
use tabvault_common::failure::Failure;
use tabvault_common::secret::Secret;

use super::password::Argon2id;
use crate::auth::secret_file::random_bytes;

/// How long a verification counts.
const LASTS: Duration = Duration::from_secs(300);
/// Verifications that are remembered; beyond that, the oldest are forgotten.
const MOST: usize = 1024;

type Mark = [u8; 32];

/// Remembers no password: only a hash of user, password and record under a key that lives in this process's memory. The
/// record is in it, so that with any change of the password the mark means nothing any more.
pub(super) struct Remembered {
    key: [u8; 32],
    marks: Mutex<HashMap<Mark, Time>>,
}

impl Remembered {
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self { key: random_bytes()?, marks: Mutex::default() })
    }

    /// Whether `password` was found to be that of `hash`.
    pub(super) fn knows(&self, user: &str, hash: &Argon2id, password: &Secret, now: Time) -> bool {
        let mark = self.mark(user, hash, password);
        self.marks().get(&mark).is_some_and(|since| lives(*since, now))
    }

    pub(super) fn insert(&self, user: &str, hash: &Argon2id, password: &Secret, now: Time) {
        let mark = self.mark(user, hash, password);
        let mut marks = self.marks();
        if marks.len() >= MOST {
            marks.retain(|_, since| lives(*since, now));
        }
        if marks.len() >= MOST
            && let Some(oldest) = marks.iter().min_by_key(|(_, since)| **since).map(|(mark, _)| *mark)
        {
            marks.remove(&oldest);
        }
        marks.insert(mark, now);
    }

    fn mark(&self, user: &str, hash: &Argon2id, password: &Secret) -> Mark {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        let [salt, hash] = hash.identity();
        for part in [user, salt, hash, password.expose()] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        hasher.finalize().into()
    }

    fn marks(&self) -> MutexGuard<'_, HashMap<Mark, Time>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock that jumped back makes nothing live longer.
fn lives(since: Time, now: Time) -> bool {
    since <= now && since.until(now) < LASTS
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_verification_counts_for_its_user_password_and_record_and_not_for_long() {
        let remembered = Remembered::new().unwrap();
        let (right, wrong) = (Secret::new("right"), Secret::new("wrong"));
        let (hash, other) = (Argon2id::of(&right).unwrap(), Argon2id::of(&right).unwrap());
        let begin = Time(1_000_000);
        remembered.insert("u", &hash, &right, begin);
        assert!(remembered.knows("u", &hash, &right, begin));
        assert!(!remembered.knows("v", &hash, &right, begin));
        assert!(!remembered.knows("u", &hash, &wrong, begin));
        assert!(!remembered.knows("u", &other, &right, begin));
        assert!(!remembered.knows("u", &hash, &right, begin.after(LASTS)));
        assert!(!remembered.knows("u", &hash, &right, Time(0)));
    }

    #[test]
    fn only_the_newest_are_remembered() {
        let remembered = Remembered::new().unwrap();
        let secret = Secret::new("right");
        let hash = Argon2id::of(&secret).unwrap();
        for n in 0..=MOST as u64 {
            remembered.insert(&format!("u{n}"), &hash, &secret, Time(n));
        }
        assert_eq!(remembered.marks().len(), MOST);
        assert!(!remembered.knows("u0", &hash, &secret, Time(MOST as u64)));
        assert!(remembered.knows("u1", &hash, &secret, Time(MOST as u64)));
    }
}
