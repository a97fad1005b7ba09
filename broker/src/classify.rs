//! What an error of an object store means: one sentence that says what is wrong and what would be right, a kind, and
//! whether to try again.
//!
//! The adapter describes what it met as a [`Symptom`]; nothing here knows OpenDAL. Texts are looked into only where the
//! HTTP stack has no types for what it says, and nobody above this file does so again.

use std::error::Error;
use std::io;

use tabvault_common::failure::{Failure, Kind, Retry};

/// One failed request.
pub(crate) struct Symptom<'a> {
    /// Verb and object, such as `write a/b`.
    pub(crate) doing: String,
    /// Where the request went, such as `https://host:9000`, or `the default endpoint`.
    pub(crate) endpoint: &'a str,
    pub(crate) bucket: &'a str,
    /// Whether the request would have changed something.
    pub(crate) effect: bool,
    /// Whether the request was for a listing, which any bucket has.
    pub(crate) listing: bool,
    /// The status of the answer, if there was one.
    pub(crate) status: Option<u16>,
    /// The error code that S3 gave, if the answer was one of S3.
    pub(crate) code: Option<String>,
    /// The text that came with `code`.
    pub(crate) said: String,
    /// Something answered, but not in S3's words.
    pub(crate) foreign: bool,
    /// Headers of the answer that tell people who gave it.
    pub(crate) headers: Vec<String>,
    /// The answer complains that HTTP came to a port of HTTPS.
    pub(crate) wants_tls: bool,
    /// The request was never signed, for want of credentials.
    pub(crate) unsigned: bool,
    /// What the adapter made of it, used when nothing else is known.
    pub(crate) hint: Kind,
    /// The adapter holds that it may pass.
    pub(crate) temporary: bool,
    pub(crate) cause: Option<&'a (dyn Error + 'static)>,
}

