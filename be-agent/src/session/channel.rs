//! A connection to one address.

use std::path::Path;
use std::time::Duration;

use tabvault_common::failure::{Failure, Kind};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::config::TlsOptions;

/// A peer that does not answer a ping for so long is gone.
const KEEPALIVE: Duration = Duration::from_secs(10);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Dials `address` anew; certificates are read anew, too.
pub(super) async fn connect(address: &str, tls: &TlsOptions) -> Result<Channel, Failure> {
    let failed = |error: tonic::transport::Error| {
        Failure::transient(Kind::Unreachable, format!("connect to {address}: {}", Failure::chain(&error)))
    };
    let mut endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(failed)?
        .connect_timeout(CONNECT_WITHIN)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true);
    if address.starts_with("https:") {
        endpoint = endpoint.tls_config(settings(tls).await?).map_err(failed)?;
    }
    endpoint.connect().await.map_err(failed)
}

async fn settings(tls: &TlsOptions) -> Result<ClientTlsConfig, Failure> {
    let mut settings = ClientTlsConfig::new();
    if let Some(ca) = &tls.ca {
        settings = settings.ca_certificate(Certificate::from_pem(read(ca).await?));
    }
    if let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) {
        settings = settings.identity(Identity::from_pem(read(certificate).await?, read(key).await?));
    }
    if let Some(domain) = &tls.domain {
        settings = settings.domain_name(domain);
    }
    Ok(settings)
}

async fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    tokio::fs::read(path).await.map_err(|error| Failure::io(format_args!("read {}", path.display()), &error))
}
