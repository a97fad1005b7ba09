//! Whole lives of jobs in a small world that fails wherever it can: storage that loses answers, a catalog that decides
//! once, agents that die, restart and answer twice, coordinators that crash before and after everything they do.
//!
//! Everything follows from a seed, which is printed when a life goes wrong, with what happened in it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::collections::BTreeMap;

use tabvault_common::view::JobKind;

use self::life::Life;

mod agents;
mod answers;
mod catalog;
mod leader;
mod life;
mod reports;
mod repository;

/// Numbers that look random.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.roll() % n as u64).unwrap()
    }

    /// True once in `n` times.
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Lives as many as seeds, and how often each thing worth seeing was seen.
fn live(kind: JobKind, seeds: std::ops::Range<u64>) -> BTreeMap<&'static str, u64> {
    let mut seen = BTreeMap::new();
    for seed in seeds {
        let mut life = Life::new(kind, seed);
        life.run();
        for what in life.seen() {
            *seen.entry(what).or_default() += 1;
        }
    }
    seen
}

fn check_seen(seen: &BTreeMap<&'static str, u64>, wanted: &[&str]) {
    for what in wanted {
        assert!(seen.get(what).is_some_and(|times| *times >= 3), "{what} was hardly seen: {seen:?}");
    }
}

#[test]
fn every_backup_ends_well_whatever_fails() {
    let seen = live(JobKind::Backup, 0..600);
    let wanted = [
        "finished",
        "cancelled",
        "a partition was taken again",
        "a name was taken",
        "our own info was found",
        "a tombstone was written",
        "a tombstone came too late",
        "an intent was removed",
        "a manifest was shared",
        "a parent was gone",
        "a parent was dropped just after the intent was written",
        "a coordinator crashed",
        "reports came together",
        "a step was cut",
        "a predecessor's write arrived late",
        "a backend died",
    ];
    check_seen(&seen, &wanted);
}

#[test]
fn every_restore_ends_well_whatever_fails() {
    let seen = live(JobKind::Restore, 0..600);
    let wanted = [
        "finished",
        "cancelled",
        "a cancel came too late",
        "files were gone",
        "a coordinator crashed",
        "reports came together",
        "a step was cut",
        "a predecessor's write arrived late",
        "a backend died",
    ];
    check_seen(&seen, &wanted);
}
