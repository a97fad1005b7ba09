//! A job cancelled anywhere leaves everything as it was; at the commit point there is one outcome.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use tabvault_broker::faults::{Act, Faults, Op, Rule};
use tabvault_broker::open::Options;
use tabvault_common::ids::JobId;
use tabvault_common::request::{CancelRequest, RestoreRequest};
use tabvault_common::view::{JobKind, JobView};
use tabvault_integration_tests::checks::{self, fast_dir};
use tabvault_integration_tests::cluster::{Cluster, Setup, backup_request};
use tabvault_integration_tests::crash::{Crash, Side};
use tabvault_integration_tests::tree;
use tempfile::TempDir;

struct Bench {
    dir: TempDir,
    /// What `shop.files` holds.
    source: PathBuf,
    cluster: Cluster,
    crash: Crash,
    fe_faults: Faults,
    be_faults: Faults,
}

impl Bench {
    async fn new() -> Self {
        checks::log();
        let dir = fast_dir();
        let source = dir.path().join("source");
        tree::make_small(&source, 1);
        let (crash, fe_faults, be_faults) = (Crash::never(), Faults::new(1), Faults::new(2));
        let setup = Setup {
            buckets: 2,
            crash: Some(crash.clone()),
            fe_storage: Options { faults: Some(fe_faults.clone()), ..Options::default() },
            be_storage: Options { faults: Some(be_faults.clone()), ..Options::default() },
            ..Setup::default()
        };
        let cluster = Cluster::start_with(&dir.path().join("cluster"), 2, setup).await;
        cluster.repository("repo").await;
        cluster.load("shop.files", &source, 2).await.expect("load");
        Self { dir, source, cluster, crash, fe_faults, be_faults }
    }

    async fn begin_backup(&self, label: &str) -> JobId {
        self.cluster.fe().backup(backup_request("shop", label, "repo")).await.expect("the backup is accepted").id
    }

    async fn begin_restore(&self, request: &RestoreRequest) -> JobId {
        self.cluster.fe().restore(request.clone()).await.expect("the restore is accepted").id
    }

    async fn cancel(&self, kind: JobKind) {
        let request = CancelRequest { kind, database: "shop".to_owned(), label: None };
        self.cluster.fe().cancel(&request, "a test").await.expect("there is a job to cancel");
    }

