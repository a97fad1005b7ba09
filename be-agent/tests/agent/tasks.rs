//! Which attempt runs, and what each kind of task answers.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use tabvault_be_agent::load::LoadStore;
use tabvault_be_agent::memory::Memory;
use tabvault_be_agent::progress::Progress;
use tabvault_be_agent::store::Result;
use tabvault_common::failure::{Kind, Retry};
use tabvault_common::ids::{JobUuid, SchemaHash, TabletId, Version};
use tabvault_common::task::{
    DropTablets, Export, ExportStep, Load, LoadedTablet, MakeSnapshot, TabletTotals, TabletVersion, TaskBody,
    TaskResult,
};

use crate::cluster::{Cluster, VERSION, at, create, done, key, noise, snapshot, task};
use crate::coordinator::soon;
use crate::store::GENERATED;

const TABLET: TabletId = TabletId(1);

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_runs_is_not_begun_again_and_one_that_is_done_answers_again() {
    let (cluster, mut stream) = Cluster::start().await;
    let job = JobUuid::random();
    cluster.store.fill(TABLET, VERSION, &BTreeMap::new());
    cluster.store.hold_pins();
    let first = snapshot(key(job, 1, 1), &[TABLET]);
    stream.task(&first).await;
    stream.task(&first).await;
    soon("the pin", cluster.store.pinned_more_than(0)).await;
    stream.task(&first).await;
    cluster.store.let_pins_go();
    let report = stream.report().await;
    stream.task(&first).await;
    assert_eq!(stream.report().await, report);
    assert_eq!(cluster.store.pins.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_attempt_waits_until_the_lower_has_stopped_and_takes_its_place() {
    let (cluster, mut stream) = Cluster::start().await;
    let job = JobUuid::random();
    cluster.store.fill(TABLET, VERSION, &BTreeMap::new());
    cluster.store.hold_pins();
    stream.task(&snapshot(key(job, 1, 1), &[TABLET])).await;
    soon("the pin", cluster.store.pinned_more_than(0)).await;
    stream.task(&snapshot(key(job, 1, 2), &[TABLET])).await;
    // Another job's task gets through meanwhile, so the second attempt had its chance.
    done(stream.run(&create(key(JobUuid::random(), 1, 1), TabletId(9), None)).await);
    assert_eq!(cluster.store.pins.load(Ordering::SeqCst), 1, "two attempts ran at once");
    cluster.store.let_pins_go();
    let report = stream.report().await;
    assert_eq!(report.key, key(job, 1, 2));

    // Now the first attempt comes late.
    stream.task(&snapshot(key(job, 1, 1), &[TABLET])).await;
    assert_eq!(stream.run(&snapshot(key(job, 2, 1), &[TABLET])).await.key.task.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_store_is_a_failure_of_that_tablet_alone() {
    let (cluster, mut stream) = Cluster::start().await;
    let job = JobUuid::random();
    cluster.store.fill(TABLET, VERSION, &BTreeMap::new());
    cluster.store.panics.lock().unwrap().insert(TABLET);
    let TaskResult::Snapshotted { failed, .. } = done(stream.run(&snapshot(key(job, 1, 1), &[TABLET])).await) else {
        panic!("not a snapshot");
    };
    assert_eq!(failed[0].1.kind, Kind::Internal);
    assert!(failed[0].1.message.contains("told to panic"), "{}", failed[0].1);
    cluster.store.panics.lock().unwrap().clear();
    done(stream.run(&snapshot(key(job, 1, 2), &[TABLET])).await);
}

#[derive(Debug)]
struct PanickingLoads;

#[async_trait]
impl LoadStore for PanickingLoads {
    async fn load(&self, _: JobUuid, _: &Load, _: &Arc<Progress>, _: &Memory) -> Result<Vec<LoadedTablet>> {
        panic!("told to panic")
    }

    async fn export(&self, _: JobUuid, _: &Export, _: &Arc<Progress>, _: &Memory) -> Result<(u64, u64)> {
        Ok((0, 0))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_task_is_its_failure_and_the_agent_goes_on() {
    let (mut cluster, _stream) = Cluster::start().await;
    cluster.stop_agent().await;
    cluster.loads = Some(Arc::new(PanickingLoads));
    let mut stream = cluster.start_agent().await;
    let load = Load { source: cluster.repository(), version: VERSION, buckets: 1, tablets: Vec::new() };
    let failure = stream.run(&task(key(JobUuid::random(), 1, 1), TaskBody::Load(load))).await.outcome.unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Internal, Retry::Safe));
    assert!(failure.message.contains("told to panic"), "{failure}");
    let export = Export { target: cluster.repository(), step: ExportStep::Write, tablets: Vec::new() };
    let exported = done(stream.run(&task(key(JobUuid::random(), 1, 1), TaskBody::Export(export))).await);
    assert_eq!(exported, TaskResult::Exported { files: 0, bytes: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tasks_than_may_wait_are_refused_as_busy() {
    let (cluster, mut stream) = Cluster::with(|config| config.max_tasks = 1).await;
    let job = JobUuid::random();
    cluster.store.fill(TABLET, VERSION, &BTreeMap::new());
    cluster.store.hold_pins();
    stream.task(&snapshot(key(job, 1, 1), &[TABLET])).await;
    soon("the pin", cluster.store.pinned_more_than(0)).await;
    let failure = stream.run(&snapshot(key(job, 2, 1), &[TABLET])).await.outcome.unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Busy, Retry::Safe));
    cluster.store.let_pins_go();
    done(stream.report().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_links_files_and_gives_the_same_answer_again() {
    let (cluster, mut stream) = Cluster::start().await;
    let job = JobUuid::random();
    cluster.store.fill(TABLET, VERSION, &BTreeMap::from([("a/b".into(), noise(1, 10)), ("c".into(), noise(2, 20))]));
    let missing = TabletVersion { tablet: TabletId(8), version: VERSION, schema_hash: SchemaHash(1) };
    let older = TabletVersion { version: Version(2), ..at(TABLET) };
    let body = TaskBody::MakeSnapshot(MakeSnapshot { tablets: vec![missing, at(TABLET), older] });
    let first = done(stream.run(&task(key(job, 1, 1), body.clone())).await);
    let TaskResult::Snapshotted { tablets, failed } = &first else { panic!("{first:?}") };
    assert_eq!(*tablets, [TabletTotals { tablet: TABLET, files: 3, bytes: 30 + GENERATED.len() as u64 }]);
    let kinds: Vec<_> = failed.iter().map(|(tablet, failure)| (*tablet, failure.kind)).collect();
    assert_eq!(kinds, [(TabletId(8), Kind::NotFound), (TABLET, Kind::FailedPrecondition)]);
    let dir = cluster.store.work().join(format!("snapshot/{job}/{TABLET}.{VERSION}"));
    let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&dir.join("a/b")), inode(&cluster.store.dir(TABLET).join("a/b")), "a data file was copied");

    // A load that comes later changes nothing.
    cluster.store.fill(TABLET, Version(8), &BTreeMap::from([("later".into(), vec![1])]));
    assert_eq!(done(stream.run(&task(key(job, 1, 2), body)).await), first);
    let names: Vec<_> =
        std::fs::read_dir(dir.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["1.7"], "temporary directories were left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_on_another_filesystem_is_refused_and_not_copied() {
    let dir = tempfile::tempdir().unwrap();
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    if std::fs::metadata(other.path()).unwrap().dev() == std::fs::metadata(dir.path()).unwrap().dev() {
        return;
    }
    let (cluster, mut stream) = Cluster::at(dir, other.path().join("work"), |_| {}).await;
    let job = JobUuid::random();
    cluster.store.fill(TABLET, VERSION, &BTreeMap::from([("a".into(), vec![1])]));
    let failure = stream.run(&snapshot(key(job, 1, 1), &[TABLET])).await.outcome.unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Unsupported, Retry::Never));
    assert!(failure.message.contains("one filesystem"), "{failure}");
    let left = std::fs::read_dir(cluster.store.work().join(format!("snapshot/{job}"))).unwrap().count();
    assert_eq!(left, 0, "half a snapshot was left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_tasks_that_would_fill_it() {
    let (mut cluster, mut stream) = Cluster::start().await;
    let (job, restore) = (JobUuid::random(), JobUuid::random());
    cluster.store.fill(TABLET, VERSION, &BTreeMap::from([("a".into(), vec![1])]));
    let manifest = cluster.back_up(&mut stream, job, &[TABLET]).await;
    done(stream.run(&create(key(restore, 1, 1), TabletId(2), None)).await);

    cluster.stop_agent().await;
    cluster.config.free_space_watermark = u64::MAX;
    let mut stream = cluster.start_agent().await;
    cluster.store.fill(TabletId(3), VERSION, &BTreeMap::from([("a".into(), vec![1])]));
    for task in [
        snapshot(key(job, 3, 1), &[TabletId(3)]),
        cluster.upload(key(job, 4, 1), &[TABLET]),
        create(key(restore, 2, 1), TabletId(4), None),
        cluster.download(key(restore, 3, 1), manifest, &[(TABLET, TabletId(2))]),
    ] {
        let failure = stream.run(&task).await.outcome.unwrap_err();
        assert_eq!((failure.kind, failure.retry), (Kind::NoSpace, Retry::Never), "{}: {failure}", task.body.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_tablets_are_gone_and_dropping_them_again_is_no_error() {
    let (cluster, mut stream) = Cluster::start().await;
    let job = JobUuid::random();
    cluster.store.fill(TABLET, VERSION, &BTreeMap::new());
    for attempt in 1..=2 {
        let body = TaskBody::DropTablets(DropTablets { tablets: vec![TABLET, TabletId(99)] });
        assert_eq!(done(stream.run(&task(key(job, 1, attempt), body)).await), TaskResult::Done);
        assert!(!cluster.store.dir(TABLET).exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_without_loads_refuses_them() {
    let (cluster, mut stream) = Cluster::start().await;
    let export = Export { target: cluster.repository(), step: ExportStep::Write, tablets: Vec::new() };
    let report = stream.run(&task(key(JobUuid::random(), 1, 1), TaskBody::Export(export))).await;
    assert_eq!(report.outcome.unwrap_err().kind, Kind::Unsupported);
}
