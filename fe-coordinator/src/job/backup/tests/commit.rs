//! Ends: cancel, deadline, the commit point, cleaning up.

use tabvault_common::clock::Time;
use tabvault_common::label::SnapshotTimestamp;

use super::*;
use crate::job::samples::TIMEOUT;

fn timestamp(run: &Run) -> SnapshotTimestamp {
    run.as_backup().head.timestamp.clone().unwrap()
}

#[test]
fn a_cancelled_job_says_by_whom_and_when() {
    let run = cancelled();
    assert_eq!(status(&run), "cancelled by 'root' in state SNAPSHOTING");
    assert!(run.job.is_over() && !run.job.holds_slot());
}

#[test]
fn a_job_that_waits_for_its_tombstone_lets_go_of_the_database_but_is_not_over() {
    let mut run = cancelling();
    assert!(!run.job.holds_slot() && !run.job.is_over());
    assert_eq!(run.job.next_tick(), None, "no deadline any more");
    assert_eq!(run.on(tombstone(TombstoneWrite::Written)), "CANCELLED: tell discarded");
    assert_eq!(status(&run), "cancelled by 'root' in state UPLOAD_INFO");
    assert!(run.job.is_over(), "the tombstone tells that its intent may go");
}

#[test]
fn a_cancel_after_the_info_was_written_finds_the_job_finished() {
    let mut run = cancelling();
    assert_eq!(run.on(tombstone(TombstoneWrite::InfoStands)), "FINISHED: tell published");
    let head = &run.as_backup().head;
    assert_eq!((&head.status, &head.cancelling), (&None, &None));
}

#[test]
fn a_second_cancel_changes_nothing() {
    assert_eq!(cancelling().on(cancel()), "-");
}

#[test]
fn an_info_that_failed_is_not_written_again_by_a_job_that_is_being_cancelled() {
    let mut run = upload_info();
    run.on(Event::Answered(Ask::WriteInfo, Err(transient())));
    run.on(cancel());
    run.on(Event::Answered(Ask::WriteTombstone, Err(transient())));
    assert_eq!(run.tick_when_due(), "UPLOAD_INFO: ask WriteTombstone");
}

#[test]
fn a_job_whose_info_can_never_be_written_removes_its_intent_itself() {
    let mut run = cancelling();
    assert_eq!(run.on(tombstone(TombstoneWrite::TakenByOther)), "CANCELLED: tell discarded, ask RemoveIntent");
    assert!(!run.job.is_over());
    run.on(Event::Answered(Ask::RemoveIntent, Ok(Answer::Done)));
    assert!(run.job.is_over());
}

#[test]
fn a_taken_name_gives_a_later_timestamp_though_the_clock_stands() {
    let mut run = upload_info();
    let mut names = vec![timestamp(&run)];
    for _ in 0..3 {
        assert_eq!(run.on(info(InfoWrite::TakenByOther)), "UPLOAD_INFO: ask WriteInfo");
        names.push(timestamp(&run));
    }
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
}

#[test]
fn a_taken_name_gives_another_timestamp_though_the_clock_went_back_by_years() {
    let mut run = upload_info();
    let taken = timestamp(&run);
    run.now = Time(1_500_000_000_000);
    run.on(info(InfoWrite::TakenByOther));
    assert_ne!(timestamp(&run), taken);
}

#[test]
fn an_info_is_asked_for_with_growing_patience_until_the_deadline_and_then_given_up() {
    let mut run = upload_info();
    let mut asked = 0;
    while run.as_backup().head.cancelling.is_none() {
        assert_eq!(run.on(Event::Answered(Ask::WriteInfo, Err(fatal(Kind::PermissionDenied)))), "UPLOAD_INFO");
        let effects = run.tick_when_due();
        assert!(["UPLOAD_INFO: ask WriteInfo", "UPLOAD_INFO: ask WriteTombstone"].contains(&effects.as_str()));
        asked += 1;
    }
    assert_eq!(asked, 6 + 59, "waits that double, then once a minute");
    assert_eq!(run.now, run.as_backup().deadline());
}

#[test]
fn the_deadline_ends_a_job_in_every_state() {
    let early = [pending(), snapshoting(), tasks::retaking(), upload_snapshot(), uploading(), save_meta()];
    for mut run in early.into_iter().chain([planning()]) {
        assert_eq!(run.job.next_tick(), Some(run.as_backup().deadline()), "{}", run.job.state());
        assert!(run.tick_when_due().starts_with("CANCELLED: tell discarded"));
        assert!(status(&run).contains(&format!("{} s", TIMEOUT.as_secs())), "{}", status(&run));
    }
    let mut run = upload_info();
    assert_eq!(run.tick_when_due(), "UPLOAD_INFO: ask WriteTombstone");
    run.on(tombstone(TombstoneWrite::Written));
    assert_eq!(run.as_backup().head.status.clone().unwrap().kind, Kind::TimedOut);
    for run in [finished(), cancelled(), cancelling()] {
        assert_eq!(run.job.next_tick(), None);
    }
}

#[test]
fn an_intent_that_is_being_written_is_removed_after_that() {
    for answer in [
        Ok(Answer::ParentGone),
        Ok(Answer::Planned(Box::new(samples::plan()), samples::rows())),
        Err(transient()),
        Err(fatal(Kind::Internal)),
    ] {
        let mut run = planning();
        assert_eq!(run.on(cancel()), "CANCELLED: tell discarded");
        assert!(!run.job.is_over());
        assert_eq!(run.on(Event::Answered(Ask::Plan, answer)), "CANCELLED: ask RemoveIntent");
    }
    let mut waiting = planning();
    waiting.on(Event::Answered(Ask::Plan, Err(transient())));
    assert_eq!(waiting.on(cancel()), "CANCELLED: tell discarded, ask RemoveIntent");
    let mut restarted = planning();
    restarted.on(cancel());
    assert_eq!(restarted.restart(), "ask RemoveIntent");
}

#[test]
fn a_cancelled_job_does_not_repeat_the_questions_that_failed() {
    let mut run = planning();
    run.on(Event::Answered(Ask::Plan, Err(transient())));
    run.on(cancel());
    assert_eq!(run.job.next_tick(), None);
}

#[test]
fn the_removal_of_an_intent_is_tried_again_and_in_the_end_left_to_the_next_start() {
    let mut run = cancelled_unclean();
    let failed = || Event::Answered(Ask::RemoveIntent, Err(fatal(Kind::NotFound)));
    for _ in 0..10 {
        assert_eq!(run.on(failed()), "CANCELLED");
        assert_eq!(run.tick_when_due(), "CANCELLED: ask RemoveIntent");
    }
    run.on(failed());
    assert_eq!(run.job.next_tick(), None);
    assert!(!run.job.is_over() && !run.job.holds_slot());
    assert_eq!(run.restart(), "ask RemoveIntent");
}

#[test]
fn meta_and_info_are_functions_of_the_records() {
    let run = upload_info();
    let (one, two) = (run.as_backup().meta().unwrap(), run.as_backup().clone().meta().unwrap());
    assert_eq!(one.digest, two.digest);
    assert_eq!((one.totals.tables, one.totals.partitions, one.totals.tablets), (1, 2, 4));
    let info = run.as_backup().info(tabvault_common::ids::Epoch(3), run.now).unwrap();
    assert_eq!(info.manifests, (1..=4).map(manifest).collect::<Vec<_>>());
    assert_eq!((info.totals.tablets, info.totals.files, info.totals.bytes), (4, 8, 400));
    assert!(save_meta().as_backup().info(tabvault_common::ids::Epoch(3), run.now).is_err());
}
