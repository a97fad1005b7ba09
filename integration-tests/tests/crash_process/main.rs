//! Real processes die by SIGKILL before and after every durable write, and are started again: jobs go on and nothing is
//! lost.
//!
//! The test binary starts itself again as a coordinator or an agent that kills itself at the write it is told.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

mod agent;
mod child;
mod coordinator;
