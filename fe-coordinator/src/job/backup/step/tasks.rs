//! What becomes of a backup's tasks: reports, and backends that come and go.

use std::collections::BTreeMap;

use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::{BackendId, PartitionId, TabletId, TaskId};
use tabvault_common::repo::info::ManifestRef;
use tabvault_common::schema::PartitionRange;
use tabvault_common::task::{TabletTotals, TaskResult};
use tabvault_common::view::BackupState as State;

use super::super::{Row, RowTablet, Stage};
use super::Draft;
use crate::job::{Ask, Effect, MAX_MESSAGE, MAX_TASK_FAILURES, backoff, kept, within};

/// How often partitions of one job may be planned again: a partition that changes faster than replicas can follow must
/// not keep a job busy for ever.
const MAX_RETAKES: u32 = 128;

impl Draft<'_> {
    // -- backends

    pub(super) fn on_restarted(&mut self, backend: BackendId) {
        self.head.silent.remove(&backend);
        if self.head.state == State::Uploading {
            let lost = |row: &&Row| row.stage == Stage::Snapshotted && row.not_before.is_none();
            let lost: Vec<Row> = self.rows_on(backend).filter(lost).cloned().collect();
            for mut row in lost {
                // A new attempt: objects of the old one may be half-written under its names.
                row.attempt += 1;
                self.dispatch(row);
            }
        }
        self.leave_silent();
    }

    pub(super) fn on_dead(&mut self, backend: BackendId) {
        if matches!(self.head.state, State::Pending | State::Snapshoting | State::UploadSnapshot | State::Uploading) {
            self.head.silent.insert(backend);
            self.leave(backend, |tablet, _| !tablet.others.is_empty());
        }
    }

    /// Takes tablets of backends that fell silent from those that are heard of, where there are any.
    pub(super) fn leave_silent(&mut self) {
        for backend in self.head.silent.clone() {
            self.leave(backend, |tablet, draft| draft.can_move(tablet));
        }
    }

    /// Whether another replica is on a backend that has not fallen silent.
    fn can_move(&self, tablet: &RowTablet) -> bool {
        tablet.others.iter().any(|backend| !self.head.silent.contains(backend))
    }

    /// Takes from other replicas what a silent backend was to give, as far as `movable`; the rest waits for it.
    fn leave(&mut self, backend: BackendId, movable: impl Fn(&RowTablet, &Self) -> bool) {
        if !matches!(self.head.state, State::Snapshoting | State::Uploading) {
            return;
        }
        let lost: Vec<Row> = self.rows_on(backend).cloned().collect();
        let why = Failure::transient(Kind::Unreachable, format!("backend {backend} does not answer"));
        for mut row in lost {
            let tablets = std::mem::take(&mut row.tablets);
            let (mut moved, fixed): (Vec<_>, Vec<_>) = tablets.into_iter().partition(|t| movable(t, self));
            row.tablets = fixed;
            row.error = Some(format!("{why}; waiting for it, no other replica has version {}", row.version));
            let source = row.clone();
            if row.tablets.is_empty() {
                self.remove(row.task);
            } else if moved.is_empty() {
                self.put(row);
            } else {
                // The rest is another task's work than before: its own attempt.
                row.attempt += 1;
                row.stage = Stage::Snapshot;
                row.not_before = None;
                self.dispatch(row);
            }
            // It may come back before the others do.
            for tablet in &mut moved {
                tablet.others = tablet.others.iter().copied().chain([backend]).collect();
            }
            self.move_tablets(&source, moved, &why);
        }
    }

    // -- reports

    pub(super) fn on_report(&mut self, task: TaskId, attempt: u32, outcome: Result<TaskResult, Failure>) {
        let state = self.head.state;
        let current = |row: &&Row| row.attempt == attempt && row.is_active(state);
        let Some(row) = self.row(task).filter(current).cloned() else { return };
        self.head.silent.remove(&row.backend);
        match (row.stage.clone(), outcome) {
            (Stage::Snapshot, Ok(TaskResult::Snapshotted { tablets, failed })) => {
                self.snapshotted(row, &tablets, failed);
            }
            (Stage::Snapshotted, Ok(TaskResult::Uploaded { manifest })) if !agree(&row, &manifest) => {
                let why = format!(
                    "it uploaded {} files with {} bytes, which are not those of its snapshots",
                    manifest.files, manifest.bytes
                );
                let row = Row { stage: Stage::Snapshot, ..row };
                self.task_failed(row, &Failure::transient(Kind::Mismatch, why));
            }
            (Stage::Snapshotted, Ok(TaskResult::Uploaded { manifest })) => {
                let row = Row { stage: Stage::Uploaded(manifest), error: None, failures: 0, not_before: None, ..row };
                self.effects.push(Effect::Release(row.task));
                self.put(row);
                self.check_uploads();
            }
            (Stage::Snapshot, Err(failure)) => self.snapshot_failed(row, failure),
            (Stage::Snapshotted, Err(failure)) => self.upload_failed(row, &failure),
            (_, Ok(other)) => self.task_failed(row, &Failure::transient(Kind::Internal, format!("answered {other:?}"))),
            (Stage::Uploaded(_) | Stage::Described, Err(_)) => {}
        }
    }

    fn snapshotted(&mut self, mut row: Row, totals: &[TabletTotals], failed: Vec<(TabletId, Failure)>) {
        if let Some((_, why)) = failed.iter().find(|(_, failure)| failure.kind == Kind::NoSpace) {
            return self.cancel(why.clone());
        }
        if let Some((tablet, why)) = failed.iter().find(|(_, failure)| failure.retry != Retry::Never)
            && row.failures + 1 < MAX_TASK_FAILURES
        {
            let why = why.clone().context(format!("tablet {tablet}"));
            return self.task_failed(row, &why);
        }
        let failed: BTreeMap<TabletId, Failure> = failed.into_iter().collect();
        let totals: BTreeMap<TabletId, &TabletTotals> = totals.iter().map(|total| (total.tablet, total)).collect();
        if row.tablets.iter().any(|t| !failed.contains_key(&t.tablet) && !totals.contains_key(&t.tablet)) {
            let why = "the backend answered without naming every tablet";
            return self.task_failed(row, &Failure::transient(Kind::Internal, why));
        }
        let source = row.clone();
        // In the room that they have: rows are kept as long as the job runs.
        let mut kept = std::mem::take(&mut row.tablets);
        let lost: Vec<_> = kept.extract_if(.., |tablet| failed.contains_key(&tablet.tablet)).collect();
        for tablet in &mut kept {
            if let Some(total) = totals.get(&tablet.tablet) {
                (tablet.files, tablet.bytes) = (total.files, total.bytes);
            }
        }
        if kept.is_empty() {
            self.remove(row.task);
        } else {
            row.tablets = kept;
            // The upload is the row's next attempt, so that a late second answer to this one means nothing.
            // Once it is uploading, failures count until the upload succeeds: a snapshot that is lost again and again
            // must not keep the job busy until its deadline.
            let failures = if self.head.state == State::Uploading { row.failures } else { 0 };
            let attempt = row.attempt + 1;
            let row = Row { stage: Stage::Snapshotted, attempt, error: None, failures, not_before: None, ..row };
            if self.head.state == State::Uploading { self.dispatch(row) } else { self.put(row) }
        }
        if let Some((tablet, why)) = failed.into_iter().next() {
            self.move_tablets(&source, lost, &why.context(format!("tablet {tablet}")));
        }
        self.check_snapshots();
    }

    fn snapshot_failed(&mut self, mut row: Row, failure: Failure) {
        if failure.kind == Kind::NoSpace && failure.retry == Retry::Never {
            return self.cancel(failure);
        }
        if failure.retry != Retry::Never && row.failures + 1 < MAX_TASK_FAILURES {
            return self.task_failed(row, &failure);
        }
        let tablets = std::mem::take(&mut row.tablets);
        self.remove(row.task);
        self.move_tablets(&row, tablets, &failure.context(format!("snapshot on backend {}", row.backend)));
    }

    fn upload_failed(&mut self, mut row: Row, failure: &Failure) {
        let snapshot_gone = failure.kind == Kind::NotFound;
        if (failure.retry == Retry::Never && !snapshot_gone) || row.failures + 1 >= MAX_TASK_FAILURES {
            let why = failure.clone().context(format!("upload from backend {}", row.backend));
            return self.cancel(self.blamed(row.partition, why));
        }
        if snapshot_gone {
            row.stage = Stage::Snapshot;
        }
        self.task_failed(row, failure);
    }

    /// Tries the row again after a while.
    fn task_failed(&mut self, mut row: Row, failure: &Failure) {
        row.failures += 1;
        if row.failures >= MAX_TASK_FAILURES {
            let why = failure.clone().context(format!("task {} on backend {}", row.task, row.backend));
            return self.cancel(self.blamed(row.partition, why));
        }
        row.attempt += 1;
        row.error = Some(kept(&failure.message));
        row.not_before = Some(self.now.after(backoff(row.failures)));
        self.put(row);
    }

    /// Takes tablets of `row` from other replicas at the same version, or their whole partition again where one has
    /// none.
    fn move_tablets(&mut self, row: &Row, tablets: Vec<RowTablet>, why: &Failure) {
        if tablets.is_empty() || self.head.retaking.contains(&row.partition) {
            return;
        }
        let stuck = |tablet: &RowTablet| tablet.others.is_empty() || (retake_helps(why) && !self.can_move(tablet));
        if tablets.iter().any(stuck) {
            return self.retake(row.partition, why);
        }
        let mut moved: BTreeMap<BackendId, Vec<RowTablet>> = BTreeMap::new();
        for mut tablet in tablets {
            let heard = tablet.others.iter().position(|backend| !self.head.silent.contains(backend));
            let mut others = std::mem::take(&mut tablet.others).into_vec();
            let backend = others.remove(heard.unwrap_or(0));
            tablet.others = others.into();
            moved.entry(backend).or_default().push(tablet);
        }
        for (backend, tablets) in moved {
            let (task, stage, error) = (self.new_task(), Stage::Snapshot, Some(kept(&why.message)));
            let fresh =
                Row { task, backend, tablets, stage, error, attempt: 1, failures: 0, not_before: None, ..row.clone() };
            self.dispatch(fresh);
        }
    }

    /// Plans a partition again, where that can help: the version is gone or the schema changed.
    fn retake(&mut self, partition: PartitionId, why: &Failure) {
        if !retake_helps(why) || self.head.retakes >= MAX_RETAKES {
            return self.cancel(self.blamed(partition, why.clone().context("no replica gives it")));
        }
        self.head.retakes += 1;
        self.head.retaking.push(partition);
        self.ask(Ask::TakePartition(partition));
    }

    /// The failure with the partition that it is about, and with how to back up the others where it is to blame.
    fn blamed(&self, partition: PartitionId, why: Failure) -> Failure {
        let of_data = matches!(why.kind, Kind::NotFound | Kind::FailedPrecondition | Kind::Mismatch | Kind::Corrupt);
        let why = why.context(self.partition_name(partition));
        match self.job.find(partition).filter(|_| of_data) {
            Some((table, found)) => {
                let (table, partition) = (&table.def.name, &found.def.name);
                let way = match found.def.range {
                    PartitionRange::Whole => format!("EXCLUDE (`{table}`)"),
                    PartitionRange::Range { .. } | PartitionRange::List(_) => {
                        format!("EXCLUDE (`{table}` PARTITION (`{partition}`))")
                    }
                };
                // Cut here rather than at its end, where the way out is.
                Failure { message: format!("{}; to back up all but that, add {way}", cut(&why.message)), ..why }
            }
            None => why,
        }
    }
}

/// Whether a manifest has what the snapshots of the row had: nobody who restores would take it otherwise.
fn agree(row: &Row, manifest: &ManifestRef) -> bool {
    let sum = |of: fn(&RowTablet) -> u64| row.tablets.iter().map(of).sum::<u64>();
    (manifest.tablets, manifest.files, manifest.bytes)
        == (row.tablets.len() as u64, sum(|tablet| tablet.files), sum(|tablet| tablet.bytes))
}

/// The message, short enough for more to be said behind it.
fn cut(message: &str) -> String {
    within(message, MAX_MESSAGE / 2)
}

/// Whether planning a partition again can help against a failure: the version is gone or the schema changed.
fn retake_helps(why: &Failure) -> bool {
    matches!(why.kind, Kind::NotFound | Kind::FailedPrecondition | Kind::Mismatch)
}
