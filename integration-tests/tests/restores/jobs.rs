//! How many jobs run at the same time, and how they are shown.

use tabvault_common::request::Selection;
use tabvault_common::request::{CancelRequest, RestoreRequest};
use tabvault_common::view::JobKind;
use tabvault_common::view::cells;
use tabvault_integration_tests::checks;
use tabvault_integration_tests::cluster::{Setup, backup_request};
use tabvault_integration_tests::crash::Side;

use crate::bench::{Bench, some};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_jobs_of_a_database_run_as_are_allowed_and_restores_into_one_table_exclude_each_other() {
    let bench = Bench::with(2, Setup { jobs_per_database: 2, ..Setup::default() }).await;
    let fe = bench.cluster.fe();
    let only = |table: &str| RestoreRequest { selection: Selection::Only(some(table, &[])), ..bench.request.clone() };
    let hold = bench.crash.hold("catalog publish", Side::Before);
    let first = fe.restore(only("items")).await.expect("the restore is accepted").id;
    hold.reached().await;
    let refused = fe.restore(only("items")).await.expect_err("the table is being restored");
    assert!(refused.message.contains("Table items's state is not NORMAL: RESTORE"), "{refused}");
    // A backup takes what no restore writes to.
    let mut request = backup_request("shop", "sales", "repo");
    request.selection = Selection::Only(some("sales", &[]));
    let write = bench.crash.hold("__ss_sales", Side::Before);
    let second = fe.backup(request).await.expect("another job may run").id;
    write.reached().await;
    let refused = fe.backup(backup_request("shop", "third", "repo")).await.expect_err("two jobs run");
    assert!(refused.message.contains("Can only run 2 backup or restore jobs of a database at same time"), "{refused}");
    write.release();
    hold.release();
    for id in [first, second] {
        checks::assert_finished(&*bench.cluster.wait(id).await);
    }
    checks::assert_finished(&bench.cluster.backup("shop", "third", "repo").await.expect("slots are free again"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_backup_says_who_did_it_and_gives_its_label_back() {
    let bench = Bench::new().await;
    let hold = bench.crash.hold("__data/", Side::Before);
    let id = bench.cluster.fe().backup(backup_request("shop", "again", "repo")).await.expect("it is accepted").id;
    hold.reached().await;
    let state = bench.cluster.fe().job(id).expect("the job is known").state.clone();
    let request = CancelRequest { kind: JobKind::Backup, database: "shop".to_owned(), label: None };
    bench.cluster.fe().cancel(&request, "ann").await.expect("there is a job to cancel");
    hold.release();
    let job = bench.cluster.wait(id).await;
    let row = cells::backups(std::slice::from_ref(&*job)).rows.remove(0);
    assert_eq!(row[12].as_deref(), Some(format!("[CANCELLED, msg: cancelled by 'ann' in state {state}]").as_str()));
    checks::assert_finished(&bench.cluster.backup("shop", "again", "repo").await.expect("the label is free again"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_jobs_are_kept_newest_last_and_a_finished_one_has_no_errors_to_show() {
    let bench = Bench::with(2, Setup { kept_jobs: 3, ..Setup::default() }).await;
    for n in 0..4 {
        checks::assert_finished(&bench.cluster.backup("shop", &format!("b{n}"), "repo").await.expect("back up"));
    }
    let mut labels = Vec::new();
    for _ in 0..400 {
        let jobs = bench.cluster.fe().jobs(Some(JobKind::Backup), Some("shop"));
        labels = jobs.iter().map(|job| job.label.clone()).collect();
        if labels.len() <= 3 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(labels, ["b1", "b2", "b3"]);
    let jobs = bench.cluster.fe().jobs(Some(JobKind::Backup), Some("shop"));
    let last = cells::backups(std::slice::from_ref(&**jobs.last().expect("there is one")));
    let cell = |name: &str| {
        let at = last.columns.iter().position(|column| *column == name).expect("the column is there");
        last.rows[0][at].clone().unwrap_or_default()
    };
    assert_eq!((cell("TaskErrMsg"), cell("UnfinishedTasks")), (String::new(), String::new()));
    let progress = cell("Progress");
    let total = jobs.last().expect("there is one").bytes_total;
    assert!(progress.ends_with(&format!("all: {total}/{total} bytes]")), "{progress}");
}
