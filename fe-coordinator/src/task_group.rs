//! Runs a fixed set of tasks to their end, for what is answered while the caller waits: loads and exports.
//!
//! # Crash consistency
//! Nothing is stored. After a crash of the coordinator the agents' work is worth nothing, and whoever asked asks again.

use std::collections::BTreeMap;
use std::sync::Arc;

use tabvault_common::clock::Clock;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::{BackendId, JobUuid, TaskId};
use tabvault_common::task::{Task, TaskBody, TaskKey, TaskResult};
use tokio::sync::mpsc;

use crate::agents::{Agents, TaskEvent};
use crate::job::backoff;

/// How often a task may fail.
const MAX_FAILURES: u32 = 7;

/// How much sooner than a job's task one is tried again for which somebody waits.
const HASTE: u32 = 8;

/// A set of tasks under one name.
#[derive(Debug)]
pub(crate) struct TaskGroup {
    agents: Arc<Agents>,
    clock: Arc<dyn Clock>,
    job: JobUuid,
    inbox: mpsc::Receiver<TaskEvent>,
    next: u64,
}

struct Member {
    backend: BackendId,
    body: TaskBody,
    attempt: u32,
    result: Option<TaskResult>,
}

impl TaskGroup {
    /// A group that gets the events of `job`.
    pub(crate) fn new(agents: Arc<Agents>, clock: Arc<dyn Clock>, job: JobUuid) -> Self {
        let (events, inbox) = mpsc::channel(256);
        agents.register(job, events);
        Self { agents, clock, job, inbox, next: 1 }
    }

    /// Runs the tasks side by side and answers with their results in the given order.
    ///
    /// # Errors
    /// The first failure that trying again does not mend, with the backend it came from; what the other tasks have done
    /// stays done.
    pub(crate) async fn run(&mut self, tasks: Vec<(BackendId, TaskBody)>) -> Result<Vec<TaskResult>, Failure> {
        let first = self.next;
        self.next += tasks.len() as u64;
        if let Some((dead, _)) = tasks.iter().find(|(backend, _)| !self.agents.is_alive(*backend)) {
            return Err(silent(*dead));
        }
        let new = |(n, (backend, body))| (TaskId(n), Member { backend, body, attempt: 1, result: None });
        let mut members: BTreeMap<TaskId, Member> = (first..).zip(tasks).map(new).collect();
        for (task, member) in &members {
            self.agents.dispatch(member.backend, self.job, *task);
        }
        while members.values().any(|member| member.result.is_none()) {
            let Some(event) = self.inbox.recv().await else {
                return Err(Failure::transient(Kind::Cancelled, "the coordinator stops"));
            };
            self.take(&mut members, event).await?;
        }
        Ok(members.into_values().filter_map(|member| member.result).collect())
    }

    async fn take(&self, members: &mut BTreeMap<TaskId, Member>, event: TaskEvent) -> Result<(), Failure> {
        match event {
            TaskEvent::Wanted(backend, task) => {
                match members.get(&task) {
                    Some(member) => {
                        let key = TaskKey { job: self.job, task, attempt: member.attempt };
                        let task = Task { key, epoch: self.agents.epoch(), body: member.body.clone() };
                        self.agents.deliver(member.backend, task);
                    }
                    None => self.agents.forget(backend, self.job, task),
                }
                Ok(())
            }
            TaskEvent::Reported(report, stored) => {
                let _ = stored.send(());
                let Some(member) = members.get_mut(&report.key.task) else { return Ok(()) };
                if member.attempt != report.key.attempt || member.result.is_some() {
                    return Ok(());
                }
                match report.outcome {
                    Ok(result) => member.result = Some(result),
                    Err(failure) if failure.retry == Retry::Never || member.attempt >= MAX_FAILURES => {
                        return Err(failure.context(format!("backend {}", member.backend)));
                    }
                    Err(failure) => {
                        tracing::warn!(task = %report.key, kind = failure.kind.as_str(), "task failed: {failure}");
                        self.clock.sleep(backoff(member.attempt) / HASTE).await;
                        member.attempt += 1;
                        self.agents.dispatch(member.backend, self.job, report.key.task);
                    }
                }
                Ok(())
            }
            TaskEvent::Progress(_) => Ok(()),
            TaskEvent::Restarted(backend, stored) => {
                let _ = stored.send(());
                let lost = |(_, member): &(_, &mut Member)| member.backend == backend && member.result.is_none();
                for (task, member) in members.iter_mut().filter(lost) {
                    member.attempt += 1;
                    // Again, even if it counts as sent: a late report of the former process may take it from there.
                    self.agents.dispatch(backend, self.job, *task);
                }
                Ok(())
            }
            TaskEvent::Dead(backend) => {
                let waiting = members.values().any(|member| member.backend == backend && member.result.is_none());
                // It may have come back since this was said.
                if waiting && !self.agents.is_alive(backend) { Err(silent(backend)) } else { Ok(()) }
            }
        }
    }
}

fn silent(backend: BackendId) -> Failure {
    let why = format!("backend {backend} does not answer: try again when SHOW BACKENDS says that it is alive");
    Failure::transient(Kind::Unreachable, why)
}
