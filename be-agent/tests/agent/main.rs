//! The agent from outside: a coordinator that the test plays, a store that it can hold back, a directory as repository.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, unreachable_pub, missing_docs)]

mod built_in;
mod cluster;
mod coordinator;
mod damage;
mod lists;
mod parents;
mod resume;
mod round_trip;
mod session;
mod store;
mod tasks;
