//! One step of a backup. A method per state; every pair of state and event stands somewhere here.

use std::collections::BTreeMap;

use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::{BackendId, PartitionId, TabletId, TaskId};
use tabvault_common::label::SnapshotTimestamp;
use tabvault_common::repo::info::ObjectRef;
use tabvault_common::task::{JobEnd, TabletTotals, TaskResult};
use tabvault_common::view::BackupState as State;

use super::{BackupJob, BackupTransition, Head, Plan, Row, RowTablet, Stage};
use crate::job::{Answer, Ask, Effect, Event, MAX_TASK_FAILURES, backoff};
use crate::repository::remote::{InfoWrite, TombstoneWrite};

/// How often partitions of one job may be planned again: a partition that changes faster than replicas can follow must
/// not keep a job busy for ever.
const MAX_RETAKES: u32 = 32;

/// How often the removal of a cancelled job's intent is tried before it is left to the next start.
const MAX_CLEANUPS: u32 = 10;

impl BackupJob {
    /// What `event` at the moment `now` changes, and what is to be done about it.
    #[must_use]
    pub fn step(&self, event: Event, now: Time) -> BackupTransition {
        let mut draft = Draft::new(self, now);
        match event {
            Event::Tick => draft.on_tick(),
            Event::Cancel { by } => {
                let state = draft.head.state.as_str();
                draft.cancel(Failure::fatal(Kind::Cancelled, format!("cancelled by {by} in state {state}")));
            }
            Event::Answered(ask, Ok(answer)) => draft.on_answer(ask, answer),
            Event::Answered(ask, Err(failure)) => draft.on_ask_failed(ask, &failure),
            Event::Reported { task, attempt, outcome } => draft.on_report(task, attempt, outcome),
            Event::BackendRestarted(backend) => draft.on_restarted(backend),
            Event::BackendDead(backend) => draft.on_dead(backend),
        }
        draft.finish()
    }
}

/// The job as it will be, while a step is thought out.
struct Draft<'a> {
    job: &'a BackupJob,
    now: Time,
    head: Head,
    plan: Option<Plan>,
    rows: BTreeMap<TaskId, Row>,
    gone: Vec<TaskId>,
    effects: Vec<Effect>,
}

impl<'a> Draft<'a> {
    fn new(job: &'a BackupJob, now: Time) -> Self {
        let (rows, gone, effects) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { job, now, head: job.head.clone(), plan: None, rows, gone, effects }
    }

    fn finish(self) -> BackupTransition {
        let head = (self.head != self.job.head).then_some(self.head);
        let rows = self.rows.into_values().collect();
        BackupTransition { head, plan: self.plan, rows, gone: self.gone, effects: self.effects }
    }

    fn row(&self, task: TaskId) -> Option<&Row> {
        if self.gone.contains(&task) {
            return None;
        }
        self.rows.get(&task).or_else(|| self.job.rows.get(&task))
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        let kept = |row: &&Row| !self.rows.contains_key(&row.task) && !self.gone.contains(&row.task);
        self.job.rows.values().filter(kept).chain(self.rows.values())
    }

    fn put(&mut self, row: Row) {
        self.gone.retain(|task| *task != row.task);
        self.rows.insert(row.task, row);
    }

    fn remove(&mut self, task: TaskId) {
        self.rows.remove(&task);
        if self.job.rows.contains_key(&task) {
            self.gone.push(task);
        }
    }

    fn ask(&mut self, ask: Ask) {
        self.effects.push(Effect::Ask(ask));
    }

    fn dispatch(&mut self, row: Row) {
        self.effects.push(Effect::Dispatch(row.task));
        self.put(row);
    }

    // -- events that mean the same in every state

    fn on_tick(&mut self) {
        let state = self.head.state;
        if !state.is_final() && self.head.cancelling.is_none() && self.now >= self.job.deadline() {
            return self.cancel(BackupJob::too_late(self.head.properties.timeout));
        }
        for ask in self.head.asking.due(self.now) {
            self.ask(ask);
        }
        let due = |row: &&Row| row.is_active(state) && row.not_before.is_some_and(|at| at <= self.now);
        let due: Vec<Row> = self.rows().filter(due).cloned().collect();
        for mut row in due {
            row.not_before = None;
            self.dispatch(row);
        }
        if state == State::UploadSnapshot {
            self.begin_uploading();
        }
    }