    async fn wait_state(&self, id: JobId, state: &str) {
        for _ in 0..3000 {
            if self.state(id) == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not {state}: {:#?}", self.cluster.fe().job(id));
    }

    fn state(&self, id: JobId) -> String {
        self.cluster.fe().job(id).expect("the job is known").state.clone()
    }

    async fn ended(&self, id: JobId) -> std::sync::Arc<JobView> {
        self.cluster.wait(id).await
    }

    /// The job ended CANCELLED in that state, and no trace of the backup is left but what the repository may keep.
    async fn check_backup_cancelled(&self, id: JobId, label: &str, state: &str) {
        let job = self.ended(id).await;
        let status = job.status.as_ref().expect("a cancelled job says why").to_string();
        assert_eq!(job.state, "CANCELLED");
        assert!(status.contains(&format!("cancelled by a test in state {state}")), "{status}");
        assert_eq!(self.visible(label).await, 0);
        checks::assert_table_is(&self.cluster, "shop.files", &self.source).await;
        checks::assert_swept(&self.cluster).await;
        // Label and database can be used again.
        checks::assert_finished(&self.cluster.backup("shop", label, "repo").await.expect("the label is free"));
        assert_eq!(self.visible(label).await, 1);
    }

    async fn wait_visible(&self, label: &str) {
        for _ in 0..3000 {
            if self.visible(label).await == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no snapshot {label}: {:#?}", self.cluster.fe().jobs(None, None));
    }

    async fn visible(&self, label: &str) -> usize {
        self.cluster.snapshots("repo").await.iter().filter(|snapshot| snapshot.label == label).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_cancelled_in_every_state() {
    let mut bench = Bench::new().await;

    let gate = bench.fe_faults.block(Op::Put, "__intents/");
    let id = bench.begin_backup("pending").await;
    gate.reached().await;
    assert_eq!(bench.state(id), "PENDING");
    bench.cancel(JobKind::Backup).await;
    gate.open();
    bench.check_backup_cancelled(id, "pending", "PENDING").await;

    let gate = bench.fe_faults.block(Op::Put, "__intents/");
    let id = bench.begin_backup("snapshoting").await;
    gate.reached().await;
    bench.cluster.stop_be(0).await;
    bench.cluster.stop_be(1).await;
    gate.open();
    bench.wait_state(id, "SNAPSHOTING").await;
    bench.cancel(JobKind::Backup).await;
    bench.ended(id).await;
    bench.cluster.start_be(0).await;
    bench.cluster.start_be(1).await;
    bench.check_backup_cancelled(id, "snapshoting", "SNAPSHOTING").await;

    let gate = bench.be_faults.block(Op::Put, "__data/");
    let id = bench.begin_backup("uploading").await;
    gate.reached().await;
    assert_eq!(bench.state(id), "UPLOADING");
    bench.cancel(JobKind::Backup).await;
    bench.check_backup_cancelled(id, "uploading", "UPLOADING").await;
    gate.open();

    let gate = bench.fe_faults.block(Op::Put, "__data/");
    let id = bench.begin_backup("save-meta").await;
    gate.reached().await;
    assert_eq!(bench.state(id), "SAVE_META");
    bench.cancel(JobKind::Backup).await;
    bench.check_backup_cancelled(id, "save-meta", "SAVE_META").await;
    gate.open();

    let gate = bench.fe_faults.block(Op::Create, "__ss_");
    let id = bench.begin_backup("upload-info").await;
    gate.reached().await;
    assert_eq!(bench.state(id), "UPLOAD_INFO");
    bench.cancel(JobKind::Backup).await;
    bench.check_backup_cancelled(id, "upload-info", "UPLOAD_INFO").await;
    gate.open();
}

/// A wish that comes while the step into a state is being stored: the states in which there is nothing to wait for are
/// met in no other way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_cancelled_while_each_state_is_entered() {
    let bench = Bench::new().await;
    for state in ["SNAPSHOTING", "UPLOAD_SNAPSHOT", "UPLOADING", "SAVE_META", "UPLOAD_INFO", "FINISHED"] {
        let hold = bench.crash.hold(&format!("/head={state}"), Side::Before);
        let id = bench.begin_backup(state).await;
        hold.reached().await;
        let cancel = bench.cancel(JobKind::Backup);
        let release = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            hold.release();
        };
        tokio::join!(cancel, release);
        let job = bench.ended(id).await;
        let expected = if job.state == "FINISHED" { 1 } else { 0 };
        assert_eq!(bench.visible(state).await, expected, "{job:#?}");
        if state == "FINISHED" {
            assert_eq!(job.state, "FINISHED", "the snapshot was visible before the wish came");
        }
        checks::assert_swept(&bench.cluster).await;
        if job.state == "CANCELLED" {
            checks::assert_finished(&bench.cluster.backup("shop", state, "repo").await.expect("the label is free"));
        }
        assert_eq!(bench.visible(state).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_at_a_backups_commit_point_adopts_what_stands_there() {
    let bench = Bench::new().await;

    // The info is on its way, and comes after the tombstone.
    let hold = bench.crash.hold("storage create __ss_late/", Side::Before);
    let id = bench.begin_backup("late").await;
    hold.reached().await;
    bench.cancel(JobKind::Backup).await;
    let job = bench.ended(id).await;
    hold.release();
    assert_eq!(job.state, "CANCELLED");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(bench.visible("late").await, 0, "a delayed write brings nothing back");
    checks::assert_finished(&bench.cluster.backup("shop", "late", "repo").await.expect("the label is free"));

    // The info is there, and nobody has heard of it yet.
    let hold = bench.crash.hold("storage create __ss_early/", Side::After);
    let id = bench.begin_backup("early").await;
    hold.reached().await;
    bench.cancel(JobKind::Backup).await;
    let job = bench.ended(id).await;
    hold.release();
    checks::assert_finished(&job);
    assert_eq!(bench.visible("early").await, 1);
    checks::assert_swept(&bench.cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_repository_does_not_keep_a_backup_from_being_cancelled() {
    let bench = Bench::new().await;
    let gate = bench.be_faults.block(Op::Put, "__data/");
    let id = bench.begin_backup("unreachable").await;
    gate.reached().await;
    for faults in [&bench.fe_faults, &bench.be_faults] {
        faults.rule(Rule { op: None, prefix: String::new(), skip: 0, times: None, act: Act::Hang });
    }
    let cancelled = async {
        bench.cancel(JobKind::Backup).await;
        bench.ended(id).await
    };
    let job = tokio::time::timeout(Duration::from_secs(5), cancelled).await.expect("the cancel waits for nobody");
    assert_eq!(job.state, "CANCELLED");
    checks::assert_swept(&bench.cluster).await;
    for faults in [&bench.fe_faults, &bench.be_faults] {
        faults.clear();
    }
    gate.open();
    let job = bench.cluster.backup("shop", "unreachable", "repo").await.expect("label and database are free");
    checks::assert_finished(&job);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_only_waits_for_its_tombstone_leaves_its_database_to_others() {
    let bench = Bench::new().await;
    let info = bench.crash.hold("storage create __ss_first/", Side::Before);
    let first = bench.begin_backup("first").await;
    info.reached().await;
    let tombstone = bench.crash.hold("storage create __ss_first/", Side::Before);
    bench.cancel(JobKind::Backup).await;
    tombstone.reached().await;
    assert_eq!(bench.state(first), "UPLOAD_INFO");

    checks::assert_finished(&bench.cluster.backup("shop", "second", "repo").await.expect("the database is free"));
    let gate = bench.be_faults.block(Op::Put, "__data/");
    let third = bench.begin_backup("third").await;
    gate.reached().await;
    bench.cancel(JobKind::Backup).await;
    assert_eq!(bench.ended(third).await.state, "CANCELLED", "the wish is about the job that runs");
    gate.open();

    tombstone.release();
    assert_eq!(bench.ended(first).await.state, "CANCELLED");
    info.release();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_whose_caller_goes_away_while_it_is_stored_runs_all_the_same() {
    let bench = Bench::new().await;
    let hold = bench.crash.hold("+slot/shop", Side::After);
    let fe = bench.cluster.fe().clone();
    let caller = tokio::spawn(async move { fe.backup(backup_request("shop", "label", "repo")).await });
    hold.reached().await;
    caller.abort();
    assert!(caller.await.is_err_and(|error| error.is_cancelled()));
    hold.release();
    bench.wait_visible("label").await;
    let job = bench.cluster.fe().jobs(Some(JobKind::Backup), None).pop().expect("it is shown");
    assert_eq!(bench.ended(job.id).await.state, "FINISHED");
}

/// How a restore is held, by the state it is then in.
const RESTORE_STATES: [&str; 4] = ["PENDING", "SNAPSHOTING", "DOWNLOADING", "COMMITTING"];

/// Cancels the restore `request` in every state; `check` sees that the tables are as they were, also while it runs.
async fn cancel_restores(bench: &mut Bench, request: &RestoreRequest, readable: bool, new: &Path) {
    for state in RESTORE_STATES {
        let hold;
        let id = match state {
            "PENDING" => {
                hold = Some(bench.crash.hold("catalog prepare", Side::Before));
                bench.begin_restore(request).await
            }
            "SNAPSHOTING" => {
                let prepared = bench.crash.hold("catalog prepare", Side::After);
                let id = bench.begin_restore(request).await;
                prepared.reached().await;
                bench.cluster.stop_be(0).await;
                bench.cluster.stop_be(1).await;
                prepared.release();
                bench.wait_state(id, state).await;
                hold = None;
                id
            }
            "DOWNLOADING" => {
                let act = Act::Hang;
                bench.be_faults.rule(Rule { op: None, prefix: "__data/".to_owned(), skip: 0, times: None, act });
                let id = bench.begin_restore(request).await;
                bench.wait_state(id, state).await;
                hold = None;
                id
            }
            _ => {
                hold = Some(bench.crash.hold("catalog publish", Side::Before));
                bench.begin_restore(request).await
            }
        };
        if let Some(hold) = &hold {
            hold.reached().await;
        }
        assert_eq!(bench.state(id), state);
        if readable && state != "SNAPSHOTING" {
            checks::assert_table_is(&bench.cluster, "shop.files", &bench.source).await;
        }
        bench.cancel(JobKind::Restore).await;
        let job = bench.ended(id).await;
        assert_eq!(job.state, "CANCELLED");
        let status = job.status.as_ref().expect("a cancelled job says why").to_string();
        assert!(status.contains(&format!("cancelled by a test in state {state}")), "{status}");
        if let Some(hold) = hold {
            hold.release();
        }
        bench.be_faults.clear();
        if state == "SNAPSHOTING" {
            bench.cluster.start_be(0).await;
            bench.cluster.start_be(1).await;
        }
        check_as_before(bench, readable).await;
        checks::assert_swept(&bench.cluster).await;
    }
    // Nothing stands in the way of doing it after all.
    let job = bench.cluster.restore(request.clone()).await.expect("the database is free");
    checks::assert_finished(&job);
    checks::assert_table_is(&bench.cluster, "shop.files", new).await;
    checks::assert_no_garbage(&bench.cluster).await;
    checks::assert_swept(&bench.cluster).await;
}

/// The table is as it was: there with its data, or not there.
async fn check_as_before(bench: &Bench, there: bool) {
    if there {
        checks::assert_table_is(&bench.cluster, "shop.files", &bench.source).await;
    } else {
        let cut = bench.cluster.fe().catalog().cut("shop").await.expect("the database was there before");
        assert_eq!(cut.tables, [], "there was no table before");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_of_a_new_table_is_cancelled_in_every_state() {
    let mut bench = Bench::new().await;
    checks::assert_finished(&bench.cluster.backup("shop", "base", "repo").await.expect("back up"));
    let request = bench.cluster.restore_request("shop", "base", "repo", 2).await;
    bench.cluster.fe().local().expect("built in").drop_table("shop", "files").await.expect("drop");
    let new = bench.source.clone();
    cancel_restores(&mut bench, &request, false, &new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_over_a_table_is_cancelled_in_every_state() {
    let mut bench = Bench::new().await;
    checks::assert_finished(&bench.cluster.backup("shop", "base", "repo").await.expect("back up"));
    let request = bench.cluster.restore_request("shop", "base", "repo", 2).await;
    let new = bench.source.clone();
    let old = bench.dir.path().join("old");
    tree::make_small(&old, 2);
    bench.cluster.load("shop.files", &old, 2).await.expect("load");
    bench.source = old;
    cancel_restores(&mut bench, &request, true, &new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_is_cancelled_while_each_state_is_entered() {
    let bench = Bench::new().await;
    checks::assert_finished(&bench.cluster.backup("shop", "base", "repo").await.expect("back up"));
    let mut request = bench.cluster.restore_request("shop", "base", "repo", 2).await;
    request.selection = tabvault_integration_tests::cluster::alias("files", "copy");
    for state in ["SNAPSHOTING", "DOWNLOAD", "DOWNLOADING", "COMMIT", "COMMITTING", "FINISHED"] {
        let hold = bench.crash.hold(&format!("/head={state}"), Side::Before);
        let id = bench.begin_restore(&request).await;
        hold.reached().await;
        let cancel = bench.cancel(JobKind::Restore);
        let release = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            hold.release();
        };
        tokio::join!(cancel, release);
        let job = bench.ended(id).await;
        let cut = bench.cluster.fe().catalog().cut("shop").await.expect("the database was there before");
        let tables: Vec<&str> = cut.tables.iter().map(|table| table.def.name.as_str()).collect();
        if job.state == "FINISHED" {
            checks::assert_table_is(&bench.cluster, "shop.copy", &bench.source).await;
            bench.cluster.fe().local().expect("built in").drop_table("shop", "copy").await.expect("drop");
        } else {
            assert_eq!((job.state.as_str(), tables.as_slice()), ("CANCELLED", ["files"].as_slice()));
        }
        if state == "FINISHED" {
            assert_eq!(job.state, "FINISHED", "the table was visible before the wish came");
        }
        checks::assert_swept(&bench.cluster).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_at_a_restores_commit_point_adopts_what_the_catalog_decided() {
    let bench = Bench::new().await;
    checks::assert_finished(&bench.cluster.backup("shop", "base", "repo").await.expect("back up"));
    let mut request = bench.cluster.restore_request("shop", "base", "repo", 2).await;
    request.selection = tabvault_integration_tests::cluster::alias("files", "copy");

    let hold = bench.crash.hold("catalog publish", Side::Before);
    let id = bench.begin_restore(&request).await;
    hold.reached().await;
    bench.cancel(JobKind::Restore).await;
    let job = bench.ended(id).await;
    hold.release();
    assert_eq!(job.state, "CANCELLED");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let cut = bench.cluster.fe().catalog().cut("shop").await.expect("the database is there");
    assert_eq!(cut.tables.len(), 1, "a delayed publish makes no table");

    let hold = bench.crash.hold("catalog publish", Side::After);
    let id = bench.begin_restore(&request).await;
    hold.reached().await;
    bench.cancel(JobKind::Restore).await;
    let job = bench.ended(id).await;
    hold.release();
    checks::assert_finished(&job);
    checks::assert_table_is(&bench.cluster, "shop.copy", &bench.source).await;
    checks::assert_swept(&bench.cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_or_over_is_not_cancelled() {
    let bench = Bench::new().await;
    let ask = |label: Option<&str>| CancelRequest {
        kind: JobKind::Backup,
        database: "shop".to_owned(),
        label: label.map(str::to_owned),
    };
    let refused = bench.cluster.fe().cancel(&ask(None), "a test").await.expect_err("no job runs");
    assert_eq!(refused.message, "No backup job is currently running");
    checks::assert_finished(&bench.cluster.backup("shop", "over", "repo").await.expect("back up"));
    let refused = bench.cluster.fe().cancel(&ask(Some("over")), "a test").await.expect_err("the job is over");
    assert_eq!(refused.message, "Job with label over can not be cancelled. state: FINISHED");
}
