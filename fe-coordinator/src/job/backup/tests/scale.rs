//! What an event costs in a job of many rows: counted in rows that are looked at.

use tabvault_common::view::BackupState;

use super::*;
use crate::job::Throughput;
use crate::job::any::Job;
use crate::job::backup::{BackupJob, Row, Stage};
use crate::job::samples::START;

/// A backup in UPLOADING of so many tasks, one of which waits to be tried again.
fn large(rows: u64) -> Run {
    let mut job = BackupJob::new(samples::backup_head());
    job.head.state = BackupState::Uploading;
    job.head.planned = true;
    job.head.next_task = rows + 1;
    job.set_plan(samples::plan());
    for task in (1..=rows).map(TaskId) {
        job.rows.put(Row { task, stage: Stage::Snapshotted, ..samples::rows()[0].clone() });
    }
    job.rows.change(TaskId(7), |row| row.not_before = Some(START));
    Run { job: Job::Backup(Box::new(job)), now: START }
}

/// How many rows are looked at while `look` runs.
fn visits(run: &mut Run, look: impl FnOnce(&mut Run)) -> usize {
    let before = run.as_backup().rows.visits();
    look(run);
    run.as_backup().rows.visits() - before
}

type Look = fn(&mut Run);

#[test]
fn what_is_looked_at_for_an_event_does_not_grow_with_the_job() {
    let looks: [(&str, Look); 6] = [
        ("a report", |run| {
            run.report(1, uploaded(1));
        }),
        ("a failure", |run| {
            run.report(2, Err(transient()));
        }),
        ("a late report", |run| {
            run.report(1, uploaded(1));
        }),
        ("a tick", |run| {
            run.on(Event::Tick);
        }),
        ("when the next tick is due", |run| {
            assert!(run.job.next_tick().is_some());
        }),
        ("which backends it needs", |run| {
            assert!(!run.job.backends().is_empty());
        }),
    ];
    let (mut small, mut big) = (large(200), large(5000));
    for (what, look) in looks {
        let (few, many) = (visits(&mut small, look), visits(&mut big, look));
        assert_eq!(few, many, "{what}");
        assert!(few <= 8, "{what} looks at {few} rows");
    }
}

#[test]
fn what_is_shown_is_made_from_the_rows_that_are_shown() {
    let mut live = Throughput::default();
    (1..=20).for_each(|task| live.report(TaskId(task), 10, 100, START));
    for rows in [200, 5000] {
        let mut run = large(rows);
        let seen = visits(&mut run, |run| assert_eq!(run.job.view(&live).bytes_total, rows * 100));
        assert!(seen <= 2 * 20, "{seen} of {rows} rows were looked at");
    }
}
