//! One step of a restore. A method per state; every pair of state and event stands somewhere here.

use std::collections::BTreeMap;

use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::{BackendId, TaskId};
use tabvault_common::task::{JobEnd, TaskResult};
use tabvault_common::view::RestoreState as State;

use super::{CREATE, CREATED, DOWNLOADED, Head, Plan, RestoreJob, RestoreTransition, Row, Stage, active};
use crate::catalog::Decision;
use crate::job::rows::Counted;
use crate::job::{Answer, Ask, Effect, Event, MAX_TASK_FAILURES, backoff, kept, kept_failure};

impl RestoreJob {
    /// What `event` at the moment `now` changes, and what is to be done about it.
    #[must_use]
    pub fn step(&self, event: Event, now: Time) -> RestoreTransition {
        let mut draft = Draft::new(self, now);
        match event {
            Event::Tick => draft.on_tick(),
            Event::Cancel { by } => {
                let state = draft.head.state.as_str();
                draft.cancel(Failure::fatal(Kind::Cancelled, format!("cancelled by '{by}' in state {state}")));
            }
            Event::Answered(ask, Ok(answer)) => draft.on_answer(ask, answer),
            Event::Answered(ask, Err(failure)) => draft.on_ask_failed(ask, &failure),
            Event::Reported { task, attempt, outcome } => draft.on_report(task, attempt, outcome),
            // Whoever attaches again is sent its tasks again; all of them start over where they were.
            Event::BackendRestarted(_) => {}
            Event::BackendDead(backend) => draft.on_dead(backend),
        }
        draft.finish()
    }
}

/// The job as it will be, while a step is thought out.
struct Draft<'a> {
    job: &'a RestoreJob,
    now: Time,
    head: Head,
    plan: Option<Plan>,
    rows: BTreeMap<TaskId, Box<Row>>,
    effects: Vec<Effect>,
}

impl<'a> Draft<'a> {
    fn new(job: &'a RestoreJob, now: Time) -> Self {
        Self { job, now, head: job.head.clone(), plan: None, rows: BTreeMap::new(), effects: Vec::new() }
    }

    fn finish(self) -> RestoreTransition {
        let head = (self.head != self.job.head).then_some(self.head);
        let rows = self.rows.into_values().collect();
        RestoreTransition { head, plan: self.plan, rows, gone: Vec::new(), effects: self.effects }
    }

    /// How many rows are in the stage at `place`, without a look at those that this step leaves alone.
    fn count_in(&self, place: usize) -> usize {
        let touched = self.rows.keys().filter_map(|task| self.job.rows.get(*task));
        let before = touched.filter(|row| row.place() == place).count();
        let now = self.rows.values().filter(|row| row.place() == place).count();
        self.job.rows.count_in(place) - before + now
    }

    fn put(&mut self, row: Row) {
        let row = Box::new(row);
        self.rows.insert(row.task, row);
    }

    fn ask(&mut self, ask: Ask) {
        self.effects.push(Effect::Ask(ask));
    }

    /// Sends what the state that has just begun is about; the rows themselves do not change by it.
    fn dispatch_active(&mut self) {
        let state = self.head.state;
        let untouched = self.job.rows.first_in(active(state), usize::MAX);
        let untouched = untouched.into_iter().filter(|task| !self.rows.contains_key(task));
        let touched = self.rows.values().filter(|row| row.is_active(state)).map(|row| row.task);
        let all: Vec<Effect> = untouched.chain(touched).map(Effect::Dispatch).collect();
        self.effects.extend(all);
    }

    // -- events that mean the same in every state

