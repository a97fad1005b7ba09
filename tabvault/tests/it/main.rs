//! Tests of the library and the binary together.
#![allow(clippy::unwrap_used, clippy::panic)]

mod demo;
mod login;
mod output;
mod priority;
mod program;
mod refusals;
mod settings;
mod sql;
mod standalone;
mod tls;
