//! Statements on a whole coordinator, in memory, with an agent that says yes.

#![allow(clippy::unwrap_used, clippy::panic)]

mod clients;
mod explain;
mod jobs;
mod loads;
mod names;
mod privileges;
mod system;
mod tables;
mod users;
mod world;
