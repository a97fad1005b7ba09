//! Agents that go, agents that come back, and loads at the same time.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

use std::path::PathBuf;
use std::time::Duration;

use tabvault_broker::faults::{Faults, Op};
use tabvault_broker::open::Options;
use tabvault_common::ids::JobId;
use tabvault_integration_tests::checks::{self, fast_dir};
use tabvault_integration_tests::cluster::{Cluster, Setup, alias, backup_request};
use tabvault_integration_tests::crash::{Crash, Side};
use tabvault_integration_tests::tree;
use tempfile::TempDir;

struct Bench {
    dir: TempDir,
    source: PathBuf,
    cluster: Cluster,
    crash: Crash,
    be_faults: Faults,
}

impl Bench {
    async fn new(backends: usize, replicas: u32) -> Self {
        checks::log();
        let dir = fast_dir();
        let source = dir.path().join("source");
        tree::make_small(&source, 1);
        let (crash, be_faults) = (Crash::never(), Faults::new(1));
        let setup = Setup {
            buckets: 4,
            crash: Some(crash.clone()),
            be_storage: Options { faults: Some(be_faults.clone()), ..Options::default() },
            ..Setup::default()
        };
        let cluster = Cluster::start_with(&dir.path().join("cluster"), backends, setup).await;
        cluster.repository("repo").await;
        cluster.load("shop.files", &source, replicas).await.expect("load");
        Self { dir, source, cluster, crash, be_faults }
    }

    async fn begin_backup(&self) -> JobId {
        self.cluster.fe().backup(backup_request("shop", "label", "repo")).await.expect("the backup is accepted").id
    }

