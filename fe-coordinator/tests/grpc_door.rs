//! Over gRPC nobody gets past the door without proof, and nobody learns of names without privilege.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use tabvault_broker::open::Options;
use tabvault_common::clock::SystemClock;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::secret::Secret;
use tabvault_fe_coordinator::auth::Privilege;
use tabvault_fe_coordinator::auth::users::Users;
use tabvault_fe_coordinator::catalog::LocalCatalog;
use tabvault_fe_coordinator::coordinator::{Config, Coordinator, Parts};
use tabvault_fe_coordinator::grpc;
use tabvault_fe_coordinator::store::{JobStore, MemoryStore, SharedDb};
use tabvault_proto::failure::from_status;
use tabvault_proto::v1;
use tabvault_proto::v1::agent_service_client::AgentServiceClient;
use tabvault_proto::v1::catalog_service_client::CatalogServiceClient;
use tabvault_proto::v1::cluster_service_client::ClusterServiceClient;
use tabvault_proto::v1::execute_response::Part;
use tabvault_proto::v1::job_service_client::JobServiceClient;
use tabvault_proto::v1::repository_service_client::RepositoryServiceClient;
use tabvault_proto::v1::sql_service_client::SqlServiceClient;
use tonic::transport::Channel;
use tonic::{Request, Status};

struct Bench {
    channel: Channel,
    coordinator: Coordinator,
    _dir: tempfile::TempDir,
}

impl Bench {
    /// A coordinator with the databases `seen` and `hidden`, its `root`, and `ann`, who may load into `seen`.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock);
        let db = SharedDb::open(&dir.path().join("fe")).unwrap();
        let local = Arc::new(LocalCatalog::open(&db, clock.clone()).unwrap());
        let store: Arc<dyn JobStore> = Arc::new(MemoryStore::new());
        let users = Arc::new(Users::new(store.clone(), clock.clone(), Secret::new("agents")).unwrap());
        let options = Options::default();
        let parts = Parts {
            store,
            catalog: local.clone(),
            local: Some(local.clone()),
            brokers: options.connection.clone(),
            opener: Arc::new(options),
            clock,
            authorizer: users.clone(),
            users: Some(users.clone()),
        };
        let config = Config { load_directories: vec!["/open".to_owned()], ..Config::default() };
        let coordinator = Coordinator::start(config, parts).await.unwrap();
        users.found_root(&dir.path().join("root.password"), Some(&Secret::new("toor"))).await.unwrap();
        users.create("ann", &Secret::new("pass"), false).await.unwrap();
        users.grant("ann", &Privilege::Load("seen".to_owned())).await.unwrap();
        for database in ["seen", "hidden"] {
            local.create_database(database, false).await.unwrap();
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_routes(grpc::routes(&coordinator).await.unwrap());
        tokio::spawn(server.serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)));
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { channel, coordinator, _dir: dir }
    }

    fn catalog(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.channel.clone())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.coordinator.shutdown();
    }
}

fn with<T>(header: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", header.parse().unwrap());
    request
}

fn by<T>(user: &str, message: T) -> Request<T> {
    with(&format!("Basic {}", STANDARD.encode(user)), message)
}

const ANN: &str = "ann:pass";
const ROOT: &str = "root:toor";

fn failure<T>(answer: Result<T, Status>) -> Failure {
    answer.map_or_else(|status| from_status(&status), |_| panic!("it was not refused"))
}

#[tokio::test]
async fn without_proof_no_service_is_reached() {
    let bench = Bench::start().await;
    let list = || v1::ListDatabasesRequest {};
    let silent = failure(bench.catalog().list_databases(list()).await);
    assert_eq!(silent.kind, Kind::Unauthenticated);
    assert!(silent.message.contains("no user and password are sent"), "{silent}");
    let unreadable = failure(bench.catalog().list_databases(with("Bearer agents", list())).await);
    assert_eq!(unreadable.kind, Kind::Unauthenticated);
    for user in ["root:wrong", "nobody:toor", "root:"] {
        let name = user.split(':').next().unwrap();
        let refusal = failure(bench.catalog().list_databases(by(user, list())).await);
        assert_eq!(refusal, Failure::fatal(Kind::Unauthenticated, format!("Access denied for user '{name}'")));
    }
    let channel = || bench.channel.clone();
    let unknown = |kind: Kind| assert_eq!(kind, Kind::Unauthenticated);
    unknown(failure(JobServiceClient::new(channel()).list_jobs(v1::ListJobsRequest::default()).await).kind);
    unknown(failure(ClusterServiceClient::new(channel()).list_backends(v1::ListBackendsRequest {}).await).kind);
    let repositories = RepositoryServiceClient::new(channel()).list_repositories(v1::ListRepositoriesRequest {}).await;
    unknown(failure(repositories).kind);
    unknown(failure(SqlServiceClient::new(channel()).execute(v1::ExecuteRequest::default()).await).kind);
}

