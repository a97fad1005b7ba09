//! The coordinator dies before and after every durable write of a job: the job goes on and nothing is lost.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tabvault_common::failure::Failure;
use tabvault_common::ids::JobId;
use tabvault_common::request::RestoreRequest;
use tabvault_common::view::{JobKind, JobView};
use tabvault_integration_tests::checks::{self, fast_dir};
use tabvault_integration_tests::cluster::{Cluster, Setup, alias, backup_request};
use tabvault_integration_tests::crash::{Crash, Side};
use tabvault_integration_tests::tree;
use tempfile::TempDir;

/// More writes than any job of these tests makes: a loop that comes here does not end.
const TOO_MANY: u64 = 400;

/// A cluster with a loaded table `shop.files`, in which the coordinator dies again and again.
struct Bench {
    dir: TempDir,
    source: PathBuf,
    cluster: Cluster,
}

impl Bench {
    async fn new() -> Self {
        checks::log();
        let dir = fast_dir();
        let source = dir.path().join("source");
        tree::make_small(&source, 1);
        let setup =
            Setup { crash: Some(Crash::never()), buckets: 2, patience: Duration::from_secs(10), ..Setup::default() };
        let cluster = Cluster::start_with(&dir.path().join("cluster"), 2, setup).await;
        cluster.repository("repo").await;
        cluster.load("shop.files", &source, 2).await.expect("load");
        Self { dir, source, cluster }
    }

    fn crash(&self) -> Crash {
        self.cluster.setup.crash.clone().expect("the coordinator can die")
    }

    /// Has the coordinator die at the `n`th write from now on, starts what `request` asks for, and sees it to its end.
    /// Answers whether the coordinator died at all.
    async fn run(&mut self, n: u64, side: Side, request: &Request) -> (Arc<JobView>, bool) {
        let crash = self.crash();
        crash.arm(n, side);
        let job = tokio::select! {
            biased;
            () = crash.died() => None,
            ended = async {
                let id = request.ask(&self.cluster).await.ok()?;
                Some(self.cluster.wait_archived(id).await)
            } => ended,
        };
        if crash.disarm() {
            return (job.expect("a request to a coordinator that lives"), false);
        }
        crash.died().await;
        let last = crash.log().pop().expect("something was written");
        tracing::info!(n, ?side, last, "the coordinator died");
        self.cluster.restart_fe().await;
        let begun = self.cluster.fe().jobs(Some(request.kind()), None).pop().filter(|job| job.label == request.label());
        let begun = begun.filter(|job| !request.before().contains(&job.id));
        let id = match begun {
            Some(job) => job.id,
            // The caller got no answer, and there is no job: he asks again.
            None => {
                self.cluster.all_attached().await;
                request.ask(&self.cluster).await.unwrap_or_else(|error| panic!("ask again at {n} {side:?}: {error}"))
            }
        };
        if let Request::Over { old, new, .. } = request {
            self.check_old_or_new(old, new).await;
        }
        let job = self.cluster.wait_archived(id).await;
        self.cluster.all_attached().await;
        (job, true)
    }

    /// A table that is being restored over shows its old data or its new data, all of it.
    async fn check_old_or_new(&self, old: &Path, new: &Path) {
        self.cluster.all_attached().await;
        for _ in 0..5 {
            let out = TempDir::new_in(self.dir.path()).expect("make a directory");
            let target = out.path().join("out");
            // Between the look at the catalog and the copying the table may be published, and the old tablets go.
            if self.cluster.export("shop.files", &target).await.is_ok() {
                let shown = tree::read(&target);
                assert!(shown == tree::read(old) || shown == tree::read(new), "half of a restore is visible");
                return;
            }
        }
        panic!("the table is not readable while it is restored");
    }
}

/// What is asked of a coordinator that is about to die.
enum Request {
    Backup { label: String },
    New { request: RestoreRequest, before: Vec<JobId> },
    Over { request: RestoreRequest, before: Vec<JobId>, old: PathBuf, new: PathBuf },
}

impl Request {
    async fn ask(&self, cluster: &Cluster) -> Result<JobId, Failure> {
        let started = match self {
            Self::Backup { label } => cluster.fe().backup(backup_request("shop", label, "repo")).await,
            Self::New { request, .. } | Self::Over { request, .. } => cluster.fe().restore(request.clone()).await,
        };
        started.map(|started| started.id)
    }

    fn kind(&self) -> JobKind {
        match self {
            Self::Backup { .. } => JobKind::Backup,
            Self::New { .. } | Self::Over { .. } => JobKind::Restore,
        }
    }

    fn label(&self) -> &str {
        match self {
            Self::Backup { label } => label,
            Self::New { request, .. } | Self::Over { request, .. } => &request.label,
        }
    }

    /// Jobs that are not the one asked for.
    fn before(&self) -> &[JobId] {
        match self {
            Self::Backup { .. } => &[],
            Self::New { before, .. } | Self::Over { before, .. } => before,
        }
    }
}