    fn on_tick(&mut self) {
        let open = !self.head.state.is_final() && self.head.cancelling.is_none();
        if open && self.now >= self.job.deadline() {
            let seconds = self.head.properties.timeout.as_secs();
            let why = format!("the job took longer than its timeout of {seconds} s; set the property timeout higher");
            return self.cancel(Failure::fatal(Kind::TimedOut, why));
        }
        for ask in self.head.asking.due(self.now) {
            self.ask(ask);
        }
        if !open {
            return;
        }
        let state = self.head.state;
        let due = self.job.rows.waiting().take_while(|(at, _)| *at <= self.now).map(|(_, row)| row);
        let due = due.filter(|row| row.is_active(state)).map(|row| (row.task, row.clone()));
        for row in due.collect::<BTreeMap<TaskId, Row>>().into_values() {
            self.effects.push(Effect::Dispatch(row.task));
            self.put(Row { not_before: None, ..row });
        }
        match state {
            State::Download => {
                self.head.state = State::Downloading;
                self.dispatch_active();
                self.check_downloads();
            }
            State::Commit => {
                self.head.state = State::Committing;
                self.dispatch_active();
                self.check_adopted();
            }
            State::Pending
            | State::Snapshoting
            | State::Downloading
            | State::Committing
            | State::Finished
            | State::Cancelled => {}
        }
    }

    /// The catalog decides: a publish that was durable before stands.
    fn cancel(&mut self, why: Failure) {
        if self.head.state.is_final() || self.head.cancelling.is_some() {
            return;
        }
        self.head.asking.clear();
        self.head.cancelling = Some(kept_failure(why));
        self.ask(Ask::Discard);
    }

    fn decided(&mut self, decision: Decision) {
        let why = self.head.cancelling.take();
        self.head.asking.clear();
        self.head.finished_time = Some(self.now);
        match decision {
            Decision::Published => {
                self.head.state = State::Finished;
                self.effects.push(Effect::EndOnAgents(JobEnd::Published));
            }
            Decision::Discarded => {
                self.head.state = State::Cancelled;
                let unasked = || Failure::fatal(Kind::Cancelled, "the catalog had discarded the job's tables");
                self.head.status = Some(why.unwrap_or_else(unasked));
                self.effects.push(Effect::EndOnAgents(JobEnd::Discarded));
            }
        }
    }

    fn on_ask_failed(&mut self, ask: Ask, failure: &Failure) {
        if self.is_late(ask) {
            return;
        }
        if failure.retry == Retry::Never && ask != Ask::Discard {
            self.head.asking.answered(ask);
            return self.cancel(failure.clone());
        }
        self.head.asking.failed(ask, failure, self.now);
    }

    /// Whether the job has gone on without the answer.
    fn is_late(&self, ask: Ask) -> bool {
        if self.head.cancelling.is_some() {
            return ask != Ask::Discard || self.head.state.is_final();
        }
        !match (self.head.state, ask) {
            (State::Pending, Ask::ReadSnapshot) => !self.head.planned,
            (State::Pending, Ask::Prepare) => self.head.planned,
            (State::Committing, Ask::Publish) => self.head.publishing,
            (
                State::Pending
                | State::Snapshoting
                | State::Download
                | State::Downloading
                | State::Commit
                | State::Committing
                | State::Finished
                | State::Cancelled,
                _,
            ) => false,
        }
    }

    fn on_dead(&mut self, backend: BackendId) {
        if self.head.cancelling.is_some() {
            return;
        }
        let state = self.head.state;
        let waiting: Vec<Row> = self.job.rows.on(backend).filter(|row| row.is_active(state)).cloned().collect();
        for row in waiting {
            let error = Some(format!("backend {backend} does not answer; waiting for it"));
            self.put(Row { error, ..row });
        }
    }

    // -- answers

    fn on_answer(&mut self, ask: Ask, answer: Answer) {
        self.head.asking.answered(ask);
        if let Answer::Decided(decision) = answer {
            let asked = match ask {
                Ask::Publish => self.head.publishing,
                _ => self.head.cancelling.is_some(),
            };
            if asked && !self.head.state.is_final() {
                self.decided(decision);
            }
            return;
        }
        if self.head.cancelling.is_some() {
            return;
        }
        match (self.head.state, answer) {
            (State::Pending, Answer::Mapped(plan)) if !self.head.planned => {
                self.head.planned = true;
                self.plan = Some(*plan);
                self.ask(Ask::Prepare);
            }
            (State::Pending, Answer::Prepared(rows)) if self.head.planned => {
                self.head.state = State::Snapshoting;
                self.head.meta_prepared_time = Some(self.now);
                for row in rows {
                    self.put(row);
                }
                self.dispatch_active();
                self.check_created();
            }
            // Late answers: the job has gone on without them.
            (
                State::Pending
                | State::Snapshoting
                | State::Download
                | State::Downloading
                | State::Commit
                | State::Committing
                | State::Finished
                | State::Cancelled,
                _,
            ) => {}
        }
    }

