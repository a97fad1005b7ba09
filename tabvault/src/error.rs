//! Why the program ends with another exit code than 0.

use std::process::ExitCode;

use tabvault_common::failure::Failure;

/// One sentence for stderr, and the exit code that goes with it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was typed, or written into the configuration, cannot be meant so. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It was refused, or it failed. Exit code 1.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl Error {
    /// The exit code: 2 for usage, 1 for the rest.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

/// What commands answer with.
pub type Result<T> = std::result::Result<T, Error>;
