//! Backups.

use std::time::Duration;

use tabvault_broker::faults::{Act, Op, Rule};
use tabvault_common::request::CancelRequest;
use tabvault_common::view::JobKind;
use tabvault_integration_tests::checks;
use tabvault_integration_tests::cluster::backup_request;
use tabvault_integration_tests::crash::Side;

use crate::bench::Bench;

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
