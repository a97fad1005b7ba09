//! Somebody else's frontend and somebody else's engine, joined by tabvault: the two examples of embedding.
#![allow(clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tabvault_be_agent::agent::{Agent, AgentHandle};
use tabvault_be_agent::config::AgentConfig;
use tabvault_be_agent::store::{PinnedContent, PinnedTablet, TabletStore};
use tabvault_common::clock::SystemClock;
use tabvault_common::failure::Retry;
use tabvault_common::ids::{BackendId, JobId, JobUuid, PartitionId, TabletId, Version};
use tabvault_common::request::{BackupRequest, CreateRepositoryRequest, RestoreRequest, Selection};
use tabvault_common::task::{CreateTablet, TabletVersion};
use tabvault_common::view::JobView;
use tabvault_fe_coordinator::catalog::conformance::{partition, table};
use tabvault_fe_coordinator::catalog::{Catalog, CutTable};
use tabvault_fe_coordinator::coordinator::{Config, Coordinator};
use tabvault_fe_coordinator::store::{JobStore, MemoryStore};
use tabvault_integration_tests::checks::{assert_finished, fast_dir};

#[path = "../../fe-coordinator/examples/embedded_frontend/main.rs"]
#[expect(dead_code, reason = "what the example does when it is run")]
mod embedded_frontend;
#[path = "../../be-agent/examples/embedded_store.rs"]
#[expect(dead_code, reason = "what the example does when it is run")]
mod embedded_store;

use embedded_frontend::catalog::Frontend;
use embedded_store::Engine;

/// A backend: its engine, and the agent beside it.
struct Backend {
    engine: Arc<Engine>,
    agent: AgentHandle,
}

/// A cluster that knows tabvault only by the two ports.
struct Cluster {
    frontend: Arc<Frontend>,
    coordinator: Coordinator,
    backends: BTreeMap<BackendId, Backend>,
}

impl Cluster {
    async fn start(dir: &Path, backends: usize) -> Self {
        let frontend = open(dir);
        let store: Arc<dyn JobStore> = Arc::new(MemoryStore::new());
        let config = Config { heartbeat: Duration::from_millis(100), ..Config::default() };
        let started = embedded_frontend::start(frontend.clone(), store, config).await;
        let coordinator = started.expect("start the coordinator");
        let routes = tabvault_fe_coordinator::grpc::routes(&coordinator).await.expect("make the services");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind a port");
        let fe = format!("http://{}", listener.local_addr().expect("the port's address"));
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tokio::spawn(tonic::transport::Server::builder().add_routes(routes).serve_with_incoming(incoming));
        let mut cluster = Self { frontend, coordinator, backends: BTreeMap::new() };
        for n in 0..backends {
            let directory = dir.join(format!("be{n}"));
            let engine = Arc::new(Engine::open(&directory).expect("open the engine"));
            let config = AgentConfig {
                fe: vec![fe.clone()],
                state_dir: directory.join("agent"),
                host: format!("be{n}"),
                ..AgentConfig::default()
            };
            let agent = Agent::start(config, engine.clone(), None).await.expect("start the agent");
            agent.wait_attached().await.expect("attach the agent");
            let id = agent.backend_id().expect("an attached agent has a number");
            cluster.backends.insert(id, Backend { engine, agent });
        }
        cluster
    }

    /// The engine's own way to bring data into a partition: every replica gets the same segments.
    async fn load(&self, id: PartitionId, segments: &[&[u8]]) {
        let mut version = Version::INITIAL;
        for tablet in self.frontend.tablets(id).await.expect("list the tablets") {
            for replica in &tablet.replicas {
                let engine = &self.backends[&replica.backend].engine;
                let (tablet, schema_hash, lineage) = (tablet.tablet, tablet.schema_hash, tablet.lineage);
                let new = CreateTablet { tablet, schema_hash, lineage, reuse_from: None };
                engine.create(JobUuid::HOUSEKEEPING, &new).await.expect("make a tablet");
                for segment in segments {
                    let bytes = [segment, tablet.to_string().as_bytes()].concat();
                    version = engine.append(tablet, &bytes).await.expect("append");
                }
            }
        }
        self.frontend.show_version(id, version).await.expect("show the version");
    }

    async fn table(&self, name: &str) -> CutTable {
        let cut = self.frontend.cut("shop").await.expect("take a cut");
        cut.tables.into_iter().find(|table| table.def.name == name).expect("the table is there")
    }

    /// What readers find: by partition, index and position, the files of every replica, which must agree.
    async fn contents(&self, table: &CutTable) -> BTreeMap<(String, u32, u32), BTreeMap<String, Vec<u8>>> {
        let mut contents = BTreeMap::new();
        for part in &table.partitions {
            for tablet in self.frontend.tablets(part.id).await.expect("list the tablets") {
                let (id, version, schema_hash) = (tablet.tablet, part.visible_version, tablet.schema_hash);
                let at = TabletVersion { tablet: id, version, schema_hash };
                let mut replicas = BTreeSet::new();
                for replica in &tablet.replicas {
                    let engine = &self.backends[&replica.backend].engine;
                    let pinned = pin(engine, at).await;
                    let read = |content: &PinnedContent| match content {
                        PinnedContent::File(path) => std::fs::read(path).expect("read a segment"),
                        PinnedContent::Generated(bytes) => bytes.to_vec(),
                    };
                    let files = pinned.files.map(|file| file.expect("name a file"));
                    let files = files.map(|file| (file.path, read(&file.content)));
                    replicas.insert(files.collect::<BTreeMap<_, _>>());
                }
                assert_eq!(replicas.len(), 1, "replicas of tablet {id} differ");
                let place = (part.def.name.clone(), tablet.index, tablet.position);
                contents.extend(replicas.into_iter().map(|files| (place.clone(), files)));
            }
        }
        contents
    }

