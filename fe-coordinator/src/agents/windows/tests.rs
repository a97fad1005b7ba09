#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use tabvault_common::clock::{ManualClock, Time};
use tabvault_common::ids::{AgentUuid, BackendId, ClusterId, Epoch, JobUuid, TaskId};
use tabvault_common::task::{DropTablets, Task, TaskBody, TaskKey, TaskReport, TaskResult};
use tabvault_proto::session::{Heartbeat, Hello};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::LOOKS;
use crate::agents::{Agents, TaskEvent, ToAgent};
use crate::store::{JobStore, MemoryStore};
use crate::task_group::TaskGroup;

const PATIENCE: Duration = Duration::from_secs(30);

struct Bench {
    agents: Arc<Agents>,
    clock: ManualClock,
    hello: Hello,
    backend: BackendId,
}

impl Bench {
    async fn new() -> Self {
        let (clock, store) = (ManualClock::new(Time(0)), Arc::new(MemoryStore::new()));
        let (epoch, cluster) = (store.lead().await.unwrap(), ClusterId::random());
        let agents = Agents::load(store, Arc::new(clock.clone()), cluster, epoch, PATIENCE).await.unwrap();
        let hello = Hello {
            agent: AgentUuid::random(),
            incarnation: Uuid::new_v4(),
            cluster: None,
            highest_epoch: Epoch(0),
            backend: None,
            host: "host".to_owned(),
            version: "1".to_owned(),
            state: Heartbeat::default(),
        };
        let backend = agents.attach(&hello).await.unwrap().backend;
        Self { agents, clock, hello, backend }
    }

    /// Nothing is heard until the patience has come to its end.
    async fn silence(&self) {
        for _ in 0..=LOOKS {
            self.clock.advance(PATIENCE / LOOKS);
            self.agents.check_silence().await;
        }
    }

    fn job(&self) -> (JobUuid, mpsc::Receiver<TaskEvent>) {
        let (job, (events, inbox)) = (JobUuid::random(), mpsc::channel(16));
        self.agents.register(job, events);
        (job, inbox)
    }

    fn deliver(&self, job: JobUuid, attempt: u32) {
        let key = TaskKey { job, task: TaskId(1), attempt };
        let body = TaskBody::DropTablets(DropTablets { tablets: Vec::new() });
        self.agents.deliver(self.backend, Task { key, epoch: self.agents.epoch(), body });
    }

    fn report(&self, job: JobUuid, attempt: u32) -> tokio::task::JoinHandle<()> {
        let key = TaskKey { job, task: TaskId(1), attempt };
        let (agents, backend) = (self.agents.clone(), self.backend);
        let report = TaskReport { key, outcome: Ok(TaskResult::Done) };
        tokio::spawn(async move { agents.reported(backend, report).await })
    }
}

async fn stored(inbox: &mut mpsc::Receiver<TaskEvent>) -> tokio::sync::oneshot::Sender<()> {
    match inbox.recv().await.unwrap() {
        TaskEvent::Reported(_, stored) => stored,
        other => panic!("{other:?} instead of a report"),
    }
}

#[tokio::test]
async fn a_late_report_of_an_earlier_attempt_does_not_keep_the_later_one_from_being_sent_again() {
    let bench = Bench::new().await;
    let (job, mut inbox) = bench.job();
    for (reported, again) in [(1, true), (2, false)] {
        bench.agents.dispatch(bench.backend, job, TaskId(1));
        bench.agents.fill_window(bench.backend).await;
        assert!(matches!(inbox.recv().await, Some(TaskEvent::Wanted(backend, TaskId(1))) if backend == bench.backend));
        bench.deliver(job, 2);
        let report = bench.report(job, reported);
        stored(&mut inbox).await.send(()).unwrap();
        report.await.unwrap();
        bench.agents.attach(&bench.hello).await.unwrap();
        bench.agents.fill_window(bench.backend).await;
        assert_eq!(inbox.try_recv().is_ok(), again, "after a report of attempt {reported}");
    }
}

