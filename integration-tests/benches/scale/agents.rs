//! Agents without tablets: each speaks the agents' protocol over a connection of its own and answers every task at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tabvault_common::digest::Digest;
use tabvault_proto::v1;
use tabvault_proto::v1::agent_message::Message as Up;
use tabvault_proto::v1::agent_service_client::AgentServiceClient;
use tabvault_proto::v1::coordinator_message::Message as Down;
use tabvault_proto::v1::task::Body;
use tabvault_proto::v1::task_report::Outcome;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use uuid::Uuid;

/// Messages of one agent that may wait to be sent, as with real ones.
const OUTBOX: usize = 64;
/// Between two attempts to attach.
const PAUSE: Duration = Duration::from_millis(50);
/// Files and bytes that every tablet is said to have.
const FILES: u64 = 3;
const BYTES: u64 = 1 << 20;

/// All agents.
pub(super) struct Fleet {
    /// Whom they attach to.
    address: watch::Sender<Option<String>>,
    counted: Arc<Counters>,
    agents: std::sync::Mutex<Vec<tokio::task::JoinHandle<()>>>,
    size: u64,
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    tasks: AtomicU64,
    made: AtomicU64,
    uploaded: AtomicU64,
    attached: AtomicU64,
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
    /// Tasks that arrived.
    pub(super) tasks: u64,
    /// Tablets that were made and acknowledged.
    pub(super) made: u64,
    /// Tablets whose upload was answered.
    pub(super) uploaded: u64,
}

impl Counts {
    pub(super) fn minus(&self, before: &Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            received: self.received - before.received,
            bytes_sent: self.bytes_sent - before.bytes_sent,
            bytes_received: self.bytes_received - before.bytes_received,
            tasks: self.tasks - before.tasks,
            made: self.made - before.made,
            uploaded: self.uploaded - before.uploaded,
        }
    }
}

impl Fleet {
    pub(super) fn new(size: usize) -> Arc<Self> {
        let (address, seen) = watch::channel(None);
        let counted = Arc::new(Counters::default());
        // One process of each agent, however often it attaches.
        let incarnation = Uuid::new_v4();
        let agents = (1..=size).map(|number| {
            let agent = Agent { number, incarnation, counted: Arc::clone(&counted) };
            tokio::spawn(agent.run(seen.clone()))
        });
        let agents = std::sync::Mutex::new(agents.collect());
        Arc::new(Self { address, counted, agents, size: size as u64 })
    }

    pub(super) fn attach_to(&self, address: &str) {
        self.address.send_replace(Some(address.to_owned()));
    }

    /// Leaves the coordinator.
    pub(super) async fn detach(&self) {
        self.address.send_replace(None);
        while self.counted.attached.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(super::LOOK).await;
        }
    }

    pub(super) async fn all_attached(&self) {
        while self.counted.attached.load(Ordering::Relaxed) < self.size {
            tokio::time::sleep(super::LOOK).await;
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let c = &self.counted;
        Counts {
            sent: of(&c.sent),
            received: of(&c.received),
            bytes_sent: of(&c.bytes_sent),
            bytes_received: of(&c.bytes_received),
            tasks: of(&c.tasks),
            made: of(&c.made),
            uploaded: of(&c.uploaded),
        }
    }

    pub(super) async fn stop(&self) {
        let agents = std::mem::take(&mut *self.agents.lock().expect("nobody panicked"));
        for agent in agents {
            agent.abort();
            // It was told to end.
            let _ = agent.await;
        }
    }
}

struct Agent {
    number: usize,
    incarnation: Uuid,
    counted: Arc<Counters>,
}

/// A report that is sent until it is acknowledged, and the tablets that count as made by then.
type Unheard = BTreeMap<(Bytes, u64, u32), (v1::TaskReport, u64)>;

impl Agent {
    async fn run(self, mut address: watch::Receiver<Option<String>>) {
        let mut unheard = Unheard::new();
        loop {
            let to = address.borrow_and_update().clone();
            let Some(to) = to else {
                // The next coordinator is that of another cluster.
                unheard.clear();
                if address.changed().await.is_err() {
                    return;
                }
                continue;
            };
            tokio::select! {
                () = self.attach(&to, &mut unheard) => tokio::time::sleep(PAUSE).await,
                _ = address.changed() => {}
            }
        }
    }