    async fn wait(&self, id: JobId) -> Arc<JobView> {
        let ended = async {
            loop {
                if let Some(mut watch) = self.coordinator.watch(id) {
                    let _ = watch.wait_for(|view| view.ended).await;
                }
                match self.coordinator.job(id) {
                    Some(view) if view.ended => return view,
                    _ => tokio::task::yield_now().await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the job ends")
    }

    async fn backup(&self, label: &str) -> String {
        let (database, label, repository) = ("shop".to_owned(), label.to_owned(), "nas".to_owned());
        let (selection, properties) = (Selection::All, BTreeMap::new());
        let request = BackupRequest { database, label, repository, selection, properties };
        let job = self.coordinator.backup(request).await.expect("back up");
        let view = self.wait(job.id).await;
        assert_finished(&view);
        view.timestamp.clone().expect("a finished backup has a timestamp")
    }

    async fn restore(&self, label: &str, timestamp: &str) {
        let request = RestoreRequest {
            database: "shop".to_owned(),
            into: None,
            label: label.to_owned(),
            repository: "nas".to_owned(),
            selection: Selection::All,
            properties: BTreeMap::from([
                ("backup_timestamp".to_owned(), timestamp.to_owned()),
                ("replication_num".to_owned(), "2".to_owned()),
            ]),
        };
        let job = self.coordinator.restore(request).await.expect("restore");
        assert_finished(&*self.wait(job.id).await);
    }

    /// The tablets that the engines have are those that the frontend knows: garbage goes by itself.
    async fn assert_tidy(&self, table: &CutTable) {
        let mut known = BTreeSet::new();
        for part in &table.partitions {
            for tablet in self.frontend.tablets(part.id).await.expect("list the tablets") {
                known.extend(tablet.replicas.iter().map(|replica| (replica.backend, tablet.tablet)));
            }
        }
        let mut there = BTreeSet::new();
        for _ in 0..1200 {
            there = BTreeSet::new();
            for (id, backend) in &self.backends {
                let tablets = std::fs::read_dir(&backend.engine.roots()[0].data).expect("list tablets");
                let names = tablets.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
                there.extend(names.map(|tablet| (*id, TabletId(tablet))));
            }
            if there == known {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the engines have {there:?}, the frontend knows {known:?}");
    }
}

/// A published tablet is readable as soon as its agent has heard of it.
async fn pin(engine: &Engine, at: TabletVersion) -> PinnedTablet {
    for _ in 0..400 {
        match engine.pin(at).await {
            Err(failure) if failure.retry == Retry::Safe => tokio::time::sleep(Duration::from_millis(25)).await,
            pinned => return pinned.expect("read a tablet"),
        }
    }
    panic!("tablet {} does not become readable", at.tablet);
}

fn open(dir: &Path) -> Arc<Frontend> {
    Arc::new(Frontend::open(&dir.join("fe/tables.json"), Arc::new(SystemClock)).expect("open the frontend"))
}

#[tokio::test]
async fn the_catalog_of_the_example_keeps_the_contract() {
    let dir = fast_dir();
    embedded_frontend::check(dir.path()).await.expect("the catalog answers");
}

#[tokio::test]
async fn the_store_of_the_example_keeps_the_contract() {
    let dir = fast_dir();
    embedded_store::check(dir.path()).await.expect("the store answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_a_foreign_engine_come_back() {
    let dir = fast_dir();
    let cluster = Cluster::start(dir.path(), 3).await;
    let repository = CreateRepositoryRequest {
        name: "nas".to_owned(),
        location: format!("file://{}", dir.path().join("repository").display()),
        properties: BTreeMap::new(),
        broker: None,
        read_only: false,
    };
    cluster.coordinator.repositories().create(repository).await.expect("make the repository");
    let (frontend, parts) = (&cluster.frontend, [partition("p1", 0, 10), partition("p2", 10, 20)]);
    frontend.create_database("shop").await.expect("create the database");
    let hosts = cluster.coordinator.agents().room();
    assert_eq!(hosts.len(), 3);
    frontend.create_table("shop", &table("items"), &parts, &hosts).await.expect("create the table");
    let items = cluster.table("items").await;
    let large = vec![7; 3 << 20];
    cluster.load(items.partitions[0].id, &[b"one", b"", &large]).await;
    cluster.load(items.partitions[1].id, &[b"two"]).await;
    let items = cluster.table("items").await;
    let before = cluster.contents(&items).await;
    assert_eq!(before.len(), 8, "two partitions of two indexes of two buckets");

    let timestamp = cluster.backup("monday").await;

    // Over the table, which has gone on: it becomes what it was.
    cluster.load(items.partitions[1].id, &[b"later"]).await;
    assert_ne!(cluster.contents(&cluster.table("items").await).await, before);
    cluster.restore("monday", &timestamp).await;
    let restored = cluster.table("items").await;
    assert_eq!(cluster.contents(&restored).await, before);
    assert_eq!(restored.partitions[1].visible_version, items.partitions[1].visible_version);
    cluster.assert_tidy(&restored).await;

    // And out of nothing.
    frontend.drop_table("shop", "items").await.expect("drop the table");
    cluster.restore("monday", &timestamp).await;
    let again = cluster.table("items").await;
    assert_eq!(cluster.contents(&again).await, before);
    cluster.assert_tidy(&again).await;

    let after_restart = open(dir.path()).cut("shop").await.expect("take a cut");
    assert_eq!(after_restart, frontend.cut("shop").await.expect("take a cut"));
    cluster.coordinator.shutdown();
    for backend in cluster.backends.into_values() {
        backend.agent.shutdown().await;
    }
}
