#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, JobId, JobUuid, TaskId};
use tabvault_common::request::{BackupRequest, RestoreRequest, Selection};
use tabvault_common::task::JobEnd;
use tabvault_common::view::BackupState;
use uuid::Uuid;

use super::broken::{BrokenStore, Fault};
use super::{Batch, Claim, Records, Request};
use crate::job::any::{Job, JobTransition};
use crate::job::backup::{self, BackupJob, BackupTransition, Row, Stage};
use crate::job::restore::RestoreJob;
use crate::job::{Throughput, samples};
use crate::store::JobStore;

mod claims;
mod crashes;

fn asked(database: &str) -> Request {
    Request::Backup(BackupRequest { database: database.into(), ..samples::backup_request() })
}

fn asked_restore() -> Request {
    Request::Restore(RestoreRequest {
        database: "shop".into(),
        into: None,
        label: "nightly".into(),
        repository: "repo".into(),
        selection: Selection::All,
        properties: BTreeMap::new(),
    })
}

fn backup_of(database: &str, label: &str) -> impl Fn(JobId) -> Job + Send + Sync {
    move |id| {
        let mut head = backup::Head { id, database: database.into(), ..samples::backup_head() };
        head.uuid = JobUuid(Uuid::from_u128(u128::from(id.0)));
        head.label = label.parse().unwrap();
        Job::Backup(Box::new(BackupJob::new(head)))
    }
}

fn restore_into(database: &str) -> impl Fn(JobId) -> Job + Send + Sync {
    move |id| {
        let mut head = samples::restore_head();
        head.id = id;
        head.database = database.into();
        Job::Restore(Box::new(RestoreJob::new(head)))
    }
}

async fn lead(store: &Arc<BrokenStore>) -> Records {
    let epoch = store.lead().await.unwrap();
    let records = Records::new(store.clone(), epoch);
    records.sweep().await.unwrap();
    records
}

async fn create(records: &Records, build: impl Fn(JobId) -> Job + Send + Sync) -> Job {
    let (claim, job) = records.create(&asked("shop"), build).await.unwrap();
    assert_eq!(claim, Claim::Stored);
    job.unwrap()
}

fn backup(job: &Job) -> &BackupJob {
    match job {
        Job::Backup(job) => job,
        Job::Restore(_) => panic!("it is a restore"),
    }
}

fn numbered(task: u64) -> Row {
    Row { task: TaskId(task), ..samples::rows()[0].clone() }
}

fn transition() -> BackupTransition {
    BackupTransition { head: None, plan: None, rows: Vec::new(), gone: Vec::new(), effects: Vec::new() }
}

/// The step by which a backup gets a plan of `rows` rows.
fn planning(job: &Job, rows: u64) -> JobTransition {
    let head = backup::Head { planned: true, next_task: rows + 1, ..backup(job).head.clone() };
    let plan = Some(samples::plan());
    JobTransition::Backup(BackupTransition {
        head: Some(head),
        plan,
        rows: (1..=rows).map(numbered).map(Box::new).collect(),
        ..transition()
    })
}

/// A step by which all rows of a backup move to other tasks, as when a backend dies.
fn moving(job: &Job) -> JobTransition {
    let job = backup(job);
    let gone: Vec<TaskId> = job.rows.keys().collect();
    let count = gone.len() as u64;
    let first = job.head.next_task;
    let head = backup::Head { next_task: first + count, state: BackupState::Snapshoting, ..job.head.clone() };
    let moved = |task| Box::new(Row { backend: BackendId(3), ..numbered(task) });
    let rows = (first..first + count).map(moved).collect();
    JobTransition::Backup(BackupTransition { head: Some(head), rows, gone, ..transition() })
}

fn ending(job: &Job, state: BackupState) -> JobTransition {
    let head = backup::Head { state, ..backup(job).head.clone() };
    JobTransition::Backup(BackupTransition { head: Some(head), ..transition() })
}

async fn step(records: &Records, job: &mut Job, transition: &JobTransition) {
    *job = save(records, job, transition).await.unwrap();
}

/// Stores what a step makes of the job, which it answers with.
async fn save(records: &Records, job: &Job, transition: &JobTransition) -> Result<Job, Failure> {
    let mut after = job.clone();
    let mut batch = Batch::of(job);
    batch.take(&mut after, transition.clone());
    records.save(&batch, &after).await?;
    Ok(after)
}

/// The job after a step, wherever it is stored.
fn after(job: &Job, transition: &JobTransition) -> Job {
    let mut after = job.clone();
    after.apply(transition.clone());
    after
}

