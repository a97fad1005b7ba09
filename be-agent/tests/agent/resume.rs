//! An upload or download that was interrupted.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_broker::faults::{Act, Op, Rule};
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::{JobUuid, TabletId};
use tabvault_common::task::TaskResult;

use crate::cluster::{Cluster, VERSION, create, done, key, noise, snapshot, uploaded};
use crate::coordinator::soon;

const SOURCE: TabletId = TabletId(1);
const TARGET: TabletId = TabletId(2);

fn large_files() -> BTreeMap<String, Vec<u8>> {
    (0..12).map(|n| (format!("large/{n:02}"), noise(n, 2 << 20))).collect()
}

/// The paths of objects that were completed so far, in their order.
fn closed(cluster: &Cluster) -> Vec<String> {
    let log = cluster.faults.log();
    let effects = log.into_iter().filter(|(op, _)| matches!(op, Op::Close | Op::Put));
    effects.map(|(_, path)| path).filter(|path| !path.contains("/m/")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_sends_only_what_was_in_flight() {
    let (mut cluster, mut stream) = Cluster::with(|config| config.parallel_transfers = 2).await;
    let job = JobUuid::random();
    let mut files = large_files();
    files.extend((0..50).map(|n| (format!("small/{n}"), noise(500 + n, 3000))));
    cluster.store.fill(SOURCE, VERSION, &files);
    done(stream.run(&snapshot(key(job, 1, 1), &[SOURCE])).await);

    // The eighth object never gets finished; everything else goes on until nothing else is left.
    cluster.faults.rule(Rule::nth(8, Op::Close, "__data/", Act::Hang));
    stream.task(&cluster.upload(key(job, 2, 1), &[SOURCE])).await;
    let stored = 11 + 1;
    soon("all but one object", async {
        while cluster.objects().len() < stored {
            tokio::task::yield_now().await;
        }
    })
    .await;
    soon("their journal", async {
        let journal = cluster.dir.path().join(format!("state/journal/{job}/2"));
        let lines = |text: String| text.lines().filter(|line| !line.contains("\"begun\"")).count();
        while lines(std::fs::read_to_string(&journal).unwrap()) < stored {
            tokio::task::yield_now().await;
        }
    })
    .await;
    cluster.stop_agent().await;
    cluster.faults.clear();
    let before: BTreeSet<String> = cluster.objects().into_keys().collect();

    let mut stream = cluster.start_agent().await;
    let tried = closed(&cluster).len();
    let manifest = uploaded(&stream.run(&cluster.upload(key(job, 2, 1), &[SOURCE])).await);
    let again = closed(&cluster).split_off(tried);
    assert_eq!(again.len(), 1, "sent again: {again:?}");
    assert!(!before.contains(&again[0]), "a name was used twice");
    assert_eq!(manifest.files, files.len() as u64 + 1);

    let restore = JobUuid::random();
    done(stream.run(&create(key(restore, 1, 1), TARGET, None)).await);
    done(stream.run(&cluster.download(key(restore, 2, 1), manifest, &[(SOURCE, TARGET)])).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_vanished_is_sent_again_whatever_the_journal_says() {
    let (cluster, mut stream) = Cluster::start().await;
    let job = JobUuid::random();
    cluster.store.fill(SOURCE, VERSION, &large_files());
    cluster.back_up(&mut stream, job, &[SOURCE]).await;
    let objects = cluster.objects();
    let lost = objects.keys().find(|path| path.contains("/o/")).unwrap();
    std::fs::remove_file(cluster.repository_dir().join(lost)).unwrap();
    let sent = closed(&cluster).len();
    let manifest = uploaded(&stream.run(&cluster.upload(key(job, 2, 2), &[SOURCE])).await);
    assert_eq!(closed(&cluster).len() - sent, 1);
    let restore = JobUuid::random();
    done(stream.run(&create(key(restore, 1, 1), TARGET, None)).await);
    done(stream.run(&cluster.download(key(restore, 2, 1), manifest, &[(SOURCE, TARGET)])).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_fails_for_a_while_costs_an_attempt_and_not_the_job() {
    let (cluster, mut stream) = Cluster::start().await;
    let (job, restore) = (JobUuid::random(), JobUuid::random());
    cluster.store.fill(SOURCE, VERSION, &large_files());
    done(stream.run(&snapshot(key(job, 1, 1), &[SOURCE])).await);
    let down = || Act::Refuse(Failure::transient(Kind::Unreachable, "the storage is gone"));

    cluster.faults.rule(Rule::nth(3, Op::Write, "__data/", down()));
    let failure = stream.run(&cluster.upload(key(job, 2, 1), &[SOURCE])).await.outcome.unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Unreachable, Retry::Safe));
    cluster.faults.rule(Rule::nth(2, Op::Close, "__data/", Act::Unheard));
    let failure = stream.run(&cluster.upload(key(job, 2, 2), &[SOURCE])).await.outcome.unwrap_err();
    assert_eq!(failure.retry, Retry::Safe, "{failure}");
    let manifest = uploaded(&stream.run(&cluster.upload(key(job, 2, 3), &[SOURCE])).await);

    done(stream.run(&create(key(restore, 1, 1), TARGET, None)).await);
    cluster.faults.rule(Rule::nth(5, Op::ReadPiece, "__data/", down()));
    let download = |attempt| cluster.download(key(restore, 2, attempt), manifest, &[(SOURCE, TARGET)]);
    let failure = stream.run(&download(1)).await.outcome.unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Unreachable, Retry::Safe));
    let downloaded = done(stream.run(&download(2)).await);
    assert!(matches!(downloaded, TaskResult::Downloaded { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_job_stops_a_transfer_that_hangs() {
    let (cluster, mut stream) = Cluster::start().await;
    let job = JobUuid::random();
    cluster.store.fill(SOURCE, VERSION, &large_files());
    done(stream.run(&snapshot(key(job, 1, 1), &[SOURCE])).await);
    cluster.faults.rule(Rule::always(Op::Close, "__data/", Act::Hang));
    stream.task(&cluster.upload(key(job, 2, 1), &[SOURCE])).await;
    soon("the transfers", async {
        while closed(&cluster).is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stream.end(job, false).await;
    stream.leftovers(&[]).await;
    assert_eq!(cluster.agent().memory().reserved(), 0);
    assert!(cluster.objects().keys().all(|path| !path.contains("/o/")), "an object that was never finished is there");
}
