//! Reading: which snapshots there are, finding one, proving its meta, telling its structure.

use bytes::Bytes;
use futures::TryStreamExt;
use serde_json::json;
use tabvault_broker::faults::{Act, Op, Rule};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::JobUuid;
use tabvault_common::repo::info::{Content, Info, SnapshotObject};
use tabvault_common::repo::meta::WholeMeta;

use crate::support::*;

const AT: &str = "2025-07-31-14-02-01-042";

async fn bury(opened: &Opened, label: &str, at: &str) {
    opened.repository.write_tombstone(&self::label(label), &timestamp(at), JobUuid::random(), "dropped").await.unwrap();
}

#[tokio::test]
async fn snapshots_are_listed_by_label_and_timestamp_without_tombstones() {
    let opened = opened().await;
    assert_eq!(opened.repository.list_snapshots(None).await, Ok(vec![]));
    let names =
        [("b", "2025-07-31-00-00-00-002"), ("b", "2025-07-31-00-00-00-001"), ("a:1", "2026-01-01-00-00-00-000")];
    for (label, at) in names {
        Snapshot::new(label, at).publish(&opened.repository).await;
    }
    bury(&opened, "b", "2025-07-31-00-00-00-003").await;
    bury(&opened, "buried", AT).await;
    // What is no info is nothing.
    for other in ["__ss_b/notes.txt", "__ss_b/__info_yesterday", "__ss_b/deep/__info_2025-07-31-00-00-00-009", "readme"]
    {
        opened.storage.put(other, Bytes::from_static(b"x")).await.unwrap();
    }
    let listed = async |label: Option<&str>| {
        let label = label.map(self::label);
        let views = opened.repository.list_snapshots(label.as_ref()).await.unwrap();
        views.into_iter().map(|view| (view.label, view.timestamp, view.database, view.error)).collect::<Vec<_>>()
    };
    let row = |label: &str, at: &str| (label.to_owned(), at.to_owned(), Some("shop".to_owned()), None);
    let b = vec![row("b", "2025-07-31-00-00-00-001"), row("b", "2025-07-31-00-00-00-002")];
    assert_eq!(listed(Some("b")).await, b);
    assert_eq!(listed(Some("buried")).await, vec![]);
    assert_eq!(listed(None).await, [vec![row("a:1", "2026-01-01-00-00-00-000")], b].concat());
}

#[tokio::test]
async fn many_snapshots_are_all_listed() {
    let opened = opened().await;
    for n in 0..60 {
        let snapshot = Snapshot::new(&format!("l{}", n % 20), &format!("2025-07-31-14-02-01-{n:03}"));
        opened.repository.write_info(snapshot.info.clone()).await.unwrap();
    }
    let listed = opened.repository.list_snapshots(None).await.unwrap();
    assert_eq!(listed.len(), 60);
    assert!(listed.is_sorted_by_key(|view| (view.label.clone(), view.timestamp.clone())));
}

#[tokio::test]
async fn a_damaged_snapshot_is_listed_with_what_is_wrong_and_others_are_not_hidden() {
    let opened = opened().await;
    let (well, damaged) = (Snapshot::new("a", AT), Snapshot::new("b", AT));
    well.publish(&opened.repository).await;
    damaged.publish(&opened.repository).await;
    damage(opened.storage.as_ref(), &damaged.info.path()).await;
    let listed = opened.repository.list_snapshots(None).await.unwrap();
    let errors: Vec<_> = listed.into_iter().map(|view| view.error).collect();
    let [None, Some(error)] = errors.as_slice() else { panic!("{errors:?}") };
    assert!(error.starts_with(&format!("{} is damaged: ", damaged.info.path())), "{error}");

    let failure = opened.repository.read_info(&label("b"), AT).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Corrupt);
    let expected = format!("Failed to get info of snapshot 'b' because: {} is damaged: ", damaged.info.path());
    assert!(failure.message.starts_with(&expected), "{failure}");
    assert!(!failure.message.contains("Maybe specified wrong"), "{failure}");
}

