//! The stream to the coordinator.
//!
//! # Overview
//! The addresses are dialled in turn, each time over a fresh channel, until a coordinator answers with Welcome; when
//! the stream ends, it begins again, for ever, with pauses that grow to [`AgentConfig::reconnect_within`]. Down the stream come tasks,
//! acknowledgements and ends of jobs; up go heartbeats, progress and reports.
//!
//! # Consistency
//! A coordinator of another cluster or of a lower epoch than was ever seen is refused; so is a task of a lower epoch. At
//! most one stream is listened to at a time. Reports go up on every stream until they are acknowledged.
//!
//! # Crash consistency
//! A new cluster or epoch is on disk before anything is done for it: see `state`.
//!
//! # Cancellation
//! Dropping a session ends its stream; tasks go on and report on the next one.

mod channel;
mod down;
mod survey;
mod up;

use std::sync::Arc;
use std::time::Duration;

use tabvault_broker::retry::Policy;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, ClusterId, Epoch};
use tabvault_common::secret::Secret;
use tabvault_proto::failure::from_status;
use tabvault_proto::v1;
use tabvault_proto::v1::agent_service_client::AgentServiceClient;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::metadata::AsciiMetadataValue;
use uuid::Uuid;

use crate::agent::AgentStatus;
use crate::config::AgentConfig;
use crate::context::{Shared, broken};
use crate::state::State;
use crate::worker::Worker;

/// Messages that may wait to be sent.
const OUTBOX: usize = 64;
/// Time for a coordinator to answer the dial and Hello.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// Tasks of many tablets are large; the coordinator's limits on tablets per task keep them below this.
const MAX_MESSAGE: usize = 64 << 20;
/// The first pause between two rounds over all addresses.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// See the module.
pub(crate) struct Session {
    config: AgentConfig,
    state: Arc<State>,
    shared: Arc<Shared>,
    worker: Arc<Worker>,
    incarnation: Uuid,
    status: watch::Sender<AgentStatus>,
    stop: CancellationToken,
}

/// A stream whose coordinator was found good.
struct Attached {
    down: Streaming<v1::CoordinatorMessage>,
    up: mpsc::Sender<v1::AgentMessage>,
    cluster: ClusterId,
    backend: BackendId,
    heartbeat: Duration,
}

impl Session {
    pub(crate) fn new(
        config: AgentConfig,
        state: State,
        shared: Arc<Shared>,
        worker: Arc<Worker>,
        status: watch::Sender<AgentStatus>,
        stop: CancellationToken,
    ) -> Self {
        let (state, incarnation) = (Arc::new(state), Uuid::new_v4());
        Self { config, state, shared, worker, incarnation, status, stop }
    }

