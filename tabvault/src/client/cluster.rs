//! Backends and brokers.

use tabvault_common::view::{BackendView, BrokerView};
use tabvault_proto::v1;
use tabvault_proto::v1::cluster_service_client::ClusterServiceClient;

use super::{Client, Result, Wire, all};

impl Client {
    fn cluster(&self) -> ClusterServiceClient<Wire> {
        ClusterServiceClient::new(self.channel.clone())
    }

    /// SHOW BACKENDS.
    ///
    /// # Errors
    /// That the coordinator cannot be reached.
    pub async fn list_backends(&self) -> Result<Vec<BackendView>> {
        let answer = self.cluster().list_backends(v1::ListBackendsRequest {}).await;
        all(answer.map_err(|status| self.failed(&status))?.into_inner().backends)
    }

    /// ADD BROKER.
    ///
    /// # Errors
    /// A wrong name or address, or one that is known already.
    pub async fn add_broker(&self, name: &str, host: &str, port: u16) -> Result<()> {
        let request = v1::AddBrokerRequest { name: name.to_owned(), host: host.to_owned(), port: port.into() };
        self.cluster().add_broker(request).await.map(drop).map_err(|status| self.failed(&status))
    }

    /// DROP BROKER.
    ///
    /// # Errors
    /// `broker does not exist: X`.
    pub async fn drop_broker(&self, name: &str, host: &str, port: u16) -> Result<()> {
        let request = v1::DropBrokerRequest { name: name.to_owned(), host: host.to_owned(), port: port.into() };
        self.cluster().drop_broker(request).await.map(drop).map_err(|status| self.failed(&status))
    }

    /// SHOW BROKER.
    ///
    /// # Errors
    /// That the coordinator cannot be reached.
    pub async fn list_brokers(&self) -> Result<Vec<BrokerView>> {
        let answer = self.cluster().list_brokers(v1::ListBrokersRequest {}).await;
        all(answer.map_err(|status| self.failed(&status))?.into_inner().brokers)
    }
}
