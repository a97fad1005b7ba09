//! A broker process inside the test: the real service on a real port.

use tabvault_broker::open::Options;
use tabvault_broker::process::{BrokerServer, Config};
use tabvault_common::access::StorageAccess;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};

/// A running broker, ended with the test.
pub(crate) struct Process {
    pub(crate) address: String,
    task: JoinHandle<()>,
}

impl Process {
    pub(crate) async fn start(config: Config) -> Self {
        Self::start_with(config, None).await
    }

    pub(crate) async fn start_with(config: Config, identity: Option<Identity>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if identity.is_some() { "https" } else { "http" };
        let mut server = Server::builder();
        if let Some(identity) = identity {
            server = server.tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
        }
        let service = BrokerServer::new(Options { memory: true, ..Options::default() }, config).into_service();
        let task = tokio::spawn(async move {
            server.add_service(service).serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        });
        Self { address: format!("{scheme}://{address}"), task }
    }

    /// `access`, through this broker.
    pub(crate) fn through(&self, access: &StorageAccess) -> StorageAccess {
        StorageAccess { brokers: vec![self.address.clone()], ..access.clone() }
    }

    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}
