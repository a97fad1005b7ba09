//! The coordinator: runs BACKUP and RESTORE as state machines inside a cluster's frontend.
//!
//! An embedding frontend implements [`catalog::Catalog`] and starts a [`coordinator::Coordinator`]; the agents beside
//! the backends dial its gRPC services ([`grpc::routes`]). See `examples/` for a whole one.

pub mod agents;
mod asks;
pub mod auth;
pub mod brokers;
pub mod catalog;
pub mod check;
mod chores;
pub mod coordinator;
pub mod grpc;
mod inbox;
pub mod job;
mod loads;
mod records;
pub mod repository;
mod runner;
pub mod sql;
pub mod store;
mod task_group;
