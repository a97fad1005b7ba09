//! From an error of OpenDAL to a [`Symptom`]: what S3 said, with which status, and why there was no answer.

use std::error::Error as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use opendal::{Error, ErrorKind};
use tabvault_common::failure::{Failure, Kind, Retry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Place;
use super::transport::NO_S3;
use crate::classify::Symptom;
use crate::pieces;

/// How long a closer look at a strange endpoint may take.
const CLOSER_LOOK: Duration = Duration::from_secs(3);
/// The most of a strange header that is shown.
const HEADER: usize = 100;

/// The failure that `error` means, met while `doing` something that has an `effect` or not.
pub(super) async fn failure(place: &Place, doing: String, effect: bool, error: &Error) -> Failure {
    // What lives across an await must be Send, which causes of errors are not known to be.
    let (mut failure, expects_tls, is_no_http) = {
        let symptom = symptom(place, doing.clone(), effect, error);
        (symptom.failure(), symptom.expects_tls(), symptom.is_no_http())
    };
    if expects_tls || (is_no_http && speaks_tls(&place.endpoint).await) {
        failure = Failure {
            kind: Kind::Unreachable,
            retry: Retry::Never,
            message: format!("{doing}: {} expects TLS: write https://", place.endpoint),
        };
    }
    // Shorter ones are no keys of anybody, and would only blot out words.
    for secret in place.secrets.iter().filter(|secret| secret.expose().len() >= 5) {
        failure.message = failure.message.replace(secret.expose(), "***");
    }
    failure
}

/// The failure of a read, whose errors OpenDAL wraps into those of the operating system.
pub(super) async fn read_failure(
    place: &Place,
    path: &str,
    range: Option<&Range<u64>>,
    error: std::io::Error,
) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match (inner, range) {
        (Some(inner), Some(range)) if ends_before(inner) => pieces::beyond_end(path, range),
        (Some(inner), _) => failure(place, format!("read {path}"), false, inner).await,
        (None, _) => Failure { retry: Retry::Safe, ..Failure::io(format!("read {path}"), &error) },
    }
}

/// Whether the object ends before the range that was asked for: S3 refuses only those that begin beyond the end, and
/// OpenDAL counts the rest. A connection that breaks has another message.
fn ends_before(error: &Error) -> bool {
    error.kind() == ErrorKind::RangeNotSatisfied || error.message() == "reader got too little data"
}

fn symptom<'a>(place: &'a Place, doing: String, effect: bool, error: &'a Error) -> Symptom<'a> {
    let message = error.message();
    let code = field(message, "code").filter(|code| !code.is_empty());
    let status = status(error);
    let unreadable = matches!(message, "deserialize xml" | "ETag not present in returning response" | NO_S3);
    let location = header(error, "location");
    Symptom {
        endpoint: &place.endpoint,
        bucket: &place.bucket,
        listing: doing.starts_with("list "),
        doing,
        effect,
        status,
        said: if code.is_some() { field(message, "message").unwrap_or_default() } else { String::new() },
        foreign: unreadable || (status.is_some() && code.is_none() && !message.is_empty()),
        headers: [("", header(error, "content-type")), ("server ", header(error, "server")), ("to ", location)]
            .into_iter()
            .filter_map(|(what, value)| Some(format!("{what}{}", value?)))
            .collect(),
        wants_tls: status == Some(400) && (message.contains("HTTPS port") || message.contains("HTTPS server")),
        unsigned: message == "signing http request",
        hint: hint(error.kind()),
        temporary: error.is_temporary(),
        // The body of a foreign answer is never shown: whatever echoes requests would echo tokens.
        cause: if unreadable { None } else { error.source() },
        code,
    }
}

fn hint(kind: ErrorKind) -> Kind {
    match kind {
        ErrorKind::Unsupported => Kind::Unsupported,
        ErrorKind::ConfigInvalid => Kind::InvalidArgument,
        ErrorKind::NotFound => Kind::NotFound,
        ErrorKind::PermissionDenied => Kind::PermissionDenied,
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => Kind::FailedPrecondition,
        ErrorKind::AlreadyExists | ErrorKind::ConditionNotMatch => Kind::AlreadyExists,
        ErrorKind::RateLimited => Kind::RateLimited,
        ErrorKind::RangeNotSatisfied => Kind::Corrupt,
        ErrorKind::Conflict => Kind::Busy,
        _ => Kind::Internal,
    }
}

/// A field of the `Debug` form in which OpenDAL passes on what S3 said.
fn field(message: &str, name: &str) -> Option<String> {
    let rest = message.split_once(" { ")?.1;
    let mark = format!("{name}: \"");
    let start = if rest.starts_with(&mark) { mark.len() } else { rest.find(&format!(", {mark}"))? + mark.len() + 2 };
    let mut value = String::new();
    let mut chars = rest.get(start..)?.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some(value),
            '\\' => value.extend(chars.next()),
            _ => value.push(c),
        }
    }
    None
}

/// The status of the answer, which OpenDAL keeps only in the text of the error's context.
fn status(error: &Error) -> Option<u16> {
    let text = error.to_string();
    let digits = text.split_once("response: Parts { status: ")?.1.get(..3)?;
    digits.parse().ok()
}

/// A header of the answer, which OpenDAL keeps there as well.
fn header(error: &Error, name: &str) -> Option<String> {
    let text = error.to_string();
    let headers = text.split_once("response: Parts { status: ")?.1.split_once("headers: {")?.1;
    let value = headers.split_once(&format!("\"{name}\": \""))?.1.split('"').next()?;
    Some(value.chars().take(HEADER).collect())
}

/// Whether something at `endpoint` answers the greeting of TLS with a record of TLS.
async fn speaks_tls(endpoint: &str) -> bool {
    let Some(host) = endpoint.strip_prefix("http://") else { return false };
    let authority = host.split('/').next().unwrap_or(host);
    let address = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let look = async {
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(&tls_hello()?).await?;
        let mut head = [0; 2];
        connection.read_exact(&mut head).await.map(|_| head)
    };
    // 21 is an alert, 22 a handshake; 3 is the version of every TLS.
    matches!(tokio::time::timeout(CLOSER_LOOK, look).await, Ok(Ok([21 | 22, 3])))
}

/// The first record that a client of TLS sends.
fn tls_hello() -> std::io::Result<Vec<u8>> {
    let other = |error| std::io::Error::other::<rustls::Error>(error);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(other)?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into());
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).map_err(other)?;
    let mut hello = Vec::new();
    connection.write_tls(&mut hello)?;
    Ok(hello)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_the_debug_form_of_an_s3_error() {
        let text = r#"S3Error { code: "NoSuchBucket", message: "no \"b\" here", resource: "/b", request_id: "" }"#;
        assert_eq!(field(text, "code").as_deref(), Some("NoSuchBucket"));
        assert_eq!(field(text, "message").as_deref(), Some("no \"b\" here"));
        assert_eq!(field(text, "request_id").as_deref(), Some(""));
        assert_eq!(field(text, "nothing"), None);
        assert_eq!(field("<html>", "code"), None);
    }
}
