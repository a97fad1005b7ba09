//! A cluster in one process: a coordinator on sled, its gRPC port, and agents with stores of real files.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tabvault_be_agent::agent::{Agent, AgentHandle};
use tabvault_be_agent::config::AgentConfig;
use tabvault_be_agent::store::TabletStore;
use tabvault_be_agent::store::file::FileTabletStore;
use tabvault_broker::open::Options;
use tabvault_common::clock::{Clock, SystemClock};
use tabvault_fe_coordinator::catalog::Catalog;
use tabvault_fe_coordinator::catalog::local::LocalCatalog;
use tabvault_fe_coordinator::coordinator::{Config, Coordinator, Parts};
use tabvault_fe_coordinator::repository::registry::OpenStorage;
use tabvault_fe_coordinator::store::{JobStore, SharedDb, SledStore};

use crate::crash::Crash;

mod requests;

pub use requests::{alias, backup_request};

/// What a cluster is made of where a test wants other than the usual.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Buckets of tables that a load makes.
    pub buckets: u32,
    /// A backend that is silent for so long is dead.
    pub patience: Duration,
    /// Jobs that may run in one database.
    pub jobs_per_database: u32,
    /// Ended jobs of each kind that are remembered.
    pub kept_jobs: usize,
    /// How the coordinator opens storage.
    pub fe_storage: Options,
    /// How the agents open storage.
    pub be_storage: Options,
    /// Kills agents.
    pub be_crash: Option<Crash>,
    /// Objects and ranges that an agent has in flight at once.
    pub parallel_transfers: usize,
    /// The coordinator's clock.
    pub clock: Arc<dyn Clock>,
    /// Free bytes that an agent leaves on its disk.
    pub watermark: u64,
    /// Kills the coordinator at one of its durable writes.
    pub crash: Option<Crash>,
    /// Where the coordinator listens; chosen if `None`.
    pub address: Option<SocketAddr>,
}

impl Default for Setup {
    fn default() -> Self {
        let (fe_storage, be_storage) = (Options::default(), Options::default());
        Self {
            buckets: 3,
            patience: Duration::from_secs(1),
            jobs_per_database: 1,
            kept_jobs: 100,
            fe_storage,
            be_storage,
            be_crash: None,
            parallel_transfers: 16,
            clock: Arc::new(SystemClock),
            watermark: AgentConfig::default().free_space_watermark,
            crash: None,
            address: None,
        }
    }
}

/// A running cluster; dropped, its directory stays with whoever made it.
#[derive(Debug)]
pub struct Cluster {
    /// Where everything is.
    pub dir: PathBuf,
    /// The coordinator, unless stopped.
    pub coordinator: Option<Coordinator>,
    /// The agents, by number; `None` while stopped.
    pub agents: Vec<Option<AgentHandle>>,
    /// Taken into account whenever the coordinator or an agent is started.
    pub setup: Setup,
    /// The tablets of agents that were started, by number.
    stores: BTreeMap<usize, Arc<FileTabletStore>>,
    address: SocketAddr,
    server: Option<tokio::task::JoinHandle<()>>,
}

