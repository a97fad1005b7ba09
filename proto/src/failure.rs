//! A [`Failure`] on the wire: a gRPC status whose details carry `google.rpc.ErrorInfo` with the machine-readable kind.
//!
//! Domain `tabvault`, reason = the kind's spelling, metadata `retry` = `never`, `safe` or `outcome_unknown`.

use std::collections::HashMap;

use tabvault_common::failure::{Failure, Kind, Retry};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

const DOMAIN: &str = "tabvault";
/// Statuses travel in headers, of which peers take 16 KiB. There the message stands twice: percent-encoded, which may
/// treble it, and within the details in base64.
const MAX_MESSAGE: usize = 3 * 1024;

/// The status that tells a client of `failure`.
#[must_use]
pub fn to_status(failure: Failure) -> Status {
    let retry = match failure.retry {
        Retry::Never => "never",
        Retry::Safe => "safe",
        Retry::OutcomeUnknown => "outcome_unknown",
    };
    let metadata = HashMap::from([("retry".to_owned(), retry.to_owned())]);
    let details = ErrorDetails::with_error_info(failure.kind.as_str(), DOMAIN, metadata);
    let mut message = failure.message;
    let mut end = message.len().min(MAX_MESSAGE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    Status::with_error_details(code(failure.kind), message, details)
}

/// What `status` means: the failure that the peer sent, or, where the transport itself failed, one that says so.
#[must_use]
pub fn from_status(status: &Status) -> Failure {
    if let Some(info) = status.get_details_error_info()
        && info.domain == DOMAIN
        && let Some(kind) = Kind::parse(&info.reason)
    {
        let retry = match info.metadata.get("retry").map(String::as_str) {
            Some("safe") => Retry::Safe,
            Some("outcome_unknown") => Retry::OutcomeUnknown,
            _ => Retry::Never,
        };
        return Failure { kind, retry, message: status.message().to_owned() };
    }
    let (kind, retry) = match status.code() {
        Code::Unavailable => (Kind::Unreachable, Retry::OutcomeUnknown),
        Code::DeadlineExceeded => (Kind::TimedOut, Retry::OutcomeUnknown),
        Code::Cancelled => (Kind::Cancelled, Retry::OutcomeUnknown),
        Code::Unimplemented => (Kind::Unsupported, Retry::Never),
        Code::Unauthenticated => (Kind::Unauthenticated, Retry::Never),
        Code::PermissionDenied => (Kind::PermissionDenied, Retry::Never),
        Code::InvalidArgument => (Kind::InvalidArgument, Retry::Never),
        Code::NotFound => (Kind::NotFound, Retry::Never),
        Code::ResourceExhausted | Code::OutOfRange => (Kind::ResourceExhausted, Retry::Never),
        Code::Ok
        | Code::Unknown
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Internal
        | Code::DataLoss => (Kind::Internal, Retry::OutcomeUnknown),
    };
    let mut message = status.message().to_owned();
    if let Some(source) = std::error::Error::source(status) {
        let chain = Failure::chain(source);
        if !message.contains(&chain) {
            message = format!("{message}: {chain}");
        }
    }
    Failure { kind, retry, message }
}

fn code(kind: Kind) -> Code {
    match kind {
        Kind::InvalidArgument => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::Busy | Kind::FailedPrecondition | Kind::Mismatch => Code::FailedPrecondition,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::PermissionDenied => Code::PermissionDenied,
        Kind::Unreachable => Code::Unavailable,
        Kind::RateLimited | Kind::NoSpace | Kind::ResourceExhausted => Code::ResourceExhausted,
        Kind::Corrupt => Code::DataLoss,
        Kind::TimedOut => Code::DeadlineExceeded,
        Kind::Cancelled => Code::Cancelled,
        Kind::Unsupported => Code::Unimplemented,
        Kind::Stale => Code::Aborted,
        Kind::Internal => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_comes_back_as_it_was_sent() {
        for kind in Kind::ALL {
            for retry in [Retry::Never, Retry::Safe, Retry::OutcomeUnknown] {
                let sent = Failure { kind, retry, message: "read `__info`: gone".to_owned() };
                assert_eq!(from_status(&to_status(sent.clone())), sent);
            }
        }
    }

    #[test]
    fn the_longest_message_fits_into_the_headers_that_peers_take() {
        let status = to_status(Failure::fatal(Kind::FailedPrecondition, "€".repeat(10_000)));
        let response = status.into_http::<()>();
        let size: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!((8 * 1024..15 * 1024).contains(&size), "{size}");
    }

    #[test]
    fn a_broken_connection_leaves_the_outcome_unknown() {
        let heard = from_status(&Status::unavailable("transport error"));
        assert_eq!((heard.kind, heard.retry), (Kind::Unreachable, Retry::OutcomeUnknown));
    }
}
