//! One question to a broker process: do you live?

use std::time::Duration;

use tabvault_broker::remote::Connection;
use tabvault_common::failure::{Failure, Kind};
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// How long a connection, and then an answer, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Passes if the process at `uri` says that it serves, by the gRPC health protocol, or speaks gRPC without it.
pub(super) async fn ping(uri: &str, connection: &Connection) -> Result<(), Failure> {
    let failed =
        |kind: Kind, why: String| Failure::transient(kind, format!("ask broker {uri} whether it lives: {why}"));
    let channel = endpoint(uri, connection)
        .map_err(|error| failed(Kind::InvalidArgument, Failure::chain(&error)))?
        .connect()
        .await
        .map_err(|error| failed(Kind::Unreachable, Failure::chain(&error)))?;
    match HealthClient::new(channel).check(HealthCheckRequest { service: String::new() }).await {
        Ok(answer) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
        Ok(answer) => Err(failed(Kind::Unreachable, format!("it says {}", answer.get_ref().status().as_str_name()))),
        Err(status) if status.code() == Code::Unimplemented => Ok(()),
        Err(status) => Err(failed(Kind::Unreachable, status.message().to_owned())),
    }
}

fn endpoint(uri: &str, connection: &Connection) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(uri.to_owned())?.connect_timeout(PATIENCE).timeout(PATIENCE);
    let Some(ca) = &connection.ca else { return Ok(endpoint) };
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    if let Some((certificate, key)) = &connection.identity {
        tls = tls.identity(Identity::from_pem(certificate, key.expose()));
    }
    if let Some(domain) = &connection.domain {
        tls = tls.domain_name(domain);
    }
    endpoint.tls_config(tls)
}
