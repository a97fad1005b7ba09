//! Every storage against the same suite, and every way in which one can be out of reach.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

#[path = "../support/canned.rs"]
mod canned;
#[path = "../support/moto.rs"]
mod moto;
#[path = "../support/process.rs"]
mod process;

mod conformance;
mod files;
mod reach;
mod remote;
mod s3;
