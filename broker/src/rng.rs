//! A small seeded generator (SplitMix64): for jitter and for faults that can be repeated, never for secrets.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers that follow from the seed alone, shared by many threads.
#[derive(Debug)]
pub(crate) struct Rng(AtomicU64);

impl Rng {
    /// The sequence of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A sequence that nobody can repeat.
    pub(crate) fn random() -> Self {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Self::new(high ^ low)
    }

    /// The next number.
    pub(crate) fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True with probability `p`.
    pub(crate) fn chance(&self, p: f64) -> bool {
        // 53 bits are what a double holds exactly.
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < p
    }

    /// A number below `end`; zero if `end` is zero.
    pub(crate) fn below(&self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }
}