    /// Before UPLOAD_INFO the job store alone decides; from then on the repository does.
    fn cancel(&mut self, why: Failure) {
        match self.head.state {
            State::Pending | State::Snapshoting | State::UploadSnapshot | State::Uploading | State::SaveMeta => {
                self.head.unclean = self.head.planned;
                self.end_cancelled(why);
                if self.head.unclean {
                    self.ask(Ask::RemoveIntent);
                }
            }
            State::UploadInfo if self.head.cancelling.is_none() => {
                self.head.cancelling = Some(why);
                self.ask(Ask::WriteTombstone);
            }
            State::UploadInfo | State::Finished | State::Cancelled => {}
        }
    }

    fn end_cancelled(&mut self, why: Failure) {
        self.head.state = State::Cancelled;
        self.head.status = Some(why);
        self.head.finished_time = Some(self.now);
        self.head.retaking.clear();
        self.effects.push(Effect::EndOnAgents(JobEnd::Discarded));
    }

    fn end_finished(&mut self) {
        self.head.state = State::Finished;
        self.head.status = None;
        self.head.cancelling = None;
        self.head.finished_time = Some(self.now);
        self.effects.push(Effect::EndOnAgents(JobEnd::Published));
    }

    fn on_ask_failed(&mut self, ask: Ask, failure: &Failure) {
        let commit = matches!(ask, Ask::WriteInfo | Ask::WriteTombstone | Ask::RemoveIntent);
        if self.head.state.is_final() && ask != Ask::RemoveIntent {
            return;
        }
        if failure.retry == Retry::Never && !commit {
            self.head.asking.answered(ask);
            return self.cancel(failure.clone());
        }
        if ask == Ask::RemoveIntent && self.head.asking.failures(ask) >= MAX_CLEANUPS {
            return self.head.asking.answered(ask);
        }
        // A question about the commit point has no answer but the store's own: it is asked until the store gives one.
        self.head.asking.failed(ask, failure, self.now);
    }

    fn on_restarted(&mut self, backend: BackendId) {
        if self.head.state != State::Uploading {
            return;
        }
        let lost = |row: &&Row| row.backend == backend && row.stage == Stage::Snapshotted && row.not_before.is_none();
        let lost: Vec<Row> = self.rows().filter(lost).cloned().collect();
        for mut row in lost {
            // A new attempt: objects of the old one may be half-written under its names.
            row.attempt += 1;
            self.dispatch(row);
        }
    }

    fn on_dead(&mut self, backend: BackendId) {
        let state = self.head.state;
        if !matches!(state, State::Snapshoting | State::Uploading) {
            return;
        }
        let lost = |row: &&Row| row.backend == backend && !row.is_done();
        let lost: Vec<Row> = self.rows().filter(lost).cloned().collect();
        let why = Failure::transient(Kind::Unreachable, format!("backend {backend} does not answer"));
        for mut row in lost {
            let (movable, fixed): (Vec<_>, Vec<_>) = row.tablets.into_iter().partition(|t| !t.others.is_empty());
            row.tablets = fixed;
            row.error = Some(format!("{why}; waiting for it, no other replica has version {}", row.version));
            let source = row.clone();
            if row.tablets.is_empty() {
                self.remove(row.task);
            } else if !movable.is_empty() {
                // The rest is another task's work than before: its own attempt.
                row.attempt += 1;
                row.stage = Stage::Snapshot;
                self.dispatch(row);
            } else {
                self.put(row);
            }
            self.move_tablets(&source, movable, &why);
        }
    }

    // -- answers