fn ids(cluster: &Cluster) -> Vec<JobId> {
    cluster.fe().jobs(Some(JobKind::Restore), None).iter().map(|job| job.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_survives_death_at_every_write() {
    let mut bench = Bench::new().await;
    for side in [Side::Before, Side::After] {
        for n in 1..TOO_MANY {
            let label = format!("b{n}-{side:?}");
            let (job, died) = bench.run(n, side, &Request::Backup { label: label.clone() }).await;
            let cluster = &bench.cluster;
            checks::assert_finished(&job);
            checks::assert_stands_last(cluster, JobKind::Backup, job.id);
            checks::assert_one_snapshot(cluster, "repo", &label).await;
            // The database is free again, and the snapshot is whole.
            let mut request = cluster.restore_request("shop", &label, "repo", 1).await;
            request.selection = alias("files", "copy");
            checks::assert_finished(&cluster.restore(request).await.expect("the database's slot is free"));
            checks::assert_table_is(cluster, "shop.copy", &bench.source).await;
            cluster.fe().local().expect("built in").drop_table("shop", "copy").await.expect("drop");
            checks::assert_swept(cluster).await;
            if !died {
                assert!(n > 15, "{n} writes are too few for a backup: {:#?}", bench.crash().log());
                bench.cluster.restart_fe().await;
                break;
            }
            assert!(n + 1 < TOO_MANY, "a backup does not end");
        }
    }
    bench.cluster.all_attached().await;
    checks::assert_no_garbage(&bench.cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_of_a_new_table_survives_death_at_every_write() {
    let mut bench = Bench::new().await;
    checks::assert_finished(&bench.cluster.backup("shop", "base", "repo").await.expect("back up"));
    let mut request = bench.cluster.restore_request("shop", "base", "repo", 2).await;
    request.into = Some("other".to_owned());
    for side in [Side::Before, Side::After] {
        for n in 1..TOO_MANY {
            let request = Request::New { request: request.clone(), before: ids(&bench.cluster) };
            let (job, died) = bench.run(n, side, &request).await;
            let cluster = &bench.cluster;
            checks::assert_finished(&job);
            checks::assert_stands_last(cluster, JobKind::Restore, job.id);
            checks::assert_table_is(cluster, "other.files", &bench.source).await;
            cluster.fe().local().expect("built in").drop_table("other", "files").await.expect("drop");
            checks::assert_swept(cluster).await;
            if !died {
                assert!(n > 15, "{n} writes are too few for a restore: {:#?}", bench.crash().log());
                bench.cluster.restart_fe().await;
                break;
            }
            assert!(n + 1 < TOO_MANY, "a restore does not end");
        }
    }
    bench.cluster.all_attached().await;
    checks::assert_no_garbage(&bench.cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_over_a_table_survives_death_at_every_write() {
    let mut bench = Bench::new().await;
    checks::assert_finished(&bench.cluster.backup("shop", "base", "repo").await.expect("back up"));
    let request = bench.cluster.restore_request("shop", "base", "repo", 2).await;
    let old = bench.dir.path().join("old");
    tree::make_small(&old, 2);
    for side in [Side::Before, Side::After] {
        for n in 1..TOO_MANY {
            bench.cluster.load("shop.files", &old, 2).await.expect("load");
            let before = ids(&bench.cluster);
            let (request, old, new) = (request.clone(), old.clone(), bench.source.clone());
            let (job, died) = bench.run(n, side, &Request::Over { request, before, old, new }).await;
            let cluster = &bench.cluster;
            checks::assert_finished(&job);
            checks::assert_stands_last(cluster, JobKind::Restore, job.id);
            checks::assert_table_is(cluster, "shop.files", &bench.source).await;
            checks::assert_swept(cluster).await;
            if !died {
                assert!(n > 15, "{n} writes are too few for a restore: {:#?}", bench.crash().log());
                bench.cluster.restart_fe().await;
                break;
            }
            assert!(n + 1 < TOO_MANY, "a restore does not end");
        }
    }
    bench.cluster.all_attached().await;
    checks::assert_no_garbage(&bench.cluster).await;
}

/// A coordinator that dies after every single write still brings jobs to their end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_never_lives_for_more_than_a_few_writes_gets_there() {
    let mut bench = Bench::new().await;
    let label = "persistent".to_owned();
    // The claim itself takes three writes and a caller who asks again takes them again.
    let started = bench.cluster.fe().backup(backup_request("shop", &label, "repo")).await.expect("back up");
    let mut deaths = 0;
    loop {
        bench.cluster.stop_fe().await;
        let crash = Crash::never();
        // To lead is a write, what the last life left half-written is swept, a plan is written in two steps.
        crash.arm(4, Side::After);
        bench.cluster.setup.crash = Some(crash.clone());
        bench.cluster.start_fe().await;
        let ended = tokio::select! {
            biased;
            () = crash.died() => None,
            job = bench.cluster.wait_archived(started.id) => Some(job),
        };
        if let Some(job) = ended {
            checks::assert_finished(&job);
            break;
        }
        deaths += 1;
        assert!(deaths < TOO_MANY, "no headway: {:#?}", bench.cluster.fe().job(started.id));
    }
    assert!(deaths >= 4, "{deaths}");
    bench.cluster.restart_fe().await;
    bench.cluster.all_attached().await;
    checks::assert_one_snapshot(&bench.cluster, "repo", &label).await;
    checks::assert_swept(&bench.cluster).await;
}
