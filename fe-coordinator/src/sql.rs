//! SQL: what users of Doris and StarRocks type, on the same façade as gRPC.
//!
//! # Overview
//! A text becomes tokens (a library's), tokens become a [`statement::Statement`] (our recursive descent), and a
//! [`session::Session`] runs it on the coordinator and answers with an [`answer::Answer`]. The MySQL listener, the gRPC
//! service and embedders all use a session.

pub mod answer;
pub mod error;
mod execute;
mod help;
mod parse;
mod print;
pub mod session;
pub mod statement;
mod token;

pub use error::SqlError;
pub use parse::{Prepared, parse};
pub use session::Session;
pub use statement::{Literal, Statement};