impl Cluster {
    /// A new cluster, or the one that was stopped in `dir`, with this many backends.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(dir: &Path, backends: usize) -> Self {
        Self::start_with(dir, backends, Setup::default()).await
    }

    /// As [`Cluster::start`], of other parts.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_with(dir: &Path, backends: usize, setup: Setup) -> Self {
        let mut cluster = Self::at_rest(dir, backends, setup);
        cluster.start_fe().await;
        for n in 0..backends {
            cluster.start_be(n).await;
        }
        cluster
    }

    /// A cluster of which nothing runs yet.
    #[must_use]
    pub fn at_rest(dir: &Path, backends: usize, setup: Setup) -> Self {
        let address = setup.address.unwrap_or_else(free_address);
        let agents = (0..backends).map(|_| None).collect();
        Self { dir: dir.to_owned(), coordinator: None, agents, setup, stores: BTreeMap::new(), address, server: None }
    }

    /// Where its coordinator listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts the coordinator.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_fe(&mut self) {
        let clock = self.setup.clock.clone();
        let db = SharedDb::open(&self.dir.join("fe")).expect("open the metadata");
        let local = Arc::new(LocalCatalog::open(&db, clock.clone()).expect("open the catalog"));
        let mut store: Arc<dyn JobStore> = Arc::new(SledStore::open(&db).expect("open the job store"));
        let mut catalog: Arc<dyn Catalog> = local.clone();
        let mut opener: Arc<dyn OpenStorage> = Arc::new(self.setup.fe_storage.clone());
        if let Some(crash) = &self.setup.crash {
            store = crash.store(store);
            catalog = crash.catalog(catalog);
            opener = crash.opener(opener);
        }
        let brokers = self.setup.fe_storage.connection.clone();
        let authorizer = Arc::new(tabvault_fe_coordinator::auth::Open);
        let local = Some(local);
        let parts = Parts { store, catalog, local, brokers, opener, clock, authorizer, users: None };
        let config = Config {
            heartbeat: Duration::from_millis(100),
            backend_patience: self.setup.patience,
            jobs_per_database: self.setup.jobs_per_database,
            kept_jobs: self.setup.kept_jobs,
            ..Config::default()
        };
        let coordinator = Coordinator::start(config, parts).await.expect("start the coordinator");
        let routes = tabvault_fe_coordinator::grpc::routes(&coordinator).await.expect("make the services");
        let listener = tokio::net::TcpListener::bind(self.address).await.expect("bind the port again");
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let stopped = coordinator.clone();
        let server = tonic::transport::Server::builder().add_routes(routes);
        let serving = server.serve_with_incoming_shutdown(incoming, async move { stopped.stopped().await });
        self.server = Some(tokio::spawn(async move {
            serving.await.expect("serve");
        }));
        self.coordinator = Some(coordinator);
    }

    /// Stops the coordinator as a crash would: nothing is said to anybody.
    ///
    /// # Panics
    /// If it was not running.
    pub async fn stop_fe(&mut self) {
        let coordinator = self.coordinator.take().expect("the coordinator runs");
        coordinator.shutdown();
        drop(coordinator);
        let server = self.server.take().expect("the server runs");
        server.abort();
        let _ = server.await;
        // The metadata is let go when the last task that uses it has ended.
        for _ in 0..2000 {
            if tabvault_common::durable::lock_dir(&self.dir.join("fe")).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the stopped coordinator still holds its metadata");
    }

    /// Starts the agent number `n`.
    ///
    /// # Panics
    /// If it does not start or attach.
    pub async fn start_be(&mut self, n: usize) {
        let dir = self.dir.join(format!("be{n}"));
        let store = FileTabletStore::open(vec![dir.join("data")]).await.expect("open the tablets");
        let store = Arc::new(store);
        let mut config = AgentConfig {
            fe: vec![format!("http://{}", self.address)],
            state_dir: dir.join("state"),
            host: format!("be{n}"),
            parallel_transfers: self.setup.parallel_transfers,
            free_space_watermark: self.setup.watermark,
            reconnect_within: Duration::from_millis(50),
            storage: self.setup.be_storage.clone().into(),
            ..AgentConfig::default()
        };
        let mut tablets: Arc<dyn TabletStore> = store.clone();
        if let Some(crash) = &self.setup.be_crash {
            tablets = crash.tablets(tablets);
            config.storage = crash.agent_opener(self.setup.be_storage.clone());
        }
        self.stores.insert(n, store.clone());
        let agent = Agent::start(config, tablets, Some(store)).await.expect("start the agent");
        agent.wait_attached().await.expect("attach the agent");
        self.agents[n] = Some(agent);
    }

    /// Waits until the tablets of agent number `n` belong to no job.
    ///
    /// # Panics
    /// If that takes more than a minute.
    pub async fn settled(&self, n: usize) {
        let store = self.stores.get(&n).expect("the agent was started");
        for _ in 0..6000 {
            if store.jobs().await.expect("list the jobs").is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("tablets of agent {n} still belong to jobs");
    }

    /// Stops the agent number `n`.
    ///
    /// # Panics
    /// If it was not running.
    pub async fn stop_be(&mut self, n: usize) {
        self.stores.remove(&n);
        self.agents[n].take().expect("the agent runs").shutdown().await;
    }

    /// The coordinator.
    ///
    /// # Panics
    /// If it is stopped.
    #[must_use]
    pub fn fe(&self) -> &Coordinator {
        self.coordinator.as_ref().expect("the coordinator runs")
    }

    /// Waits until all agents that run are attached to the coordinator that runs.
    ///
    /// # Panics
    /// If that takes more than a minute.
    pub async fn all_attached(&self) {
        self.attached(self.agents.iter().flatten().count()).await;
    }

    /// Waits until so many agents are attached, here or in other processes; one that was killed may still count.
    ///
    /// # Panics
    /// If that takes more than a minute.
    pub async fn attached(&self, agents: usize) {
        for _ in 0..6000 {
            if self.fe().agents().room().len() == agents {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not {agents} agents are attached: {:?}", self.fe().agents().show());
    }

    /// Stops the coordinator as a crash would and starts it again, to live for ever.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart_fe(&mut self) {
        self.stop_fe().await;
        if self.setup.crash.is_some() {
            self.setup.crash = Some(Crash::never());
        }
        self.start_fe().await;
    }
}

/// An address on which nobody listens.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind a port");
    listener.local_addr().expect("the port's address")
}
