//! Backends that restart, die, and come back.

use super::*;
use crate::job::any::Job;
use crate::job::backup::{Row, Stage};

fn dead(backend: u64) -> Event {
    Event::BackendDead(BackendId(backend))
}

fn restarted(backend: u64) -> Event {
    Event::BackendRestarted(BackendId(backend))
}

fn row(run: &Run, task: u64) -> &Row {
    &run.as_backup().rows[&TaskId(task)]
}

fn keep_only(run: &mut Run, task: u64) {
    let Job::Backup(job) = &mut run.job else { panic!("it is a backup") };
    job.rows.change(TaskId(task), |row| row.tablets[0].others = Box::default());
}

#[test]
fn an_upload_of_a_restarted_backend_begins_again_as_a_new_attempt() {
    let mut run = uploading();
    let before = row(&run, 2).attempt;
    assert_eq!(run.on(restarted(2)), "UPLOADING: send 2");
    assert_eq!(row(&run, 2).attempt, before + 1);
    let late = Event::Reported { task: TaskId(2), attempt: before, outcome: uploaded(2) };
    assert_eq!(run.on(late), "-", "the objects of the old attempt are not those of the new one");
}

#[test]
fn snapshots_of_a_restarted_backend_are_asked_for_under_the_same_attempt() {
    assert_eq!(snapshoting().on(restarted(2)), "-", "the agent is sent again what it had not reported");
}

#[test]
fn what_a_dead_backend_had_is_taken_again_elsewhere() {
    for mut run in [snapshoting(), uploading()] {
        let state = run.job.state();
        assert_eq!(run.on(dead(1)), format!("{state}: send 5, send 6"));
        let rows: Vec<_> = run.as_backup().rows.values().map(|row| (row.task.0, row.backend.0)).collect();
        let (one, other) = (row(&run, 5).backend.0, row(&run, 6).backend.0);
        assert_eq!(rows, [(2, 2), (4, 3), (5, one), (6, other)]);
        assert!(one != 1 && other != 1);
        assert!([5, 6].iter().all(|task| row(&run, *task).stage == Stage::Snapshot && row(&run, *task).attempt == 1));
    }
}

#[test]
fn what_was_uploaded_before_its_backend_died_stays() {
    let mut run = uploading();
    run.report(1, uploaded(1));
    assert_eq!(run.on(dead(1)), "UPLOADING: send 5");
    assert!(matches!(row(&run, 1).stage, Stage::Uploaded(_)));
}

#[test]
fn a_tablet_without_another_replica_waits_for_its_backend() {
    let mut run = uploading();
    keep_only(&mut run, 1);
    keep_only(&mut run, 3);
    assert_eq!(run.on(dead(1)), "UPLOADING");
    assert!(row(&run, 1).error.as_ref().unwrap().contains("waiting for it"));
    assert_eq!(run.on(restarted(1)), "UPLOADING: send 1, send 3");
}

#[test]
fn tablets_are_not_moved_to_a_backend_that_died_before() {
    let mut run = snapshoting();
    run.on(dead(2));
    run.on(dead(1));
    let backends: Vec<_> = run.as_backup().rows.values().map(|row| row.backend.0).collect();
    assert_eq!(backends, [3, 3, 3, 3]);
    let mut run = snapshoting();
    run.on(dead(2));
    assert_eq!(run.report(1, lost(6010, Kind::NotFound)), "SNAPSHOTING: send 6");
    assert_eq!(row(&run, 6).backend, BackendId(3), "nor when a replica fails");
}

#[test]
fn a_partition_is_taken_again_rather_than_from_a_backend_that_is_away() {
    let mut run = snapshoting();
    run.on(dead(2));
    run.on(dead(3));
    assert!(run.as_backup().rows.values().all(|row| row.backend == BackendId(1)));
    assert_eq!(run.report(1, lost(6010, Kind::NotFound)), "SNAPSHOTING: ask TakePartition(PartitionId(601))");
}

#[test]
fn a_backend_that_dies_before_its_tasks_are_sent_gets_none() {
    let mut run = planning();
    run.on(dead(1));
    let planned = planned(samples::plan(), samples::rows());
    assert_eq!(run.on(planned), "SNAPSHOTING: send 5, send 6, send 2, send 4");
    let mut run = upload_snapshot();
    run.on(dead(1));
    assert_eq!(run.on(Event::Tick), "UPLOADING: send 5, send 6, send 2, send 4");
}

#[test]
fn when_all_are_dead_the_first_that_comes_back_gets_the_tasks() {
    let mut run = uploading();
    for backend in 1..=3 {
        run.on(dead(backend));
    }
    let was: Vec<_> = run.as_backup().rows.values().map(|row| row.backend.0).collect();
    let back = (1..=3).find(|backend| !was.contains(backend)).unwrap();
    run.on(restarted(back));
    assert!(run.as_backup().rows.values().all(|row| row.backend.0 == back), "was {was:?}, back is {back}");
    assert!(run.as_backup().rows.values().all(|row| row.tablets[0].others.len() == 2));
}

#[test]
fn a_backend_that_reports_is_not_silent() {
    let mut run = snapshoting();
    keep_only(&mut run, 1);
    run.on(dead(1));
    assert!(run.as_backup().head.silent.contains(&BackendId(1)));
    run.report(1, snapshotted(&[6010]));
    assert!(run.as_backup().head.silent.is_empty());
}

#[test]
fn of_a_task_only_those_tablets_move_that_have_another_replica() {
    let mut run = uploading();
    let Job::Backup(job) = &mut run.job else { panic!("it is a backup") };
    let mut more = job.rows.remove(TaskId(2)).unwrap().tablets;
    more[0].others = Box::default();
    job.rows.change(TaskId(1), |row| row.tablets.extend(more));
    let before = row(&run, 1).attempt;
    run.on(dead(1));
    let ids: Vec<_> = row(&run, 1).tablets.iter().map(|tablet| tablet.tablet.0).collect();
    assert_eq!(ids, [6011]);
    assert_eq!((row(&run, 1).attempt, &row(&run, 1).stage), (before + 1, &Stage::Snapshot));
}
