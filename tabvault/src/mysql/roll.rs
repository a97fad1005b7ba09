//! Who is connected, so that KILL finds them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Connections by number.
#[derive(Debug, Default)]
pub(super) struct Roll(Mutex<BTreeMap<u32, Arc<Listed>>>);

/// A connection as others can reach it.
#[derive(Debug, Default)]
pub(super) struct Listed {
    user: Mutex<String>,
    /// Of the command it runs, or of its last.
    statement: Mutex<CancellationToken>,
    killed: CancellationToken,
}

impl Roll {
    /// Lists a connection of `user` until the answer is dropped.
    pub(super) fn list(self: &Arc<Self>, number: u32, user: &str) -> Entry {
        let listed = Arc::new(Listed::default());
        listed.belongs_to(user);
        self.all().insert(number, listed.clone());
        Entry { roll: self.clone(), number, listed }
    }

    /// A connection, if it is there.
    pub(super) fn find(&self, number: u64) -> Option<Arc<Listed>> {
        self.all().get(&u32::try_from(number).ok()?).cloned()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Listed>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listed {
    /// Whose it is.
    pub(super) fn user(&self) -> String {
        self.user.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on it is `user`'s.
    pub(super) fn belongs_to(&self, user: &str) {
        user.clone_into(&mut self.user.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A command begins: what ended the one before does not end this one.
    pub(super) fn begin(&self) {
        *self.statement() = CancellationToken::new();
    }

    /// Ends what it runs, if it runs something: also while rows are sent, or between two statements of a command.
    pub(super) fn end_statement(&self) {
        self.statement().cancel();
    }

    fn statement(&self) -> MutexGuard<'_, CancellationToken> {
        self.statement.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it.
    pub(super) fn kill(&self) {
        self.killed.cancel();
    }

    /// Does `work` unless somebody ends it or has ended its command: then `None`, and `work` is dropped.
    pub(super) async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let statement = self.statement().clone();
        if statement.is_cancelled() || self.killed.is_cancelled() {
            return None;
        }
        tokio::select! {
            biased;
            done = work => Some(done),
            () = statement.cancelled() => None,
            () = self.killed.cancelled() => None,
        }
    }

    /// Returns when it has been ended as a whole. Cancel safe.
    pub(super) async fn killed(&self) {
        self.killed.cancelled().await;
    }
}

/// A connection's place on the roll.
#[derive(Debug)]
pub(super) struct Entry {
    roll: Arc<Roll>,
    number: u32,
    listed: Arc<Listed>,
}

impl Entry {
    /// The connection itself.
    pub(super) fn listed(&self) -> &Arc<Listed> {
        &self.listed
    }

    /// Its number.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Another connection, or this one.
    pub(super) fn find(&self, number: u64) -> Option<Arc<Listed>> {
        self.roll.find(number)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.roll.all().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn what_is_ended_between_two_rows_ends_with_the_next_and_a_new_command_goes_on() {
        let roll = Arc::<Roll>::default();
        let entry = roll.list(1, "u");
        let listed = entry.listed();
        listed.end_statement();
        listed.begin();
        assert_eq!(listed.unless_ended(ready(1)).await, Some(1), "nothing ran");
        listed.end_statement();
        assert_eq!(listed.unless_ended(ready(2)).await, None);
        assert_eq!(listed.unless_ended(ready(3)).await, None);
        listed.begin();
        assert_eq!(listed.unless_ended(ready(4)).await, Some(4));
    }
}
