//! One step of a backup. A method per state; every pair of state and event stands somewhere here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::{PartitionId, TaskId};
use tabvault_common::label::SnapshotTimestamp;
use tabvault_common::repo::info::ObjectRef;
use tabvault_common::task::JobEnd;
use tabvault_common::view::BackupState as State;

use super::plan::check_unaltered;
use super::{BackupJob, BackupTransition, Plan, Row, SNAPSHOT, SNAPSHOTTED, active};
use crate::job::{Answer, Ask, Effect, Event, kept_failure};
use crate::repository::remote::{InfoWrite, TombstoneWrite};

mod draft;
mod tasks;

use draft::Draft;

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
                draft.cancel(Failure::fatal(Kind::Cancelled, format!("cancelled by '{by}' in state {state}")));
            }
            Event::Answered(ask, answer) => {
                match answer {
                    Ok(answer) => draft.on_answer(ask, answer),
                    Err(failure) => draft.on_ask_failed(ask, &failure),
                }
                draft.clean_after(ask);
            }
            Event::Reported { task, attempt, outcome } => draft.on_report(task, attempt, outcome),
            Event::BackendRestarted(backend) => draft.on_restarted(backend),
            Event::BackendDead(backend) => draft.on_dead(backend),
        }
        draft.finish()
    }
}

