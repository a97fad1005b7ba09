#![allow(clippy::unwrap_used, clippy::panic)]

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, PartitionId, TabletId, TaskId};
use tabvault_common::repo::info::{Content, SnapshotName};
use tabvault_common::task::TaskResult;

use crate::job::samples::{self, Run, fatal, manifest, object, rows_of, totals, transient};
use crate::job::{Answer, Ask, Event, MAX_TASK_FAILURES};
use crate::repository::remote::{InfoWrite, TombstoneWrite};

mod backends;
mod commit;
mod every_pair;
mod parent;
mod scale;
mod tasks;

const P1: PartitionId = PartitionId(601);

fn chosen(parent: Option<SnapshotName>) -> Event {
    Event::Answered(Ask::ChooseParent, Ok(Answer::Chosen(parent)))
}

fn planned(plan: super::Plan, rows: Vec<super::Row>) -> Event {
    Event::Answered(Ask::Plan, Ok(Answer::Planned(Box::new(plan), rows)))
}

fn meta_written() -> Event {
    Event::Answered(Ask::WriteMeta, Ok(Answer::MetaWritten(object(1))))
}

fn info(write: InfoWrite) -> Event {
    Event::Answered(Ask::WriteInfo, Ok(Answer::Info(write)))
}

fn tombstone(write: TombstoneWrite) -> Event {
    Event::Answered(Ask::WriteTombstone, Ok(Answer::Tombstone(write)))
}

fn retaken() -> Event {
    let rows = rows_of(Content::All, Some(P1));
    Event::Answered(Ask::TakePartition(P1), Ok(Answer::PartitionPlanned(Some(rows))))
}

fn cancel() -> Event {
    Event::Cancel { by: "root".into() }
}

fn snapshotted(tablets: &[u64]) -> Result<TaskResult, Failure> {
    Ok(TaskResult::Snapshotted { tablets: totals(tablets), failed: Vec::new() })
}

fn lost(tablet: u64, kind: Kind) -> Result<TaskResult, Failure> {
    Ok(TaskResult::Snapshotted { tablets: Vec::new(), failed: vec![(TabletId(tablet), fatal(kind))] })
}

fn uploaded(seed: u64) -> Result<TaskResult, Failure> {
    Ok(TaskResult::Uploaded { manifest: manifest(seed) })
}

/// The tablets of the four tasks.
const TABLETS: [u64; 4] = [6010, 6011, 6021, 6020];

fn pending() -> Run {
    Run::backup()
}

fn planning() -> Run {
    let mut run = pending();
    assert_eq!(run.on(chosen(None)), "PENDING: ask Plan");
    run
}

fn snapshoting() -> Run {
    let mut run = planning();
    let planned = planned(samples::plan(), samples::rows());
    assert_eq!(run.on(planned), "SNAPSHOTING: send 1, send 2, send 3, send 4");
    run
}

fn upload_snapshot() -> Run {
    let mut run = snapshoting();
    for (task, tablet) in (1..).zip(TABLETS) {
        let expected = if task == 4 { "UPLOAD_SNAPSHOT: continue" } else { "SNAPSHOTING" };
        assert_eq!(run.report(task, snapshotted(&[tablet])), expected);
    }
    run
}

fn uploading() -> Run {
    let mut run = upload_snapshot();
    assert_eq!(run.on(Event::Tick), "UPLOADING: send 1, send 2, send 3, send 4");
    run
}

fn save_meta() -> Run {
    let mut run = uploading();
    for task in 1..=4 {
        let expected = match task {
            4 => "SAVE_META: release 4, ask WriteMeta".to_owned(),
            _ => format!("UPLOADING: release {task}"),
        };
        assert_eq!(run.report(task, uploaded(task)), expected);
    }
    run
}

fn upload_info() -> Run {
    let mut run = save_meta();
    assert_eq!(run.on(meta_written()), "UPLOAD_INFO: ask WriteInfo");
    run
}

fn cancelling() -> Run {
    let mut run = upload_info();
    assert_eq!(run.on(cancel()), "UPLOAD_INFO: ask WriteTombstone");
    run
}

fn finished() -> Run {
    let mut run = upload_info();
    assert_eq!(run.on(info(InfoWrite::Written)), "FINISHED: tell published");
    run
}

