//! The snapshot that an incremental backup shares with: which one it is, and whether the intent protects it.

use tabvault_common::ids::{ClusterId, JobUuid};
use tabvault_common::repo::info::{Content, Info, SnapshotName, SnapshotObject, Tombstone};
use tabvault_common::repo::intent::Intent;
use tabvault_common::repo::layout;
use tabvault_fe_coordinator::repository::Protection;

use crate::support::*;

const MONDAY: &str = "2025-07-31-14-02-01-042";
const TUESDAY: &str = "2025-08-01-14-02-01-042";
const WEDNESDAY: &str = "2025-08-02-14-02-01-042";

/// A snapshot that the cluster itself has made.
async fn published(opened: &Opened, label: &str, at: &str) -> Snapshot {
    let mut snapshot = Snapshot::new(label, at);
    snapshot.info.job.cluster = opened.cluster.id;
    snapshot.publish(&opened.repository).await;
    snapshot
}

async fn put_tombstone(opened: &Opened, snapshot: &Snapshot) {
    let tombstone = Tombstone {
        format_version: 1,
        job: snapshot.info.job.uuid,
        cluster: opened.cluster.id,
        time: NOW.into(),
        reason: "it is dropped".to_owned(),
    };
    opened.storage.put(&snapshot.info.path(), SnapshotObject::Tombstone(tombstone).encode().unwrap()).await.unwrap();
}

async fn newest(opened: &Opened) -> Option<SnapshotName> {
    opened.repository.newest_of("shop").await.unwrap().map(|info| info.name())
}

#[tokio::test]
async fn the_newest_snapshot_that_still_stands_is_the_parent_whatever_its_label() {
    let opened = opened().await;
    assert_eq!(newest(&opened).await, None);
    let first = published(&opened, "z", MONDAY).await;
    let second = published(&opened, "a", TUESDAY).await;
    let third = published(&opened, "z", WEDNESDAY).await;
    assert_eq!(newest(&opened).await, Some(third.info.name()));
    put_tombstone(&opened, &third).await;
    assert_eq!(newest(&opened).await, Some(second.info.name()));
    damage(opened.storage.as_ref(), &second.info.path()).await;
    assert_eq!(newest(&opened).await, Some(first.info.name()));
    let future = bytes::Bytes::from_static(b"{\n  \"format_version\": 99,\n  \"digest\": \"x\"\n}\n");
    opened.storage.put(&layout::info(&label("f"), &timestamp(WEDNESDAY)), future).await.unwrap();
    assert_eq!(newest(&opened).await, Some(first.info.name()));
}

#[tokio::test]
async fn snapshots_of_others_and_those_without_data_are_no_parents() {
    let opened = opened().await;
    let changes: [fn(&mut Snapshot); 3] = [
        |snapshot| snapshot.info.job.cluster = ClusterId::random(),
        |snapshot| snapshot.info.database = "other".to_owned(),
        |snapshot| snapshot.info.content = Content::MetadataOnly,
    ];
    for (change, name) in changes.into_iter().zip(["a", "b", "c"]) {
        let mut snapshot = Snapshot::new(name, TUESDAY);
        snapshot.info.job.cluster = opened.cluster.id;
        change(&mut snapshot);
        snapshot.publish(&opened.repository).await;
        assert_eq!(newest(&opened).await, None, "{name}");
    }
    let own = published(&opened, "own", MONDAY).await;
    assert_eq!(newest(&opened).await, Some(own.info.name()));
}

/// An intent of `job` that names the parent it is given.
fn with_parent(job: JobUuid) -> impl FnOnce(Info) -> Intent {
    move |parent| Intent { parent: Some(parent), ..intent(job, "m") }
}

#[tokio::test]
async fn a_parent_is_protected_if_it_still_stands_once_the_intent_does() {
    let opened = opened().await;
    let parent = published(&opened, "l", MONDAY).await;
    let name = parent.info.name();
    let job = JobUuid::random();
    let alone = intent(job, "m");
    let written = Intent { parent: Some(parent.info.clone()), ..alone.clone() };
    let make = |parent| Intent { parent: Some(parent), ..alone.clone() };
    let Ok(Protection::Stands(found)) = opened.repository.protect(&name, make).await else {
        panic!("it stands");
    };
    assert_eq!(found.0, parent.info);
    assert_eq!(found.1, opened.repository.read_meta(&parent.info).await.unwrap());
    assert_eq!(opened.repository.read_intent(job).await, Ok(Some(written)));

    put_tombstone(&opened, &parent).await;
    let late = JobUuid::random();
    assert_eq!(opened.repository.protect(&name, with_parent(late)).await, Ok(Protection::Dropped));
    assert_eq!(opened.storage.stat(&layout::intent(late)).await, Ok(None));

    opened.repository.write_intent(&alone).await.unwrap();
    assert_eq!(opened.repository.read_intent(job).await, Ok(Some(alone)));
    damage(opened.storage.as_ref(), &layout::intent(job)).await;
    assert_eq!(opened.repository.read_intent(job).await, Ok(None));
    assert_eq!(opened.repository.read_intent(JobUuid::random()).await, Ok(None));
}

#[tokio::test]
async fn a_parent_that_is_dropped_or_replaced_before_the_intent_stands_is_not_protected() {
    for replaced in [false, true] {
        let opened = opened().await;
        let parent = published(&opened, "l", MONDAY).await;
        let path = parent.info.path();
        let bytes = replaced.then(|| {
            let mut other = parent.info.clone();
            other.job.uuid = JobUuid::random();
            SnapshotObject::Snapshot(other).encode().unwrap()
        });
        // Between the look at the parent and the second one lies the making of the intent.
        let storage = opened.storage.clone();
        let meanwhile = move |info| {
            futures::executor::block_on(async {
                match bytes {
                    Some(bytes) => storage.put(&path, bytes).await.unwrap(),
                    None => storage.delete(&[path]).await.unwrap(),
                }
            });
            with_parent(JobUuid::random())(info)
        };
        let protection = opened.repository.protect(&parent.info.name(), meanwhile).await;
        assert_eq!(protection, Ok(Protection::Dropped), "replaced: {replaced}");
    }
}

#[tokio::test]
async fn a_parent_whose_meta_is_damaged_is_told_apart() {
    let opened = opened().await;
    let parent = published(&opened, "l", MONDAY).await;
    damage(opened.storage.as_ref(), &parent.info.meta.path()).await;
    let protection = opened.repository.protect(&parent.info.name(), with_parent(JobUuid::random())).await;
    assert_eq!(protection, Ok(Protection::Damaged));
}
