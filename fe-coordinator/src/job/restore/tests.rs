#![allow(clippy::unwrap_used, clippy::panic)]

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, TaskId};
use tabvault_common::repo::info::Content;
use tabvault_common::task::TaskResult;

use super::{Row, Stage};
use crate::catalog::Decision;
use crate::job::samples::{Run, fatal, mapped, restore_rows, transient};
use crate::job::{Answer, Ask, Event, MAX_TASK_FAILURES, backoff};

mod every_pair;

/// Eight tasks: each of four tablets on two backends.
const TASKS: u64 = 8;
const SEND_ALL: &str = "send 1, send 2, send 3, send 4, send 5, send 6, send 7, send 8";

fn read() -> Event {
    Event::Answered(Ask::ReadSnapshot, Ok(Answer::Mapped(Box::new(mapped()))))
}

fn prepared(content: Content) -> Event {
    Event::Answered(Ask::Prepare, Ok(Answer::Prepared(restore_rows(content))))
}

fn published(decision: Decision) -> Event {
    Event::Answered(Ask::Publish, Ok(Answer::Decided(decision)))
}

fn discarded(decision: Decision) -> Event {
    Event::Answered(Ask::Discard, Ok(Answer::Decided(decision)))
}

fn cancel() -> Event {
    Event::Cancel { by: "root".into() }
}

fn done() -> Result<TaskResult, Failure> {
    Ok(TaskResult::Done)
}

fn downloaded() -> Result<TaskResult, Failure> {
    Ok(TaskResult::Downloaded { bytes: 100, reused_bytes: 40 })
}

fn pending() -> Run {
    Run::restore()
}

fn preparing() -> Run {
    let mut run = pending();
    assert_eq!(run.on(read()), "PENDING: ask Prepare");
    run
}

fn snapshoting() -> Run {
    let mut run = preparing();
    assert_eq!(run.on(prepared(Content::All)), format!("SNAPSHOTING: {SEND_ALL}"));
    run
}

/// All tasks report; after the last the job is where `last` says.
fn all_report(run: &mut Run, outcome: fn() -> Result<TaskResult, Failure>, last: &str) {
    let state = run.job.state();
    for task in 1..=TASKS {
        let expected = if task == TASKS { last } else { state };
        assert_eq!(run.report(task, outcome()), expected);
    }
}

fn download() -> Run {
    let mut run = snapshoting();
    all_report(&mut run, done, "DOWNLOAD: continue");
    run
}

fn downloading() -> Run {
    let mut run = download();
    assert_eq!(run.on(Event::Tick), format!("DOWNLOADING: {SEND_ALL}"));
    run
}

fn commit() -> Run {
    let mut run = downloading();
    all_report(&mut run, downloaded, "COMMIT: continue");
    run
}

fn adopting() -> Run {
    let mut run = commit();
    assert_eq!(run.on(Event::Tick), format!("COMMITTING: {SEND_ALL}"));
    run
}

fn publishing() -> Run {
    let mut run = adopting();
    all_report(&mut run, done, "COMMITTING: ask Publish");
    run
}

fn cancelling() -> Run {
    let mut run = publishing();
    assert_eq!(run.on(cancel()), "COMMITTING: ask Discard");
    run
}

fn finished() -> Run {
    let mut run = publishing();
    assert_eq!(run.on(published(Decision::Published)), "FINISHED: tell published");
    run
}

fn cancelled() -> Run {
    let mut run = cancelling();
    assert_eq!(run.on(discarded(Decision::Discarded)), "CANCELLED: tell discarded");
    run
}

fn row(run: &Run, task: u64) -> &Row {
    &run.as_restore().rows[&TaskId(task)]
}

fn why(run: &Run) -> Failure {
    let head = &run.as_restore().head;
    head.cancelling.clone().or(head.status.clone()).unwrap()
}

#[test]
fn a_restore_passes_through_all_states_and_is_over() {
    let run = finished();
    let head = &run.as_restore().head;
    assert!(run.job.is_over() && !run.job.holds_slot());
    assert!(head.meta_prepared_time.is_some() && head.snapshot_finished_time.is_some());
    assert!(head.download_finished_time.is_some() && head.finished_time.is_some());
    assert_eq!((&head.status, run.job.next_tick()), (&None, None));
}

