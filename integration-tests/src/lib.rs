//! A harness for tests of the whole: clusters in one process, real processes, real storage, trees of real files.

pub mod cluster;
pub mod tree;
