//! How many requests to have in flight: as many as the storage takes without slowing down. Pure: outcomes in, width out.
//!
//! # Overview
//! The width begins at 8 and changes at the end of rounds, each of about as many outcomes as the width. A round is judged
//! by how long its requests took, compared with the shortest averages seen for requests of their kind and size:
//! - hardly longer: the width grows, fast until the first sign of too much, slowly afterwards;
//! - longer: it stays, because what more requests would add is only waiting;
//! - much longer: it shrinks a little.
//!
//! A push-back (503, 429, a time-out) halves it at once. What was in flight then may be pushed back as well and says
//! nothing new. A width that nobody used up does not grow: whether it fits is not known.
//!
//! What is shortest is measured anew now and then, at a quarter of the width for a round: otherwise requests that wait
//! in the storage because of us would come to count as the best it can do, or one lucky moment as what it always can.

use std::collections::BTreeMap;
use std::time::Duration;

use tabvault_broker::observe::Work;

/// What the width begins with.
const START: usize = 8;
/// Fewest outcomes of a round, and of a kind of request, from which an average says anything.
const ROUND: usize = 8;
const KIND: u32 = 4;
/// Up to here requests count as hardly slower than the best, and above the other as much slower.
const HARDLY: f64 = 1.5;
const MUCH: f64 = 2.0;
/// One outlier counts for so much of the best at most.
const OUTLIER: f64 = 4.0;
/// Shorter times are not told apart: clocks count milliseconds.
const SHORTEST: f64 = 0.001;
/// Rounds after which the best is measured anew, sooner for the first time, and at which part of the width.
const BREATHE_AFTER: u32 = 64;
const FIRST_AFTER: u32 = 16;
const BREATHE_AT: usize = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct Window {
    most: usize,
    width: usize,
    /// Whether nothing has been too much yet.
    searching: bool,
    /// Outcomes to come of what began when the width was much larger: they say nothing about the present one.
    stale: usize,
    round: Round,
    rounds: u32,
    /// While the best is measured: the width to go back to.
    breathing: Option<usize>,
    kinds: BTreeMap<(Work, u32), Seen>,
}

#[derive(Debug, Default)]
struct Round {
    outcomes: usize,
    used_up: bool,
}

/// What requests of one kind and size have taken, in seconds.
#[derive(Debug, Default)]
struct Seen {
    best: Option<f64>,
    sum: f64,
    count: u32,
}

impl Window {
    /// A window of at most `most` requests; zero counts as one.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            most,
            width: START.min(most),
            searching: true,
            stale: 0,
            round: Round::default(),
            rounds: BREATHE_AFTER - FIRST_AFTER,
            breathing: None,
            kinds: BTreeMap::new(),
        }
    }

    /// How many requests may be in flight.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Changes the most that the width may be.
    pub(crate) fn set_most(&mut self, most: usize) {
        self.most = most.max(1);
        self.width = self.width.min(self.most);
    }

    /// A request has ended well; `in_flight` were, with it.
    pub(crate) fn done(&mut self, work: Work, bytes: u64, took: Duration, in_flight: usize) {
        if self.stale > 0 {
            self.stale -= 1;
            return;
        }
        // Sizes within a factor of four are alike.
        let size = (u64::BITS - bytes.leading_zeros()).div_ceil(2);
        let seen = self.kinds.entry((work, size)).or_default();
        let most = seen.best.map_or(f64::MAX, |best| best * OUTLIER);
        seen.sum += took.as_secs_f64().clamp(SHORTEST, most.max(SHORTEST));
        seen.count += 1;
        self.round.outcomes += 1;
        self.round.used_up |= in_flight >= self.width;
        if self.round.outcomes >= self.width.max(ROUND) {
            self.end_round();
        }
    }

    /// A request was pushed back.
    pub(crate) fn pushed_back(&mut self) {
        if self.stale > 0 {
            self.stale -= 1;
            return;
        }
        self.stale = self.width;
        let before = self.breathing.take().unwrap_or(self.width);
        self.width = (before / 2).clamp(1, self.most);
        self.searching = false;
        self.begin_round();
    }

    fn end_round(&mut self) {
        let slower = self.slower();
        let used_up = self.round.used_up;
        self.begin_round();
        if let Some(width) = self.breathing.take() {
            self.width = width.min(self.most);
            return;
        }
        match slower {
            Some(slower) if slower > MUCH => {
                self.searching = false;
                self.width -= (self.width / 8).max(1).min(self.width - 1);
            }
            Some(slower) if slower > HARDLY => self.searching = false,
            Some(_) if used_up => {
                let step = self.width / if self.searching { 4 } else { 8 };
                self.width = (self.width + step.max(1)).min(self.most);
            }
            Some(_) | None => {}
        }
        self.rounds += 1;
        if self.rounds >= BREATHE_AFTER {
            self.rounds = 0;
            self.breathing = Some(self.width);
            self.stale = self.width;
            self.width = (self.width / BREATHE_AT).max(1);
            self.kinds.clear();
        }
    }

    /// How much longer than the best the requests of this round took; `None` where too few were alike.
    fn slower(&mut self) -> Option<f64> {
        let (mut took, mut best) = (0.0, 0.0);
        for seen in self.kinds.values_mut().filter(|seen| seen.count >= KIND) {
            let count = f64::from(seen.count);
            let average = seen.sum / count;
            let shortest = seen.best.map_or(average, |best| best.min(average));
            took += seen.sum;
            best += shortest * count;
            *seen = Seen { best: Some(shortest), ..Seen::default() };
        }
        (best > 0.0).then(|| took / best)
    }

    fn begin_round(&mut self) {
        self.round = Round::default();
    }
}

#[cfg(test)]
mod tests;
