//! What benches share: data sets that are the same for everybody, real processes to measure, an S3 whose every request
//! is counted and can be held up, and figures that can be judged and drawn.
//!
//! The benches themselves are in `integration-tests/benches`; `./bench` runs them.

pub mod chart;
pub mod data;
pub mod machine;
pub mod measure;
pub mod ours;
pub mod paths;
pub mod proxy;
pub mod resources;
pub mod rgw;
pub mod statistics;