    async fn wait_until(&self, what: &str, holds: impl Fn(&Cluster) -> bool) {
        for _ in 0..4000 {
            if holds(&self.cluster) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{what}: {:#?}", self.cluster.fe().jobs(None, None).last());
    }

    /// The snapshot holds exactly what `source` did.
    async fn check_snapshot(&self) {
        let mut request = self.cluster.restore_request("shop", "label", "repo", 1).await;
        request.selection = alias("files", "copy");
        checks::assert_finished(&self.cluster.restore(request).await.expect("restore"));
        checks::assert_table_is(&self.cluster, "shop.copy", &self.source).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_replicas_stand_in_for_an_agent_that_is_gone_before_its_snapshots_stand() {
    let mut bench = Bench::new(3, 2).await;
    let hold = bench.crash.hold("/head=SNAPSHOTING", Side::Before);
    let id = bench.begin_backup().await;
    hold.reached().await;
    bench.cluster.stop_be(0).await;
    hold.release();
    let job = bench.cluster.wait(id).await;
    checks::assert_finished(&job);
    bench.check_snapshot().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_replicas_stand_in_for_an_agent_that_is_gone_while_it_uploads() {
    let mut bench = Bench::new(3, 2).await;
    // The first agent's uploads wait for ever, the others are done.
    bench.cluster.stop_be(0).await;
    let faults = Faults::new(2);
    let shared = std::mem::replace(
        &mut bench.cluster.setup.be_storage,
        Options { faults: Some(faults.clone()), ..Options::default() },
    );
    bench.cluster.start_be(0).await;
    bench.cluster.setup.be_storage = shared;
    let gate = faults.block(Op::Put, "__data/");
    let id = bench.begin_backup().await;
    gate.reached().await;
    assert_eq!(bench.cluster.fe().job(id).expect("the job is known").state, "UPLOADING");
    bench.cluster.stop_be(0).await;
    let job = bench.cluster.wait(id).await;
    checks::assert_finished(&job);
    bench.check_snapshot().await;
    // It comes back when all is over, and removes what it had begun.
    bench.cluster.start_be(0).await;
    checks::assert_swept(&bench.cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_waits_for_the_agent_that_alone_has_a_tablet() {
    let mut bench = Bench::new(2, 1).await;
    let gate = bench.be_faults.block(Op::Put, "__data/");
    let id = bench.begin_backup().await;
    gate.reached().await;
    for n in 0..2 {
        bench.cluster.stop_be(n).await;
    }
    gate.open();
    let waits = |cluster: &Cluster| {
        let job = cluster.fe().job(id).expect("the job is known");
        job.task_errors.iter().any(|(_, error)| error.contains("does not answer"))
    };
    bench.wait_until("people are told what the job waits for", waits).await;
    let job = bench.cluster.fe().job(id).expect("the job is known");
    assert!(!job.ended, "{job:#?}");
    for n in 0..2 {
        bench.cluster.start_be(n).await;
    }
    let job = bench.cluster.wait(id).await;
    checks::assert_finished(&job);
    bench.check_snapshot().await;
    checks::assert_swept(&bench.cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_waits_for_an_agent_that_is_to_take_replicas() {
    let mut bench = Bench::new(2, 2).await;
    checks::assert_finished(&bench.cluster.backup("shop", "label", "repo").await.expect("back up"));
    let mut request = bench.cluster.restore_request("shop", "label", "repo", 2).await;
    request.selection = alias("files", "copy");
    let hold = bench.crash.hold("catalog prepare", Side::After);
    let id = bench.cluster.fe().restore(request).await.expect("the restore is accepted").id;
    hold.reached().await;
    bench.cluster.stop_be(1).await;
    hold.release();
    let waits = |cluster: &Cluster| {
        let job = cluster.fe().job(id).expect("the job is known");
        job.task_errors.iter().any(|(_, error)| error.contains("does not answer"))
    };
    bench.wait_until("people are told what the job waits for", waits).await;
    bench.cluster.start_be(1).await;
    let job = bench.cluster.wait(id).await;
    checks::assert_finished(&job);
    checks::assert_table_is(&bench.cluster, "shop.copy", &bench.source).await;
    checks::assert_swept(&bench.cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_during_a_backup_do_not_change_it() {
    let bench = Bench::new(2, 2).await;
    let (second, third) = (bench.dir.path().join("second"), bench.dir.path().join("third"));
    tree::make_small(&second, 2);
    tree::make_small(&third, 3);

    // One after the cut and before any snapshot, one before the first upload.
    let planned = bench.crash.hold("/head=SNAPSHOTING", Side::Before);
    let gate = bench.be_faults.block(Op::Put, "__data/");
    let id = bench.begin_backup().await;
    planned.reached().await;
    bench.cluster.load("shop.files", &second, 2).await.expect("loads run during a backup");
    planned.release();
    gate.reached().await;
    bench.cluster.load("shop.files", &third, 2).await.expect("loads run during a backup");
    gate.open();
    let job = bench.cluster.wait(id).await;
    checks::assert_finished(&job);
    checks::assert_table_is(&bench.cluster, "shop.files", &third).await;
    bench.check_snapshot().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_during_a_restore_need_to_be_allowed() {
    let bench = Bench::new(2, 2).await;
    checks::assert_finished(&bench.cluster.backup("shop", "label", "repo").await.expect("back up"));
    let mut request = bench.cluster.restore_request("shop", "label", "repo", 2).await;
    let other = bench.dir.path().join("other");
    tree::make_small(&other, 2);

    let hold = bench.crash.hold("catalog publish", Side::Before);
    let id = bench.cluster.fe().restore(request.clone()).await.expect("the restore is accepted").id;
    hold.reached().await;
    let refused = bench.cluster.load("shop.files", &other, 2).await.expect_err("the table is being restored");
    assert!(refused.message.contains("state is not NORMAL: RESTORE"), "{refused}");
    hold.release();
    let job = bench.cluster.wait(id).await;
    checks::assert_finished(&job);

    // What is loaded meanwhile is readable until the snapshot takes its place.
    request.properties.insert("allow_load".to_owned(), "true".to_owned());
    let hold = bench.crash.hold("catalog publish", Side::Before);
    let id = bench.cluster.fe().restore(request).await.expect("the restore is accepted").id;
    hold.reached().await;
    bench.cluster.load("shop.files", &other, 2).await.expect("loads are allowed");
    checks::assert_table_is(&bench.cluster, "shop.files", &other).await;
    hold.release();
    let job = bench.cluster.wait(id).await;
    checks::assert_finished(&job);
    checks::assert_table_is(&bench.cluster, "shop.files", &bench.source).await;
    bench.cluster.load("shop.files", &other, 2).await.expect("the table can be loaded into as before");
    checks::assert_table_is(&bench.cluster, "shop.files", &other).await;
}
