//! How an error travels: a kind for people and programs, whether to try again for machines, and a sentence.
//!
//! Every crate has its own `Error`; at a boundary (a task report, a stored job, a gRPC status) it becomes a [`Failure`].
//! Nobody decides anything by reading the message.

use serde::{Deserialize, Serialize};

/// Whether the same attempt may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It would fail again: the request itself is wrong or the state forbids it.
    Never,
    /// Nothing happened; trying again is harmless and may succeed.
    Safe,
    /// It may have happened: look before repeating what is not idempotent.
    OutcomeUnknown,
}

/// What went wrong, coarse enough to be a contract. Programs match on it; people read the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The request cannot be understood or contradicts itself.
    InvalidArgument,
    /// A database, table, partition, tablet, repository, snapshot, job or object does not exist.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// Another job, load or process holds what is needed; it passes by itself.
    Busy,
    /// The state of the object forbids the operation (read-only repository, table not NORMAL, job ended).
    FailedPrecondition,
    /// Schema, range, key type or replica number differ between snapshot and table.
    Mismatch,
    /// Nobody proved who asks.
    Unauthenticated,
    /// Who asks may not do this, here or at the remote storage.
    PermissionDenied,
    /// A peer or the remote storage cannot be reached.
    Unreachable,
    /// The remote storage asked to slow down.
    RateLimited,
    /// Bytes are not what they must be.
    Corrupt,
    /// A disk or a quota is full.
    NoSpace,
    /// Too few backends, too little memory, too many of something.
    ResourceExhausted,
    /// The deadline passed.
    TimedOut,
    /// Somebody cancelled it.
    Cancelled,
    /// Neither this version nor this storage can do it.
    Unsupported,
    /// A coordinator of an older epoch or of another cluster.
    Stale,
    /// A bug or an unexplained error of the operating system.
    Internal,
}

impl Kind {
    /// The spelling used in cells, metrics and gRPC error details, such as `ALREADY_EXISTS`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::Busy => "BUSY",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Mismatch => "MISMATCH",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::Unreachable => "UNREACHABLE",
            Self::RateLimited => "RATE_LIMITED",
            Self::Corrupt => "CORRUPT",
            Self::NoSpace => "NO_SPACE",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::TimedOut => "TIMED_OUT",
            Self::Cancelled => "CANCELLED",
            Self::Unsupported => "UNSUPPORTED",
            Self::Stale => "STALE",
            Self::Internal => "INTERNAL",
        }
    }

    /// Every kind, in declaration order: for parsing and for tests that must not forget one.
    pub const ALL: [Self; 18] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Busy,
        Self::FailedPrecondition,
        Self::Mismatch,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::Unreachable,
        Self::RateLimited,
        Self::Corrupt,
        Self::NoSpace,
        Self::ResourceExhausted,
        Self::TimedOut,
        Self::Cancelled,
        Self::Unsupported,
        Self::Stale,
        Self::Internal,
    ];

    /// The kind spelt `s`, if there is one.
    #[must_use]
    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == s)
    }
}

/// An error as it is stored, sent and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What went wrong.
    pub kind: Kind,
    /// Whether to try again.
    pub retry: Retry,
    /// What was being done to what, why it failed, and what would be right; the chain of causes joined by `: `.
    pub message: String,
}

impl Failure {
    /// A failure that trying again will not mend.
    pub fn fatal(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, retry: Retry::Never, message: message.into() }
    }

    /// A failure after which trying again is harmless.
    pub fn transient(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, retry: Retry::Safe, message: message.into() }
    }

    /// The message of `error` with its chain of causes, each once.
    pub fn chain(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            let said = next.to_string();
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = next.source();
        }
        text
    }

    /// The same failure with `context` put before its message.
    #[must_use]
    pub fn context(mut self, context: impl std::fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// The kind and retry class of an error of the operating system.
    #[must_use]
    pub fn classify_io(error: &std::io::Error) -> (Kind, Retry) {
        use std::io::ErrorKind as E;
        match error.kind() {
            E::NotFound => (Kind::NotFound, Retry::Never),
            E::PermissionDenied | E::ReadOnlyFilesystem => (Kind::PermissionDenied, Retry::Never),
            E::AlreadyExists => (Kind::AlreadyExists, Retry::Never),
            E::StorageFull | E::QuotaExceeded => (Kind::NoSpace, Retry::Safe),
            E::CrossesDevices => (Kind::Unsupported, Retry::Never),
            E::TimedOut => (Kind::TimedOut, Retry::Safe),
            E::Interrupted | E::WouldBlock | E::ResourceBusy => (Kind::Busy, Retry::Safe),
            E::InvalidData | E::UnexpectedEof => (Kind::Corrupt, Retry::Never),
            _ => (Kind::Internal, Retry::Safe),
        }
    }

    /// An error of the operating system met while doing `what`, such as `open /data/12/header`.
    pub fn io(what: impl std::fmt::Display, error: &std::io::Error) -> Self {
        let (kind, retry) = Self::classify_io(error);
        Self { kind, retry, message: format!("{what}: {error}") }
    }
}
