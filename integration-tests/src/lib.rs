//! A harness for tests of the whole: clusters in one process, real processes, real storage, trees of real files.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

pub mod bench;
pub mod binary;
pub mod checks;
pub mod cluster;
pub mod crash;
pub mod processes;
pub mod scene;
pub mod sql;
pub mod tree;
pub mod walk;
