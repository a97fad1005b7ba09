//! One death at every write that a job makes, one life after the other.
//!
//! Writes are told apart by kind and number within the kind: agents write side by side, so that the `n`th of all is not
//! the same from one life to the next, but how many of a kind there are is.

use std::collections::{BTreeMap, BTreeSet};

use crate::crash::Point;

/// Lives that a point may be missed by, before it counts as chance.
const MISSES: usize = 3;
/// More lives than any job of these tests takes: a walk that comes here does not end.
const TOO_MANY: usize = 400;

/// What has died where. The first life and the last are whole.
#[derive(Debug, Default)]
pub struct Walk {
    lives: usize,
    /// Lives that were to die there and did not.
    ahead: BTreeMap<Point, usize>,
    deaths: BTreeSet<Point>,
    chance: BTreeSet<Point>,
}

impl Walk {
    /// The number of this life, counted from 1.
    #[must_use]
    pub fn life(&self) -> usize {
        self.lives + 1
    }

    /// Where to die in this life; `None`: nowhere.
    #[must_use]
    pub fn point(&self) -> Option<Point> {
        self.ahead.keys().next().cloned()
    }

    /// This life ended at [`Walk::point`].
    ///
    /// # Panics
    /// If it was to be whole, or there is no end to it.
    pub fn died(&mut self) {
        let point = self.point().expect("it dies where it is to die");
        tracing::info!(kind = point.kind, n = point.n, "died");
        self.ahead.remove(&point);
        self.deaths.insert(point);
        self.next_life();
    }

    /// This life was whole, and wrote this. Answers whether it was the last: it was to be whole, and at each of these
    /// one before has died.
    ///
    /// # Panics
    /// If it was the last and nothing has died at a write that contains a word of `kinds`, or there is no end to it.
    pub fn lived(&mut self, wrote: Vec<Point>, kinds: &[&str]) -> bool {
        let aimed = self.point();
        let new = wrote.iter().filter(|point| !self.deaths.contains(point)).cloned().collect::<Vec<_>>();
        if let Some(aimed) = aimed {
            let missed = self.ahead.entry(aimed.clone()).or_default();
            *missed += 1;
            if *missed == MISSES {
                self.ahead.remove(&aimed);
                self.chance.insert(aimed);
            }
        } else if new.is_empty() {
            let died_at = |kind: &&&str| self.deaths.iter().any(|death| death.kind.contains(**kind));
            let missing: Vec<_> = kinds.iter().filter(|kind| !died_at(kind)).collect();
            assert!(missing.is_empty(), "nothing died at {missing:?}, but at {:#?}", self.deaths);
            assert!(self.deaths.len() >= wrote.len(), "{} deaths at {wrote:#?}", self.deaths.len());
            return true;
        }
        for point in new {
            assert!(!self.chance.contains(&point), "nothing dies at {point:?}, though it is written");
            self.ahead.entry(point).or_default();
        }
        self.next_life();
        false
    }

    fn next_life(&mut self) {
        self.lives += 1;
        assert!(self.lives < TOO_MANY, "no end: {self:#?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(kind: &str, n: usize) -> Point {
        Point { kind: kind.to_owned(), n }
    }

    #[test]
    fn every_write_of_a_whole_life_is_died_at() {
        let wrote = vec![point("a", 1), point("a", 2), point("b", 1)];
        let mut walk = Walk::default();
        assert!(!walk.lived(wrote.clone(), &["a"]));
        for expected in &wrote {
            assert_eq!(walk.point().as_ref(), Some(expected));
            walk.died();
        }
        // A write that was not there before is died at, too.
        assert!(!walk.lived(vec![point("a", 1), point("c", 1)], &["a"]));
        walk.died();
        assert_eq!((walk.point(), walk.life()), (None, 7));
        assert!(walk.lived(wrote, &["a", "b", "c"]));
    }

    #[test]
    fn a_write_that_does_not_come_again_is_let_be() {
        let mut walk = Walk::default();
        walk.lived(vec![point("a", 1), point("rare", 1)], &["a"]);
        walk.died();
        for _ in 0..MISSES {
            assert!(!walk.lived(vec![point("a", 1)], &["a"]));
        }
        assert!(walk.lived(vec![point("a", 1)], &["a"]));
    }

    #[test]
    #[should_panic(expected = "though it is written")]
    fn a_write_at_which_nothing_dies_is_noticed() {
        let mut walk = Walk::default();
        for _ in 0..=MISSES {
            walk.lived(vec![point("a", 1)], &["a"]);
        }
    }

    #[test]
    #[should_panic(expected = "nothing died at")]
    fn a_walk_without_a_step_is_noticed() {
        Walk::default().lived(Vec::new(), &["catalog publish"]);
    }
}
