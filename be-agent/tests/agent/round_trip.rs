//! From a tablet through the repository into another tablet.

use std::collections::BTreeMap;

use tabvault_broker::faults::{Act, Gate, Op, Rule};
use tabvault_common::failure::Kind;
use tabvault_common::ids::{JobUuid, TabletId};
use tabvault_common::repo::layout;
use tabvault_common::task::{Release, TaskBody, TaskResult};

use crate::cluster::{Cluster, VERSION, at, create, done, key, many_files, noise, snapshot, task, uploaded};
use crate::coordinator::soon;
use crate::store::GENERATED;

const SOURCE: TabletId = TabletId(10);
const TARGET: TabletId = TabletId(20);

fn with_header(mut files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    files.insert("header".into(), GENERATED.to_vec());
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_uploaded_comes_back_byte_for_byte() {
    let (cluster, mut stream) = Cluster::start().await;
    let (backup, restore) = (JobUuid::random(), JobUuid::random());
    let files = many_files(1, 3000);
    cluster.store.fill(SOURCE, VERSION, &files);
    cluster.store.fill(TabletId(11), VERSION, &BTreeMap::new());
    let manifest = cluster.back_up(&mut stream, backup, &[SOURCE, TabletId(11)]).await;
    assert_eq!((manifest.tablets, manifest.files), (2, files.len() as u64 + 2));
    assert_eq!(manifest.objects, 4, "only what is larger than the threshold is alone");
    assert!(manifest.packs <= 2, "{} packs for small files of 2 MiB in all", manifest.packs);
    assert!(manifest.stored_bytes < manifest.bytes - (10 << 20), "zeros and text shrink");

    done(stream.run(&create(key(restore, 1, 1), TARGET, None)).await);
    let bytes = files.values().map(|file| file.len() as u64).sum::<u64>() + GENERATED.len() as u64;
    let downloaded = done(stream.run(&cluster.download(key(restore, 2, 1), manifest, &[(SOURCE, TARGET)])).await);
    assert_eq!(downloaded, TaskResult::Downloaded { bytes, reused_bytes: 0 });
    done(stream.run(&cluster.adopt(key(restore, 3, 1), &[(SOURCE, TARGET)])).await);
    stream.end(restore, true).await;
    stream.end(backup, true).await;
    stream.leftovers(&[]).await;
    assert!(cluster.store.read(TARGET) == with_header(files));
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_snapshots_give_equal_packs_and_a_new_attempt_new_objects() {
    let (cluster, mut stream) = Cluster::start().await;
    let job = JobUuid::random();
    let mut files = many_files(1, 100);
    // Without it one thread takes all small files at once; else chance would share them out between two packs.
    files.remove("just-packed");
    cluster.store.fill(SOURCE, VERSION, &files);
    let first = cluster.back_up(&mut stream, job, &[SOURCE]).await;
    let before = cluster.objects();
    // Without the journal, as if it were lost.
    std::fs::remove_dir_all(cluster.dir.path().join("state/journal")).unwrap();
    let second = uploaded(&stream.run(&cluster.upload(key(job, 2, 2), &[SOURCE])).await);
    let after = cluster.objects();
    assert_eq!(first.bytes, second.bytes);
    let packs = |objects: &BTreeMap<String, Vec<u8>>| objects.keys().filter(|path| path.contains("/p/")).count();
    assert_eq!(packs(&before), packs(&after));
    assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)), "an object was overwritten");
    let objects = |attempt: u32| after.keys().filter(|path| path.contains(&format!("/o/2-{attempt}-"))).count();
    assert_eq!((objects(1), objects(2)), (4, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_here_already_are_linked_instead_of_fetched() {
    let (cluster, mut stream) = Cluster::start().await;
    let (backup, restore) = (JobUuid::random(), JobUuid::random());
    let files = BTreeMap::from([
        ("same".to_owned(), noise(1, 3 << 20)),
        ("moved".to_owned(), noise(2, 5000)),
        ("changed".to_owned(), noise(3, 7000)),
    ]);
    cluster.store.fill(SOURCE, VERSION, &files);
    let manifest = cluster.back_up(&mut stream, backup, &[SOURCE]).await;

    let present = BTreeMap::from([
        ("same".to_owned(), noise(1, 3 << 20)),
        ("elsewhere".to_owned(), noise(2, 5000)),
        ("changed".to_owned(), noise(4, 7000)),
    ]);
    cluster.store.fill(TabletId(30), VERSION, &present);
    done(stream.run(&create(key(restore, 1, 1), TARGET, Some(TabletId(30)))).await);
    let downloaded = done(stream.run(&cluster.download(key(restore, 2, 1), manifest, &[(SOURCE, TARGET)])).await);
    let bytes = files.values().map(|file| file.len() as u64).sum::<u64>() + GENERATED.len() as u64;
    assert_eq!(downloaded, TaskResult::Downloaded { bytes, reused_bytes: (3 << 20) + 5000 });
    done(stream.run(&cluster.adopt(key(restore, 3, 1), &[(SOURCE, TARGET)])).await);
    assert!(cluster.store.read(TARGET) == with_header(files));
    assert!(cluster.store.read(TabletId(30)) == present, "the old tablet was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_attempt_keeps_only_files_whose_bytes_are_right() {
    let (cluster, mut stream) = Cluster::start().await;
    let (backup, restore) = (JobUuid::random(), JobUuid::random());
    let files = many_files(1, 20);
    cluster.store.fill(SOURCE, VERSION, &files);
    let manifest = cluster.back_up(&mut stream, backup, &[SOURCE]).await;
    done(stream.run(&create(key(restore, 1, 1), TARGET, None)).await);
    done(stream.run(&cluster.download(key(restore, 2, 1), manifest, &[(SOURCE, TARGET)])).await);

    let dir = cluster.store.work().join(format!("download/{restore}/{TARGET}"));
    let mut torn = std::fs::read(dir.join("large/noise")).unwrap();
    torn[4_000_000] ^= 1;
    std::fs::write(dir.join("large/noise"), torn).unwrap();
    std::fs::write(dir.join("stray"), "from an attempt that died").unwrap();
    done(stream.run(&cluster.download(key(restore, 2, 2), manifest, &[(SOURCE, TARGET)])).await);
    done(stream.run(&cluster.adopt(key(restore, 3, 1), &[(SOURCE, TARGET)])).await);
    assert!(cluster.store.read(TARGET) == with_header(files));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_wanted_tablets_are_fetched() {
    let (cluster, mut stream) = Cluster::start().await;
    let (backup, restore) = (JobUuid::random(), JobUuid::random());
    let tablets: Vec<TabletId> = (100..140).map(TabletId).collect();
    for tablet in &tablets {
        let files = (0..10).map(|n| (n.to_string(), noise(tablet.0 * 100 + n, 60_000))).collect();
        cluster.store.fill(*tablet, VERSION, &files);
    }
    let manifest = cluster.back_up(&mut stream, backup, &tablets).await;
    for source in [TabletId(105), TabletId(139)] {
        let (first, target) = (source.0 * 10, TabletId(source.0 + 100));
        done(stream.run(&create(key(restore, first, 1), target, None)).await);
        done(stream.run(&cluster.download(key(restore, first + 1, 1), manifest, &[(source, target)])).await);
        done(stream.run(&cluster.adopt(key(restore, first + 2, 1), &[(source, target)])).await);
        assert!(cluster.store.read(target) == with_header(cluster.store.read(source)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_snapshot_is_gone_and_says_so() {
    let (cluster, mut stream) = Cluster::start().await;
    let job = JobUuid::random();
    cluster.store.fill(SOURCE, VERSION, &many_files(1, 3));
    done(stream.run(&snapshot(key(job, 1, 1), &[SOURCE])).await);
    let release = TaskBody::Release(Release { tablets: vec![at(SOURCE)] });
    done(stream.run(&task(key(job, 2, 1), release)).await);
    let failure = stream.run(&cluster.upload(key(job, 3, 1), &[SOURCE])).await.outcome.unwrap_err();
    assert_eq!(failure.kind, Kind::NotFound);
    assert!(failure.message.contains("tablet 10"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_that_wait_for_the_storage_hold_up_no_work_that_needs_a_core() {
    let (cluster, mut stream) = Cluster::with(|config| {
        config.memory_budget = 512 << 20;
        config.settings.cpu_cores = Some(1);
    })
    .await;
    let job = JobUuid::random();
    let files: BTreeMap<String, Vec<u8>> = (0..360).map(|n| (format!("f/{n}"), noise(n, 16 << 10))).collect();
    cluster.store.fill(SOURCE, VERSION, &files);
    done(stream.run(&snapshot(key(job, 1, 1), &[SOURCE])).await);
    let storage = Gate::default();
    cluster.faults.rule(Rule::always(Op::Put, "__data/", Act::Wait(storage.clone())));
    let mut upload = cluster.upload(key(job, 2, 1), &[SOURCE]);
    match &mut upload.body {
        TaskBody::Upload(upload) => upload.max_pack = 64 << 10,
        other => panic!("{other:?}"),
    }
    stream.task(&upload).await;
    // More than transfers that may wait side by side, and than all cores could be filling.
    soon("seventy packs", async {
        while cluster.agent().memory().reserved() < 70 * (4 << 20) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    storage.open();
    assert_eq!(uploaded(&stream.report().await).files, 361);
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_stay_within_the_memory_budget() {
    let (cluster, mut stream) = Cluster::with(|config| config.memory_budget = 32 << 20).await;
    let (backup, restore) = (JobUuid::random(), JobUuid::random());
    let mut files = many_files(1, 500);
    files.extend((0..20).map(|n| (format!("alone/{n}"), noise(n, 3 << 20))));
    files.extend((0..60).map(|n| (format!("packed/{n}"), noise(1000 + n, 1 << 20))));
    cluster.store.fill(SOURCE, VERSION, &files);
    let manifest = cluster.back_up(&mut stream, backup, &[SOURCE]).await;
    done(stream.run(&create(key(restore, 1, 1), TARGET, None)).await);
    done(stream.run(&cluster.download(key(restore, 2, 1), manifest, &[(SOURCE, TARGET)])).await);
    let memory = cluster.agent().memory();
    assert!(memory.peak() > 0 && memory.peak() <= 32 << 20, "{} bytes", memory.peak());
    assert_eq!(memory.reserved(), 0, "something was not given back");
    let packs: Vec<usize> =
        cluster.objects().iter().filter(|(path, _)| path.contains("/p/")).map(|(_, bytes)| bytes.len()).collect();
    assert!(packs.len() > 10 && packs.iter().all(|size| *size <= 6 << 20), "{packs:?}");
    assert!(cluster.objects().keys().all(|path| layout::parse_data(path).is_some()));
}