fn cancelled_unclean() -> Run {
    let mut run = snapshoting();
    assert_eq!(run.on(cancel()), "CANCELLED: tell discarded, ask RemoveIntent");
    run
}

fn cancelled() -> Run {
    let mut run = cancelled_unclean();
    assert_eq!(run.on(Event::Answered(Ask::RemoveIntent, Ok(Answer::Done))), "CANCELLED");
    run
}

fn status(run: &Run) -> String {
    run.as_backup().head.status.clone().unwrap().message
}

#[test]
fn a_backup_passes_through_all_states_and_is_over() {
    let run = finished();
    let head = &run.as_backup().head;
    assert!(run.job.is_over() && !run.job.holds_slot());
    assert_eq!((head.status.clone(), head.finished_time), (None, Some(run.now)));
    assert!(head.snapshot_finished_time.is_some() && head.upload_finished_time.is_some());
    assert_eq!(run.job.next_tick(), None);
}

#[test]
fn a_backup_of_definitions_needs_no_agents() {
    let mut run = planning();
    let rows = rows_of(Content::MetadataOnly, None);
    assert_eq!(run.on(planned(samples::plan(), rows)), "UPLOAD_SNAPSHOT: continue");
    assert_eq!(run.on(Event::Tick), "SAVE_META: ask WriteMeta");
    let meta = run.as_backup().meta().unwrap();
    assert_eq!((meta.totals.partitions, meta.totals.tablets), (2, 4));
}

#[test]
fn an_empty_database_is_backed_up() {
    let mut run = planning();
    let plan = super::Plan { cut: crate::check::samples::cut("shop", Vec::new()) };
    assert_eq!(run.on(planned(plan, Vec::new())), "UPLOAD_SNAPSHOT: continue");
    assert_eq!(run.on(Event::Tick), "SAVE_META: ask WriteMeta");
}

#[test]
fn a_coordinator_that_starts_does_what_the_state_waits_for() {
    let cases: [(Run, &str); 12] = [
        (pending(), "ask ChooseParent"),
        (planning(), "ask Plan"),
        (snapshoting(), "send 1, send 2, send 3, send 4"),
        (upload_snapshot(), "continue"),
        (uploading(), "send 1, send 2, send 3, send 4"),
        (save_meta(), "ask WriteMeta"),
        (upload_info(), "ask WriteInfo"),
        (cancelling(), "ask WriteTombstone"),
        (finished(), ""),
        (cancelled_unclean(), "ask RemoveIntent"),
        (cancelled(), ""),
        (tasks::retaking(), "send 2, send 3, send 4, ask TakePartition(PartitionId(601))"),
    ];
    for (mut run, effects) in cases {
        assert_eq!(run.restart(), effects, "{}", run.job.state());
    }
}

#[test]
fn a_coordinator_that_starts_does_not_wait_for_what_it_does_at_once() {
    let mut run = snapshoting();
    run.report(1, Err(transient()));
    assert_eq!(run.restart(), "send 1, send 2, send 3, send 4");
    assert_eq!(run.job.next_tick(), Some(run.as_backup().deadline()));
    let mut run = save_meta();
    run.on(Event::Answered(Ask::WriteMeta, Err(transient())));
    assert_eq!(run.restart(), "ask WriteMeta");
    assert_eq!(run.job.next_tick(), Some(run.as_backup().deadline()));
}

#[test]
fn tables_that_change_while_they_are_planned_end_the_job_with_their_name() {
    let mut altered = samples::rows();
    altered[1].tablets[0].schema_hash.0 ^= 1;
    let mut fewer = samples::rows();
    fewer.pop();
    let mut more = samples::rows();
    let twice = more[0].clone();
    more.push(super::Row { task: TaskId(5), ..twice });
    for rows in [altered, fewer, more] {
        let mut run = planning();
        assert_eq!(run.on(planned(samples::plan(), rows)), "CANCELLED: tell discarded, ask RemoveIntent");
        assert!(status(&run).contains("table orders was altered"), "{}", status(&run));
        assert!(run.as_backup().rows.values().next().is_none());
        run.on(Event::Answered(Ask::RemoveIntent, Ok(Answer::Done)));
        assert!(run.job.is_over());
    }
}
