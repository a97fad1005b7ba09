use tabvault_common::clock::Time;
use tabvault_common::view::{BackupState, MAX_TASKS_SHOWN, cells};

use super::*;
use crate::job::backup::{Row, Stage};
use crate::job::samples;

/// A backup of 300 tasks, each of which has failed once.
fn large(state: BackupState) -> (BackupJob, Throughput) {
    let mut job = BackupJob::new(samples::backup_head());
    job.head.state = state;
    job.set_plan(samples::plan());
    let mut live = Throughput::default();
    for task in (1..=300).map(TaskId) {
        let mut row =
            Row { task, stage: Stage::Snapshotted, error: Some("once".to_owned()), ..samples::rows()[0].clone() };
        row.tablets.truncate(1);
        row.tablets[0].bytes = 1000;
        job.rows.put(row);
        live.report(task, 0, 1000, Time(0));
        live.report(task, 100, 1000, Time(2000));
    }
    (job, live)
}

#[test]
fn what_is_shown_of_tasks_is_bounded_and_followed_by_the_whole_job() {
    let (job, live) = large(BackupState::Uploading);
    let view = job.view(&live);
    let shown = [view.unfinished_tasks.len(), view.progress.len(), view.task_errors.len()];
    assert_eq!(shown, [MAX_TASKS_SHOWN; 3]);
    let (rate, eta) = (view.bytes_per_second, view.eta_s.unwrap_or_default());
    assert!(rate > 0 && eta == 270_000_u64.div_ceil(rate), "{rate} {eta}");
    let row = cells::backups(&[view]).rows.remove(0);
    let progress = row[10].clone().unwrap_or_default();
    let end = format!(", [all: 30000/300000 bytes, {rate} bytes/s, {eta}s left]");
    assert!(progress.ends_with(&end), "{progress}");
    assert!(progress.starts_with("[1: 100/1000], "), "{progress}");
}

#[test]
fn a_job_that_has_ended_shows_no_errors_of_tasks() {
    for state in [BackupState::Finished, BackupState::Cancelled] {
        let (job, live) = large(state);
        let view = job.view(&live);
        assert_eq!((view.task_errors, view.unfinished_tasks), (Vec::new(), Vec::new()));
    }
}
