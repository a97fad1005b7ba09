//! Every state and every event: what is not listed changes nothing and asks for nothing.

use super::*;
use crate::catalog::Decision;

/// All events, by the names that the table uses. Answers that fail are `?` if they may be tried again, else `!`.
fn events(run: &Run) -> Vec<(String, Event)> {
    let asks = [
        ("chosen", Ask::ChooseParent, Answer::Chosen(Some(samples::parent().0.name()))),
        ("planned", Ask::Plan, Answer::Planned(Box::new(samples::plan()), samples::rows())),
        ("parent gone", Ask::Plan, Answer::ParentGone),
        ("retaken", Ask::TakePartition(P1), Answer::PartitionPlanned(Some(rows_of(Content::All, Some(P1))))),
        ("dropped", Ask::TakePartition(P1), Answer::PartitionPlanned(None)),
        ("meta", Ask::WriteMeta, Answer::MetaWritten(object(1))),
        ("info written", Ask::WriteInfo, Answer::Info(InfoWrite::Written)),
        ("info ours", Ask::WriteInfo, Answer::Info(InfoWrite::OursAlready)),
        ("info taken", Ask::WriteInfo, Answer::Info(InfoWrite::TakenByOther)),
        ("info tombstoned", Ask::WriteInfo, Answer::Info(InfoWrite::Tombstoned)),
        ("tombstone written", Ask::WriteTombstone, Answer::Tombstone(TombstoneWrite::Written)),
        ("tombstone late", Ask::WriteTombstone, Answer::Tombstone(TombstoneWrite::InfoStands)),
        ("tombstone taken", Ask::WriteTombstone, Answer::Tombstone(TombstoneWrite::TakenByOther)),
        ("removed", Ask::RemoveIntent, Answer::Done),
        ("foreign", Ask::Publish, Answer::Decided(Decision::Published)),
    ];
    let mut events = vec![
        ("tick".to_owned(), Event::Tick),
        ("cancel".to_owned(), cancel()),
        ("restarted".to_owned(), Event::BackendRestarted(BackendId(2))),
        ("stranger dies".to_owned(), Event::BackendDead(BackendId(9))),
        ("snapshot".to_owned(), run.reported(1, snapshotted(&[6010]))),
        ("upload".to_owned(), run.reported(1, uploaded(1))),
        ("task?".to_owned(), run.reported(1, Err(transient()))),
        ("task!".to_owned(), run.reported(1, Err(fatal(Kind::Unsupported)))),
        ("no space".to_owned(), run.reported(1, Err(fatal(Kind::NoSpace)))),
        ("stale report".to_owned(), Event::Reported { task: TaskId(1), attempt: 77, outcome: snapshotted(&[6010]) }),
        ("strange report".to_owned(), Event::Reported { task: TaskId(99), attempt: 1, outcome: snapshotted(&[6010]) }),
    ];
    for (name, ask, answer) in asks {
        events.push((name.to_owned(), Event::Answered(ask, Ok(answer))));
        if !name.contains(' ') && name != "dropped" {
            events.push((format!("{name}?"), Event::Answered(ask, Err(transient()))));
            events.push((format!("{name}!"), Event::Answered(ask, Err(fatal(Kind::Internal)))));
        }
    }
    for (name, ask) in [("info", Ask::WriteInfo), ("tombstone", Ask::WriteTombstone)] {
        events.push((format!("{name}?"), Event::Answered(ask, Err(transient()))));
        events.push((format!("{name}!"), Event::Answered(ask, Err(fatal(Kind::Internal)))));
    }
    events
}

fn check(run: &Run, expected: &[(&str, &str)]) {
    let names: Vec<String> = events(run).into_iter().map(|(name, _)| name).collect();
    for (name, _) in expected {
        assert!(names.iter().any(|known| known == name), "{name} is no event");
    }
    for (name, event) in events(run) {
        let right = expected.iter().find(|(known, _)| *known == name).map_or("-", |(_, outcome)| outcome);
        assert_eq!(run.clone().on(event), right, "{name} in {}", run.job.state());
    }
}

#[test]
fn pending_before_the_choice() {
    check(
        &pending(),
        &[
            ("cancel", "CANCELLED: tell discarded"),
            ("stranger dies", "PENDING"),
            ("chosen", "PENDING: ask Plan"),
            ("chosen?", "PENDING"),
            ("chosen!", "CANCELLED: tell discarded"),
        ],
    );
}

#[test]
fn pending_without_a_parent() {
    check(
        &planning(),
        &[
            // The intent may be on its way: it is removed when that has ended.
            ("cancel", "CANCELLED: tell discarded"),
            ("stranger dies", "PENDING"),
            ("planned", "SNAPSHOTING: send 1, send 2, send 3, send 4"),
            ("planned?", "PENDING"),
            ("planned!", "CANCELLED: tell discarded, ask RemoveIntent"),
        ],
    );
}

