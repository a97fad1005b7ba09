#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tabvault_common::clock::{Clock, ManualClock, Time};
use tabvault_common::ids::{AgentUuid, BackendId, Epoch, JobId, TaskId};
use tabvault_common::request::CancelRequest;
use tabvault_common::task::{TaskKey, TaskReport, TaskResult};
use tabvault_common::view::{BackupState, JobKind};
use tabvault_proto::session::{Heartbeat, Hello};
use uuid::Uuid;

use crate::coordinator::samples::coordinator;
use crate::job::any::{Job, JobTransition};
use crate::job::backup::{self, BackupJob, BackupTransition, Row, Stage};
use crate::job::samples;
use crate::records::broken::BrokenStore;
use crate::records::{Batch, Records, Request};
use crate::repository::RepositoryRecord;
use crate::store::{JobStore, Transaction};

/// A store with a backup in UPLOADING of so many tasks, all on one backend.
async fn uploading(rows: u64) -> Arc<BrokenStore> {
    let store = BrokenStore::new();
    let records = Records::new(store.clone(), store.lead().await.unwrap());
    let asked = Request::Backup(samples::backup_request());
    let build = |id: JobId| Job::Backup(Box::new(BackupJob::new(backup::Head { id, ..samples::backup_head() })));
    let mut job = records.create(&asked, build).await.unwrap().1.unwrap();
    let Job::Backup(backup) = &job else { panic!("it is a restore") };
    let head = backup::Head {
        chosen: true,
        planned: true,
        next_task: rows + 1,
        state: BackupState::Uploading,
        ..backup.head.clone()
    };
    let row = |task| Row { task: TaskId(task), stage: Stage::Snapshotted, ..samples::rows()[0].clone() };
    let planned = BackupTransition {
        head: Some(head),
        plan: Some(samples::plan()),
        rows: (1..=rows).map(row).map(Box::new).collect(),
        gone: Vec::new(),
        effects: Vec::new(),
    };
    let mut batch = Batch::of(&job);
    batch.take(&mut job, JobTransition::Backup(planned));
    records.save(&batch, &job).await.unwrap();
    store
}

fn hello(backend: Option<BackendId>) -> Hello {
    Hello {
        agent: AgentUuid::random(),
        incarnation: Uuid::new_v4(),
        cluster: None,
        highest_epoch: Epoch(0),
        backend,
        host: "host1".to_owned(),
        version: "1".to_owned(),
        state: Heartbeat::default(),
    }
}

fn report(task: u64) -> TaskReport {
    let key = TaskKey { job: samples::uuid(), task: TaskId(task), attempt: samples::rows()[0].attempt };
    TaskReport { key, outcome: Ok(TaskResult::Uploaded { manifest: samples::manifest(task) }) }
}

#[tokio::test]
async fn reports_that_wait_together_are_stored_by_one_commit_before_any_is_acknowledged() {
    let store = uploading(300).await;
    let dir = tempfile::tempdir().unwrap();
    let coordinator = coordinator(store.clone(), dir.path(), Arc::new(ManualClock::new(samples::START))).await;
    let attachment = coordinator.agents().attach(&hello(None)).await.unwrap();
    let agents = coordinator.agents();
    let before = store.commits();
    // Nothing else runs on this thread until all of them have been sent.
    join_all((1..=90).map(|task| agents.reported(attachment.backend, report(task)))).await;
    assert_eq!(store.commits() - before, 1);
    let stored = Records::new(store.clone(), Epoch(0)).running().await.unwrap();
    let Job::Backup(job) = &stored[0] else { panic!("it is a restore") };
    assert_eq!(job.rows.values().filter(|row| row.is_done()).count(), 90, "acknowledged is stored");
    assert!(job.rows.values().all(|row| row.backend == BackendId(1)));

    // More than fit into one transaction take more, still few.
    let before = store.commits();
    join_all((91..=290).map(|task| agents.reported(attachment.backend, report(task)))).await;
    let commits = store.commits() - before;
    assert!((2..=5).contains(&commits), "{commits} commits");
}

/// A clock that counts how often somebody looks at it.
#[derive(Debug, Clone)]
struct Looked(ManualClock, Arc<AtomicUsize>);

#[async_trait::async_trait]
impl Clock for Looked {
    fn now(&self) -> Time {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.now()
    }

    async fn sleep(&self, span: Duration) {
        self.0.sleep(span).await;
    }
}

/// All that can happen now has happened.
async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_cancelled_backup_waits_for_a_repository_that_is_out_of_reach_and_its_intent_is_not_forgotten() {
    let store = uploading(4).await;
    // It goes through brokers that somebody has dropped.
    let record = RepositoryRecord {
        id: 1,
        name: "repo".to_owned(),
        uuid: Uuid::new_v4(),
        location: "s3://bucket/prefix".to_owned(),
        properties: Default::default(),
        broker: Some("gone".to_owned()),
        read_only: false,
        conditional_writes: true,
        create_time: Time(0),
        notice: None,
        settings: Default::default(),
    };
    let put = vec![("repository/repo".to_owned(), serde_json::to_vec(&record).unwrap().into())];
    let transaction = Transaction { put, ..Transaction::default() };
    store.commit(store.lead().await.unwrap(), transaction).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let clock = Looked(ManualClock::new(samples::START), Arc::default());
    let coordinator = coordinator(store.clone(), dir.path(), Arc::new(clock.clone())).await;
    let attachment = coordinator.agents().attach(&hello(Some(BackendId(1)))).await.unwrap();
    settle().await;
    let rows = |job: &Job| match job {
        Job::Backup(job) => job.rows.values().map(|row| (row.stage.clone(), row.failures)).collect::<Vec<_>>(),
        Job::Restore(_) => panic!("it is a restore"),
    };
    let stored = || async { Records::new(store.clone(), Epoch(0)).running().await.unwrap() };
    assert_eq!(rows(&stored().await[0]), vec![(Stage::Snapshotted, 1); 4], "the snapshots are there as they were");
    drop(attachment);

    let wish = CancelRequest { kind: JobKind::Backup, database: "shop".into(), label: None };
    coordinator.cancel(&wish, "root").await.unwrap();
    settle().await;
    let looks = clock.1.load(Ordering::Relaxed);
    settle().await;
    assert_eq!(clock.1.load(Ordering::Relaxed), looks, "nothing happens, and nobody looks whether it does");
    match &stored().await[0] {
        Job::Backup(job) => assert_eq!((job.head.state, job.head.unclean), (BackupState::Cancelled, true)),
        Job::Restore(_) => panic!("it is a restore"),
    }
}
