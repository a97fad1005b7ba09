//! The snapshot that an incremental backup shares with: which one it is, and whether the intent protects it.

use tabvault_common::ids::{ClusterId, JobUuid};
use tabvault_common::repo::info::{Content, SnapshotName, SnapshotObject, Tombstone};
use tabvault_common::repo::intent::Intent;
use tabvault_common::repo::layout;
use tabvault_fe_coordinator::repository::IntentWrite;

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

#[tokio::test]
async fn an_intent_tells_whether_its_parent_still_stood_when_it_was_written() {
    let opened = opened().await;
    let parent = published(&opened, "l", MONDAY).await;
    let job = JobUuid::random();
    let with_parent = Intent { parent: Some(parent.info.clone()), ..intent(job, "m") };
    assert_eq!(opened.repository.write_intent(&with_parent).await, Ok(IntentWrite::Stands));
    assert_eq!(opened.repository.read_intent(job).await, Ok(Some(with_parent.clone())));

    put_tombstone(&opened, &parent).await;
    assert_eq!(opened.repository.write_intent(&with_parent).await, Ok(IntentWrite::ParentGone));
    let alone = intent(job, "m");
    assert_eq!(opened.repository.write_intent(&alone).await, Ok(IntentWrite::Stands));
    assert_eq!(opened.repository.read_intent(job).await, Ok(Some(alone)));

    damage(opened.storage.as_ref(), &layout::intent(job)).await;
    assert_eq!(opened.repository.read_intent(job).await, Ok(None));
    assert_eq!(opened.repository.read_intent(JobUuid::random()).await, Ok(None));
}

#[tokio::test]
async fn an_info_that_is_another_by_now_is_no_parent() {
    let opened = opened().await;
    let parent = published(&opened, "l", MONDAY).await;
    let mut other = parent.info.clone();
    other.job.uuid = JobUuid::random();
    let bytes = SnapshotObject::Snapshot(other).encode().unwrap();
    opened.storage.put(&parent.info.path(), bytes).await.unwrap();
    let with_parent = Intent { parent: Some(parent.info.clone()), ..intent(JobUuid::random(), "m") };
    assert_eq!(opened.repository.write_intent(&with_parent).await, Ok(IntentWrite::ParentGone));
}
