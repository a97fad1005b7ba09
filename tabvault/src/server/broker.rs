//! `tabvault broker` alone: a broker process.

use tabvault_broker::process::{BrokerServer, Config};
use tabvault_common::failure::{Failure, Kind};
use tabvault_proto::FILE_DESCRIPTOR_SET;
use tabvault_proto::v1::broker_service_server::BrokerServiceServer;
use tonic::service::Routes;

use super::listen::{Listener, Serving};
use super::options;
use super::signals::Signals;
use crate::config::BrokerConfig;
use crate::error::Result;
use crate::{output, tls};

/// Runs a broker until a signal.
///
/// # Errors
/// It cannot start, or cannot go on.
pub async fn run(config: &BrokerConfig) -> Result<()> {
    let signals = Signals::watch()?;
    // 1. Start.
    let mut serving = start(config).await?;
    output::line(format!("tabvault broker is ready: gRPC {}", serving.address()))?;
    // 2. Serve.
    let end = tokio::select! {
        () = signals.first() => Ok(()),
        failure = serving.ended() => Err(failure),
    };
    // 3. End.
    serving.shutdown().await;
    Ok(end?)
}

/// Starts a broker in this process.
///
/// # Errors
/// An address that cannot be listened at, or files that cannot be read.
pub async fn start(config: &BrokerConfig) -> std::result::Result<Serving, Failure> {
    let listener = Listener::bind("--grpc", config.grpc).await?;
    let tls = tls::server(&config.tls)?;
    let broker = Config {
        locations: config.locations.clone(),
        token: config.token_file.as_deref().map(tls::token).transpose()?,
        ..Config::default()
    };
    let server = BrokerServer::new(options(tls::brokers(&config.tls, None)?), broker);
    listener.serve(routes(server).await?, tls)
}

async fn routes(server: BrokerServer) -> std::result::Result<Routes, Failure> {
    let (health, service) = tonic_health::server::health_reporter();
    health.set_serving::<BrokerServiceServer<BrokerServer>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| Failure::fatal(Kind::Internal, format!("serve reflection: {error}")))?;
    let mut routes = Routes::builder();
    routes.add_service(service).add_service(reflection).add_service(server.into_service());
    Ok(routes.routes())
}
