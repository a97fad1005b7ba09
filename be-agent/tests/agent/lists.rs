//! What a download remembers of its files has room, or there is no download.

use std::collections::BTreeMap;

use tabvault_broker::faults::Op;
use tabvault_common::failure::{Kind, Retry};
use tabvault_common::ids::{JobUuid, TabletId};
use tabvault_common::repo::info::ManifestRef;
use tabvault_common::task::TaskResult;

use crate::cluster::{Cluster, VERSION, create, done, key, many_files, noise};
use crate::coordinator::Stream;
use crate::store::GENERATED;

const SOURCE: TabletId = TabletId(10);
const TARGET: TabletId = TabletId(20);
const OTHER: TabletId = TabletId(21);

/// Of 32 MiB lists have 8 for themselves and 12 of what transfers have; a file takes less than 200 bytes.
const BUDGET: u64 = 32 << 20;
const MOST_FILES: u64 = (20 << 20) / 200;

async fn backed_up(files: &BTreeMap<String, Vec<u8>>) -> (Cluster, Stream, ManifestRef) {
    let (cluster, mut stream) = Cluster::with(|config| config.memory_budget = BUDGET).await;
    cluster.store.fill(SOURCE, VERSION, files);
    let manifest = cluster.back_up(&mut stream, JobUuid::random(), &[SOURCE]).await;
    (cluster, stream, manifest)
}

fn bytes(files: &BTreeMap<String, Vec<u8>>) -> u64 {
    files.values().map(|file| file.len() as u64).sum::<u64>() + GENERATED.len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tablet_goes_to_several_targets_at_once() {
    let files = many_files(1, 300);
    let (cluster, mut stream, manifest) = backed_up(&files).await;
    let restore = JobUuid::random();
    for (number, target) in [(1, TARGET), (2, OTHER)] {
        done(stream.run(&create(key(restore, number, 1), target, None)).await);
    }
    let mappings = [(SOURCE, TARGET), (SOURCE, OTHER)];
    let download = |attempt| cluster.download(key(restore, 3, attempt), manifest, &mappings);
    let downloaded = done(stream.run(&download(1)).await);
    assert_eq!(downloaded, TaskResult::Downloaded { bytes: 2 * bytes(&files), reused_bytes: 0 });
    assert_eq!(cluster.faults.count(Op::Get, &manifest.path()), 2, "half of the list had no room");
    // The next attempt finds what one target has lost, and only that.
    let dir = cluster.store.work().join(format!("download/{restore}/{OTHER}"));
    std::fs::remove_file(dir.join(files.keys().next().unwrap())).unwrap();
    done(stream.run(&download(2)).await);
    done(stream.run(&cluster.adopt(key(restore, 4, 1), &mappings)).await);
    assert!(cluster.store.read(TARGET) == cluster.store.read(OTHER));
    assert_eq!(cluster.store.read(OTHER).len(), files.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_takes_more_than_its_manifest_promised_is_read_again_with_room_for_it() {
    let files: BTreeMap<_, _> = (0..200).map(|n| (format!("{}/{n}", "long".repeat(60)), noise(n, 10))).collect();
    let (cluster, mut stream, manifest) = backed_up(&files).await;
    let restore = JobUuid::random();
    done(stream.run(&create(key(restore, 1, 1), TARGET, None)).await);
    done(stream.run(&cluster.download(key(restore, 2, 1), manifest, &[(SOURCE, TARGET)])).await);
    assert_eq!(cluster.faults.count(Op::Get, &manifest.path()), 2);
    done(stream.run(&cluster.adopt(key(restore, 3, 1), &[(SOURCE, TARGET)])).await);
    assert_eq!(cluster.store.read(TARGET).len(), files.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_files_than_memory_can_ever_list_are_refused_for_good_with_what_to_change() {
    let (cluster, mut stream, manifest) = backed_up(&many_files(1, 3)).await;
    let restore = JobUuid::random();
    done(stream.run(&create(key(restore, 1, 1), TARGET, None)).await);
    let manifest = ManifestRef { files: 200_000, ..manifest };
    let failure = stream.run(&cluster.download(key(restore, 2, 1), manifest, &[(SOURCE, TARGET)])).await.outcome;
    let failure = failure.unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::ResourceExhausted, Retry::Never), "{failure}");
    assert!(failure.message.contains("200000 files") && failure.message.contains("memory_budget"), "{failure}");
    assert_eq!(cluster.agent().memory().reserved(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_whose_lists_take_all_that_lists_may_have_come_to_their_end() {
    let mut files = many_files(1, 100);
    // Each takes more than lists leave of the memory.
    files.extend((0..4).map(|n| (format!("large/{n}"), noise(n, 12 << 20))));
    let (cluster, mut stream, manifest) = backed_up(&files).await;
    let restore = JobUuid::random();
    let targets = [TARGET, OTHER, TabletId(22)];
    for (number, target) in (1..).zip(targets) {
        done(stream.run(&create(key(restore, number, 1), target, None)).await);
    }
    let manifest = ManifestRef { files: MOST_FILES, ..manifest };
    for (number, target) in (10..).zip(targets) {
        stream.task(&cluster.download(key(restore, number, 1), manifest, &[(SOURCE, target)])).await;
    }
    for _ in targets {
        let report = stream.report().await;
        assert_eq!(done(report), TaskResult::Downloaded { bytes: bytes(&files), reused_bytes: 0 });
    }
    let memory = cluster.agent().memory();
    assert!(memory.peak() <= BUDGET && memory.peak() > 11 << 20, "{} bytes", memory.peak());
    assert_eq!(memory.reserved(), 0);
}
