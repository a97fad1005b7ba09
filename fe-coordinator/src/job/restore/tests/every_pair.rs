//! Every state and every event: what is not listed changes nothing and asks for nothing.

use super::*;
use crate::job::samples::object;

/// All events, by the names that the table uses. Answers that fail are `?` if they may be tried again, else `!`.
fn events(run: &Run) -> Vec<(String, Event)> {
    let mut events = vec![
        ("tick".to_owned(), Event::Tick),
        ("cancel".to_owned(), cancel()),
        ("restarted".to_owned(), Event::BackendRestarted(BackendId(1))),
        ("stranger dies".to_owned(), Event::BackendDead(BackendId(9))),
        ("dead".to_owned(), Event::BackendDead(row_backend(run))),
        ("done".to_owned(), run.reported(1, done())),
        ("downloaded".to_owned(), run.reported(1, downloaded())),
        ("task?".to_owned(), run.reported(1, Err(transient()))),
        ("task!".to_owned(), run.reported(1, Err(fatal(Kind::Corrupt)))),
        ("stale report".to_owned(), Event::Reported { task: TaskId(1), attempt: 77, outcome: done() }),
        ("strange report".to_owned(), Event::Reported { task: TaskId(99), attempt: 1, outcome: done() }),
        ("read".to_owned(), read()),
        ("prepared".to_owned(), prepared(Content::All)),
        ("published".to_owned(), published(Decision::Published)),
        ("publish refused".to_owned(), published(Decision::Discarded)),
        ("discarded".to_owned(), discarded(Decision::Discarded)),
        ("discard refused".to_owned(), discarded(Decision::Published)),
        ("foreign".to_owned(), Event::Answered(Ask::WriteMeta, Ok(Answer::MetaWritten(object(1))))),
    ];
    let asks = [
        ("read", Ask::ReadSnapshot),
        ("prepare", Ask::Prepare),
        ("publish", Ask::Publish),
        ("discard", Ask::Discard),
        ("foreign", Ask::WriteInfo),
    ];
    for (name, ask) in asks {
        events.push((format!("{name}?"), Event::Answered(ask, Err(transient()))));
        events.push((format!("{name}!"), Event::Answered(ask, Err(fatal(Kind::Internal)))));
    }
    events
}

fn row_backend(run: &Run) -> BackendId {
    run.job.attempt(TaskId(1)).map_or(BackendId(1), |(backend, _)| backend)
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
fn pending_before_the_plan() {
    check(
        &pending(),
        &[
            ("cancel", "PENDING: ask Discard"),
            ("read", "PENDING: ask Prepare"),
            ("read?", "PENDING"),
            ("read!", "PENDING: ask Discard"),
        ],
    );
}

#[test]
fn pending_with_a_plan() {
    check(
        &preparing(),
        &[
            ("cancel", "PENDING: ask Discard"),
            ("prepared", "SNAPSHOTING: send 1, send 2, send 3, send 4, send 5, send 6, send 7, send 8"),
            ("prepare?", "PENDING"),
            ("prepare!", "PENDING: ask Discard"),
        ],
    );
}

#[test]
fn snapshoting_() {
    check(
        &snapshoting(),
        &[
            ("cancel", "SNAPSHOTING: ask Discard"),
            ("dead", "SNAPSHOTING"),
            ("done", "SNAPSHOTING"),
            ("downloaded", "SNAPSHOTING"),
            ("task?", "SNAPSHOTING"),
            ("task!", "SNAPSHOTING: ask Discard"),
        ],
    );
}

#[test]
fn download_() {
    check(
        &download(),
        &[
            ("tick", "DOWNLOADING: send 1, send 2, send 3, send 4, send 5, send 6, send 7, send 8"),
            ("cancel", "DOWNLOAD: ask Discard"),
        ],
    );
}

#[test]
fn downloading_() {
    check(
        &downloading(),
        &[
            ("cancel", "DOWNLOADING: ask Discard"),
            ("dead", "DOWNLOADING"),
            ("done", "DOWNLOADING"),
            ("downloaded", "DOWNLOADING"),
            ("task?", "DOWNLOADING"),
            ("task!", "DOWNLOADING: ask Discard"),
        ],
    );
}

#[test]
fn commit_() {
    check(
        &commit(),
        &[
            ("tick", "COMMITTING: send 1, send 2, send 3, send 4, send 5, send 6, send 7, send 8"),
            ("cancel", "COMMIT: ask Discard"),
        ],
    );
}

#[test]
fn committing_while_agents_adopt() {
    check(
        &adopting(),
        &[
            ("cancel", "COMMITTING: ask Discard"),
            ("dead", "COMMITTING"),
            ("done", "COMMITTING"),
            ("downloaded", "COMMITTING"),
            ("task?", "COMMITTING"),
            ("task!", "COMMITTING: ask Discard"),
        ],
    );
}

#[test]
fn committing_while_the_catalog_publishes() {
    check(
        &publishing(),
        &[
            ("cancel", "COMMITTING: ask Discard"),
            ("published", "FINISHED: tell published"),
            ("publish refused", "CANCELLED: tell discarded"),
            ("publish?", "COMMITTING"),
            ("publish!", "COMMITTING: ask Discard"),
        ],
    );
}

#[test]
fn committing_while_the_catalog_discards() {
    check(
        &cancelling(),
        &[
            ("published", "FINISHED: tell published"),
            ("publish refused", "CANCELLED: tell discarded"),
            ("discarded", "CANCELLED: tell discarded"),
            ("discard refused", "FINISHED: tell published"),
            ("discard?", "COMMITTING"),
            ("discard!", "COMMITTING"),
        ],
    );
}

#[test]
fn finished_() {
    check(&finished(), &[]);
}

#[test]
fn cancelled_() {
    check(&cancelled(), &[]);
}
