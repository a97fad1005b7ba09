//! The gRPC services: thin translations between the wire and the façade.
//!
//! All but health and reflection ask who calls (`door`), and whether they may, before they look at any name.
//!
//! Every error is a [`Failure`] and crosses as a status whose details name its kind.

use tabvault_common::failure::{Failure, Kind};
use tabvault_proto::v1::agent_service_server::AgentServiceServer;
use tabvault_proto::v1::catalog_service_server::CatalogServiceServer;
use tabvault_proto::v1::cluster_service_server::ClusterServiceServer;
use tabvault_proto::v1::job_service_server::JobServiceServer;
use tabvault_proto::v1::repository_service_server::RepositoryServiceServer;
use tabvault_proto::v1::sql_service_server::SqlServiceServer;
use tabvault_proto::{FILE_DESCRIPTOR_SET, MAX_MESSAGE_SIZE};
use tonic::Status;
use tonic::service::Routes;

use self::door::{Door, For};
use crate::coordinator::Coordinator;

mod agent;
mod catalog;
mod cluster;
mod door;
mod jobs;
mod repositories;
mod sql;

/// All services of a coordinator, with health and reflection: to be served by tonic, or inside an axum router.
///
/// # Errors
/// `Internal` if the compiled descriptors cannot be read.
pub async fn routes(coordinator: &Coordinator) -> Result<Routes, Failure> {
    let (health, service) = tonic_health::server::health_reporter();
    health.set_serving::<JobServiceServer<jobs::Jobs>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| Failure::fatal(Kind::Internal, format!("serve reflection: {error}")))?;
    let agent = AgentServiceServer::new(agent::Attach(coordinator.clone()))
        .max_decoding_message_size(MAX_MESSAGE_SIZE)
        .max_encoding_message_size(MAX_MESSAGE_SIZE);
    let mut routes = Routes::builder();
    routes
        .add_service(service)
        .add_service(reflection)
        .add_service(Door::new(agent, For::Agents, coordinator))
        .add_service(clients(JobServiceServer::new(jobs::Jobs(coordinator.clone())), coordinator))
        .add_service(clients(
            RepositoryServiceServer::new(repositories::Repositories(coordinator.clone())),
            coordinator,
        ))
        .add_service(clients(CatalogServiceServer::new(catalog::Catalog(coordinator.clone())), coordinator))
        .add_service(clients(ClusterServiceServer::new(cluster::Cluster(coordinator.clone())), coordinator))
        .add_service(clients(SqlServiceServer::new(sql::Sql(coordinator.clone())), coordinator));
    Ok(routes.routes())
}

fn clients<S>(service: S, coordinator: &Coordinator) -> Door<S> {
    Door::new(service, For::Clients, coordinator)
}

fn refused(failure: Failure) -> Status {
    tabvault_proto::failure::to_status(failure)
}
