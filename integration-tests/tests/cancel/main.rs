//! A job cancelled anywhere leaves everything as it was; at the commit point there is one outcome.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

mod backups;
mod bench;
mod restores;
