//! The wire: `.proto` files under `proto/tabvault/v1`, the code generated from them, and the one place where wire data
//! is validated into the domain types of `tabvault-common`.
//!
//! Nothing above this crate looks into a generated message to decide anything: it converts, or it gets a [`Failure`]
//! that says which field was wrong.
//!
//! [`Failure`]: tabvault_common::failure::Failure

pub mod convert;
pub mod failure;
mod redacted;
pub mod session;

/// Messages, clients and servers generated from the package `tabvault.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    tonic::include_proto!("tabvault.v1");
}

/// The compiled descriptors of the package, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tabvault.v1.bin"));

/// Largest message in bytes that agents and coordinators take, to be set on clients and servers of `AgentService`:
/// room for a task of [`convert::MAX_ITEMS`] tablets, which gRPC's default of 4 MiB is not.
pub const MAX_MESSAGE_SIZE: usize = 32 << 20;
