//! Restores.

use std::path::Path;
use std::time::Duration;

use tabvault_broker::faults::{Act, Rule};
use tabvault_common::request::RestoreRequest;
use tabvault_common::view::JobKind;
use tabvault_integration_tests::checks;
use tabvault_integration_tests::cluster::alias;
use tabvault_integration_tests::crash::Side;
use tabvault_integration_tests::tree;

use crate::bench::Bench;

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
        assert!(status.contains(&format!("cancelled by 'a test' in state {state}")), "{status}");
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
    request.selection = alias("files", "copy");
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
    request.selection = alias("files", "copy");

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
