//! What of a snapshot is restored, where to, and what is refused before anything changes.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

mod bench;
mod choices;
mod decommission;
mod jobs;
mod refusals;
mod semantics;
mod tables;
