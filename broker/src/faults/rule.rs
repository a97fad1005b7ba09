//! Faults that are aimed.

use tabvault_common::failure::{Failure, Kind};
use tokio::sync::watch;

use super::Op;

/// What becomes of an operation.
#[derive(Debug, Clone)]
pub enum Act {
    /// It is left alone.
    Pass,
    /// It does not happen; the caller hears this failure.
    Refuse(Failure),
    /// It happens; the caller hears of a time-out.
    Unheard,
    /// A read gives bytes of which one is wrong. Other operations are left alone.
    Corrupt,
    /// It waits until the gate is opened, then goes on.
    Wait(Gate),
    /// It never ends.
    Hang,
}

/// Which operations are hit, and how.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The operation; `None`: every one.
    pub op: Option<Op>,
    /// What the path must start with; empty: every path. A deletion is hit by any of its paths.
    pub prefix: String,
    /// How many matching operations pass before.
    pub skip: u64,
    /// How many are then hit; `None`: all from there on.
    pub times: Option<u64>,
    /// What becomes of them.
    pub act: Act,
}

impl Rule {
    /// Only the next `op` below `prefix`.
    pub fn next(op: Op, prefix: impl Into<String>, act: Act) -> Self {
        Self { op: Some(op), prefix: prefix.into(), skip: 0, times: Some(1), act }
    }

    /// Only the `n`th `op` below `prefix` from now on, counted from 1.
    pub fn nth(n: u64, op: Op, prefix: impl Into<String>, act: Act) -> Self {
        Self { skip: n.saturating_sub(1), ..Self::next(op, prefix, act) }
    }

    /// Every `op` below `prefix`, for good.
    pub fn always(op: Op, prefix: impl Into<String>, act: Act) -> Self {
        Self { times: None, ..Self::next(op, prefix, act) }
    }

    /// Everything, for good: the storage is gone.
    #[must_use]
    pub fn outage() -> Self {
        let act = Act::Refuse(Failure::transient(Kind::Unreachable, "the storage is gone"));
        Self { op: None, prefix: String::new(), skip: 0, times: None, act }
    }
}

/// A rule in force.
#[derive(Debug)]
pub(super) struct Armed {
    rule: Rule,
    seen: u64,
}

impl Armed {
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, seen: 0 }
    }

    /// What the rule makes of this operation, if it is meant.
    pub(super) fn hit(&mut self, op: Op, path: &str) -> Option<Act> {
        let rule = &self.rule;
        if rule.op.is_some_and(|wanted| wanted != op) || !path.starts_with(&rule.prefix) {
            return None;
        }
        self.seen += 1;
        let over = rule.times.is_some_and(|times| self.seen > rule.skip.saturating_add(times));
        (self.seen > rule.skip && !over).then(|| rule.act.clone())
    }
}

/// Where an operation waits: for the test that it was reached, for the operation that it may go on.
#[derive(Debug, Clone)]
pub struct Gate {
    reached: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { reached: watch::Sender::new(false), open: watch::Sender::new(false) }
    }
}

impl Gate {
    /// Returns when an operation has arrived at the gate.
    pub async fn reached(&self) {
        // The sender is this very handle, so waiting cannot fail.
        let _ = self.reached.subscribe().wait_for(|reached| *reached).await;
    }

    /// Lets what waits, and what comes, go on.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    pub(super) async fn pass(&self) {
        self.reached.send_replace(true);
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}
