//! `ClusterService`: backends and brokers.

use tabvault_proto::convert::view::port;
use tabvault_proto::v1;
use tonic::{Request, Response, Status};

use super::door::admin;
use super::refused;
use crate::brokers::BrokerAddress;
use crate::coordinator::Coordinator;

#[derive(Debug)]
pub(super) struct Cluster(pub(super) Coordinator);

#[tonic::async_trait]
impl v1::cluster_service_server::ClusterService for Cluster {
    async fn list_backends(
        &self,
        request: Request<v1::ListBackendsRequest>,
    ) -> Result<Response<v1::ListBackendsResponse>, Status> {
        admin(&self.0, &request).await?;
        let backends = self.0.agents().show().iter().map(v1::Backend::from).collect();
        Ok(Response::new(v1::ListBackendsResponse { backends }))
    }

    async fn add_broker(
        &self,
        request: Request<v1::AddBrokerRequest>,
    ) -> Result<Response<v1::AddBrokerResponse>, Status> {
        admin(&self.0, &request).await?;
        let request = request.into_inner();
        let address = address(request.host, request.port)?;
        let brokers = self.0.brokers().clone();
        brokers.add(&request.name, &[address]).await.map_err(refused)?;
        // Whoever looks next sees whether it answers.
        tokio::spawn(async move { brokers.heartbeat().await });
        Ok(Response::new(v1::AddBrokerResponse {}))
    }

    async fn drop_broker(
        &self,
        request: Request<v1::DropBrokerRequest>,
    ) -> Result<Response<v1::DropBrokerResponse>, Status> {
        admin(&self.0, &request).await?;
        let request = request.into_inner();
        let address = address(request.host, request.port)?;
        self.0.brokers().drop_broker(&request.name, &address).await.map_err(refused)?;
        Ok(Response::new(v1::DropBrokerResponse {}))
    }

    async fn list_brokers(
        &self,
        request: Request<v1::ListBrokersRequest>,
    ) -> Result<Response<v1::ListBrokersResponse>, Status> {
        admin(&self.0, &request).await?;
        let views = self.0.brokers().list().await.map_err(refused)?;
        let brokers = views.iter().map(v1::Broker::from).collect();
        Ok(Response::new(v1::ListBrokersResponse { brokers }))
    }
}

fn address(host: String, number: u32) -> Result<BrokerAddress, Status> {
    Ok(BrokerAddress { host, port: port(number).map_err(refused)? })
}
