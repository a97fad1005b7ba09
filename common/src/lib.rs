//! What every part of tabvault speaks: ids, definitions of tables, tasks and reports, errors that say whether to try
//! again, time as an argument, durable files, digests, and the remote format.
//!
//! Nothing here knows of networks, of OpenDAL or of a database engine.

pub mod access;
pub mod clock;
pub mod compression;
pub mod digest;
pub mod durable;
pub mod failure;
pub mod ids;
pub mod label;
pub mod repo;
pub mod request;
pub mod schema;
pub mod secret;
pub mod settings;
pub mod task;
pub mod view;
