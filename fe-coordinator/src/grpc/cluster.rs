//! `ClusterService`: backends, brokers, and what agents may use.

use tabvault_common::ids::BackendId;
use tabvault_proto::convert::view::port;
use tabvault_proto::v1;
use tabvault_proto::v1::config_target::Target;
use tonic::{Request, Response, Status};

use super::door::admin;
use super::refused;
use crate::brokers::BrokerAddress;
use crate::coordinator::{Coordinator, SettingView, SettingsOf};

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

    async fn set_config(
        &self,
        request: Request<v1::SetConfigRequest>,
    ) -> Result<Response<v1::SetConfigResponse>, Status> {
        admin(&self.0, &request).await?;
        let v1::SetConfigRequest { target, config } = request.into_inner();
        let of = match target.and_then(|target| target.target) {
            None => SettingsOf::Agents,
            Some(Target::Backend(backend)) => SettingsOf::Agent(BackendId(backend)),
            Some(Target::Repository(name)) => SettingsOf::Repository(name),
        };
        let notices = self.0.set_config(of, config).await.map_err(refused)?;
        Ok(Response::new(v1::SetConfigResponse { notices }))
    }

    async fn list_config(
        &self,
        request: Request<v1::ListConfigRequest>,
    ) -> Result<Response<v1::ListConfigResponse>, Status> {
        admin(&self.0, &request).await?;
        let entries = self.0.settings().await.map_err(refused)?.into_iter().map(entry).collect();
        Ok(Response::new(v1::ListConfigResponse { entries }))
    }
}

fn entry(view: SettingView) -> v1::ConfigEntry {
    let target = match view.of {
        SettingsOf::Agents => None,
        SettingsOf::Agent(backend) => Some(Target::Backend(backend.0)),
        SettingsOf::Repository(name) => Some(Target::Repository(name)),
    };
    let (key, comment) = (view.key.to_owned(), view.comment.to_owned());
    v1::ConfigEntry { target: Some(v1::ConfigTarget { target }), key, value: view.value, comment }
}

fn address(host: String, number: u32) -> Result<BrokerAddress, Status> {
    Ok(BrokerAddress { host, port: port(number).map_err(refused)? })
}
