//! Incremental backups: what they share, what they store, and that each stands alone.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

mod bench;
mod garbage;
mod parents;
mod sharing;