#[test]
fn pending_with_a_parent() {
    check(
        &parent::planning(),
        &[
            ("cancel", "CANCELLED: tell discarded"),
            ("stranger dies", "PENDING"),
            ("planned", "SNAPSHOTING: send 1, send 2, send 3, send 4"),
            ("parent gone", "PENDING: ask Plan"),
            ("planned?", "PENDING"),
            ("planned!", "CANCELLED: tell discarded, ask RemoveIntent"),
        ],
    );
}

#[test]
fn snapshoting_() {
    check(
        &snapshoting(),
        &[
            ("cancel", "CANCELLED: tell discarded, ask RemoveIntent"),
            ("stranger dies", "SNAPSHOTING"),
            ("snapshot", "SNAPSHOTING"),
            // What the task was not asked for is tried again after a while.
            ("upload", "SNAPSHOTING"),
            ("task?", "SNAPSHOTING"),
            ("task!", "SNAPSHOTING: send 5"),
            ("no space", "CANCELLED: tell discarded, ask RemoveIntent"),
        ],
    );
}

#[test]
fn snapshoting_while_a_partition_is_planned_again() {
    let run = tasks::retaking();
    check(
        &run,
        &[
            ("cancel", "CANCELLED: tell discarded, ask RemoveIntent"),
            ("stranger dies", "SNAPSHOTING"),
            ("retaken", "SNAPSHOTING: release 2, send 5, send 6"),
            ("retaken?", "SNAPSHOTING"),
            ("retaken!", "CANCELLED: tell discarded, ask RemoveIntent"),
            ("dropped", "CANCELLED: tell discarded, ask RemoveIntent"),
        ],
    );
}

#[test]
fn upload_snapshot_() {
    check(
        &upload_snapshot(),
        &[
            ("tick", "UPLOADING: send 1, send 2, send 3, send 4"),
            ("cancel", "CANCELLED: tell discarded, ask RemoveIntent"),
            ("stranger dies", "UPLOAD_SNAPSHOT"),
        ],
    );
}

#[test]
fn uploading_() {
    check(
        &uploading(),
        &[
            ("cancel", "CANCELLED: tell discarded, ask RemoveIntent"),
            ("restarted", "UPLOADING: send 2"),
            ("stranger dies", "UPLOADING"),
            ("snapshot", "UPLOADING"),
            ("upload", "UPLOADING: release 1"),
            ("task?", "UPLOADING"),
            ("task!", "CANCELLED: tell discarded, ask RemoveIntent"),
            ("no space", "CANCELLED: tell discarded, ask RemoveIntent"),
        ],
    );
}

#[test]
fn save_meta_() {
    check(
        &save_meta(),
        &[
            ("cancel", "CANCELLED: tell discarded, ask RemoveIntent"),
            ("meta", "UPLOAD_INFO: ask WriteInfo"),
            ("meta?", "SAVE_META"),
            ("meta!", "CANCELLED: tell discarded, ask RemoveIntent"),
        ],
    );
}

#[test]
fn upload_info_() {
    check(
        &upload_info(),
        &[
            ("cancel", "UPLOAD_INFO: ask WriteTombstone"),
            ("info written", "FINISHED: tell published"),
            ("info ours", "FINISHED: tell published"),
            ("info taken", "UPLOAD_INFO: ask WriteInfo"),
            ("info tombstoned", "CANCELLED: tell discarded"),
            // Nobody but the repository decides: it is asked until it answers.
            ("info?", "UPLOAD_INFO"),
            ("info!", "UPLOAD_INFO"),
            ("tombstone written", "CANCELLED: tell discarded"),
            ("tombstone late", "FINISHED: tell published"),
            ("tombstone taken", "CANCELLED: tell discarded, ask RemoveIntent"),
        ],
    );
}

#[test]
fn upload_info_while_the_job_is_being_cancelled() {
    check(
        &cancelling(),
        &[
            // The info may have been on its way.
            ("info written", "FINISHED: tell published"),
            ("info ours", "FINISHED: tell published"),
            ("info taken", "CANCELLED: tell discarded, ask RemoveIntent"),
            ("info tombstoned", "CANCELLED: tell discarded"),
            ("tombstone written", "CANCELLED: tell discarded"),
            ("tombstone late", "FINISHED: tell published"),
            ("tombstone taken", "CANCELLED: tell discarded, ask RemoveIntent"),
            ("tombstone?", "UPLOAD_INFO"),
            ("tombstone!", "UPLOAD_INFO"),
        ],
    );
}

#[test]
fn finished_() {
    check(&finished(), &[]);
}

#[test]
fn cancelled_with_an_intent_to_remove() {
    check(
        &cancelled_unclean(),
        &[
            ("removed", "CANCELLED"),
            ("removed?", "CANCELLED"),
            ("removed!", "CANCELLED"),
            // It may have been written again: it is removed once more.
            ("planned", "CANCELLED: ask RemoveIntent"),
            ("planned?", "CANCELLED: ask RemoveIntent"),
            ("planned!", "CANCELLED: ask RemoveIntent"),
            ("parent gone", "CANCELLED: ask RemoveIntent"),
        ],
    );
}

#[test]
fn cancelled_() {
    check(&cancelled(), &[]);
}
