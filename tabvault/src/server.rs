//! The commands that run processes.

use tabvault_broker::open::Options;
use tabvault_broker::remote::Connection;
use tabvault_common::failure::{Failure, Kind, Retry};

pub mod be;
pub mod broker;
pub mod fe;
pub mod listen;
pub mod signals;
pub mod standalone;

/// How this process opens storage.
fn options(connection: Connection) -> Options {
    Options { connection, ..Options::default() }
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => Err(Failure {
            kind: Kind::Internal,
            retry: Retry::OutcomeUnknown,
            message: format!("a step of the start did not end: {error}"),
        }),
    }
}
