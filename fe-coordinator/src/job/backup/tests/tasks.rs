//! Reports: replicas that fail, partitions that are planned again, attempts.

use tabvault_common::repo::info::ManifestRef;

use super::*;
use crate::job::any::Job;
use crate::job::backoff;
use crate::job::backup::{Row, RowTablet, Stage};

fn row(run: &Run, task: u64) -> &Row {
    &run.as_backup().rows[&TaskId(task)]
}

fn tasks(run: &Run) -> Vec<u64> {
    run.as_backup().rows.keys().map(|task| task.0).collect()
}

/// Tablet 6010 is found to be on none of its backends any more, at the version of the plan.
pub(super) fn retaking() -> Run {
    let mut run = snapshoting();
    let first = run.as_backup().rows[&TaskId(1)].tablets[0].others.clone();
    assert_eq!(*first, [BackendId(2), BackendId(3)]);
    let Job::Backup(job) = &mut run.job else { panic!("it is a backup") };
    job.rows.change(TaskId(1), |row| row.tablets[0].others = Box::default());
    let outcome = lost(6010, Kind::NotFound);
    assert_eq!(run.report(1, outcome), "SNAPSHOTING: ask TakePartition(PartitionId(601))");
    run
}

#[test]
fn a_replica_that_fails_is_replaced_by_the_others_at_the_same_version_and_then_the_partition_is_taken_again() {
    let mut run = snapshoting();
    assert_eq!(run.report(1, lost(6010, Kind::FailedPrecondition)), "SNAPSHOTING: send 5");
    assert_eq!((row(&run, 5).backend, row(&run, 5).version.0, row(&run, 5).attempt), (BackendId(2), 7, 1));
    assert!(!tasks(&run).contains(&1));
    assert_eq!(run.report(5, Err(fatal(Kind::Unsupported))), "SNAPSHOTING: send 6", "this machine cannot");
    assert_eq!(row(&run, 6).backend, BackendId(3));
    assert_eq!(run.report(6, lost(6010, Kind::NotFound)), "SNAPSHOTING: ask TakePartition(PartitionId(601))");
    // Of the partition's other tablet there was a snapshot, which is of no use now.
    assert_eq!(run.on(retaken()), "SNAPSHOTING: release 2, send 7, send 8");
    assert_eq!(tasks(&run), [3, 4, 7, 8]);
    assert_eq!(run.on(retaken()), "-", "a repeated answer");
}

#[test]
fn rows_have_no_more_room_than_their_tablets_take() {
    let mut run = snapshoting();
    let Job::Backup(job) = &mut run.job else { panic!("it is a backup") };
    let five: Vec<_> =
        (0..5).map(|n| RowTablet { tablet: TabletId(7000 + n), ..job.rows[&TaskId(1)].tablets[0].clone() }).collect();
    job.rows.change(TaskId(1), |row| row.tablets = five);
    run.report(1, snapshotted(&[7000, 7001, 7002, 7003, 7004]));
    let tablets = &row(&run, 1).tablets;
    assert_eq!((tablets.len(), tablets.capacity()), (5, 5));
}

#[test]
fn a_partition_is_taken_again_at_its_present_version_by_new_tasks() {
    let mut run = retaking();
    let mut rows = rows_of(Content::All, Some(P1));
    rows.iter_mut().for_each(|row| row.version.0 = 9);
    let answer = Answer::PartitionPlanned(Some(rows));
    assert_eq!(run.on(Event::Answered(Ask::TakePartition(P1), Ok(answer))), "SNAPSHOTING: release 2, send 5, send 6");
    let versions: Vec<_> = run.as_backup().rows.values().map(|row| (row.partition.0, row.version.0)).collect();
    assert_eq!(versions, [(602, 7), (602, 7), (601, 9), (601, 9)]);
}

