//! A frontend of one's own, made fit for backup and restore by implementing [`Catalog`].
//!
//! The frontend here keeps all that it knows of its tables in one value ([`tables::Tables`]) and that in one file,
//! `tables.json`, which every change writes anew. Everything about tabvault is in `catalog.rs` (what a backup asks) and
//! `restore.rs` (what a restore changes); the rest is the frontend. Its backends are
//! `be-agent/examples/embedded_store.rs`, whose tablets are directories of that engine's own.
//!
//! ```text
//! cargo run -p tabvault-fe-coordinator --example embedded_frontend                # checks the catalog, backs up
//! cargo run -p tabvault-fe-coordinator --example embedded_frontend -- DIR 127.0.0.1:9020              # and serves
//! cargo run -p tabvault-be-agent --example embedded_store -- DIR2 http://127.0.0.1:9020            # with a backend
//! ```
//!
//! Whatever speaks to a coordinator speaks to this one, too: `tabvault repo create`, `tabvault backup`, `tabvault show`.
//! Only DDL, loads and exports are the frontend's own business. How frontend, backends and engine play together in a
//! backup and a restore shows `integration-tests/tests/embedding.rs`.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tabvault_broker::open::Options;
use tabvault_common::clock::SystemClock;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::BackendId;
use tabvault_common::request::{BackupRequest, CreateRepositoryRequest, Selection};
use tabvault_common::schema::{PartitionDef, TableDef};
use tabvault_fe_coordinator::catalog::conformance::{self, Fixture};
use tabvault_fe_coordinator::catalog::{BackendRoom, Catalog, Result};
use tabvault_fe_coordinator::coordinator::{Config, Coordinator, Parts};
use tabvault_fe_coordinator::store::{JobStore, MemoryStore, SharedDb, SledStore};

pub(crate) mod catalog;
mod restore;
pub(crate) mod tables;

use catalog::Frontend;

/// Starts the coordinator of `frontend`, whose records are in `store`. Its jobs go on where they stood.
///
/// # Errors
/// A store that cannot be read.
pub(crate) async fn start(frontend: Arc<Frontend>, store: Arc<dyn JobStore>, config: Config) -> Result<Coordinator> {
    let storage = Options::default();
    let parts = Parts {
        store,
        catalog: frontend,
        // Loads, exports and DDL through tabvault are for the built-in catalog.
        local: None,
        brokers: storage.connection.clone(),
        opener: Arc::new(storage),
        clock: Arc::new(SystemClock),
        // A frontend implements `Authorizer` with its own users; this one lets in whoever reaches its port.
        authorizer: Arc::new(tabvault_fe_coordinator::auth::Open),
        users: None,
    };
    Coordinator::start(config, parts).await
}

/// Serves agents and clients at `address` until Ctrl-C. Tables and jobs are kept in `directory`.
async fn serve(directory: &Path, address: SocketAddr) -> Result<()> {
    let frontend = Arc::new(Frontend::open(&directory.join("tables.json"), Arc::new(SystemClock))?);
    let store = Arc::new(SledStore::open(&SharedDb::open(&directory.join("jobs"))?)?);
    let coordinator = start(frontend, store, Config::default()).await?;
    let routes = tabvault_fe_coordinator::grpc::routes(&coordinator).await?;
    println!("serving at http://{address}; ends with Ctrl-C");
    let interrupted = async {
        // Without signals it serves until it is killed, which does no harm.
        let _ = tokio::signal::ctrl_c().await;
    };
    let server = tonic::transport::Server::builder().add_routes(routes);
    let served = server.serve_with_shutdown(address, interrupted).await;
    coordinator.shutdown();
    served.map_err(|error| Failure::fatal(Kind::Internal, format!("serve at {address}: {error}")))
}

/// How the conformance suite makes tables.
struct Maker(Frontend);

#[async_trait]
impl Fixture for Maker {
    fn catalog(&self) -> &dyn Catalog {
        &self.0
    }

    fn backends(&self) -> Vec<BackendRoom> {
        let room = |n| BackendRoom { backend: BackendId(n), host: format!("host{n}"), available_bytes: 1 << 40 };
        (1..=3).map(room).collect()
    }

    async fn create_database(&self, name: &str) -> Result<()> {
        self.0.create_database(name).await
    }

    async fn create_table(&self, database: &str, table: &TableDef, partitions: &[PartitionDef]) -> Result<()> {
        self.0.create_table(database, table, partitions, &self.backends()).await.map(|_| ())
    }
}

/// Checks the catalog against the contract, with its file in `directory`; panics where it is broken.
///
/// # Errors
/// What the catalog answers where it should not fail.
pub(crate) async fn check(directory: &Path) -> Result<()> {
    let frontend = Frontend::open(&directory.join("conformance.json"), Arc::new(SystemClock))?;
    conformance::all(&Maker(frontend)).await
}

/// Backs up the definitions of a table, for which no backend is needed, into a repository in `directory`.
async fn back_up(directory: &Path) -> Result<()> {
    let frontend = Arc::new(Frontend::open(&directory.join("tables.json"), Arc::new(SystemClock))?);
    let host = BackendRoom { backend: BackendId(1), host: "host1".to_owned(), available_bytes: 1 << 40 };
    let mut partition = conformance::partition("p", 0, 100);
    partition.replication_num = 1;
    frontend.create_database("shop").await?;
    frontend.create_table("shop", &conformance::table("items"), &[partition], &[host]).await?;
    for partition in &frontend.cut("shop").await?.tables[0].partitions {
        frontend.show_version(partition.id, partition.visible_version.next()).await?;
    }

    let coordinator = start(frontend.clone(), Arc::new(MemoryStore::new()), Config::default()).await?;
    let repository = CreateRepositoryRequest {
        name: "nas".to_owned(),
        location: format!("file://{}", directory.join("repository").display()),
        properties: BTreeMap::new(),
        broker: None,
        read_only: false,
    };
    coordinator.repositories().create(repository).await?;
    let request = BackupRequest {
        database: "shop".to_owned(),
        label: "monday".to_owned(),
        repository: "nas".to_owned(),
        selection: Selection::All,
        properties: BTreeMap::from([("content".to_owned(), "metadata_only".to_owned())]),
    };
    let job = coordinator.backup(request).await?;
    if let Some(mut watch) = coordinator.watch(job.id) {
        // An error means that the job has ended and is watched no longer.
        let _ = tokio::time::timeout(Duration::from_secs(60), watch.wait_for(|view| view.ended)).await;
    }
    let state = coordinator.job(job.id).map_or_else(|| "unknown".to_owned(), |view| view.state.clone());
    println!("backup {} of shop is {state}", job.id);
    coordinator.shutdown();
    frontend.drop_table("shop", "items").await
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    if let (Some(directory), Some(address)) = (arguments.next(), arguments.next()) {
        let wrong = |error| Failure::fatal(Kind::InvalidArgument, format!("`{address}` is no IP:PORT: {error}"));
        return serve(Path::new(&directory), address.parse().map_err(wrong)?).await;
    }
    let directory = std::env::temp_dir().join(format!("embedded-frontend-{}", std::process::id()));
    check(&directory).await?;
    println!("the embedded frontend keeps the contract");
    back_up(&directory).await?;
    tabvault_common::durable::remove_dir_all(&directory)
}