#[tokio::test]
async fn health_and_reflection_are_open() {
    let bench = Bench::start().await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(bench.channel.clone());
    health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn an_agent_without_the_token_is_refused() {
    let bench = Bench::start().await;
    let mut agents = AgentServiceClient::new(bench.channel.clone());
    let nothing = || futures::stream::empty::<v1::AgentMessage>();
    assert_eq!(failure(agents.attach(nothing()).await).kind, Kind::Unauthenticated);
    assert_eq!(failure(agents.attach(by(ROOT, nothing())).await).kind, Kind::Unauthenticated);
    assert_eq!(failure(agents.attach(with("Bearer agent", nothing())).await).kind, Kind::Unauthenticated);
    // With it, it is the missing Hello that is refused.
    assert_eq!(failure(agents.attach(with("Bearer agents", nothing())).await).kind, Kind::InvalidArgument);
}

#[tokio::test]
async fn without_privilege_existing_and_missing_names_are_answered_alike() {
    let bench = Bench::start().await;
    let tables = async |database: &str| {
        let request = v1::ListTablesRequest { database: database.to_owned() };
        bench.catalog().list_tables(by(ANN, request)).await
    };
    assert_eq!(tables("seen").await.unwrap().into_inner().tables.len(), 0);
    assert_eq!(failure(tables("hidden").await), failure(tables("missing").await));
    assert_eq!(failure(tables("hidden").await).kind, Kind::PermissionDenied);
    let drop = async |name: &str| {
        failure(bench.catalog().drop_database(by(ANN, v1::DropDatabaseRequest { name: name.to_owned() })).await)
    };
    let words = "Access denied; you need (at least one of) the ADMIN privilege(s) for this operation";
    for name in ["seen", "hidden", "missing"] {
        assert_eq!(drop(name).await, Failure::fatal(Kind::PermissionDenied, words));
    }
    let mut repositories = RepositoryServiceClient::new(bench.channel.clone());
    let name = "r".to_owned();
    let refused = failure(repositories.drop_repository(by(ANN, v1::DropRepositoryRequest { name })).await);
    assert_eq!(refused.kind, Kind::PermissionDenied);
}

#[tokio::test]
async fn databases_are_listed_that_one_may_see() {
    let bench = Bench::start().await;
    let names = async |user: &str| {
        bench.catalog().list_databases(by(user, v1::ListDatabasesRequest {})).await.unwrap().into_inner().names
    };
    assert_eq!(names(ANN).await, ["seen"]);
    assert_eq!(names(ROOT).await, ["hidden", "seen"]);
}

#[tokio::test]
async fn who_may_only_load_makes_no_table_by_it() {
    let bench = Bench::start().await;
    let load = |database: &str| v1::LoadRequest {
        database: database.to_owned(),
        table: "t".to_owned(),
        source: Some(v1::StorageAccess { location: "file:///open/x".to_owned(), ..Default::default() }),
        create: true,
        ..Default::default()
    };
    let refusal = failure(bench.catalog().load(by(ANN, load("seen"))).await);
    assert_eq!((refusal.kind, refusal.message.as_str()), (Kind::NotFound, "Unknown table 't'"));
    assert_eq!(failure(bench.catalog().load(by(ANN, load("hidden"))).await).kind, Kind::PermissionDenied);
    assert_eq!(failure(bench.catalog().load(by(ANN, load("missing"))).await).kind, Kind::PermissionDenied);
}

#[tokio::test]
async fn who_may_only_load_chooses_neither_any_directory_nor_brokers() {
    let bench = Bench::start().await;
    let access = |location: &str, brokers: &[&str]| v1::StorageAccess {
        location: location.to_owned(),
        properties: ["s3.access_key", "s3.secret_key"]
            .iter()
            .filter(|_| location.starts_with("s3"))
            .map(|name| ((*name).to_owned(), "x".to_owned()))
            .collect(),
        brokers: brokers.iter().map(|&broker| broker.to_owned()).collect(),
    };
    let ask = async |user: &str, access: v1::StorageAccess| {
        let (database, table) = ("seen".to_owned(), "t".to_owned());
        let export = v1::ExportRequest { database, table, target: Some(access.clone()), ..Default::default() };
        let exported = failure(bench.catalog().export(by(user, export)).await).kind;
        let (database, table) = ("seen".to_owned(), "t".to_owned());
        let load = v1::LoadRequest { database, table, source: Some(access), ..Default::default() };
        assert_eq!(failure(bench.catalog().load(by(user, load)).await).kind, exported);
        exported
    };
    for (location, brokers) in
        [("file:///data/fe", &[][..]), ("FILE:///data/fe", &[]), ("s3://b/x", &["http://evil:1"]), ("memory://x", &[])]
    {
        assert_eq!(ask(ANN, access(location, brokers)).await, Kind::PermissionDenied, "{location}");
        assert_eq!(ask(ROOT, access(location, brokers)).await, Kind::NotFound, "{location}");
    }
    // There is no such table.
    for location in ["file:///open/x", "s3://b/x"] {
        assert_eq!(ask(ANN, access(location, &[])).await, Kind::NotFound, "{location}");
    }
    assert_eq!(ask(ROOT, access("file:///open/x", &["http://b:1"])).await, Kind::InvalidArgument);
}

#[tokio::test]
async fn who_watches_all_jobs_sees_them_for_as_long_as_the_privilege_lasts() {
    let bench = Bench::start().await;
    let users = bench.coordinator.users().unwrap();
    let watch = async || {
        let request = by(ANN, v1::WatchJobsRequest::default());
        JobServiceClient::new(bench.channel.clone()).watch_jobs(request).await
    };
    let refused = async |mut jobs: tonic::Streaming<v1::JobList>| {
        for _ in 0..100 {
            match jobs.next().await {
                Some(Ok(_)) => {}
                Some(Err(status)) => return (from_status(&status).kind, jobs.next().await.is_none()),
                None => panic!("it ended without a word"),
            }
        }
        panic!("it goes on")
    };
    assert_eq!(failure(watch().await).kind, Kind::PermissionDenied);
    users.grant("ann", &Privilege::Admin).await.unwrap();
    let mut revoked = watch().await.unwrap().into_inner();
    revoked.next().await.unwrap().unwrap();
    revoked.next().await.unwrap().unwrap();
    users.revoke("ann", &Privilege::Admin).await.unwrap();
    assert_eq!(refused(revoked).await, (Kind::PermissionDenied, true));
    users.grant("ann", &Privilege::Admin).await.unwrap();
    let dropped = watch().await.unwrap().into_inner();
    users.drop_user("ann", false).await.unwrap();
    assert_eq!(refused(dropped).await, (Kind::PermissionDenied, true));
}

async fn execute(bench: &Bench, user: &str, sql: &str, database: Option<&str>) -> Vec<Part> {
    let request = v1::ExecuteRequest { sql: sql.to_owned(), database: database.map(str::to_owned) };
    let answer = SqlServiceClient::new(bench.channel.clone()).execute(by(user, request)).await.unwrap();
    answer.into_inner().map(|part| part.unwrap().part.unwrap()).collect().await
}

fn end(database: Option<&str>) -> Part {
    Part::End(v1::SqlEnd { database: database.map(str::to_owned) })
}

#[tokio::test]
async fn statements_are_answered_in_order_until_one_fails() {
    let bench = Bench::start().await;
    let parts = execute(&bench, ROOT, "CREATE DATABASE made; USE made; DROP TABLE missing; USE seen", None).await;
    let [Part::Done(_), Part::Done(_), Part::Error(error), last] = parts.as_slice() else { panic!("{parts:?}") };
    assert_eq!((error.code, error.sqlstate.as_str()), (1146, "42S02"));
    assert_eq!(last, &end(Some("made")));
    let parts = execute(&bench, ROOT, "SHOW TABLES", Some("made")).await;
    let [Part::Header(header), Part::Done(_), _] = parts.as_slice() else { panic!("{parts:?}") };
    assert_eq!(header.columns[0].name, "Table");
}

#[tokio::test]
async fn a_text_that_cannot_be_read_runs_nothing_and_is_told_its_place() {
    let bench = Bench::start().await;
    let parts = execute(&bench, ROOT, "CREATE DATABASE made;\nBACKUP NONSENSE", None).await;
    let [Part::Error(error), last] = parts.as_slice() else { panic!("{parts:?}") };
    assert_eq!(error.code, 1064);
    assert_eq!(error.place.map(|place| place.line), Some(2));
    assert_eq!(last, &end(None));
    assert!(!bench.coordinator.catalog().databases().await.unwrap().contains(&"made".to_owned()));
}

#[tokio::test]
async fn by_sql_too_nobody_without_privilege_learns_of_names() {
    let bench = Bench::start().await;
    for sql in ["SHOW TABLES FROM hidden", "SHOW TABLES FROM missing", "DROP DATABASE hidden", "SHOW REPOSITORIES"] {
        let parts = execute(&bench, ANN, sql, None).await;
        let Some(Part::Error(error)) = parts.first() else { panic!("{sql}: {parts:?}") };
        assert_eq!(error.code, 1227, "{sql}");
    }
    for database in ["hidden", "missing"] {
        let parts = execute(&bench, ANN, "SHOW TABLES", Some(database)).await;
        let Some(Part::Error(error)) = parts.first() else { panic!("{parts:?}") };
        assert_eq!(error.code, 1227);
    }
    let mut parts = execute(&bench, ANN, "SHOW TABLES", Some("seen")).await;
    assert_eq!(parts.pop(), Some(end(Some("seen"))));
}
