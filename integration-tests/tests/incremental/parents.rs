//! Which snapshot is shared with, and what becomes of it.

use std::path::PathBuf;

use tabvault_common::repo::info::{Info, SnapshotObject};
use tabvault_integration_tests::checks;
use tabvault_integration_tests::crash::Side;
use tabvault_integration_tests::tree;

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_snapshot_stands_alone_when_its_parents_are_dropped() {
    let bench = Bench::new().await;
    let mut made: Vec<(Info, PathBuf)> = Vec::new();
    for n in 0..4_u64 {
        let info = bench.incremental(&format!("s{n}")).await;
        assert_eq!(info.parent, made.last().map(|(parent, _)| parent.name()));
        made.push((info, bench.kept(&format!("tree{n}"))));
        bench.change(&format!("d/f{n}"), &tree::noise(70 + n, 4000)).await;
    }
    // Of the last, objects are shared that the first has written.
    let (last, tree) = &made[3];
    let first = format!("__data/{}/", made[0].0.job.uuid);
    assert!(bench.shared(last).iter().any(|path| path.starts_with(&first)));
    for (info, _) in &made[..3] {
        bench.drop_snapshot(info);
    }
    bench.assert_restores(last, tree).await;
    // Nothing but what the last one reaches is needed for it.
    let needed = bench.reached(last);
    for path in tree::read(&bench.root()).into_keys() {
        let name = path.to_str().expect("paths are text");
        if name.starts_with("__data/") && bench.root().join(&path).is_file() && !needed.contains(name) {
            std::fs::remove_file(bench.root().join(&path)).expect("remove garbage");
        }
    }
    bench.cluster.fe().local().expect("built in").drop_table("of_s3", "files").await.expect("drop");
    bench.assert_restores(last, tree).await;
    let next = bench.incremental("next").await;
    assert_eq!(next.parent, Some(last.name()));
    bench.assert_restores(&next, &bench.source).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_that_is_dropped_while_the_intent_is_written_is_not_shared_with() {
    let bench = Bench::new().await;
    let first = bench.backup("first", &[]).await;
    for side in [Side::Before, Side::After] {
        let label = format!("second-{side:?}");
        let held = bench.crash.hold("storage put __intents/", side);
        let (second, ()) = tokio::join!(bench.incremental(&label), async {
            held.reached().await;
            bench.drop_snapshot(&first);
            held.release();
        });
        assert_eq!((second.parent.clone(), bench.shared(&second).len()), (None, 0), "{side:?}");
        assert_eq!(bench.intent(&second).parent, None);
        bench.assert_restores(&second, &bench.source).await;
        // The next one has a parent again.
        bench.drop_snapshot(&second);
        let bytes = SnapshotObject::Snapshot(first.clone()).encode().expect("encode");
        tree::write(&bench.root().join(first.path()), &bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_that_is_dropped_later_is_still_shared_with() {
    let bench = Bench::new().await;
    let first = bench.backup("first", &[]).await;
    bench.change("d/f3", b"changed").await;
    let held = bench.crash.hold("/head=SNAPSHOTING", Side::Before);
    let (second, ()) = tokio::join!(bench.incremental("second"), async {
        held.reached().await;
        bench.drop_snapshot(&first);
        held.release();
    });
    assert_eq!(second.parent, Some(first.name()));
    assert_eq!(bench.intent(&second).parent, Some(first));
    assert!(!bench.shared(&second).is_empty());
    bench.assert_restores(&second, &bench.source).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_snapshot_with_data_of_the_same_database_is_a_parent() {
    let bench = Bench::new().await;
    let none = bench.incremental("none").await;
    assert_eq!((none.parent.clone(), bench.shared(&none).len()), (None, 0), "there is nothing to share with yet");
    bench.backup("bare", &[("content", "metadata_only")]).await;
    bench.cluster.load("other.files", &bench.source, 2).await.expect("load");
    checks::assert_finished(&bench.cluster.backup("other", "other", "repo").await.expect("back up"));
    let bare = bench.backup("bare-too", &[("content", "metadata_only"), ("type", "incremental")]).await;
    assert_eq!((bare.parent, bare.manifests.len()), (None, 0));
    let second = bench.incremental("second").await;
    assert_eq!(second.parent, Some(none.name()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_knows_its_own_last_snapshot_and_looks_around_when_that_is_gone() {
    let bench = Bench::new().await;
    let first = bench.backup("first", &[]).await;
    // Newer, found only by who lists all labels, and no parent for anybody: the meta is of another label.
    let mut elsewhere = first.clone();
    elsewhere.label = "elsewhere".parse().expect("a label");
    elsewhere.timestamp = "2999-01-01-00-00-00-000".parse().expect("a timestamp");
    let bytes = SnapshotObject::Snapshot(elsewhere.clone()).encode().expect("encode");
    let place = bench.root().join(elsewhere.path());
    std::fs::create_dir_all(place.parent().expect("a path in the repository")).expect("make a directory");
    tree::write(&place, &bytes);
    let second = bench.incremental("second").await;
    assert_eq!(second.parent, Some(first.name()));
    bench.drop_snapshot(&second);
    let third = bench.incremental("third").await;
    assert_eq!(third.parent, None);
    bench.drop_snapshot(&third);
    std::fs::remove_file(&place).expect("remove it");
    let fourth = bench.incremental("fourth").await;
    assert_eq!(fourth.parent, Some(first.name()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_that_is_damaged_costs_bytes_and_no_backup() {
    let bench = Bench::new().await;
    let first = bench.backup("first", &[]).await;
    bench.change("d/f3", b"changed").await;
    let damage = |path: String| {
        let place = bench.root().join(path);
        let mut bytes = std::fs::read(&place).expect("read an object");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        tree::write(&place, &bytes);
    };
    first.manifests.iter().for_each(|manifest| damage(manifest.path()));
    let second = bench.incremental("second").await;
    assert_eq!(bench.shared(&second).len(), 0);
    bench.assert_restores(&second, &bench.source).await;
    damage(second.meta.path());
    let third = bench.incremental("third").await;
    assert_eq!((third.parent.clone(), bench.shared(&third).len()), (None, 0));
    bench.assert_restores(&third, &bench.source).await;
}