#[test]
fn a_partition_may_be_taken_again_while_others_upload() {
    let mut run = uploading();
    run.report(2, uploaded(2));
    assert_eq!(run.report(1, Err(fatal(Kind::NotFound))), "UPLOADING", "its snapshot is gone: it is made again");
    assert_eq!(run.tick_when_due(), "UPLOADING: send 1");
    assert_eq!(run.report(1, lost(6010, Kind::NotFound)), "UPLOADING: send 5");
    assert_eq!(run.report(5, lost(6010, Kind::NotFound)), "UPLOADING: send 6");
    assert_eq!(run.report(6, lost(6010, Kind::NotFound)), "UPLOADING: ask TakePartition(PartitionId(601))");
    assert_eq!(run.report(3, uploaded(3)), "UPLOADING: release 3");
    assert_eq!(run.report(4, uploaded(4)), "UPLOADING: release 4", "one partition is missing");
    assert_eq!(run.on(retaken()), "UPLOADING: release 2, send 7, send 8");
    assert_eq!(run.report(7, snapshotted(&[6010])), "UPLOADING: send 7");
    assert_eq!(run.report(8, snapshotted(&[6011])), "UPLOADING: send 8");
    assert_eq!(run.report(7, uploaded(7)), "UPLOADING: release 7");
    assert_eq!(run.report(8, uploaded(8)), "SAVE_META: release 8, ask WriteMeta");
}

#[test]
fn a_dropped_partition_ends_the_job_with_its_name() {
    let mut run = retaking();
    run.on(Event::Answered(Ask::TakePartition(P1), Ok(Answer::PartitionPlanned(None))));
    assert_eq!(status(&run), "partition p1 of table orders was dropped while it was backed up");
    assert_eq!(run.as_backup().head.status.clone().unwrap().kind, Kind::NotFound);
}

#[test]
fn an_altered_table_ends_the_job_with_its_name() {
    let mut run = retaking();
    let mut rows = rows_of(Content::All, Some(P1));
    rows.iter_mut().for_each(|row| row.tablets[0].schema_hash.0 ^= 1);
    let answer = Answer::PartitionPlanned(Some(rows));
    run.on(Event::Answered(Ask::TakePartition(P1), Ok(answer)));
    assert!(status(&run).starts_with("table orders was altered while its partition p1"), "{}", status(&run));
}

#[test]
fn a_failure_that_taking_the_partition_again_does_not_mend_ends_the_job() {
    let mut run = snapshoting();
    for task in [1, 5] {
        run.report(task, lost(6010, Kind::Corrupt));
    }
    assert_eq!(run.report(6, lost(6010, Kind::Corrupt)), "CANCELLED: tell discarded, ask RemoveIntent");
    let why = status(&run);
    assert!(why.starts_with("partition p1 of table orders: no replica gives it: "), "{why}");
    assert!(why.contains("; to back up all but that, add EXCLUDE (`orders`"), "{why}");
}

#[test]
fn partitions_are_not_taken_again_for_ever() {
    let mut run = retaking();
    for _ in 0..1000 {
        if run.job.state() == "CANCELLED" {
            break;
        }
        let mut rows = rows_of(Content::All, Some(P1));
        rows.iter_mut().for_each(|row| row.tablets[0].others = Box::default());
        run.on(Event::Answered(Ask::TakePartition(P1), Ok(Answer::PartitionPlanned(Some(rows)))));
        let task = *tasks(&run).last().unwrap();
        run.report(task, lost(6011, Kind::NotFound));
    }
    assert_eq!((run.job.state(), run.as_backup().head.retakes), ("CANCELLED", 128));
}

#[test]
fn tablets_of_one_task_succeed_and_fail_each_for_itself() {
    let mut run = snapshoting();
    let Job::Backup(job) = &mut run.job else { panic!("it is a backup") };
    let moved = job.rows.remove(TaskId(2)).unwrap().tablets;
    job.rows.change(TaskId(1), |row| row.tablets.extend(moved));
    let failed = vec![(TabletId(6010), fatal(Kind::NotFound))];
    let outcome = Ok(TaskResult::Snapshotted { tablets: totals(&[6011]), failed });
    assert_eq!(run.report(1, outcome), "SNAPSHOTING: send 5");
    let ids = |task| row(&run, task).tablets.iter().map(|tablet| tablet.tablet.0).collect::<Vec<_>>();
    assert_eq!((ids(1), ids(5)), (vec![6011], vec![6010]));
    assert_eq!((&row(&run, 1).stage, row(&run, 1).tablets[0].bytes), (&Stage::Snapshotted, 100));
}

#[test]
fn an_answer_that_leaves_out_a_tablet_is_no_answer() {
    let mut run = snapshoting();
    assert_eq!(run.report(1, snapshotted(&[])), "SNAPSHOTING");
    assert_eq!((&row(&run, 1).stage, row(&run, 1).failures), (&Stage::Snapshot, 1));
}

