//! What can be done, and seen, while a job runs.

use std::time::Duration;

use tabvault_integration_tests::crash::Side;
use tabvault_integration_tests::sql::{Row, SqlBench, cell};

use crate::backed_up;

const RESTORE: &str = "RESTORE SNAPSHOT shop.base FROM repo PROPERTIES ('backup_timestamp' = '$base')";

/// `allow_load`: whether tables can be loaded into while they are restored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_in_a_restore_takes_loads_only_with_allow_load() {
    let mut shop = backed_up().await;
    for allowed in ["false", "true"] {
        let restore = RESTORE.replace(")", &format!(", 'allow_load' = '{allowed}')"));
        let hold = shop.crash.hold("catalog publish", Side::Before);
        let (id, _) = shop.begin(&restore).await;
        hold.reached().await;
        assert_eq!(shop.client.column("AllowLoad", "SHOW RESTORE").await.last().map(String::as_str), Some(allowed));
        if allowed == "true" {
            shop.load("items", 14).await;
            shop.holds("items", 14).await;
        } else {
            let load = shop.load_statement("items", 14);
            let refused = shop.refused(&load).await;
            assert!(refused.failure.message.contains("Table items's state is not NORMAL: RESTORE"), "{refused}");
        }
        hold.release();
        shop.ended(id, &restore).await;
        shop.holds("items", 4).await;
    }
}

/// An error in TaskErrMsg is no failure as long as the state is not CANCELLED: the task is tried again. When all is
/// well the cell is empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_tasks_are_shown_while_they_are_tried_again_and_gone_when_the_job_is_finished() {
    let mut shop = backed_up().await;
    let prepared = shop.crash.hold("catalog prepare", Side::After);
    let (id, _) = shop.begin(RESTORE).await;
    prepared.reached().await;
    shop.cluster.stop_be(1).await;
    prepared.release();
    let row = until(&mut shop, |row| !cell(row, "TaskErrMsg").is_empty()).await;
    assert!(cell(&row, "TaskErrMsg").contains("does not answer"), "{row:?}");
    assert_ne!(cell(&row, "State"), "CANCELLED");
    assert!(cell(&row, "UnfinishedTasks").starts_with('['), "{row:?}");
    shop.cluster.start_be(1).await;
    let row = shop.ended(id, RESTORE).await;
    assert_eq!((cell(&row, "State"), cell(&row, "Status")), ("FINISHED", "[OK]"));
    assert_eq!((cell(&row, "TaskErrMsg"), cell(&row, "UnfinishedTasks")), ("", ""));
}

/// Progress says done and total of the whole job at its end, with a time of arrival as long as the job runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_ends_with_the_whole_job() {
    let mut shop = backed_up().await;
    let hold = shop.crash.hold("catalog publish", Side::Before);
    let (id, _) = shop.begin(RESTORE).await;
    hold.reached().await;
    let running = shop.client.rows("SHOW RESTORE").await.pop().expect("it is shown");
    hold.release();
    let restored = shop.ended(id, RESTORE).await;
    let backed_up = shop.client.rows("SHOW BACKUP").await.pop().expect("it is shown");
    for (row, runs) in [(running, true), (restored, false), (backed_up, false)] {
        let progress = cell(&row, "Progress");
        let whole = progress.rsplit("all: ").next().expect("there is a last part");
        let (bytes, rest) = whole.split_once(" bytes").unwrap_or_else(|| panic!("{progress}"));
        let (done, total) = bytes.split_once('/').unwrap_or_else(|| panic!("{progress}"));
        assert!(done == total && total != "0", "{progress}");
        let last = if runs { rest.ends_with("left]") } else { rest == "]" };
        assert!(last, "{progress}");
    }
}

/// The times of a job's steps are there once it has taken them, and NULL before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_times_of_a_jobs_steps_are_shown_as_they_come() {
    let mut shop = backed_up().await;
    let backup = shop.client.rows("SHOW BACKUP").await.pop().expect("it is shown");
    for time in ["CreateTime", "SnapshotFinishedTime", "UploadFinishedTime", "FinishedTime"] {
        assert!(backup[time].is_some(), "{time}: {backup:?}");
    }
    assert_eq!(cell(&backup, "Timeout"), "86400");
    let times = ["MetaPreparedTime", "SnapshotFinishedTime", "DownloadFinishedTime", "FinishedTime"];
    let publish = shop.crash.hold("catalog publish", Side::Before);
    let prepare = shop.crash.hold("catalog prepare", Side::Before);
    let (id, _) = shop.begin(RESTORE).await;
    prepare.reached().await;
    let row = shop.client.rows("SHOW RESTORE").await.pop().expect("it is shown");
    assert_eq!(times.map(|time| row[time].is_some()), [false; 4], "{row:?}");
    prepare.release();
    publish.reached().await;
    let row = shop.client.rows("SHOW RESTORE").await.pop().expect("it is shown");
    assert_eq!(times.map(|time| row[time].is_some()), [true, true, true, false], "{row:?}");
    publish.release();
    let row = shop.ended(id, RESTORE).await;
    assert_eq!(times.map(|time| row[time].is_some()), [true; 4], "{row:?}");
}

/// The newest restore, as soon as it is shown so.
async fn until(shop: &mut SqlBench, is: impl Fn(&Row) -> bool) -> Row {
    for _ in 0..3000 {
        let row = shop.client.rows("SHOW RESTORE").await.pop().expect("it is shown");
        if is(&row) {
            return row;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never is: {:?}", shop.client.rows("SHOW RESTORE").await);
}