#[test]
fn a_restore_of_definitions_fetches_nothing() {
    let mut run = preparing();
    run.on(prepared(Content::MetadataOnly));
    run.report(1, done());
    run.report(2, done());
    assert_eq!(run.report(3, done()), "DOWNLOAD: continue");
    assert_eq!(run.on(Event::Tick), "COMMIT: continue");
    assert_eq!(run.on(Event::Tick), "COMMITTING: ask Publish");
}

#[test]
fn a_restore_of_nothing_is_published() {
    let mut run = preparing();
    let nothing = Event::Answered(Ask::Prepare, Ok(Answer::Prepared(Vec::new())));
    assert_eq!(run.on(nothing), "DOWNLOAD: continue");
    assert_eq!(run.on(Event::Tick), "COMMIT: continue");
    assert_eq!(run.on(Event::Tick), "COMMITTING: ask Publish");
}

#[test]
fn a_coordinator_that_starts_does_what_the_state_waits_for() {
    let cases = [
        (pending(), "ask ReadSnapshot"),
        (preparing(), "ask Prepare"),
        (snapshoting(), SEND_ALL),
        (download(), "continue"),
        (downloading(), SEND_ALL),
        (commit(), "continue"),
        (adopting(), SEND_ALL),
        (publishing(), "ask Publish"),
        (cancelling(), "ask Discard"),
        (finished(), ""),
        (cancelled(), ""),
    ];
    for (mut run, effects) in cases {
        assert_eq!(run.restart(), effects, "{}", run.job.state());
    }
}

#[test]
fn cancel_and_publish_meet_and_the_catalog_decides() {
    let mut run = cancelling();
    assert_eq!(run.on(published(Decision::Published)), "FINISHED: tell published", "it was published before");
    assert_eq!(run.on(discarded(Decision::Published)), "-");
    let mut run = cancelling();
    assert_eq!(run.on(discarded(Decision::Published)), "FINISHED: tell published");
    assert_eq!(run.as_restore().head.status, None);
    let mut run = cancelling();
    assert_eq!(run.on(discarded(Decision::Discarded)), "CANCELLED: tell discarded");
    assert_eq!(run.on(published(Decision::Discarded)), "-");
    assert_eq!(why(&run).message, "cancelled by 'root' in state COMMITTING");
    let mut run = publishing();
    assert_eq!(run.on(published(Decision::Discarded)), "CANCELLED: tell discarded", "by whomsoever");
}

#[test]
fn the_database_is_let_go_of_only_when_the_catalog_has_decided() {
    assert!(cancelling().job.holds_slot());
    assert!(!cancelled().job.holds_slot());
}

#[test]
fn a_publish_that_failed_is_not_repeated_by_a_job_that_is_being_cancelled() {
    let mut run = publishing();
    run.on(Event::Answered(Ask::Publish, Err(transient())));
    run.on(cancel());
    run.on(Event::Answered(Ask::Discard, Err(transient())));
    assert_eq!(run.tick_when_due(), "COMMITTING: ask Discard");
}

#[test]
fn discard_is_asked_until_it_is_answered() {
    let mut run = cancelling();
    for n in 1..100 {
        assert_eq!(run.on(Event::Answered(Ask::Discard, Err(fatal(Kind::Internal)))), "COMMITTING");
        assert_eq!(run.job.next_tick(), Some(run.now.after(backoff(n))));
        assert_eq!(run.tick_when_due(), "COMMITTING: ask Discard");
    }
}

#[test]
fn a_job_that_is_being_cancelled_wants_no_tick_for_its_tasks() {
    let mut run = downloading();
    run.report(1, Err(transient()));
    run.on(cancel());
    assert_eq!(run.job.next_tick(), None);
    assert_eq!(run.on(Event::BackendDead(BackendId(1))), "-");
}

#[test]
fn the_deadline_discards_in_every_state() {
    for mut run in
        [pending(), preparing(), snapshoting(), download(), downloading(), commit(), adopting(), publishing()]
    {
        let state = run.job.state();
        assert_eq!(run.tick_when_due(), format!("{state}: ask Discard"));
        assert_eq!(why(&run).kind, Kind::TimedOut);
        assert_eq!(run.on(discarded(Decision::Discarded)), "CANCELLED: tell discarded");
    }
}