#[tokio::test]
async fn jobs_are_numbered_and_come_back_as_they_were_stored() {
    let store = BrokenStore::new();
    let records = lead(&store).await;
    let mut job = create(&records, backup_of("shop", "nightly")).await;
    assert_eq!(job.id(), JobId(10_001));
    assert_eq!(records.request(job.id()).await.unwrap(), asked("shop"));
    assert_eq!(records.running().await.unwrap(), [job.clone()]);
    let planned = planning(&job, 3);
    step(&records, &mut job, &planned).await;
    let row = Row { stage: Stage::Uploaded(samples::manifest(1)), error: Some("x".into()), ..numbered(2) };
    let changed =
        JobTransition::Backup(BackupTransition { rows: vec![Box::new(row)], gone: vec![TaskId(1)], ..transition() });
    step(&records, &mut job, &changed).await;
    let (claim, other) = records.create(&asked_restore(), restore_into("other")).await.unwrap();
    assert_eq!(claim, Claim::Stored);
    let other = other.unwrap();
    assert_eq!(other.id(), JobId(10_002));
    assert_eq!(records.request(other.id()).await.unwrap(), asked_restore());
    assert_eq!(lead(&store).await.running().await.unwrap(), [job, other]);
}

#[tokio::test]
async fn a_step_without_changes_writes_nothing() {
    let store = BrokenStore::new();
    let records = lead(&store).await;
    let job = create(&records, backup_of("shop", "nightly")).await;
    let before = store.commits();
    save(&records, &job, &JobTransition::Backup(transition())).await.unwrap();
    assert_eq!(store.commits(), before);
}

#[tokio::test]
async fn a_step_of_any_size_is_stored() {
    for rows in [1, 120, 124, 125, 128, 129, 1000] {
        let store = BrokenStore::new();
        let records = lead(&store).await;
        let mut job = create(&records, backup_of("shop", "nightly")).await;
        let planned = planning(&job, rows);
        step(&records, &mut job, &planned).await;
        assert_eq!(records.running().await.unwrap(), [job.clone()]);
        let moved = moving(&job);
        step(&records, &mut job, &moved).await;
        assert_eq!(backup(&job).rows.len() as u64, rows);
        assert_eq!(lead(&store).await.running().await.unwrap(), [job]);
        assert!(!store.keys().await.iter().any(|key| key.contains("/step")), "nothing is left of it");
    }
}

#[tokio::test]
async fn a_step_of_heavy_rows_is_cut_by_its_bytes() {
    let store = BrokenStore::new();
    let records = lead(&store).await;
    let mut job = create(&records, backup_of("shop", "nightly")).await;
    let heavy = |task| Row { error: Some("x".repeat(60_000)), ..numbered(task) };
    let head = backup::Head { planned: true, next_task: 101, ..backup(&job).head.clone() };
    let rows = (1..=100).map(heavy).map(Box::new).collect();
    let planned =
        JobTransition::Backup(BackupTransition { head: Some(head), plan: Some(samples::plan()), rows, ..transition() });
    let before = store.commits();
    step(&records, &mut job, &planned).await;
    assert!(store.commits() - before >= 6, "6 MB in pieces of at most 1 MiB");
    assert_eq!(records.running().await.unwrap(), [job]);
}

#[tokio::test]
async fn a_stale_coordinator_writes_nothing() {
    let store = BrokenStore::new();
    let stale = lead(&store).await;
    let job = create(&stale, backup_of("shop", "nightly")).await;
    let records = lead(&store).await;
    let refusal = save(&stale, &job, &planning(&job, 200)).await.unwrap_err();
    assert_eq!(refusal.kind, Kind::Stale);
    assert_eq!(stale.create(&asked("b"), backup_of("b", "b")).await.unwrap_err().kind, Kind::Stale);
    assert_eq!(records.running().await.unwrap(), [job]);
}

#[tokio::test]
async fn an_ended_job_moves_into_the_history_of_which_the_newest_stay() {
    let store = BrokenStore::new();
    let records = lead(&store).await;
    for round in 0..4_u64 {
        let mut job = create(&records, backup_of("shop", "nightly")).await;
        let planned = planning(&job, 150);
        step(&records, &mut job, &planned).await;
        let end = ending(&job, BackupState::Finished);
        step(&records, &mut job, &end).await;
        records.archive(&job.view(&Throughput::default()), 2).await.unwrap();
        assert_eq!(records.ended(job.uuid()).await.unwrap(), Some(JobEnd::Published));
        assert_eq!(records.running().await.unwrap(), []);
        let kept: Vec<u64> = records.history().await.unwrap().iter().map(|view| view.id.0).collect();
        let last = 10_001 + round;
        assert_eq!(kept, (last.saturating_sub(1).max(10_001)..=last).collect::<Vec<_>>());
    }
    assert!(!store.keys().await.iter().any(|key| key.starts_with("job/")));
    let mut other = create(&records, restore_into("shop")).await;
    let Job::Restore(restore) = &mut other else { panic!("it is a backup") };
    restore.head.state = tabvault_common::view::RestoreState::Finished;
    records.archive(&other.view(&Throughput::default()), 2).await.unwrap();
    assert_eq!(records.history().await.unwrap().len(), 3, "each kind has its own history");
}
