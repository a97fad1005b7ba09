//! Certificates and keys of this process, read once and handed to whoever dials or listens.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tabvault_be_agent::config::TlsOptions;
use tabvault_broker::remote::Connection;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::secret::Secret;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

use crate::config::TlsConfig;

/// Makes the one provider of cryptography known. Doing it again changes nothing.
pub fn install_provider() {
    // An error means that it is installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// What a gRPC listener needs: its certificate, and an authority, if one is given, that clients must be known to.
/// `None`: it speaks in clear.
///
/// # Errors
/// A file that cannot be read.
pub fn server(config: &TlsConfig) -> Result<Option<ServerTlsConfig>, Failure> {
    let Some(plain) = server_only(config)? else { return Ok(None) };
    let Some(ca) = &config.ca else { return Ok(Some(plain)) };
    Ok(Some(plain.client_ca_root(Certificate::from_pem(read(ca)?))))
}

/// What an HTTP listener needs: its certificate. What it shows is no secret, so clients need none.
///
/// # Errors
/// A file that cannot be read.
pub fn server_only(config: &TlsConfig) -> Result<Option<ServerTlsConfig>, Failure> {
    Ok(identity(config)?.map(|identity| ServerTlsConfig::new().identity(identity)))
}

/// What the MySQL listener needs: its certificate. Its clients prove themselves by a password, so they need none.
///
/// # Errors
/// A file that cannot be read, or is no certificate or key.
pub fn mysql(config: &TlsConfig) -> Result<Option<Arc<ServerConfig>>, Failure> {
    let (Some(cert), Some(key)) = (&config.cert, &config.key) else { return Ok(None) };
    let wrong = |file: &Path, why: &dyn std::fmt::Display| {
        Failure::fatal(Kind::InvalidArgument, format!("use {} for TLS: {why}", file.display()))
    };
    let chain = CertificateDer::pem_slice_iter(&read(cert)?).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| wrong(cert, &error))?;
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| wrong(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let server = builder.and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret));
    server.map(|server| Some(Arc::new(server))).map_err(|error| wrong(cert, &error))
}

/// What a client needs for an `https` address.
///
/// # Errors
/// A file that cannot be read, or no authority to judge the peer by.
pub fn client(config: &TlsConfig, address: &str) -> Result<ClientTlsConfig, Failure> {
    let Some(ca) = &config.ca else {
        let message = format!("nothing says which certificates to trust at {address}: give --tls-ca");
        return Err(Failure::fatal(Kind::InvalidArgument, message));
    };
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?));
    if let Some(identity) = identity(config)? {
        tls = tls.identity(identity);
    }
    if let Some(domain) = &config.domain {
        tls = tls.domain_name(domain);
    }
    Ok(tls)
}

/// How brokers are talked to; `token_file` holds what they want to hear.
///
/// # Errors
/// A file that cannot be read.
pub fn brokers(config: &TlsConfig, token_file: Option<&Path>) -> Result<Connection, Failure> {
    let identity = match (&config.cert, &config.key) {
        (Some(cert), Some(key)) => Some((read(cert)?, Secret::new(text(key)?))),
        _ => None,
    };
    Ok(Connection {
        ca: config.ca.as_deref().map(read).transpose()?,
        identity,
        domain: config.domain.clone(),
        token: token_file.map(token).transpose()?,
        insecure: config.insecure,
    })
}

/// The token in `file`, without the white space around it.
///
/// # Errors
/// A file that cannot be read or is empty.
pub fn token(file: &Path) -> Result<Secret, Failure> {
    let text = text(file)?;
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::fatal(Kind::InvalidArgument, format!("token file {} is empty", file.display())));
    }
    Ok(Secret::new(token))
}

/// How an agent knows its coordinator.
#[must_use]
pub fn agent(config: &TlsConfig) -> TlsOptions {
    TlsOptions {
        ca: config.ca.clone(),
        certificate: config.cert.clone(),
        key: config.key.clone(),
        domain: config.domain.clone(),
    }
}

fn identity(config: &TlsConfig) -> Result<Option<Identity>, Failure> {
    match (&config.cert, &config.key) {
        (Some(cert), Some(key)) => Ok(Some(Identity::from_pem(read(cert)?, read(key)?))),
        _ => Ok(None),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::io(format_args!("read {}", path.display()), &error))
}

fn text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::io(format_args!("read {}", path.display()), &error))
}
