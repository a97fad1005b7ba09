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
use tabvault_common::access::StorageAccess;
use tabvault_common::clock::SystemClock;
use tabvault_common::failure::Failure;
use tabvault_common::ids::JobId;
use tabvault_common::request::{
    BackupRequest, CreateRepositoryRequest, ExportRequest, LoadRequest, LoadSummary, ObjectSelection, RestoreRequest,
    Selection,
};
use tabvault_common::view::{JobKind, JobView, SnapshotView};
use tabvault_fe_coordinator::catalog::Catalog;
use tabvault_fe_coordinator::catalog::local::LocalCatalog;
use tabvault_fe_coordinator::coordinator::{Config, Coordinator, Parts};
use tabvault_fe_coordinator::repository::registry::OpenStorage;
use tabvault_fe_coordinator::store::{JobStore, SharedDb, SledStore};

use crate::crash::Crash;

/// What a cluster is made of where a test wants other than the usual.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Buckets of tables that a load makes.
    pub buckets: u32,
    /// A backend that is silent for so long is dead.
    pub patience: Duration,
    /// How the coordinator opens storage.
    pub fe_storage: Options,
    /// How the agents open storage.
    pub be_storage: Options,
    /// Kills agents.
    pub be_crash: Option<Crash>,
    /// Objects and ranges that an agent has in flight at once.
    pub parallel_transfers: usize,
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
            fe_storage,
            be_storage,
            be_crash: None,
            parallel_transfers: 16,
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
        Self { dir: dir.to_owned(), coordinator: None, agents, setup, address, server: None }
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
        let clock = Arc::new(SystemClock);
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
            reconnect_within: Duration::from_millis(50),
            storage: self.setup.be_storage.clone().into(),
            ..AgentConfig::default()
        };
        let mut tablets: Arc<dyn TabletStore> = store.clone();
        if let Some(crash) = &self.setup.be_crash {
            tablets = crash.tablets(tablets);
            config.storage = crash.agent_opener(self.setup.be_storage.clone());
        }
        let agent = Agent::start(config, tablets, Some(store)).await.expect("start the agent");
        agent.wait_attached().await.expect("attach the agent");
        self.agents[n] = Some(agent);
    }

    /// Stops the agent number `n`.
    ///
    /// # Panics
    /// If it was not running.
    pub async fn stop_be(&mut self, n: usize) {
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

    /// Makes a `file://` repository below the cluster's directory.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn repository(&self, name: &str) {
        let location = format!("file://{}", self.dir.join("repo").display());
        self.repository_at(name, &location, BTreeMap::new(), None).await.expect("make the repository");
    }

    /// Makes a repository.
    ///
    /// # Errors
    /// As CREATE REPOSITORY.
    pub async fn repository_at(
        &self,
        name: &str,
        location: &str,
        properties: BTreeMap<String, String>,
        broker: Option<&str>,
    ) -> Result<(), Failure> {
        let properties = properties.into_iter().map(|(k, v)| (k, tabvault_common::secret::Secret::new(v))).collect();
        let request = CreateRepositoryRequest {
            name: name.to_owned(),
            location: location.to_owned(),
            properties,
            broker: broker.map(str::to_owned),
            read_only: false,
        };
        self.fe().repositories().create(request).await.map(|_| ())
    }

    /// Loads a directory into `db.table` or `db.table/partition`, making what is new.
    ///
    /// # Errors
    /// As LOAD.
    pub async fn load(&self, target: &str, source: &Path, replicas: u32) -> Result<LoadSummary, Failure> {
        let (database, table, partition) = split(target);
        let request = LoadRequest {
            database,
            table,
            partition,
            source: StorageAccess::direct(format!("file://{}", source.display())),
            create: true,
            buckets: Some(self.setup.buckets),
            replication_num: Some(replicas),
        };
        self.fe().load(request).await
    }

    /// Exports `db.table` or `db.table/partition` to a directory.
    ///
    /// # Errors
    /// As EXPORT.
    pub async fn export(&self, source: &str, target: &Path) -> Result<(), Failure> {
        let (database, table, partition) = split(source);
        let target = StorageAccess::direct(format!("file://{}", target.display()));
        self.fe().export(ExportRequest { database, table, partition, target }).await.map(|_| ())
    }

    /// Backs a database up and waits for the end.
    ///
    /// # Errors
    /// As BACKUP; a job that is cancelled is no error.
    pub async fn backup(&self, database: &str, label: &str, repository: &str) -> Result<Arc<JobView>, Failure> {
        let id = self.fe().backup(backup_request(database, label, repository)).await?.id;
        Ok(self.wait(id).await)
    }

    /// Restores a snapshot and waits for the end.
    ///
    /// # Errors
    /// As RESTORE; a job that is cancelled is no error.
    pub async fn restore(&self, request: RestoreRequest) -> Result<Arc<JobView>, Failure> {
        let id = self.fe().restore(request).await?.id;
        Ok(self.wait(id).await)
    }

    /// Waits until a job has ended.
    ///
    /// # Panics
    /// If there is no such job, or it takes more than two minutes.
    pub async fn wait(&self, id: JobId) -> Arc<JobView> {
        let ended = async {
            loop {
                if let Some(mut watch) = self.fe().watch(id) {
                    // An error means that it has just been archived.
                    let _ = watch.wait_for(|view| view.ended).await;
                }
                let view = self.fe().job(id).expect("the job is known");
                if view.ended {
                    return view;
                }
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(120), ended).await;
        waited.unwrap_or_else(|_| panic!("job {id} does not end: {:#?}", self.fe().job(id)))
    }

    /// Waits until the job has ended and all that comes after its end is done: it is archived.
    ///
    /// # Panics
    /// As [`Cluster::wait`].
    pub async fn wait_archived(&self, id: JobId) -> Arc<JobView> {
        let view = self.wait(id).await;
        while self.fe().watch(id).is_some() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        view
    }

    /// Waits until all agents that run are attached to the coordinator that runs.
    ///
    /// # Panics
    /// If that takes more than a minute.
    pub async fn all_attached(&self) {
        let running = self.agents.iter().flatten().count();
        for _ in 0..6000 {
            if self.fe().agents().room().len() == running {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} of {running} agents attach", self.fe().agents().room().len());
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

    /// The newest job of a kind.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn newest(&self, kind: JobKind) -> Arc<JobView> {
        self.fe().jobs(Some(kind), None).pop().expect("there is a job")
    }

    /// The only timestamp of a label.
    ///
    /// # Panics
    /// If there is none or more than one.
    pub async fn timestamp(&self, repository: &str, label: &str) -> String {
        let snapshots = self.snapshots(repository).await;
        let mut found: Vec<_> = snapshots.into_iter().filter(|snapshot| snapshot.label == label).collect();
        assert_eq!(found.len(), 1, "snapshots of {label}: {found:?}");
        found.pop().expect("one").timestamp
    }

    /// The snapshots of a repository.
    ///
    /// # Panics
    /// If they cannot be listed.
    pub async fn snapshots(&self, repository: &str) -> Vec<SnapshotView> {
        let repository = self.fe().repositories().open(repository).await.expect("open the repository");
        repository.list_snapshots(None).await.expect("list the snapshots")
    }

    /// A request to restore all of a snapshot with the given number of replicas.
    pub async fn restore_request(
        &self,
        database: &str,
        label: &str,
        repository: &str,
        replicas: u32,
    ) -> RestoreRequest {
        let timestamp = self.timestamp(repository, label).await;
        RestoreRequest {
            database: database.to_owned(),
            into: None,
            label: label.to_owned(),
            repository: repository.to_owned(),
            selection: Selection::All,
            properties: BTreeMap::from([
                ("backup_timestamp".to_owned(), timestamp),
                ("replication_num".to_owned(), replicas.to_string()),
            ]),
        }
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

/// A request to back all of a database up.
#[must_use]
pub fn backup_request(database: &str, label: &str, repository: &str) -> BackupRequest {
    BackupRequest {
        database: database.to_owned(),
        label: label.to_owned(),
        repository: repository.to_owned(),
        selection: Selection::All,
        properties: BTreeMap::new(),
    }
}

/// One table under another name.
#[must_use]
pub fn alias(table: &str, alias: &str) -> Selection {
    let (table, alias) = (table.to_owned(), Some(alias.to_owned()));
    Selection::Only(vec![ObjectSelection { table, partitions: Vec::new(), alias }])
}

fn split(name: &str) -> (String, String, Option<String>) {
    let (database, rest) = name.split_once('.').expect("a name is database.table");
    let (table, partition) = match rest.split_once('/') {
        Some((table, partition)) => (table, Some(partition.to_owned())),
        None => (rest, None),
    };
    (database.to_owned(), table.to_owned(), partition)
}