    // -- reports

    fn on_report(&mut self, task: TaskId, attempt: u32, outcome: Result<TaskResult, Failure>) {
        let state = self.head.state;
        if self.head.cancelling.is_some() {
            return;
        }
        let current = |row: &&Row| row.attempt == attempt && row.is_active(state);
        let Some(row) = self.job.rows.get(task).filter(current).cloned() else { return };
        match (row.stage, outcome) {
            (Stage::Create, Ok(TaskResult::Done)) => {
                // Without data there is nothing to fetch: an empty tablet is whole.
                let stage = if row.manifest.is_some() { Stage::Created } else { Stage::Adopted };
                self.advance(row, stage);
                self.check_created();
            }
            (Stage::Created, Ok(TaskResult::Downloaded { .. })) => {
                self.advance(row, Stage::Downloaded);
                self.check_downloads();
            }
            (Stage::Downloaded, Ok(TaskResult::Done)) => {
                self.advance(row, Stage::Adopted);
                self.check_adopted();
            }
            (Stage::Create | Stage::Created, Err(failure)) => self.task_failed(row, &failure),
            (Stage::Downloaded, Err(failure)) if files_gone(&failure) => {
                let row = Row { stage: Stage::Created, ..row };
                self.task_failed(row, &Failure { retry: Retry::Safe, ..failure });
            }
            (Stage::Downloaded, Err(failure)) => self.task_failed(row, &failure),
            (Stage::Create | Stage::Created | Stage::Downloaded, Ok(other)) => {
                self.task_failed(row, &Failure::transient(Kind::Internal, format!("answered {other:?}")));
            }
            (Stage::Adopted, Ok(_) | Err(_)) => {}
        }
    }

    /// The row's next task is its next attempt, so that a late second answer to this one means nothing.
    fn advance(&mut self, row: Row, stage: Stage) {
        // While committing, failures count until the row is adopted: files that are fetched and lost again and again
        // must not keep the job busy until its deadline.
        let failures = if self.head.state == State::Committing { row.failures } else { 0 };
        let row = Row { stage, attempt: row.attempt + 1, failures, not_before: None, error: None, ..row };
        if row.is_active(self.head.state) {
            self.effects.push(Effect::Dispatch(row.task));
        }
        self.put(row);
    }

    fn task_failed(&mut self, mut row: Row, failure: &Failure) {
        row.failures += 1;
        if failure.retry == Retry::Never || row.failures >= MAX_TASK_FAILURES {
            return self.cancel(failure.clone().context(format!("restore on backend {}", row.backend)));
        }
        row.attempt += 1;
        row.error = Some(kept(&failure.message));
        row.not_before = Some(self.now.after(backoff(row.failures)));
        self.put(row);
    }

    // -- passing from state to state

    fn check_created(&mut self) {
        if self.head.state == State::Snapshoting && self.count_in(CREATE) == 0 {
            self.head.state = State::Download;
            self.head.snapshot_finished_time = Some(self.now);
            self.effects.push(Effect::Continue);
        }
    }

    fn check_downloads(&mut self) {
        let is_open = || self.count_in(CREATE) + self.count_in(CREATED) > 0;
        if self.head.state == State::Downloading && !is_open() {
            self.head.state = State::Commit;
            self.head.download_finished_time = Some(self.now);
            self.effects.push(Effect::Continue);
        }
    }

    fn check_adopted(&mut self) {
        let is_open = || [CREATE, CREATED, DOWNLOADED].iter().any(|place| self.count_in(*place) > 0);
        if self.head.state == State::Committing && !self.head.publishing && !is_open() {
            self.head.publishing = true;
            self.ask(Ask::Publish);
        }
    }
}

/// Whether an adopt failed because its downloads are not there (any more): they are fetched again.
fn files_gone(failure: &Failure) -> bool {
    matches!(failure.kind, Kind::NotFound | Kind::FailedPrecondition)
}
