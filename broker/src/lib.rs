//! Remote storage: the [`storage::Storage`] port and everything behind it.
//!
//! Who needs bytes elsewhere calls [`open::open`] with a [`StorageAccess`] and gets a `Storage`; whether that is a
//! directory, an S3 bucket or a broker process on another machine is nobody's business afterwards.
//!
//! | module | what it is |
//! |---|---|
//! | [`storage`] | the port |
//! | [`open`] | from a location and its properties to a decorated storage |
//! | [`local`] | `file://`: crash-safe files, no OpenDAL |
//! | [`opendal`] | `s3://` and memory: the only place that names OpenDAL |
//! | [`timeout`], [`observe`], [`limit`], [`retry`] | decorators that every opened storage wears |
//! | [`faults`] | a decorator that fails on purpose, for tests |
//! | [`process`], [`remote`] | the broker process and its client, the same `Storage` seen from afar |
//! | [`probe`] | what CREATE REPOSITORY wants to know of a storage |
//! | [`conformance`] | one suite for every implementation |
//!
//! [`StorageAccess`]: tabvault_common::access::StorageAccess

mod classify;
pub mod conformance;
pub mod faults;
pub mod limit;
pub mod local;
pub mod observe;
pub mod open;
pub mod opendal;
mod path;
mod pieces;
pub mod probe;
pub mod process;
mod properties;
pub mod remote;
pub mod retry;
mod rng;
pub mod storage;
pub mod timeout;
