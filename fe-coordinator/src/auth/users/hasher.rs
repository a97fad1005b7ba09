//! Slow hashes, few at a time.

use std::sync::Arc;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::secret::Secret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::password::Argon2id;

/// Hashes at once, so that logins leave cores and memory (19 MiB each) to others.
const AT_ONCE: usize = 2;
/// Logins that may wait for their turn; further ones are refused.
const WAITING: usize = 64;

#[derive(Debug)]
pub(super) struct Hasher {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// The right to one hash.
#[derive(Debug)]
pub(super) struct Turn {
    _turn: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Hasher {
    pub(super) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), waiting: Arc::new(Semaphore::new(AT_ONCE + WAITING)) }
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Result<Turn, Failure> {
        let full = |_| Failure::transient(Kind::RateLimited, "too many logins at once: try again in a second");
        let place = self.waiting.clone().try_acquire_owned().map_err(full)?;
        let closed = |_| Failure::fatal(Kind::Internal, "logins are not verified any more");
        Ok(Turn { _turn: self.turns.clone().acquire_owned().await.map_err(closed)?, _place: place })
    }

    pub(super) async fn hash(&self, password: &Secret) -> Result<Argon2id, Failure> {
        let (turn, password) = (self.turn().await?, password.clone());
        run(turn, move || Argon2id::of(&password)).await
    }

    /// Whether `password` is the one of `hash`; the same work for nobody's.
    pub(super) async fn verify(&self, turn: Turn, hash: Option<&Argon2id>, password: &Secret) -> Result<bool, Failure> {
        let (hash, password) = (hash.cloned(), password.clone());
        run(turn, move || match hash {
            Some(hash) => hash.is(&password),
            None => Argon2id::nobody_is(&password),
        })
        .await
    }
}

/// The turn ends with the work, also when nobody waits for it any more.
async fn run<T: Send + 'static>(
    turn: Turn,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    });
    done.await.map_err(|error| Failure::transient(Kind::Internal, format!("hash a password: {error}")))?
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn beyond_those_that_wait_logins_are_refused() {
        let hasher = Arc::new(Hasher::new());
        let held = [hasher.turn().await.unwrap(), hasher.turn().await.unwrap()];
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(hasher.turn())).collect();
        for turn in &mut waiting {
            assert!(futures::poll!(turn).is_pending());
        }
        assert_eq!(hasher.turn().await.unwrap_err().kind, Kind::RateLimited);
        drop(held);
        assert!(waiting.remove(0).await.is_ok());
    }
}