#[tokio::test]
async fn a_listing_that_cannot_read_everything_fails() {
    let opened = opened().await;
    Snapshot::new("a", AT).publish(&opened.repository).await;
    let gone = Failure::transient(Kind::Unreachable, "the storage is gone");
    opened.faults.rule(Rule::next(Op::Get, "__ss_", Act::Refuse(gone)));
    let failure = opened.repository.list_snapshots(None).await.unwrap_err();
    assert!(failure.message.starts_with("read snapshots of repository r: "), "{failure}");
}

#[tokio::test]
async fn a_label_is_free_again_when_all_its_snapshots_are_tombstones() {
    let opened = opened().await;
    let exists = async |label| opened.repository.label_exists(&self::label(label)).await.unwrap();
    assert!(!exists("l").await);
    bury(&opened, "l", "2025-07-31-00-00-00-001").await;
    bury(&opened, "l", "2025-07-31-00-00-00-002").await;
    assert!(!exists("l").await);
    Snapshot::new("l", "2025-07-31-00-00-00-003").publish(&opened.repository).await;
    assert!(exists("l").await);
    // A longer label is another label.
    Snapshot::new("long", AT).publish(&opened.repository).await;
    assert!(!exists("lon").await);
    // What is damaged may be a snapshot.
    opened.storage.put(&format!("__ss_d/__info_{AT}"), Bytes::from_static(b"torn")).await.unwrap();
    assert!(exists("d").await);
}

#[tokio::test]
async fn a_snapshot_is_found_by_its_timestamp_with_and_without_milliseconds() {
    let opened = opened().await;
    let snapshot = Snapshot::new("l", AT);
    snapshot.publish(&opened.repository).await;
    for typed in [AT, "2025-07-31-14-02-01"] {
        assert_eq!(opened.repository.read_info(&label("l"), typed).await.unwrap(), snapshot.info);
    }
    // A tombstone of the same second does not make it ambiguous, another snapshot does.
    bury(&opened, "l", "2025-07-31-14-02-01-500").await;
    assert!(opened.repository.read_info(&label("l"), "2025-07-31-14-02-01").await.is_ok());
    Snapshot::new("l", "2025-07-31-14-02-01-999").publish(&opened.repository).await;
    let failure = opened.repository.read_info(&label("l"), "2025-07-31-14-02-01").await.unwrap_err();
    assert_eq!(failure.kind, Kind::InvalidArgument);
    assert_eq!(
        failure.message,
        format!(
            "Failed to get info of snapshot 'l' because: '2025-07-31-14-02-01' may be {AT} or \
             2025-07-31-14-02-01-999; give it with milliseconds"
        )
    );
    assert!(opened.repository.read_info(&label("l"), AT).await.is_ok());
}

#[tokio::test]
async fn a_wrong_timestamp_is_told_together_with_those_that_exist() {
    let opened = opened().await;
    let asked = async |typed| {
        let failure = opened.repository.read_info(&label("l"), typed).await.unwrap_err();
        assert_eq!(failure.kind, Kind::NotFound);
        failure.message
    };
    assert_eq!(
        asked("2020-01-01-00-00-00").await,
        "Failed to get info of snapshot 'l' because: it has no timestamp '2020-01-01-00-00-00', there is no such \
         snapshot in the repository. Maybe specified wrong backup timestamp"
    );
    for n in 1..=6 {
        Snapshot::new("l", &format!("2025-07-31-00-00-00-00{n}")).publish(&opened.repository).await;
    }
    bury(&opened, "l", "2025-07-31-00-00-00-007").await;
    let expected = |typed: &str| {
        let newest: Vec<_> = (2..=6).rev().map(|n| format!("2025-07-31-00-00-00-00{n}")).collect();
        format!(
            "Failed to get info of snapshot 'l' because: it has no timestamp '{typed}', it has {}. Maybe specified \
             wrong backup timestamp",
            newest.join(", ")
        )
    };
    for typed in ["2025-07-31-00-00-00-007", "2025-07-31", "yesterday", ""] {
        assert_eq!(asked(typed).await, expected(typed));
    }
}

