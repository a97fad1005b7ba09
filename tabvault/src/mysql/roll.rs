//! Who is connected, so that KILL finds them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Connections by number.
#[derive(Debug, Default)]
pub(super) struct Roll(Mutex<BTreeMap<u32, Arc<Listed>>>);

/// A connection as others can reach it.
#[derive(Debug, Default)]
pub(super) struct Listed {
    user: Mutex<String>,
    statement: Notify,
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

    /// Ends the statement it runs, if it runs one.
    pub(super) fn end_statement(&self) {
        self.statement.notify_waiters();
    }

    /// Ends it.
    pub(super) fn kill(&self) {
        self.killed.cancel();
    }

    /// Does `work` unless somebody ends it: then `None`, and `work` is dropped.
    pub(super) async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.statement.notified() => None,
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
