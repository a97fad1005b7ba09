//! Backups that share with a parent.

use tabvault_common::access::StorageAccess;
use tabvault_common::ids::Epoch;
use tabvault_common::task::TaskBody;

use super::*;
use crate::job::backup::share::share;
use crate::job::backup::{Row, Stage};

/// The intent with the parent `base` is being written, and what is shared with it planned.
pub(super) fn planning() -> Run {
    let mut run = pending();
    assert_eq!(run.on(chosen(Some(samples::parent().0.name()))), "PENDING: ask Plan");
    run
}

fn gone() -> Event {
    Event::Answered(Ask::Plan, Ok(Answer::ParentGone))
}

/// What is shared if the partition p1 was loaded since (or not).
fn shared(loaded: bool) -> Event {
    let (info, meta) = samples::parent();
    let mut rows = samples::rows();
    for row in rows.iter_mut().filter(|row| loaded && row.partition == P1) {
        row.version = row.version.next();
    }
    planned(samples::plan(), share(&samples::plan().cut, samples::cluster(), rows, &info, &meta))
}

fn of_p1(run: &Run) -> Vec<Row> {
    run.as_backup().rows.values().filter(|row| row.partition == P1).cloned().collect()
}

#[test]
fn a_backup_of_what_is_unchanged_needs_no_agents() {
    let mut run = planning();
    assert_eq!(run.on(shared(false)), "UPLOAD_SNAPSHOT: continue");
    assert_eq!(run.on(Event::Tick), "SAVE_META: ask WriteMeta");
    assert_eq!(run.on(meta_written()), "UPLOAD_INFO: ask WriteInfo");
    let (parent, _) = samples::parent();
    let info = run.as_backup().info(Epoch(1), run.now).unwrap();
    assert_eq!((info.parent.clone(), info.manifests.len()), (Some(parent.name()), 4));
    assert!(info.manifests.iter().all(|manifest| manifest.job == parent.job.uuid));
    assert_eq!(info.totals, parent.totals);
}

#[test]
fn what_was_loaded_since_is_uploaded_with_the_parents_manifests_at_hand() {
    let mut run = planning();
    assert_eq!(run.on(shared(true)), "SNAPSHOTING: send 3, send 4");
    let job = run.as_backup();
    let (info, _) = samples::parent();
    for (row, manifest) in of_p1(&run).into_iter().zip(&info.manifests) {
        assert_eq!(row.parents, [*manifest]);
        let row = Row { stage: Stage::Snapshotted, ..row };
        let task = job.task(&row, Epoch(1), StorageAccess::direct("file:///repo")).unwrap();
        let TaskBody::Upload(upload) = task.body else { panic!("{task:?}") };
        assert_eq!(upload.parents, [*manifest]);
    }
    assert_eq!(job.rows.len(), 4);
}

#[test]
fn a_parent_that_is_gone_is_given_up_for_good() {
    let mut run = planning();
    assert_eq!(run.on(gone()), "PENDING: ask Plan");
    assert_eq!(run.as_backup().head.parent, None);
    assert_eq!(run.restart(), "ask Plan");
    // It is not chosen again.
    assert_eq!(run.on(chosen(Some(samples::parent().0.name()))), "-");
    assert_eq!(run.on(planned(samples::plan(), samples::rows())), "SNAPSHOTING: send 1, send 2, send 3, send 4");
    assert!(run.as_backup().rows.values().all(|row| row.parents.is_empty()));
}

#[test]
fn a_backup_that_is_cancelled_while_its_parent_is_looked_at_removes_its_intent() {
    for event in [gone(), shared(false)] {
        let mut run = planning();
        assert_eq!(run.on(cancel()), "CANCELLED: tell discarded");
        assert_eq!(run.on(event), "CANCELLED: ask RemoveIntent");
    }
}

#[test]
fn a_partition_that_is_planned_again_may_share_as_well() {
    let mut run = planning();
    run.on(shared(true));
    for task in [3, 5, 6] {
        run.report(task, lost(6010, Kind::FailedPrecondition));
    }
    assert_eq!(run.as_backup().head.retaking, [P1]);
    // The load was taken back: the tablets are again what they were.
    let (info, meta) = samples::parent();
    let rows = share(&samples::plan().cut, samples::cluster(), rows_of(Content::All, Some(P1)), &info, &meta);
    let retaken = Event::Answered(Ask::TakePartition(P1), Ok(Answer::PartitionPlanned(Some(rows))));
    assert_eq!(run.on(retaken), "UPLOAD_SNAPSHOT: release 4, continue");
    assert!(of_p1(&run).iter().all(Row::is_done));
}