#[test]
fn a_full_disk_cancels_the_job_with_that_reason() {
    for outcome in [lost(6010, Kind::NoSpace), Err(fatal(Kind::NoSpace))] {
        let mut run = snapshoting();
        assert_eq!(run.report(1, outcome), "CANCELLED: tell discarded, ask RemoveIntent");
        assert_eq!(run.as_backup().head.status.clone().unwrap().kind, Kind::NoSpace);
    }
    let mut run = uploading();
    run.report(1, Err(fatal(Kind::NoSpace)));
    assert_eq!(run.as_backup().head.status.clone().unwrap().kind, Kind::NoSpace);
}

#[test]
fn an_upload_is_tried_again_with_backoff_as_a_new_attempt_and_a_bounded_number_of_times() {
    let mut run = uploading();
    for failures in 1..MAX_TASK_FAILURES {
        let before = run.as_backup().rows[&TaskId(1)].attempt;
        assert_eq!(run.report(1, Err(transient())), "UPLOADING");
        assert_eq!(row(&run, 1).attempt, before + 1);
        assert_eq!(row(&run, 1).error.as_deref(), Some("the other side is away"));
        assert_eq!(run.job.next_tick(), Some(run.now.after(backoff(failures))));
        assert_eq!(run.on(Event::Tick), "-", "not yet");
        assert_eq!(run.tick_when_due(), "UPLOADING: send 1");
        assert_eq!(run.on(Event::Tick), "-", "sent already");
    }
    assert_eq!(run.report(1, Err(transient())), "CANCELLED: tell discarded, ask RemoveIntent");
    assert_eq!(status(&run), "partition p1 of table orders: upload from backend 1: the other side is away");
}

#[test]
fn a_snapshot_that_is_lost_again_and_again_ends_the_job() {
    let mut run = uploading();
    for _ in 1..MAX_TASK_FAILURES {
        assert_eq!(run.report(1, Err(fatal(Kind::NotFound))), "UPLOADING");
        assert_eq!(run.tick_when_due(), "UPLOADING: send 1");
        assert_eq!(run.report(1, snapshotted(&[6010])), "UPLOADING: send 1");
    }
    assert_eq!(run.report(1, Err(fatal(Kind::NotFound))), "CANCELLED: tell discarded, ask RemoveIntent");
}

#[test]
fn a_snapshot_that_fails_again_and_again_is_made_of_another_replica() {
    let mut run = snapshoting();
    for _ in 1..MAX_TASK_FAILURES {
        assert_eq!(run.report(1, Err(transient())), "SNAPSHOTING");
        assert_eq!(run.tick_when_due(), "SNAPSHOTING: send 1");
    }
    assert_eq!(run.report(1, Err(transient())), "SNAPSHOTING: send 5");
}

#[test]
fn a_second_answer_to_a_snapshot_is_no_answer_to_the_upload() {
    let mut run = uploading();
    let first = Event::Reported { task: TaskId(1), attempt: 1, outcome: snapshotted(&[6010]) };
    assert_eq!(run.on(first), "-");
    let again = run.reported(1, uploaded(1));
    run.on(again.clone());
    assert_eq!(run.on(again), "-");
}

#[test]
fn errors_are_kept_no_longer_than_a_record_takes() {
    let mut run = snapshoting();
    run.report(1, Err(Failure::transient(Kind::Internal, "x".repeat(1 << 20))));
    assert!(row(&run, 1).error.as_ref().unwrap().len() < 4096);
    run.on(Event::Cancel { by: "x".repeat(1 << 20) });
    assert!(status(&run).len() < 4096);
}

#[test]
fn a_report_that_comes_before_its_time_ends_the_waiting() {
    let mut run = snapshoting();
    run.report(1, Err(transient()));
    // It was on its way to the agent for another reason.
    for (task, tablet) in (1..).zip(TABLETS) {
        run.report(task, snapshotted(&[tablet]));
    }
    run.on(Event::Tick);
    assert_eq!(run.job.next_tick(), Some(run.as_backup().deadline()));
}

#[test]
fn a_manifest_of_other_files_than_the_snapshot_had_is_not_taken() {
    let mut run = uploading();
    let fewer = ManifestRef { files: 1, ..manifest(1) };
    assert_eq!(run.report(1, Ok(TaskResult::Uploaded { manifest: fewer })), "UPLOADING");
    assert_eq!((&row(&run, 1).stage, row(&run, 1).failures), (&Stage::Snapshot, 1), "its snapshot is looked at again");
    assert!(row(&run, 1).error.as_ref().unwrap().contains("1 files with 100 bytes"));
}