    /// Attaches again and again until the agent is stopped.
    pub(crate) async fn run(&self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.dial_forever() => {}
        }
        self.status.send_modify(|status| status.attached_to = None);
    }

    async fn dial_forever(&self) {
        let mut failed = 0_u32;
        let cap = self.config.reconnect_within;
        let pauses = Policy { attempts: u32::MAX, base: FIRST_PAUSE, cap };
        loop {
            for address in &self.config.fe {
                match Box::pin(self.attach(address)).await {
                    Ok(attached) => {
                        self.welcome(address);
                        let began = self.config.clock.now();
                        let end = Box::pin(self.converse(attached)).await;
                        self.detached(address, end);
                        // A coordinator that welcomes and hangs up at once is not dialled without pause.
                        if began.until(self.config.clock.now()) >= cap {
                            failed = 0;
                        }
                    }
                    Err(failure) => self.detached(address, failure),
                }
            }
            failed = failed.saturating_add(1).min(30);
            if let Some(pause) = pauses.pause(failed) {
                self.config.clock.sleep(pause).await;
            }
        }
    }

    /// Dials one address and says Hello.
    async fn attach(&self, address: &str) -> Result<Attached, Failure> {
        tokio::select! {
            attached = self.say_hello(address) => attached,
            () = self.config.clock.sleep(WELCOME_WITHIN) => {
                let message = format!("attach to {address}: no welcome within {} seconds", WELCOME_WITHIN.as_secs());
                Err(Failure::transient(Kind::TimedOut, message))
            }
        }
    }

    async fn say_hello(&self, address: &str) -> Result<Attached, Failure> {
        let refused = |status: &tonic::Status| from_status(status).context(format_args!("attach to {address}"));
        let channel = channel::connect(address, &self.config.tls).await?;
        let mut client = AgentServiceClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let (up, outbox) = mpsc::channel(OUTBOX);
        let hello = v1::agent_message::Message::Hello(self.hello().await);
        send(&up, hello).await?;
        let mut request = tonic::Request::new(ReceiverStream::new(outbox));
        if let Some(token) = &self.config.token {
            request.metadata_mut().insert("authorization", bearer(token)?);
        }
        let answer = client.attach(request).await.map_err(|status| refused(&status))?;
        let mut down = answer.into_inner();
        let first = down.message().await.map_err(|status| refused(&status))?;
        let Some(v1::coordinator_message::Message::Welcome(welcome)) = first.and_then(|first| first.message) else {
            let message = format!("attach to {address}: the coordinator did not answer with a welcome");
            return Err(Failure::transient(Kind::Internal, message));
        };
        let cluster = required(welcome.cluster)?;
        let backend = BackendId(welcome.backend);
        self.accept(cluster, Epoch(welcome.epoch), backend)
            .await
            .map_err(|failure| failure.context(format_args!("attach to {address}")))?;
        let heartbeat = match welcome.heartbeat_interval_ms {
            0 => self.config.heartbeat,
            millis => Duration::from_millis(u64::from(millis)),
        };
        Ok(Attached { down, up, cluster, backend, heartbeat })
    }

    async fn hello(&self) -> v1::Hello {
        let now = self.state.now();
        let state = survey::survey(&self.shared, &self.worker).await;
        v1::Hello {
            agent: Some(now.agent.into()),
            incarnation: Some(self.incarnation.into()),
            cluster: now.cluster.map(Into::into),
            highest_epoch: now.highest_epoch.0,
            backend: self.config.backend_id.map(|backend| backend.0),
            host: self.config.host.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: Some(state),
        }
    }

    /// Remembers a coordinator on disk before anything is done for it.
    async fn accept(&self, cluster: ClusterId, epoch: Epoch, backend: BackendId) -> Result<(), Failure> {
        if let Some(own) = self.config.backend_id
            && own != backend
        {
            let message = format!("the coordinator takes this for backend {backend}, it is configured as {own}");
            return Err(Failure::fatal(Kind::FailedPrecondition, message));
        }
        let state = Arc::clone(&self.state);
        let accepted = tokio::task::spawn_blocking(move || state.accept(cluster, epoch, backend));
        accepted.await.unwrap_or_else(|error| Err(broken(error)))?;
        self.status.send_modify(|status| {
            status.cluster = Some(cluster);
            status.backend = Some(backend);
            status.highest_epoch = epoch;
        });
        Ok(())
    }

    /// Both directions, until one ends; says why.
    async fn converse(&self, attached: Attached) -> Failure {
        let Attached { down, up, cluster, backend, heartbeat } = attached;
        tokio::select! {
            end = self.listen(down, &up, cluster, backend) => end,
            end = self.speak(&up, heartbeat) => end,
        }
    }

    fn welcome(&self, address: &str) {
        let now = self.state.now();
        tracing::info!(address, backend = now.backend.map(|id| id.0), epoch = now.highest_epoch.0, "attached");
        metrics::gauge!("tabvault_agent_attached").set(1.0);
        self.status.send_modify(|status| status.attached_to = Some(address.to_owned()));
    }

    fn detached(&self, address: &str, failure: Failure) {
        metrics::gauge!("tabvault_agent_attached").set(0.0);
        // The same refusal every few seconds is no news.
        if self.status.borrow().last_error.as_ref() == Some(&failure) {
            tracing::debug!(address, error = %failure, "not attached");
        } else {
            tracing::warn!(address, error = %failure, "not attached");
        }
        self.status.send_modify(|status| {
            status.attached_to = None;
            status.last_error = Some(failure);
        });
    }
}

/// Puts a message on its way; fails when the stream is gone.
async fn send(up: &mpsc::Sender<v1::AgentMessage>, message: v1::agent_message::Message) -> Result<(), Failure> {
    let message = v1::AgentMessage { message: Some(message) };
    up.send(message).await.map_err(|_| Failure::transient(Kind::Unreachable, "the stream to the coordinator has ended"))
}

/// The header by which this agent proves that it belongs to the cluster.
fn bearer(token: &Secret) -> Result<AsciiMetadataValue, Failure> {
    let mut value = AsciiMetadataValue::try_from(format!("Bearer {}", token.expose()))
        .map_err(|_| Failure::fatal(Kind::InvalidArgument, "the agent's token must be of visible ASCII characters"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn required<T: TryFrom<v1::Uuid, Error = Failure>>(uuid: Option<v1::Uuid>) -> Result<T, Failure> {
    uuid.unwrap_or_default().try_into()
}
