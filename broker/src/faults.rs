//! A storage that fails on purpose. **For tests**: nothing in production wears it.
//!
//! Two coins are tossed for every operation: did it happen, and did the caller hear? "Happened, but the caller heard a
//! time-out" is the interesting corner. The sequence follows from a seed, which every injected failure names. On top of
//! chance, rules hit a chosen operation: the third `create` below `__data/`, every `put` from now on, the one that shall
//! wait until the test lets it go.

mod rule;
mod storage;

use std::sync::{Arc, Mutex, PoisonError};

use tabvault_common::failure::{Failure, Kind, Retry};

use crate::rng::Rng;
use crate::storage::Storage;
pub use rule::{Act, Gate, Rule};
pub use storage::FaultStorage;

/// An operation that can be hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// [`Storage::put`].
    Put,
    /// [`Storage::create`].
    Create,
    /// [`Storage::writer`].
    Writer,
    /// A piece given to a writer.
    Write,
    /// The end of a writer, which makes the object visible.
    Close,
    /// [`Storage::get`].
    Get,
    /// [`Storage::read`].
    Read,
    /// The next piece of a read.
    ReadPiece,
    /// [`Storage::stat`].
    Stat,
    /// [`Storage::list`] and [`Storage::list_level`].
    List,
    /// [`Storage::delete`].
    Delete,
}

impl Op {
    /// Whether the operation changes what others see.
    #[must_use]
    pub fn has_effect(self) -> bool {
        matches!(self, Self::Put | Self::Create | Self::Close | Self::Delete)
    }
}

/// How often chance strikes, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Chances {
    /// It does not happen, and the caller hears so.
    pub refused: f64,
    /// It happens, and the caller hears of a time-out.
    pub unheard: f64,
}

/// What is to go wrong, and what has: a handle, whose clones are the same.
#[derive(Debug, Clone)]
pub struct Faults {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    seed: u64,
    rng: Rng,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    chances: Chances,
    rules: Vec<rule::Armed>,
    log: Vec<(Op, String)>,
    injected: u64,
}

impl Faults {
    /// No faults yet; those of chance will follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { inner: Arc::new(Inner { seed, rng: Rng::new(seed), state: Mutex::default() }) }
    }

    /// What to give to [`Faults::new`] for the same faults again.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.inner.seed
    }

    /// `storage`, with these faults. Several storages may share them.
    #[must_use]
    pub fn wrap(&self, storage: Arc<dyn Storage>) -> Arc<dyn Storage> {
        Arc::new(FaultStorage::new(storage, self.clone()))
    }

    /// From now on chance strikes so often.
    pub fn chances(&self, chances: Chances) {
        self.state(|state| state.chances = chances);
    }

    /// From now on `rule` is in force, before those that came earlier.
    pub fn rule(&self, rule: Rule) {
        self.state(|state| state.rules.insert(0, rule::Armed::new(rule)));
    }

    /// The next `op` below `prefix` waits until the gate is opened.
    #[must_use]
    pub fn block(&self, op: Op, prefix: &str) -> Gate {
        let gate = Gate::default();
        self.rule(Rule::next(op, prefix, Act::Wait(gate.clone())));
        gate
    }

    /// No rules and no chances any more.
    pub fn clear(&self) {
        self.state(|state| {
            state.rules.clear();
            state.chances = Chances::default();
        });
    }

    /// Every operation so far with its path, in order, those that were made to fail included.
    #[must_use]
    pub fn log(&self) -> Vec<(Op, String)> {
        self.state(|state| state.log.clone())
    }

    /// How many `op`s below `prefix` there were so far.
    #[must_use]
    pub fn count(&self, op: Op, prefix: &str) -> usize {
        self.state(|state| state.log.iter().filter(|(o, path)| *o == op && path.starts_with(prefix)).count())
    }

    /// How many failures were injected so far.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.state(|state| state.injected)
    }

    fn state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.inner.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes the operation and decides what becomes of it.
    fn decide(&self, op: Op, path: &str) -> Act {
        let act = self.state(|state| {
            state.log.push((op, path.to_owned()));
            if let Some(act) = state.rules.iter_mut().find_map(|armed| armed.hit(op, path)) {
                return act;
            }
            let rng = &self.inner.rng;
            if rng.chance(state.chances.refused) {
                Act::Refuse(Failure::transient(Kind::Unreachable, "the storage did not answer"))
            } else if rng.chance(state.chances.unheard) {
                Act::Unheard
            } else {
                Act::Pass
            }
        });
        if matches!(act, Act::Refuse(_) | Act::Unheard | Act::Corrupt) {
            self.state(|state| state.injected += 1);
        }
        act
    }

    /// The failure that `act` makes of an operation, with where it comes from.
    fn say(&self, op: Op, path: &str, failure: Failure) -> Failure {
        failure.context(format!("injected fault (seed {}) at {op:?} {path}", self.inner.seed))
    }

    fn unheard(&self, op: Op, path: &str) -> Failure {
        let retry = if op.has_effect() { Retry::OutcomeUnknown } else { Retry::Safe };
        self.say(op, path, Failure { kind: Kind::TimedOut, retry, message: "no answer in time".to_owned() })
    }

    fn below(&self, end: usize) -> usize {
        usize::try_from(self.inner.rng.below(end as u64)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
