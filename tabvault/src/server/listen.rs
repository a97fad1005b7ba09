//! Listening sockets, and serving on them until told otherwise. gRPC and plain HTTP are served alike.

use std::net::SocketAddr;
use std::time::Duration;

use tabvault_common::failure::{Failure, Kind};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::ServerTlsConfig;
use tonic::transport::server::{Server, TcpIncoming};

/// Requests under way on one connection.
const STREAMS: u32 = 256;
/// A peer that does not answer a ping for so long is gone.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// How long requests under way may take to end when the process shuts down.
const GRACE: Duration = Duration::from_secs(5);

/// A socket that listens; connections wait until it is served.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens at `address`; port 0 chooses one. `flag` is what the address was given by.
    ///
    /// # Errors
    /// The address is taken, is not this machine's, or may not be used.
    pub async fn bind(flag: &str, address: SocketAddr) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            let hint = match error.kind() {
                std::io::ErrorKind::AddrInUse => ": another process listens there, choose another port",
                std::io::ErrorKind::AddrNotAvailable => ": it is no address of this machine",
                _ => "",
            };
            let (kind, retry) = Failure::classify_io(&error);
            Failure { kind, retry, message: format!("listen at {flag} {address}: {error}{hint}") }
        };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address })
    }

    /// Where it listens, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket itself, to be served otherwise.
    #[must_use]
    pub fn into_socket(self) -> TcpListener {
        self.socket
    }

    /// Serves `routes` until [`Serving::shutdown`].
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    pub fn serve(self, routes: Routes, tls: Option<ServerTlsConfig>) -> Result<Serving, Failure> {
        let mut server = Server::builder()
            .accept_http1(true)
            .max_concurrent_streams(STREAMS)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE));
        if let Some(tls) = tls {
            server = server.tls_config(tls).map_err(|error| {
                let why = Failure::chain(&error);
                Failure::fatal(Kind::InvalidArgument, format!("use --tls-cert, --tls-key and --tls-ca: {why}"))
            })?;
        }
        let stop = CancellationToken::new();
        let incoming = TcpIncoming::from(self.socket).with_nodelay(Some(true));
        let router = server.add_routes(routes);
        let served = router.serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
        Ok(Serving { address: self.address, stop, task: tokio::spawn(served) })
    }
}

/// A socket that is served. Dropping it stops serving without waiting.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Serving {
    /// Where it listens, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when serving has ended by itself, with the reason. Cancel safe.
    pub async fn ended(&mut self) -> Failure {
        let why = match (&mut self.task).await {
            Ok(Ok(())) => "it was stopped".to_owned(),
            Ok(Err(error)) => Failure::chain(&error),
            Err(error) => error.to_string(),
        };
        Failure::fatal(Kind::Internal, format!("serve {}: {why}", self.address))
    }

    /// Takes no new requests and waits a bounded time for those under way.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(GRACE, &mut self.task).await.is_err() {
            tracing::warn!(address = %self.address, "requests under way were cut off");
            self.task.abort();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