    fn on_answer(&mut self, ask: Ask, answer: Answer) {
        self.head.asking.answered(ask);
        match (self.head.state, answer) {
            (State::Pending, Answer::Planned(plan, rows)) if !self.head.planned => self.planned(*plan, rows),
            (State::Pending, Answer::Done) if ask == Ask::WriteIntent => self.begin_snapshoting(),
            (State::Snapshoting | State::Uploading, Answer::PartitionPlanned(rows)) => {
                if let Ask::TakePartition(partition) = ask {
                    self.partition_planned(partition, rows);
                }
            }
            (State::SaveMeta, Answer::MetaWritten(meta)) => self.meta_written(meta),
            (State::UploadInfo, Answer::Info(write)) => self.info_answered(write),
            (State::UploadInfo, Answer::Tombstone(write)) => self.tombstone_answered(write),
            (State::Cancelled, Answer::Done) if ask == Ask::RemoveIntent => self.head.unclean = false,
            // Late answers: the job has gone on without them.
            (
                State::Pending
                | State::Snapshoting
                | State::UploadSnapshot
                | State::Uploading
                | State::SaveMeta
                | State::UploadInfo
                | State::Finished
                | State::Cancelled,
                _,
            ) => {}
        }
    }

    fn planned(&mut self, plan: Plan, rows: Vec<Row>) {
        self.head.planned = true;
        self.head.next_task = rows.iter().map(|row| row.task.0 + 1).max().unwrap_or(1);
        self.plan = Some(plan);
        for row in rows {
            self.put(row);
        }
        self.ask(Ask::WriteIntent);
    }

    fn begin_snapshoting(&mut self) {
        self.head.state = State::Snapshoting;
        self.dispatch_active();
        self.check_snapshots();
    }

    fn partition_planned(&mut self, partition: PartitionId, rows: Option<Vec<Row>>) {
        if !self.head.retaking.contains(&partition) {
            return;
        }
        self.head.retaking.retain(|p| *p != partition);
        let Some(rows) = rows else {
            let name = self.partition_name(partition);
            let why = format!("{name} was dropped while it was backed up");
            return self.cancel(Failure::fatal(Kind::NotFound, why));
        };
        let old: Vec<TaskId> = self.rows().filter(|row| row.partition == partition).map(|row| row.task).collect();
        for task in old {
            self.effects.push(Effect::Release(task));
            self.remove(task);
        }
        for mut row in rows {
            row.task = self.new_task();
            self.dispatch(row);
        }
        self.check_snapshots();
        self.check_uploads();
    }

    fn meta_written(&mut self, meta: ObjectRef) {
        self.head.meta = Some(meta);
        self.head.state = State::UploadInfo;
        self.head.timestamp = Some(SnapshotTimestamp::at(self.now));
        self.ask(Ask::WriteInfo);
    }

    fn info_answered(&mut self, write: InfoWrite) {
        match write {
            InfoWrite::Written | InfoWrite::OursAlready => self.end_finished(),
            InfoWrite::Tombstoned => self.end_cancelling("a tombstone stands at the name of its info"),
            InfoWrite::TakenByOther if self.head.cancelling.is_some() => {
                self.end_cancelling("its info was not written")
            }
            InfoWrite::TakenByOther => {
                let taken = self.head.timestamp.take();
                let mut at = self.now;
                while Some(SnapshotTimestamp::at(at)) <= taken {
                    at = at.after(std::time::Duration::from_millis(1));
                }
                self.head.timestamp = Some(SnapshotTimestamp::at(at));
                self.ask(Ask::WriteInfo);
            }
        }
    }

    fn tombstone_answered(&mut self, write: TombstoneWrite) {
        match write {
            TombstoneWrite::Written | TombstoneWrite::TakenByOther => self.end_cancelling("a tombstone was written"),
            TombstoneWrite::InfoStands => self.end_finished(),
        }
    }

    fn end_cancelling(&mut self, otherwise: &str) {
        let why = self.head.cancelling.take();
        self.end_cancelled(why.unwrap_or_else(|| Failure::fatal(Kind::Cancelled, otherwise)));
    }

    // -- reports

