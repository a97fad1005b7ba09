//! The MySQL listener: SQL for every MySQL client.
//!
//! # Overview
//! [`serve`] takes connections on a socket. Each is a task of its own that greets, logs in, and then answers commands
//! one after the other through one SQL session. Rows go out as the client takes them; no answer is held whole.
//!
//! | module | what it is |
//! |---|---|
//! | `channel` | packets on a stream of bytes, in clear or over TLS |
//! | `login` | greeting, TLS, who it is |
//! | `connection` | commands and their answers |
//! | `statements`, `parameters` | prepared statements and their values |
//! | `roll` | who is connected, for KILL |
//! | `packets`, `refusal` | what the server sends |
//! | `door` | what stands behind: the coordinator |
//!
//! # Limits
//! Connections, bytes of a packet (64 KiB before login), time to log in, time between commands, time to take what is
//! sent, prepared statements and what is sent ahead for them.
//!
//! # Cancellation
//! A statement whose client leaves is dropped where it stands: it is done or not done, as after a crash of the client.
//! Jobs that it started go on.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use tabvault_common::failure::{Failure, Kind};
use tabvault_fe_coordinator::coordinator::Coordinator;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use self::channel::{Channel, Stream};
use self::connection::Connection;
use self::door::Door;
use self::login::{Ended, Peer};
use self::refusal::Refusal;
use self::roll::Roll;
use crate::server::listen::Listener;

mod channel;
mod connection;
mod door;
mod login;
mod packets;
mod parameters;
mod refusal;
mod roll;
mod statements;
#[cfg(test)]
mod tests;

/// Bytes of a packet of somebody who is not logged in.
const LARGEST_BEFORE_LOGIN: usize = 64 << 10;
/// How long a client that is turned away may take to hear it.
const TURN_AWAY: Duration = Duration::from_secs(1);
/// How long statements under way may take to end when the process shuts down.
const GRACE: Duration = Duration::from_secs(5);
/// How long nothing is taken in after the operating system failed to.
const PAUSE: Duration = Duration::from_millis(100);
/// A client that is silent for so long is asked whether it is there, so that one whose machine is gone is noticed.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What is bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Clients at once.
    pub connections: usize,
    /// Bytes of a packet, and of what is sent ahead for prepared statements.
    pub packet: usize,
    /// How long a login may take.
    pub login: Duration,
    /// How long a client may say nothing.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            packet: 16 << 20,
            login: Duration::from_secs(10),
            idle: Duration::from_secs(8 * 60 * 60),
        }
    }
}

/// How clients are served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is bounded.
    pub limits: Limits,
    /// The server's certificate; without it there is no TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whether clients on other machines may do without TLS.
    pub insecure: bool,
}

/// Serves MySQL clients of `coordinator` until [`Serving::shutdown`]. Needs a tokio runtime.
#[must_use]
pub fn serve(listener: Listener, coordinator: Coordinator, settings: Settings) -> Serving {
    start(listener, Arc::new(coordinator), settings)
}

fn start(listener: Listener, door: Arc<dyn Door>, settings: Settings) -> Serving {
    let (address, stop, cut) = (listener.address(), CancellationToken::new(), CancellationToken::new());
    let server = Server::new(door, settings, stop.clone(), cut.clone());
    let tasks = server.tasks.clone();
    let accept = tokio::spawn(server.accept(listener.into_socket()));
    Serving { address, stop, cut, tasks, accept }
}

/// A socket where MySQL is spoken. Dropping it takes in nobody more.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
    accept: JoinHandle<()>,
}

impl Serving {
    /// Where it listens, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when serving has ended by itself, with the reason. Cancel safe.
    pub async fn ended(&mut self) -> Failure {
        let why = match (&mut self.accept).await {
            Ok(()) => "it was stopped".to_owned(),
            Err(error) => error.to_string(),
        };
        Failure::fatal(Kind::Internal, format!("serve {}: {why}", self.address))
    }

    /// Takes in nobody more, tells who is idle, and waits a bounded time for statements under way.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        if timeout(GRACE, self.tasks.wait()).await.is_err() {
            tracing::warn!(address = %self.address, connections = self.tasks.len(), "statements under way were cut off");
            self.cut.cancel();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Server {
    door: Arc<dyn Door>,
    settings: Arc<Settings>,
    places: Arc<Semaphore>,
    stop: CancellationToken,
    cut: CancellationToken,
    roll: Arc<Roll>,
    numbers: AtomicU32,
    tasks: TaskTracker,
}

impl Server {
    fn new(door: Arc<dyn Door>, settings: Settings, stop: CancellationToken, cut: CancellationToken) -> Self {
        Self {
            door,
            places: Arc::new(Semaphore::new(settings.limits.connections)),
            settings: Arc::new(settings),
            stop,
            cut,
            roll: Arc::default(),
            numbers: AtomicU32::new(1),
            tasks: TaskTracker::new(),
        }
    }