async fn published(change: impl FnOnce(&mut Info)) -> (Opened, Info) {
    let (opened, mut snapshot) = (opened().await, Snapshot::new("l", AT));
    change(&mut snapshot.info);
    let job = snapshot.info.job.uuid;
    opened.repository.put_by_digest(job, snapshot.meta.bytes.clone()).await.unwrap();
    let object = SnapshotObject::Snapshot(snapshot.info.clone()).encode().unwrap();
    opened.storage.put(&snapshot.info.path(), object).await.unwrap();
    (opened, snapshot.info)
}

async fn refusal(change: impl FnOnce(&mut Info)) -> Failure {
    let (opened, info) = published(change).await;
    let failure = opened.repository.read_meta(&info).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Corrupt, "{failure}");
    assert!(failure.message.starts_with(&format!("{} is damaged: ", info.meta.path())), "{failure}");
    failure
}

#[tokio::test]
async fn a_meta_that_agrees_with_its_info_is_read_whole() {
    let (opened, info) = published(|_| {}).await;
    let WholeMeta { header, tables, views } = opened.repository.read_meta(&info).await.unwrap();
    assert_eq!((header.database.as_str(), tables.len(), views.len()), ("shop", 1, 1));
    assert_eq!(
        tables[0].partitions.iter().map(|partition| partition.def.name.as_str()).collect::<Vec<_>>(),
        ["p1", "p2"]
    );
}

#[tokio::test]
async fn a_meta_that_is_not_what_its_info_says_is_damage() {
    refusal(|info| info.database = "other".to_owned()).await;
    refusal(|info| info.objects[0].table = "other".to_owned()).await;
    refusal(|info| info.objects[0].partitions.truncate(1)).await;
    refusal(|info| info.objects.clear()).await;
    refusal(|info| info.objects.push(info.objects[0].clone())).await;
    refusal(|info| info.views.clear()).await;
    refusal(|info| info.content = Content::MetadataOnly).await;
    refusal(|info| info.manifests.truncate(1)).await;
    refusal(|info| info.manifests[1].files += 1).await;
    refusal(|info| info.manifests[0].tablets += 1).await;
    refusal(|info| info.totals.tables += 1).await;
    refusal(|info| info.totals.partitions += 1).await;
    refusal(|info| info.totals.tablets += 1).await;
    refusal(|info| info.totals.files += 1).await;
    refusal(|info| info.totals.bytes += 1).await;
    refusal(|info| info.meta.size += 1).await;
    refusal(|info| info.meta.size -= 1).await;
    refusal(|info| info.meta.size = u64::MAX).await;
}

#[tokio::test]
async fn a_damaged_or_missing_meta_is_named() {
    let (opened, info) = published(|_| {}).await;
    let path = info.meta.path();
    damage(opened.storage.as_ref(), &path).await;
    for failure in
        [opened.repository.read_meta(&info).await.map(|_| ()).unwrap_err(), described(&opened, "l").await.unwrap_err()]
    {
        assert_eq!(failure.kind, Kind::Corrupt);
        assert!(failure.message.starts_with(&format!("{path} is damaged: ")), "{failure}");
    }
    opened.storage.delete(std::slice::from_ref(&path)).await.unwrap();
    let failure = opened.repository.read_meta(&info).await.unwrap_err();
    assert_eq!((failure.kind, failure.message), (Kind::Corrupt, format!("{path} is damaged: it is missing")));
}

async fn described(opened: &Opened, label: &str) -> Result<(Vec<String>, serde_json::Value), Failure> {
    let description = opened.repository.describe(&self::label(label), AT).await?;
    let pieces: Vec<String> = description.pieces.try_collect().await?;
    let value = serde_json::from_str(&pieces.concat()).unwrap();
    Ok((pieces, value))
}

