//! The listener as a client on the other end of a pipe sees it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on panics")]

mod answers;
mod client;
mod garbage;
mod kill;
mod limits;
mod logins;
mod prepared;
mod stub;