    async fn accept(self, socket: TcpListener) {
        while let Some(accepted) = self.stop.run_until_cancelled(socket.accept()).await {
            match accepted {
                Ok((stream, address)) => self.take_in(stream, address).await,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn take_in(&self, mut stream: TcpStream, address: SocketAddr) {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            count("refused");
            let refusal = packets::alone(&packets::early_error(&Refusal::too_many_connections()));
            // It fits into the socket's buffer, so nobody waits here; who has left need not hear it.
            let _ = timeout(TURN_AWAY, stream.write_all(&refusal)).await;
            return;
        };
        count("accepted");
        if let Err(error) = stream.set_nodelay(true).and_then(|()| watch_over(&stream)) {
            tracing::debug!(%error, "a connection keeps the defaults of its socket");
        }
        let served = self.cut.clone().run_until_cancelled_owned(self.serve(Box::new(stream), address.into()));
        self.tasks.spawn(async move {
            let _open = Open::new(place);
            served.await
        });
    }

    /// One client, from the greeting to the end.
    fn serve(&self, stream: Box<dyn Stream>, peer: Peer) -> impl Future<Output = ()> + Send + 'static {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (door, settings) = (self.door.clone(), self.settings.clone());
        let (stop, roll) = (self.stop.clone(), self.roll.clone());
        let span = tracing::info_span!("mysql", connection = number, peer = peer.host, user = tracing::field::Empty);
        async move {
            let mut channel = Some(Channel::new(stream, LARGEST_BEFORE_LOGIN));
            let ended = one(&mut channel, door, &settings, &stop, &roll, number, &peer).await;
            let Some(mut channel) = channel else { return };
            match ended {
                Ok(()) => tracing::debug!("connection ends"),
                Err(Ended::Left(error)) => tracing::debug!(%error, "connection breaks"),
                Err(Ended::Refused(refusal)) => {
                    tracing::info!(code = refusal.code, why = refusal.message, "connection is ended");
                    // Who has left need not hear it.
                    let _ = channel.send(&packets::error(&refusal)).await;
                    channel.close().await;
                }
            }
        }
        .instrument(span)
    }
}

async fn one(
    channel: &mut Option<Channel>,
    door: Arc<dyn Door>,
    settings: &Settings,
    stop: &CancellationToken,
    roll: &Arc<Roll>,
    number: u32,
    peer: &Peer,
) -> Result<(), Ended> {
    let login = login::login(channel, &*door, settings, number, peer);
    let guest = tokio::select! {
        guest = timeout(settings.limits.login, login) => guest.map_err(|_| Refusal::bad_handshake())?,
        () = stop.cancelled() => Err(Refusal::shutdown().into()),
    };
    let outcome = match &guest {
        Ok(_) => "done",
        Err(Ended::Refused(_)) => "refused",
        Err(Ended::Left(_)) => "left",
    };
    metrics::counter!("tabvault_mysql_logins_total", "outcome" => outcome).increment(1);
    let guest = guest?;
    tracing::Span::current().record("user", &guest.who.user);
    tracing::debug!(tls = guest.tls, "connection begins");
    let Some(channel) = channel else { return Ok(()) };
    let place = roll.list(number, &guest.who.user);
    Connection::begin(channel, door, settings, peer, guest, place).await?.serve(stop).await
}

/// Has the operating system find out whether a silent client's machine is still there.
fn watch_over(stream: &TcpStream) -> std::io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE)?;
    Ok(sockopt::set_tcp_keepintvl(stream, KEEPALIVE)?)
}

fn count(outcome: &'static str) {
    metrics::counter!("tabvault_mysql_connections_total", "outcome" => outcome).increment(1);
}

/// A connection's place, and its share in the number of those open.
struct Open(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

impl Open {
    fn new(place: OwnedSemaphorePermit) -> Self {
        metrics::gauge!("tabvault_mysql_connections").increment(1.0);
        Self(place)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("tabvault_mysql_connections").decrement(1.0);
    }
}