#[tokio::test]
async fn a_backend_whose_report_is_being_stored_is_not_silent() {
    let bench = Bench::new().await;
    let (job, mut inbox) = bench.job();
    let report = bench.report(job, 1);
    let stored = stored(&mut inbox).await;
    bench.silence().await;
    assert!(bench.agents.is_alive(bench.backend));
    stored.send(()).unwrap();
    report.await.unwrap();
    bench.agents.check_silence().await;
    assert!(bench.agents.is_alive(bench.backend), "it had no chance to be heard meanwhile");
    bench.silence().await;
    assert!(!bench.agents.is_alive(bench.backend));
}

#[tokio::test]
async fn a_coordinator_that_stood_still_itself_takes_nobody_for_dead() {
    let bench = Bench::new().await;
    for _ in 0..3 * LOOKS {
        bench.clock.advance(PATIENCE * 2);
        bench.agents.check_silence().await;
        assert!(bench.agents.is_alive(bench.backend), "what it said meanwhile is heard now");
        bench.agents.heartbeat(bench.backend, Heartbeat::default());
    }
    bench.silence().await;
    assert!(!bench.agents.is_alive(bench.backend));
}

#[tokio::test]
async fn a_job_that_begins_hears_which_backends_do_not_answer() {
    let bench = Bench::new().await;
    bench.silence().await;
    let (_, mut inbox) = bench.job();
    assert!(matches!(inbox.try_recv(), Ok(TaskEvent::Dead(backend)) if backend == bench.backend));
    drop(inbox);
    bench.agents.attach(&bench.hello).await.unwrap();
    let (_, mut inbox) = bench.job();
    assert!(inbox.try_recv().is_err());
}

/// The process behind a load's task is replaced: while another job keeps the new one waiting, the report of the former
/// one comes in.
#[tokio::test]
async fn a_late_report_of_a_process_that_is_gone_does_not_answer_for_the_next_one() {
    // The other job or the load may be told first.
    for _ in 0..8 {
        let mut bench = Bench::new().await;
        let mut stream = bench.agents.attach(&bench.hello).await.unwrap().receiver;
        let load = JobUuid::random();
        let mut group = TaskGroup::new(bench.agents.clone(), Arc::new(bench.clock.clone()), load);
        let (agents, backend) = (bench.agents.clone(), bench.backend);
        let pump = tokio::spawn(async move { agents.run().await });
        let body = TaskBody::DropTablets(DropTablets { tablets: Vec::new() });
        let mut running = tokio::spawn(async move { group.run(vec![(backend, body)]).await });
        assert_eq!(attempt(&mut stream).await, 1);

        let (_, mut busy) = bench.job();
        bench.hello.incarnation = Uuid::new_v4();
        let (agents, hello) = (bench.agents.clone(), bench.hello.clone());
        let attaching = tokio::spawn(async move { agents.attach(&hello).await });
        let TaskEvent::Restarted(_, heard) = busy.recv().await.unwrap() else { panic!("not a restart") };
        bench.report(load, 1).await.unwrap();
        heard.send(()).unwrap();
        let mut stream = attaching.await.unwrap().unwrap().receiver;
        let ended = async {
            tokio::select! {
                ended = &mut running => ended,
                attempt = attempt(&mut stream) => {
                    bench.report(load, attempt).await.unwrap();
                    running.await
                }
            }
        };
        // Only so that a failure ends.
        assert!(tokio::time::timeout(Duration::from_mins(1), ended).await.unwrap().unwrap().is_ok());
        pump.abort();
    }
}

/// Which attempt the next task on a stream is.
async fn attempt(stream: &mut mpsc::UnboundedReceiver<ToAgent>) -> u32 {
    loop {
        if let ToAgent::Task(task) = stream.recv().await.unwrap() {
            return task.key.attempt;
        }
    }
}