impl Draft<'_> {
    // -- events that mean the same in every state

    fn on_tick(&mut self) {
        let state = self.head.state;
        if !state.is_final() && self.head.cancelling.is_none() && self.now >= self.job.deadline() {
            return self.cancel(BackupJob::too_late(self.head.properties.timeout));
        }
        for ask in self.head.asking.due(self.now) {
            self.ask(ask);
        }
        let due = self.job.rows.waiting().take_while(|(at, _)| *at <= self.now).map(|(_, row)| row);
        let due = due.filter(|row| row.is_active(state)).map(|row| (row.task, row.clone()));
        for mut row in due.collect::<BTreeMap<TaskId, Row>>().into_values() {
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
                // An intent that is being written just now is removed when that has ended.
                let being_written = self.head.state == State::Pending && !self.head.asking.is_waiting(Ask::Plan);
                self.head.unclean = self.head.chosen;
                self.end_cancelled(why);
                if self.head.unclean && !being_written {
                    self.ask(Ask::RemoveIntent);
                }
            }
            State::UploadInfo if self.head.cancelling.is_none() => {
                self.head.asking.clear();
                self.head.cancelling = Some(kept_failure(why));
                self.ask(Ask::WriteTombstone);
            }
            State::UploadInfo | State::Finished | State::Cancelled => {}
        }
    }

    /// A job that was cancelled while its intent was being written removes it now.
    fn clean_after(&mut self, ask: Ask) {
        if ask == Ask::Plan && self.head.state == State::Cancelled && self.head.unclean {
            self.ask(Ask::RemoveIntent);
        }
    }

    fn end_cancelled(&mut self, why: Failure) {
        self.head.state = State::Cancelled;
        self.head.status = Some(kept_failure(why));
        self.head.finished_time = Some(self.now);
        self.head.retaking.clear();
        self.head.asking.clear();
        self.effects.push(Effect::EndOnAgents(JobEnd::Discarded));
    }

    fn end_finished(&mut self) {
        self.head.state = State::Finished;
        self.head.status = None;
        self.head.cancelling = None;
        self.head.asking.clear();
        self.head.finished_time = Some(self.now);
        self.effects.push(Effect::EndOnAgents(JobEnd::Published));
    }

    fn on_ask_failed(&mut self, ask: Ask, failure: &Failure) {
        if self.is_late(ask) {
            return;
        }
        let commit = matches!(ask, Ask::WriteInfo | Ask::WriteTombstone | Ask::RemoveIntent);
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

    /// Whether the job has gone on without the answer.
    fn is_late(&self, ask: Ask) -> bool {
        let cancelling = self.head.cancelling.is_some();
        !match (self.head.state, ask) {
            (State::Pending, Ask::ChooseParent) => !self.head.chosen,
            (State::Pending, Ask::Plan) => self.head.chosen,
            (State::Snapshoting | State::Uploading, Ask::TakePartition(p)) => self.head.retaking.contains(&p),
            (State::SaveMeta, Ask::WriteMeta) => true,
            (State::UploadInfo, Ask::WriteInfo) => !cancelling,
            (State::UploadInfo, Ask::WriteTombstone) => cancelling,
            (State::Cancelled, Ask::RemoveIntent) => self.head.unclean,
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
            ) => false,
        }
    }

    // -- answers

    fn on_answer(&mut self, ask: Ask, answer: Answer) {
        self.head.asking.answered(ask);
        match (self.head.state, answer) {
            (State::Pending, Answer::Chosen(parent)) if !self.head.chosen => {
                self.head.chosen = true;
                self.head.parent = parent;
                self.ask(Ask::Plan);
            }
            (State::Pending, Answer::ParentGone) if self.head.parent.is_some() => {
                // The intent is written again, without it.
                self.head.parent = None;
                self.ask(Ask::Plan);
            }
            (State::Pending, Answer::Planned(plan, rows)) if self.head.chosen => self.planned(*plan, rows),
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
        let mut of_partition: BTreeMap<PartitionId, Vec<&Row>> = BTreeMap::new();
        for row in &rows {
            of_partition.entry(row.partition).or_default().push(row);
        }
        for (table, partition) in plan.partitions() {
            let rows = of_partition.remove(&partition.id).unwrap_or_default();
            if let Err(altered) = check_unaltered(table, partition, rows) {
                return self.cancel(altered);
            }
        }
        self.head.planned = true;
        self.head.next_task = rows.iter().map(|row| row.task.0 + 1).max().unwrap_or(1);
        self.plan = Some(plan);
        for row in rows {
            self.put(row);
        }
        self.begin_snapshoting();
    }

    fn begin_snapshoting(&mut self) {
        self.head.state = State::Snapshoting;
        self.leave_silent();
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
        if let Some((table, defined)) = self.job.find(partition)
            && let Err(altered) = check_unaltered(table, defined, &rows)
        {
            return self.cancel(altered);
        }
        // The only event that looks at all rows: it comes a bounded number of times in a job.
        let old = self.job.rows.values().filter(|row| row.partition == partition).map(|row| row.task);
        for task in old.collect::<Vec<_>>() {
            self.effects.push(Effect::Release(task));
            self.remove(task);
        }
        for mut row in rows {
            row.task = self.new_task();
            if row.is_done() { self.put(row) } else { self.dispatch(row) }
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
            InfoWrite::TakenByOther if self.head.cancelling.is_some() => self.end_without_tombstone(),
            InfoWrite::TakenByOther => {
                let taken = self.head.timestamp.take();
                // A clock that went back further than this gives a name that is not the taken one as well.
                let candidates = (0..1000).map(|ms| SnapshotTimestamp::at(self.now.after(Duration::from_millis(ms))));
                let later = candidates.into_iter().find(|at| Some(at) > taken.as_ref());
                self.head.timestamp = Some(later.unwrap_or_else(|| SnapshotTimestamp::at(self.now)));
                self.ask(Ask::WriteInfo);
            }
        }
    }

    fn tombstone_answered(&mut self, write: TombstoneWrite) {
        match write {
            TombstoneWrite::Written => self.end_cancelling("a tombstone was written"),
            TombstoneWrite::TakenByOther => self.end_without_tombstone(),
            TombstoneWrite::InfoStands => self.end_finished(),
        }
    }

    fn end_cancelling(&mut self, otherwise: &str) {
        let why = self.head.cancelling.take();
        self.end_cancelled(why.unwrap_or_else(|| Failure::fatal(Kind::Cancelled, otherwise)));
    }

    /// Another job has the name, so neither info nor tombstone of this one will ever stand: nothing in the repository
    /// says that the job has ended, and its intent has to go.
    fn end_without_tombstone(&mut self) {
        self.end_cancelling("another job has the name of its info");
        self.head.unclean = true;
        self.ask(Ask::RemoveIntent);
    }

    // -- passing from state to state

    fn check_snapshots(&mut self) {
        if self.head.state == State::Snapshoting && self.head.retaking.is_empty() && self.count_in(SNAPSHOT) == 0 {
            self.head.state = State::UploadSnapshot;
            self.head.snapshot_finished_time = Some(self.now);
            self.effects.push(Effect::Continue);
        }
    }

    fn begin_uploading(&mut self) {
        self.head.state = State::Uploading;
        self.leave_silent();
        self.dispatch_active();
        self.check_uploads();
    }

    /// Sends what the state that has just begun is about; the rows themselves do not change by it.
    fn dispatch_active(&mut self) {
        let sent = |effect: &Effect| match effect {
            Effect::Dispatch(task) => Some(*task),
            Effect::Release(_) | Effect::Ask(_) | Effect::Continue | Effect::EndOnAgents(_) => None,
        };
        let sent: BTreeSet<TaskId> = self.effects.iter().filter_map(sent).collect();
        let state = self.head.state;
        let untouched = self.job.rows.first_in(active(state), usize::MAX);
        let untouched = untouched.into_iter().filter(|task| self.is_untouched(*task));
        let touched = self.rows.values().filter(|row| row.is_active(state)).map(|row| row.task);
        let unsent = untouched.chain(touched).filter(|task| !sent.contains(task));
        let unsent: Vec<Effect> = unsent.map(Effect::Dispatch).collect();
        self.effects.extend(unsent);
    }

    fn check_uploads(&mut self) {
        let is_open = || self.count_in(SNAPSHOT) + self.count_in(SNAPSHOTTED) > 0;
        if self.head.state == State::Uploading && self.head.retaking.is_empty() && !is_open() {
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
        let named = self.job.find(partition);
        let named = named.map(|(table, found)| format!("partition {} of table {}", found.def.name, table.def.name));
        named.unwrap_or_else(|| format!("partition {partition}"))
    }
}
