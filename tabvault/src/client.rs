//! The client of a coordinator: one method for one question, in domain types.

use std::time::Duration;

use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_proto::failure::from_status;
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Error};

use self::login::Login;
use crate::config::ClientConfig;
use crate::tls;

mod catalog;
mod cluster;
mod jobs;
mod login;
mod repositories;
mod sql;

pub use jobs::{JobWatch, Started};
pub use repositories::Details;
pub use sql::{Execution, Part, Refusal};

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A coordinator that does not answer a ping for so long is gone.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// A connection to a coordinator. Clones share it; when it breaks, the next call makes it again.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Wire,
    address: String,
    known: bool,
}

/// A channel whose calls carry who makes them.
type Wire = InterceptedService<Channel, Login>;

type Result<T> = std::result::Result<T, Failure>;

impl Client {
    /// Connects to the first of the coordinator's addresses that can be reached. On a terminal, the password is asked
    /// for where none is given.
    ///
    /// # Errors
    /// `Unreachable` in one sentence that says why for each address; a password file that cannot be read.
    pub async fn connect(config: &ClientConfig) -> Result<Self> {
        let mut reasons = Vec::new();
        for address in &config.fe {
            match dial(address, config).await {
                Ok(channel) => {
                    let login = Login::of(config).await?;
                    let known = login.is_known();
                    let channel = InterceptedService::new(channel, login);
                    return Ok(Self { channel, address: address.clone(), known });
                }
                Err(failure) if failure.kind != Kind::Unreachable => return Err(failure),
                Err(failure) => reasons.push(format!("{address}: {failure}")),
            }
        }
        let message = format!(
            "cannot reach the coordinator at {}; is `tabvault standalone` or `tabvault fe` running there? Name another \
             address with --fe",
            reasons.join(", nor at ")
        );
        Err(Failure::transient(Kind::Unreachable, message))
    }

    /// The address that is connected to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What a call failed with: the coordinator's own words, or that the connection did.
    fn failed(&self, status: &Status) -> Failure {
        let failure = from_status(status);
        // Only a status that was made here has a source, and coordinators always send details.
        if std::error::Error::source(status).is_none() {
            if failure.kind == Kind::Unauthenticated && !self.known {
                let message = "no password is given: name a file that holds it with --password-file, such as \
                               root.password in the coordinator's directory, or set TABVAULT_PASSWORD";
                return Failure::fatal(Kind::Unauthenticated, message);
            }
            if !status.details().is_empty() {
                return failure;
            }
            let message = format!("{} does not answer as a coordinator of this version does: {failure}", self.address);
            return Failure { message, ..failure };
        }
        Failure {
            kind: Kind::Unreachable,
            retry: Retry::OutcomeUnknown,
            message: format!("lost the coordinator at {}: {}", self.address, plain(&failure.message)),
        }
    }
}

async fn dial(address: &str, config: &ClientConfig) -> Result<Channel> {
    let wrong = |error: &Error| Failure::fatal(Kind::InvalidArgument, format!("--fe {address}: {}", chain(error)));
    let mut endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(|error| wrong(&error))?
        .connect_timeout(CONNECT_WITHIN)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE);
    if address.starts_with("https:") {
        endpoint = endpoint.tls_config(tls::client(&config.tls, address)?).map_err(|error| wrong(&error))?;
    }
    let connected = endpoint.connect().await;
    connected.map_err(|error| Failure::transient(Kind::Unreachable, chain(&error)))
}

/// The chain of causes without the word with which the transport opens every one.
fn chain(error: &Error) -> String {
    plain(&Failure::chain(error)).to_owned()
}

fn plain(message: &str) -> &str {
    message.strip_prefix("transport error: ").unwrap_or(message)
}

/// Every message of a list, read into its domain type.
fn all<W, D: TryFrom<W, Error = Failure>>(list: Vec<W>) -> Result<Vec<D>> {
    list.into_iter().map(D::try_from).collect()
}