#[test]
fn a_task_is_tried_again_with_backoff_as_a_new_attempt_and_a_bounded_number_of_times() {
    for mut run in [snapshoting(), downloading(), adopting()] {
        let state = run.job.state();
        for failures in 1..MAX_TASK_FAILURES {
            let before = row(&run, 1).attempt;
            assert_eq!(run.report(1, Err(transient())), state);
            assert_eq!(row(&run, 1).attempt, before + 1);
            assert_eq!(run.job.next_tick(), Some(run.now.after(backoff(failures))));
            assert_eq!(run.on(Event::Tick), "-", "not yet");
            assert_eq!(run.tick_when_due(), format!("{state}: send 1"));
        }
        assert_eq!(run.report(1, Err(transient())), format!("{state}: ask Discard"));
        assert_eq!(why(&run).message, "restore on backend 1: the other side is away");
    }
}

#[test]
fn damage_ends_the_job_with_the_name_of_the_object() {
    let mut run = downloading();
    let damage = Failure::fatal(Kind::Corrupt, "__data/x/p/y is damaged");
    assert_eq!(run.report(1, Err(damage)), "DOWNLOADING: ask Discard");
    assert_eq!((why(&run).kind, why(&run).message.contains("__data/x/p/y")), (Kind::Corrupt, true));
}

#[test]
fn an_adopt_that_finds_its_files_gone_downloads_them_again() {
    let mut run = adopting();
    assert_eq!(run.report(1, Err(fatal(Kind::NotFound))), "COMMITTING");
    assert_eq!(row(&run, 1).stage, Stage::Created);
    assert_eq!(run.tick_when_due(), "COMMITTING: send 1");
    assert_eq!(run.report(1, downloaded()), "COMMITTING: send 1");
    assert_eq!(row(&run, 1).stage, Stage::Downloaded);
    all_report(&mut run, done, "COMMITTING: ask Publish");
}

#[test]
fn files_that_are_lost_again_and_again_end_the_job() {
    let mut run = adopting();
    for _ in 1..MAX_TASK_FAILURES {
        assert_eq!(run.report(1, Err(fatal(Kind::FailedPrecondition))), "COMMITTING");
        assert_eq!(run.tick_when_due(), "COMMITTING: send 1");
        assert_eq!(run.report(1, downloaded()), "COMMITTING: send 1");
    }
    assert_eq!(run.report(1, Err(fatal(Kind::FailedPrecondition))), "COMMITTING: ask Discard");
}

#[test]
fn a_dead_backend_is_waited_for() {
    let mut run = downloading();
    assert_eq!(run.on(Event::BackendDead(BackendId(1))), "DOWNLOADING");
    let waiting: Vec<_> = run.as_restore().rows.values().filter(|row| row.error.is_some()).collect();
    assert!(!waiting.is_empty() && waiting.iter().all(|row| row.backend == BackendId(1)));
    assert_eq!(run.on(Event::BackendRestarted(BackendId(1))), "-", "it is sent again what it had not reported");
    all_report(&mut run, downloaded, "COMMIT: continue");
    assert!(run.as_restore().rows.values().all(|row| row.error.is_none()));
}

#[test]
fn a_second_answer_is_no_answer_to_the_next_task() {
    let mut run = snapshoting();
    let first = run.reported(1, done());
    run.on(first.clone());
    assert_eq!(run.on(first.clone()), "-");
    let mut run = downloading();
    assert_eq!(run.on(first), "-");
    let foreign = Event::Reported { task: TaskId(1), attempt: 77, outcome: downloaded() };
    assert_eq!(run.on(foreign), "-");
}

#[test]
fn a_report_that_comes_before_its_time_ends_the_waiting() {
    let mut run = downloading();
    run.report(1, Err(transient()));
    // It was on its way to the agent for another reason.
    all_report(&mut run, downloaded, "COMMIT: continue");
    run.on(Event::Tick);
    assert_eq!(run.job.next_tick(), Some(run.as_restore().deadline()));
}