    /// One stream, until it ends.
    async fn attach(&self, address: &str, unheard: &mut Unheard) {
        let endpoint = Endpoint::from_shared(address.to_owned()).expect("an address").tcp_nodelay(true);
        let Ok(channel) = endpoint.connect().await else { return };
        let mut client = AgentServiceClient::new(channel).max_decoding_message_size(64 << 20);
        let (up, outbox) = mpsc::channel(OUTBOX);
        self.say(&up, Up::Hello(self.hello())).await;
        let mut request = tonic::Request::new(ReceiverStream::new(outbox));
        let token = format!("Bearer {}", super::front::TOKEN).parse().expect("a header");
        request.metadata_mut().insert("authorization", token);
        let Ok(answer) = client.attach(request).await else { return };
        let mut down = answer.into_inner();
        let Ok(Some(v1::CoordinatorMessage { message: Some(Down::Welcome(welcome)) })) = down.message().await else {
            return;
        };
        let _attached = Attached::count(&self.counted);
        let mut beat = tokio::time::interval(Duration::from_millis(u64::from(welcome.heartbeat_interval_ms)));
        for (report, _) in unheard.values().cloned().collect::<Vec<_>>() {
            self.say(&up, Up::Report(report)).await;
        }
        loop {
            let message = tokio::select! {
                message = down.message() => message,
                _ = beat.tick() => {
                    self.say(&up, Up::Heartbeat(state())).await;
                    continue;
                }
            };
            let Ok(Some(message)) = message else { return };
            self.counted.received.fetch_add(1, Ordering::Relaxed);
            self.counted.bytes_received.fetch_add(message.encoded_len() as u64, Ordering::Relaxed);
            match message.message {
                Some(Down::Task(task)) => {
                    self.counted.tasks.fetch_add(1, Ordering::Relaxed);
                    let (report, made) = self.answer(task);
                    unheard.insert(name(report.key.as_ref()), (report.clone(), made));
                    self.say(&up, Up::Report(report)).await;
                }
                Some(Down::Acknowledge(key)) => {
                    if let Some((_, made)) = unheard.remove(&name(Some(&key))) {
                        self.counted.made.fetch_add(made, Ordering::Relaxed);
                    }
                }
                Some(Down::JobEnded(_) | Down::Welcome(_) | Down::Configure(_)) | None => {}
            }
        }
    }

    async fn say(&self, up: &mpsc::Sender<v1::AgentMessage>, message: Up) {
        let message = v1::AgentMessage { message: Some(message) };
        self.counted.sent.fetch_add(1, Ordering::Relaxed);
        self.counted.bytes_sent.fetch_add(message.encoded_len() as u64, Ordering::Relaxed);
        // An error means that the stream has ended, which its other half tells.
        let _ = up.send(message).await;
    }

    fn hello(&self) -> v1::Hello {
        v1::Hello {
            agent: Some(uuid(Uuid::from_u128(self.number as u128))),
            incarnation: Some(uuid(self.incarnation)),
            cluster: None,
            highest_epoch: 0,
            backend: None,
            host: format!("be{}", self.number),
            version: "0.0.0".to_owned(),
            state: Some(state()),
        }
    }

    /// What a real agent would say, and how many tablets are made by it.
    fn answer(&self, task: v1::Task) -> (v1::TaskReport, u64) {
        let mut made = 0;
        let outcome = match task.body.expect("a task says what to do") {
            Body::MakeSnapshot(body) => {
                let totals = |at: v1::TabletVersion| v1::TabletTotals { tablet: at.tablet, files: FILES, bytes: BYTES };
                let tablets = body.tablets.into_iter().map(totals).collect();
                Outcome::Snapshotted(v1::Snapshotted { tablets, failed: Vec::new() })
            }
            Body::Upload(body) => {
                let tablets = body.tablets.len() as u64;
                self.counted.uploaded.fetch_add(tablets, Ordering::Relaxed);
                let key = task.key.as_ref().expect("a task has a key");
                let job = key.job.clone();
                let digest = Digest::of(&[&key.task.to_be_bytes()[..], &key.attempt.to_be_bytes()].concat());
                Outcome::Uploaded(v1::Uploaded {
                    manifest: Some(v1::ManifestRef {
                        job,
                        digest: Bytes::copy_from_slice(digest.as_bytes()),
                        size: 200 * tablets,
                        tablets,
                        files: FILES * tablets,
                        bytes: BYTES * tablets,
                        stored_bytes: BYTES * tablets / 2,
                        objects: 0,
                        packs: 1,
                    }),
                })
            }
            Body::Download(body) => {
                let bytes = BYTES * body.tablets.len() as u64;
                Outcome::Downloaded(v1::Downloaded { bytes, reused_bytes: 0 })
            }
            Body::Load(body) => {
                let loaded = |tablet: v1::LoadTablet| v1::LoadedTablet {
                    tablet: tablet.tablet,
                    loaded_files: FILES,
                    loaded_bytes: BYTES,
                    files: FILES,
                    bytes: BYTES,
                    digest: Bytes::copy_from_slice(Digest::of(&body.version.to_be_bytes()).as_bytes()),
                };
                Outcome::Loaded(v1::Loaded { tablets: body.tablets.into_iter().map(loaded).collect() })
            }
            Body::CreateTablets(body) => {
                made = body.tablets.len() as u64;
                Outcome::Done(v1::Done {})
            }
            Body::Release(_) | Body::Adopt(_) | Body::DropTablets(_) | Body::Export(_) => Outcome::Done(v1::Done {}),
        };
        (v1::TaskReport { key: task.key, outcome: Some(outcome) }, made)
    }
}

/// Counts an agent as long as it is attached.
struct Attached(Arc<Counters>);

impl Attached {
    fn count(counted: &Arc<Counters>) -> Self {
        counted.attached.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counted))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.attached.fetch_sub(1, Ordering::Relaxed);
    }
}

fn state() -> v1::Heartbeat {
    v1::Heartbeat { used_bytes: 0, available_bytes: 1 << 44, tablets: 0, running_tasks: 0, leftovers: Vec::new() }
}

fn uuid(uuid: Uuid) -> v1::Uuid {
    v1::Uuid { value: Bytes::copy_from_slice(uuid.as_bytes()) }
}

fn name(key: Option<&v1::TaskKey>) -> (Bytes, u64, u32) {
    let key = key.cloned().unwrap_or_default();
    (key.job.map(|job| job.value).unwrap_or_default(), key.task, key.attempt)
}
