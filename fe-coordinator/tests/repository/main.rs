//! Repositories and brokers as a coordinator sees them, over real storages in memory and in files.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod brokers;
mod commit;
mod mapping;
mod parents;
mod reading;
mod sharing;
mod support;
