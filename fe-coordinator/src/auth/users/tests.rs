#![allow(clippy::unwrap_used, clippy::panic)]

//! Users over a store in memory.