    fn on_report(&mut self, task: TaskId, attempt: u32, outcome: Result<TaskResult, Failure>) {
        let state = self.head.state;
        let current = |row: &&Row| row.attempt == attempt && row.is_active(state);
        let Some(row) = self.row(task).filter(current).cloned() else { return };
        match (row.stage.clone(), outcome) {
            (Stage::Snapshot, Ok(TaskResult::Snapshotted { tablets, failed })) => {
                self.snapshotted(row, &tablets, failed);
            }
            (Stage::Snapshotted, Ok(TaskResult::Uploaded { manifest })) => {
                let row = Row { stage: Stage::Uploaded(manifest), error: None, failures: 0, ..row };
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
        let (lost, mut kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut row.tablets).into_iter().partition(|tablet| failed.contains_key(&tablet.tablet));
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
            let row = Row { stage: Stage::Snapshotted, attempt: row.attempt + 1, error: None, failures: 0, ..row };
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
        let snapshot_gone = failure.kind == Kind::FailedPrecondition;
        if (failure.retry == Retry::Never && !snapshot_gone) || row.failures + 1 >= MAX_TASK_FAILURES {
            return self.cancel(failure.clone().context(format!("upload from backend {}", row.backend)));
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
            return self.cancel(failure.clone().context(format!("task {} on backend {}", row.task, row.backend)));
        }
        row.attempt += 1;
        row.error = Some(failure.message.clone());
        row.not_before = Some(self.now.after(backoff(row.failures)));
        self.put(row);
    }

    /// Takes tablets of `row` from other replicas at the same version, or their whole partition again where one has
    /// none.
    fn move_tablets(&mut self, row: &Row, tablets: Vec<RowTablet>, why: &Failure) {
        if tablets.is_empty() || self.head.retaking.contains(&row.partition) {
            return;
        }
        if tablets.iter().any(|tablet| tablet.others.is_empty()) {
            return self.retake(row.partition, why);
        }
        let mut moved: BTreeMap<BackendId, Vec<RowTablet>> = BTreeMap::new();
        for mut tablet in tablets {
            let backend = tablet.others.remove(0);
            moved.entry(backend).or_default().push(tablet);
        }
        for (backend, tablets) in moved {
            let (task, stage, error) = (self.new_task(), Stage::Snapshot, Some(why.message.clone()));
            let fresh =
                Row { task, backend, tablets, stage, error, attempt: 1, failures: 0, not_before: None, ..row.clone() };
            self.dispatch(fresh);
        }
    }

    /// Plans a partition again, where that can help: the version is gone or the schema changed.
    fn retake(&mut self, partition: PartitionId, why: &Failure) {
        let helps = matches!(why.kind, Kind::NotFound | Kind::FailedPrecondition | Kind::Mismatch);
        if !helps || self.head.retakes >= MAX_RETAKES {
            let name = self.partition_name(partition);
            return self.cancel(why.clone().context(format!("no replica gives {name}")));
        }
        self.head.retakes += 1;
        self.head.retaking.push(partition);
        self.ask(Ask::TakePartition(partition));
    }

    // -- passing from state to state

    fn check_snapshots(&mut self) {
        let stand = self.rows().all(|row| row.stage != Stage::Snapshot);
        if self.head.state == State::Snapshoting && self.head.retaking.is_empty() && stand {
            self.head.state = State::UploadSnapshot;
            self.head.snapshot_finished_time = Some(self.now);
            self.effects.push(Effect::Continue);
        }
    }

    fn begin_uploading(&mut self) {
        self.head.state = State::Uploading;
        self.dispatch_active();
        self.check_uploads();
    }

    /// Sends what the state that has just begun is about; the rows themselves do not change by it.
    fn dispatch_active(&mut self) {
        let active: Vec<TaskId> =
            self.rows().filter(|row| row.is_active(self.head.state)).map(|row| row.task).collect();
        self.effects.extend(active.into_iter().map(Effect::Dispatch));
    }

    fn check_uploads(&mut self) {
        let done = self.rows().all(Row::is_done);
        if self.head.state == State::Uploading && self.head.retaking.is_empty() && done {
            self.head.state = State::SaveMeta;
            self.head.upload_finished_time = Some(self.now);
            self.ask(Ask::WriteMeta);
        }
    }

    fn new_task(&mut self) -> TaskId {
        let task = TaskId(self.head.next_task);
        self.head.next_task += 1;
        task
    }

    fn partition_name(&self, partition: PartitionId) -> String {
        let named = self.job.plan.iter().flat_map(|plan| &plan.cut.tables).find_map(|table| {
            let found = table.partitions.iter().find(|p| p.id == partition)?;
            Some(format!("partition {} of table {}", found.def.name, table.def.name))
        });
        named.unwrap_or_else(|| format!("partition {partition}"))
    }
}