#[tokio::test]
async fn a_description_is_json_with_the_whole_structure() {
    let (opened, info) = published(|_| {}).await;
    let description = opened.repository.describe(&label("l"), "2025-07-31-14-02-01").await.unwrap();
    let snapshot = description.snapshot;
    assert_eq!((snapshot.timestamp.as_str(), snapshot.database.as_deref()), (AT, Some("shop")));
    let (_, value) = described(&opened, "l").await.unwrap();
    let tablet = |id: u64| json!({ "id": id, "version": 7, "files": 3, "bytes": 30 });
    let partition = |name: &str, first: u64| {
        json!({
            "name": name,
            "version": 7,
            "version_time": "2025-07-31 14:02:01",
            "replication_num": 3,
            "indexes": [{ "name": "t", "schema_hash": 5, "tablets": [tablet(first), tablet(first + 1)] }],
        })
    };
    let table = json!({
        "name": "t",
        "key_type": "DUPLICATE KEY",
        "partitions": [partition("p1", 0), partition("p2", 1000)],
    });
    assert_eq!(value["tables"], json!([table]));
    assert_eq!(value["views"], json!(["v"]));
    assert_eq!((&value["label"], &value["database"]), (&json!("l"), &json!("shop")));
    assert_eq!((&value["timestamp"], &value["totals"]["tablets"]), (&json!(AT), &json!(4)));
    assert_eq!(value["job"], json!(info.job.uuid));
}

#[tokio::test]
async fn a_large_description_comes_in_bounded_pieces() {
    let opened = opened().await;
    let snapshot = Snapshot::with_buckets("l", AT, 5000);
    snapshot.publish(&opened.repository).await;
    let (pieces, value) = described(&opened, "l").await.unwrap();
    assert!(pieces.len() > 3, "{} pieces", pieces.len());
    assert!(pieces.iter().all(|piece| piece.len() < 80 << 10));
    assert_eq!(value["tables"][0]["partitions"][1]["indexes"][0]["tablets"].as_array().map(Vec::len), Some(5000));
}

#[tokio::test]
async fn an_empty_database_has_a_description_too() {
    use tabvault_common::repo::meta::{MetaHeader, MetaWriter};
    let (opened, mut snapshot) = (opened().await, Snapshot::new("l", AT));
    let header =
        MetaHeader { format_version: 1, job: snapshot.info.job.uuid, label: label("l"), database: "shop".to_owned() };
    let meta = MetaWriter::new(&header).unwrap().finish().unwrap();
    snapshot.info.meta = meta.reference();
    snapshot.meta = meta;
    snapshot.publish(&opened.repository).await;
    let (_, value) = described(&opened, "l").await.unwrap();
    assert_eq!((&value["tables"], &value["views"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn a_description_that_is_too_long_is_cut_into_json_that_says_so() {
    let (opened, info) = published(|_| {}).await;
    let whole = described(&opened, "l").await.unwrap().0.concat().len();
    let mut cut = 0;
    // Wherever it ends: in a table, a partition, an index, among views, or behind them.
    for limit in 2 * 1024..=2 * 1024 + whole + 1 {
        let description = opened.repository.describe_within(&label("l"), AT, limit).await.unwrap();
        let pieces: Vec<String> = description.pieces.try_collect().await.unwrap();
        let text = pieces.concat();
        assert!(text.len() <= limit, "{limit}: {}", text.len());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(value["totals"]["tablets"], json!(info.totals.tablets), "the totals are of all");
        match value.get("truncated") {
            Some(truncated) => {
                assert_eq!(truncated, &json!(true));
                cut += 1;
            }
            None => assert_eq!(text.len(), whole, "{text}"),
        }
    }
    assert!(cut > 100 && cut <= whole, "{cut} of {whole}");
}