impl Symptom<'_> {
    /// The failure that people and programs get.
    pub(crate) fn failure(&self) -> Failure {
        let (kind, retry, why) =
            self.by_code().or_else(|| self.by_answer()).or_else(|| self.by_connection()).unwrap_or_else(|| self.rest());
        let mut message = format!("{}: {why}", self.doing);
        if !self.said.is_empty() {
            message.push_str(": ");
            message.push_str(&short(&self.said));
        }
        if let Some(cause) = self.cause {
            let chain = Failure::chain(cause);
            if !message.contains(&chain) {
                message.push_str(": ");
                message.push_str(&short(&chain));
            }
        }
        Failure { kind, retry, message }
    }

    /// Whether the endpoint said itself that it is one of HTTPS.
    pub(crate) fn expects_tls(&self) -> bool {
        self.wants_tls
    }

    /// Whether what came back was not HTTP, or nothing at all: then it is worth a closer look.
    pub(crate) fn is_no_http(&self) -> bool {
        self.status.is_none()
            && self.causes().any(|error| {
                let said = error.to_string();
                said.starts_with("invalid HTTP")
                    || said.starts_with("connection closed before message completed")
                    || error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::ConnectionReset)
            })
    }

    fn causes(&self) -> impl Iterator<Item = &(dyn Error + 'static)> + '_ {
        std::iter::successors(self.cause, |error: &&(dyn Error + 'static)| Error::source(*error))
    }

    /// The retry class of what may or may not have happened at the other end.
    fn unsure(&self) -> Retry {
        if self.effect { Retry::OutcomeUnknown } else { Retry::Safe }
    }

    /// S3 said what is wrong.
    fn by_code(&self) -> Option<(Kind, Retry, String)> {
        let code = self.code.as_deref()?;
        let (bucket, endpoint) = (self.bucket, self.endpoint);
        let never = |kind, why: String| Some((kind, Retry::Never, why));
        match code {
            "NoSuchBucket" => {
                never(Kind::FailedPrecondition, format!("bucket '{bucket}' does not exist at {endpoint}"))
            }
            "NoSuchKey" => never(Kind::NotFound, "there is no such object".to_owned()),
            "InvalidAccessKeyId" => never(Kind::Unauthenticated, format!("{endpoint} does not know this access key")),
            "SignatureDoesNotMatch" => never(
                Kind::Unauthenticated,
                format!("{endpoint} says that the secret key does not belong to the access key"),
            ),
            "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
                never(Kind::Unauthenticated, format!("{endpoint} does not accept the session token (any more)"))
            }
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => {
                never(Kind::PermissionDenied, format!("these credentials lack the permission in bucket '{bucket}'"))
            }
            "RequestTimeTooSkewed" => never(
                Kind::FailedPrecondition,
                format!("the clock of this machine differs too much from that of {endpoint}: set the clock"),
            ),
            "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException" => never(
                Kind::InvalidArgument,
                format!("bucket '{bucket}' is in another region or at another endpoint: correct region or endpoint"),
            ),
            "InvalidBucketName" => never(Kind::InvalidArgument, format!("'{bucket}' cannot be the name of a bucket")),
            "NotImplemented" => never(Kind::Unsupported, format!("{endpoint} cannot do this")),
            "InvalidRange" => never(Kind::Corrupt, "the object ends before the range that was asked for".to_owned()),
            "SlowDown" | "TooManyRequests" | "RequestLimitExceeded" | "Throttling" | "ThrottlingException" => {
                Some((Kind::RateLimited, Retry::Safe, format!("{endpoint} asks to slow down")))
            }
            "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "InsufficientCapacity" => {
                Some((Kind::NoSpace, Retry::Safe, format!("{endpoint} has no space left for bucket '{bucket}'")))
            }
            "OperationAborted" | "ConditionalRequestConflict" => {
                Some((Kind::Busy, Retry::Safe, "another request to the same object is under way".to_owned()))
            }
            // In S3's words: reduce the rate of requests.
            "ServiceUnavailable" => {
                Some((Kind::RateLimited, self.unsure(), format!("{endpoint} failed to answer for now ({code})")))
            }
            "InternalError" | "RequestTimeout" => {
                Some((Kind::Unreachable, self.unsure(), format!("{endpoint} failed to answer for now ({code})")))
            }
            _ => None,
        }
    }

    /// There was an answer, but no code of S3's that we know.
    fn by_answer(&self) -> Option<(Kind, Retry, String)> {
        let endpoint = self.endpoint;
        if self.unsigned {
            return Some((
                Kind::Unauthenticated,
                Retry::Never,
                format!("there are no credentials for {endpoint}: neither the properties nor the environment has any"),
            ));
        }
        let status = self.status?;
        match status {
            429 => Some((Kind::RateLimited, Retry::Safe, format!("{endpoint} asks to slow down (status 429)"))),
            507 => Some((Kind::NoSpace, Retry::Safe, format!("{endpoint} has no space left (status 507)"))),
            408 | 499 | 500..=599 if status != 501 => Some((
                // A gateway before the storage says in this way that the storage has more to do than it can.
                match status {
                    503 => Kind::RateLimited,
                    504 => Kind::TimedOut,
                    _ => Kind::Unreachable,
                },
                self.unsure(),
                format!("{endpoint} failed to answer for now (status {status})"),
            )),
            300..=399 if self.foreign => Some((
                Kind::Unreachable,
                Retry::Never,
                format!(
                    "{endpoint} answers, but is no S3 service: it sends elsewhere ({}): if the S3 service is there, \
                     make that the endpoint",
                    self.answer(status)
                ),
            )),
            _ if self.foreign => Some((
                Kind::Unreachable,
                Retry::Never,
                format!("{endpoint} answers, but is no S3 service (its answer was {})", self.answer(status)),
            )),
            // Whoever writes needs no object to be there: then it is the bucket that is missing, or the whole service.
            404 if self.effect || self.listing => Some((
                Kind::FailedPrecondition,
                Retry::Never,
                format!(
                    "{endpoint} has no bucket '{}', or is no S3 service (its answer was {} without a reason)",
                    self.bucket,
                    self.answer(status)
                ),
            )),
            404 => Some((Kind::NotFound, Retry::Never, "there is no such object".to_owned())),
            401 | 403 => Some((
                Kind::PermissionDenied,
                Retry::Never,
                format!(
                    "{endpoint} refuses this with status {status} and does not say why: keys or permissions are wrong"
                ),
            )),
            _ if self.code.is_none() && self.hint == Kind::Internal => Some((
                Kind::FailedPrecondition,
                Retry::Never,
                format!(
                    "{endpoint} refuses this as no S3 service would, without a reason (its answer was {}): correct the \
                     endpoint, or look at what stands before it",
                    self.answer(status)
                ),
            )),
            _ => None,
        }
    }

    /// The answer as people may want to see it; its text may echo secrets and is not shown.
    fn answer(&self, status: u16) -> String {
        std::iter::once(format!("status {status}")).chain(self.headers.iter().cloned()).collect::<Vec<_>>().join(", ")
    }

    /// There was no answer, or none that could be read.
    fn by_connection(&self) -> Option<(Kind, Retry, String)> {
        let endpoint = self.endpoint;
        let causes: Vec<&(dyn Error + 'static)> = self.causes().collect();
        let unreachable = |retry, why: String| Some((Kind::Unreachable, retry, why));

        if let Some(tls) = causes.iter().find_map(|error| tls_error(*error)) {
            return match tls {
                rustls::Error::InvalidMessage(_) => unreachable(
                    Retry::Never,
                    format!("{endpoint} does not speak TLS: if it is a plain HTTP port, write http://"),
                ),
                rustls::Error::InvalidCertificate(_) => {
                    unreachable(Retry::Never, format!("the certificate of {endpoint} is not trusted here"))
                }
                _ => unreachable(Retry::Safe, format!("TLS with {endpoint} failed")),
            };
        }
        let http = causes.iter().find_map(|error| error.downcast_ref::<reqwest::Error>());
        let connecting = http.is_some_and(reqwest::Error::is_connect);
        let said = causes.iter().any(|error| error.to_string() == "dns error");
        if said || http.is_some_and(reqwest::Error::is_dns) {
            return unreachable(Retry::Safe, format!("the host name of {endpoint} does not resolve"));
        }
        let io = causes.iter().find_map(|error| error.downcast_ref::<io::Error>());
        if io.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return unreachable(Retry::Safe, format!("nothing listens at {endpoint}: the connection was refused"));
        }
        if connecting && http.is_some_and(reqwest::Error::is_timeout) {
            return unreachable(Retry::Safe, format!("no connection to {endpoint} came about in time"));
        }
        if connecting {
            return unreachable(Retry::Safe, format!("no connection to {endpoint} came about"));
        }
        if causes.iter().any(|error| error.to_string().starts_with("invalid HTTP")) {
            return unreachable(Retry::Never, format!("{endpoint} does not speak HTTP"));
        }
        if causes.iter().any(|error| error.to_string() == "received unexpected message from connection") {
            let why = "speaks out of turn: it does not speak HTTP, or the connection broke";
            return unreachable(Retry::Safe, format!("{endpoint} {why}"));
        }
        if self.foreign {
            return unreachable(
                Retry::Never,
                format!("{endpoint} is no S3 service: its answer is not what S3 would say"),
            );
        }
        if http.is_some_and(reqwest::Error::is_timeout) {
            return Some((Kind::TimedOut, self.unsure(), format!("{endpoint} did not answer in time")));
        }
        if http.is_some() || io.is_some() {
            return unreachable(self.unsure(), format!("the connection to {endpoint} broke"));
        }
        None
    }

    fn rest(&self) -> (Kind, Retry, String) {
        if self.hint == Kind::NotFound {
            return (Kind::NotFound, Retry::Never, "there is no such object".to_owned());
        }
        let code = self.code.as_deref().map(|code| format!(" ({code})")).unwrap_or_default();
        if self.temporary {
            return (Kind::Unreachable, self.unsure(), format!("{} failed to answer for now{code}", self.endpoint));
        }
        (self.hint, Retry::Never, format!("{} refuses this{code}", self.endpoint))
    }
}

/// The error of rustls that hides in `error`: it travels inside errors of the operating system, nested ones even.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    tls_error(error.downcast_ref::<io::Error>()?.get_ref()?)
}

/// Keeps one line readable, whatever a server said.
fn short(text: &str) -> String {
    const MOST: usize = 300;
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect();
    if text.chars().nth(MOST).is_some() { line + "…" } else { line }
}
