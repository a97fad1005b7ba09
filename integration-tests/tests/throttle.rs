//! Limits that are changed while a job runs. The agents' time stands still, so that a limit is either obeyed for good or
//! not at all.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tabvault_broker::faults::{Act, Faults, Gate, Op, Rule};
use tabvault_broker::open::Options;
use tabvault_common::clock::{ManualClock, Time};
use tabvault_common::ids::{JobId, JobUuid};
use tabvault_integration_tests::checks::{self, fast_dir};
use tabvault_integration_tests::cluster::{Cluster, Setup, backup_request};
use tabvault_integration_tests::sql::Client;
use tabvault_integration_tests::tree;
use tabvault_proto::v1;
use tabvault_proto::v1::cluster_service_client::ClusterServiceClient;
use tabvault_proto::v1::config_target::Target;
use tempfile::TempDir;

/// Files that are large enough to have objects of their own.
const FILES: u64 = 4;

struct Bench {
    dir: TempDir,
    source: PathBuf,
    cluster: Cluster,
    faults: Faults,
}

impl Bench {
    async fn new() -> Self {
        checks::log();
        let dir = fast_dir();
        let source = dir.path().join("source");
        std::fs::create_dir_all(&source).expect("make a directory");
        for n in 0..FILES {
            tree::write(&source.join(format!("file{n}")), &tree::noise(n, 2 << 20));
        }
        let faults = Faults::new(1);
        let clock = Arc::new(ManualClock::new(Time(0)));
        let be_storage = Options { faults: Some(faults.clone()), clock, ..Options::default() };
        let setup = Setup { buckets: 1, jobs_per_database: 2, be_storage, ..Setup::default() };
        let cluster = Cluster::start_with(&dir.path().join("cluster"), 1, setup).await;
        for name in ["slow", "fast"] {
            let location = format!("file://{}", dir.path().join(name).display());
            cluster.repository_at(name, &location, BTreeMap::new(), None).await.expect("make the repository");
        }
        cluster.load("shop.files", &source, 1).await.expect("load");
        Self { dir, source, cluster, faults }
    }

    fn sql(&self) -> Client {
        Client::new(self.cluster.fe(), "root")
    }

    async fn grpc(&self, target: Target, config: &[(&str, &str)]) -> Result<(), tonic::Status> {
        let address = format!("http://{}", self.cluster.address());
        let mut client = ClusterServiceClient::connect(address).await.expect("connect");
        let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let target = Some(v1::ConfigTarget { target: Some(target) });
        client.set_config(v1::SetConfigRequest { target, config }).await.map(|_| ())
    }

    async fn begin(&self, label: &str, repository: &str) -> (JobId, JobUuid) {
        let request = backup_request("shop", label, repository);
        let started = self.cluster.fe().backup(request).await.expect("the backup is accepted");
        (started.id, started.uuid)
    }

    /// Pieces of the job's objects, and packs, that were written so far.
    fn written(&self, job: JobUuid) -> usize {
        [Op::Write, Op::Put].map(|op| self.faults.count(op, &format!("__data/{job}/"))).iter().sum()
    }

    async fn comes_to(&self, job: JobId, state: &str) {
        let mut watch = self.cluster.fe().watch(job).expect("the job runs");
        watch.wait_for(|view| view.state == state).await.expect("the job goes on");
    }

    async fn reaches(&self, job: JobUuid, pieces: usize) {
        for _ in 0..12_000 {
            if self.written(job) >= pieces {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("only {} pieces of {job} were written", self.written(job));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repositorys_limit_stops_its_jobs_alone_outlives_a_restart_and_lets_them_go_on_when_it_is_lifted() {
    let mut bench = Bench::new().await;
    bench.sql().run("ADMIN SET REPOSITORY slow CONFIG ('bytes_per_second' = '1')").await;
    let (id, job) = bench.begin("slowly", "slow").await;
    // What comes first passes, and whoever comes then waits until it is paid: for ever, since time stands still.
    bench.reaches(job, 1).await;
    checks::assert_finished(&bench.cluster.backup("shop", "one", "fast").await.expect("the other repository is free"));
    assert_eq!(bench.written(job), 1);

    bench.cluster.restart_fe().await;
    bench.cluster.all_attached().await;
    let rows = bench.sql().rows("ADMIN SHOW CONFIG").await;
    let set: Vec<_> = rows.iter().filter(|row| row["Value"].is_some()).collect();
    assert_eq!(set.len(), 1, "{set:?}");
    assert_eq!((set[0]["Target"].as_deref(), set[0]["Value"].as_deref()), (Some("REPOSITORY slow"), Some("1")));
    checks::assert_finished(&bench.cluster.backup("shop", "two", "fast").await.expect("the other repository is free"));
    assert_eq!(bench.written(job), 1);

    bench
        .grpc(Target::Repository("slow".to_owned()), &[("bytes_per_second", "default")])
        .await
        .expect("lift the limit");
    let ended = bench.cluster.wait(id).await;
    checks::assert_finished(&ended);
    assert!(bench.written(job) >= 2 * FILES as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_limit_that_is_set_in_the_middle_of_a_job_holds_all_its_traffic_until_sql_lifts_it() {
    let bench = Bench::new().await;
    checks::assert_finished(&bench.cluster.backup("shop", "before", "fast").await.expect("back up"));
    let backend = bench.cluster.fe().agents().show()[0].id;
    let gate = Gate::default();
    bench.faults.rule(Rule::always(Op::Write, "__data/", Act::Wait(gate.clone())));
    let (id, job) = bench.begin("held", "slow").await;
    gate.reached().await;
    bench
        .grpc(Target::Backend(backend.0), &[("bytes_per_second", "1"), ("cpu_cores", "1")])
        .await
        .expect("set a limit");
    let restore = bench.cluster.restore_request("again", "before", "fast", 1).await;
    let restore = bench.cluster.fe().restore(restore).await.expect("the restore is accepted").id;
    // Tasks go down the same stream as limits: when the agent has done one, it has heard of the limit.
    bench.comes_to(restore, "DOWNLOADING").await;
    gate.open();
    let refused =
        bench.grpc(Target::Backend(77), &[("bytes_per_second", "1")]).await.expect_err("there is no such one");
    assert!(refused.message().contains("Unknown backend '77'"), "{refused}");
    assert_eq!(bench.sql().rows("ADMIN SHOW CONFIG LIKE 'cpu_cores'").await.len(), 2);
    bench.cluster.load("other.files", &bench.source, 1).await.expect("load while time passes");
    // The first pieces and the pack were under way already, and one more passes.
    assert!(bench.written(job) <= FILES as usize + 2, "{}", bench.written(job));
    assert!(!bench.cluster.fe().job(id).expect("the job is known").ended);
    assert!(!bench.cluster.fe().job(restore).expect("the job is known").ended);

    bench.sql().run(&format!("ADMIN SET AGENT {backend} CONFIG ('bytes_per_second' = '0')")).await;
    let job = bench.cluster.wait(id).await;
    checks::assert_finished(&job);
    let job = bench.cluster.wait(restore).await;
    checks::assert_finished(&job);
    checks::assert_table_is(&bench.cluster, "again.files", &bench.source).await;
    drop(bench.dir);
}
