#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use futures::future::join_all;
use tabvault_broker::open::Options;
use tabvault_broker::remote::Connection;
use tabvault_common::clock::ManualClock;
use tabvault_common::ids::{AgentUuid, BackendId, Epoch, JobId, TaskId};
use tabvault_common::request::{BackupRequest, Selection};
use tabvault_common::task::{TaskKey, TaskReport, TaskResult};
use tabvault_common::view::BackupState;
use tabvault_proto::session::{Heartbeat, Hello};
use uuid::Uuid;

use crate::auth::Open;
use crate::catalog::LocalCatalog;
use crate::coordinator::{Config, Coordinator, Parts};
use crate::job::any::{Job, JobTransition};
use crate::job::backup::{self, BackupJob, BackupTransition, Row, Stage};
use crate::job::samples;
use crate::records::broken::BrokenStore;
use crate::records::{Batch, Records, Request};
use crate::store::{JobStore, SharedDb};

/// A store with a backup in UPLOADING of so many tasks, all on one backend.
async fn uploading(rows: u64) -> Arc<BrokenStore> {
    let store = BrokenStore::new();
    let records = Records::new(store.clone(), store.lead().await.unwrap());
    let asked = Request::Backup(BackupRequest {
        database: "shop".into(),
        label: "nightly".into(),
        repository: "repo".into(),
        selection: Selection::All,
        properties: Default::default(),
    });
    let build = |id: JobId| Job::Backup(Box::new(BackupJob::new(backup::Head { id, ..samples::backup_head() })));
    let mut job = records.create(&asked, build).await.unwrap().1.unwrap();
    let Job::Backup(backup) = &job else { panic!("it is a restore") };
    let head =
        backup::Head { planned: true, next_task: rows + 1, state: BackupState::Uploading, ..backup.head.clone() };
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

async fn coordinator(store: Arc<BrokenStore>, dir: &tempfile::TempDir) -> Coordinator {
    let clock = Arc::new(ManualClock::new(samples::START));
    let catalog = LocalCatalog::open(&SharedDb::open(dir.path()).unwrap(), clock.clone()).unwrap();
    let parts = Parts {
        store,
        catalog: Arc::new(catalog),
        local: None,
        opener: Arc::new(Options { memory: true, clock: clock.clone(), ..Options::default() }),
        brokers: Connection::default(),
        clock,
        authorizer: Arc::new(Open),
        users: None,
    };
    Coordinator::start(Config::default(), parts).await.unwrap()
}

fn report(task: u64) -> TaskReport {
    let key = TaskKey { job: samples::uuid(), task: TaskId(task), attempt: samples::rows()[0].attempt };
    TaskReport { key, outcome: Ok(TaskResult::Uploaded { manifest: samples::manifest(task) }) }
}

#[tokio::test]
async fn reports_that_wait_together_are_stored_by_one_commit_before_any_is_acknowledged() {
    let store = uploading(300).await;
    let dir = tempfile::tempdir().unwrap();
    let coordinator = coordinator(store.clone(), &dir).await;
    let hello = Hello {
        agent: AgentUuid::random(),
        incarnation: Uuid::new_v4(),
        cluster: None,
        highest_epoch: Epoch(0),
        backend: None,
        host: "host1".to_owned(),
        version: "1".to_owned(),
        state: Heartbeat::default(),
    };
    let attachment = coordinator.agents().attach(&hello).await.unwrap();
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
