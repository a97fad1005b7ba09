use serde_json::json;
use tabvault_common::digest::Digest;
use tabvault_common::failure::Kind;
use tabvault_common::repo::info::{Info, SnapshotObject};
use tabvault_common::repo::intent::Intent;
use tabvault_common::repo::repo_info::{Ownership, RepoInfo};
use tabvault_common::repo::{layout, sealed};

use super::{assert_corrupt, flipped, samples};

#[test]
fn every_flipped_bit_of_an_info_is_found() {
    let info = samples::info().unwrap();
    let path = info.path();
    let bytes = samples::snapshot().unwrap().encode().unwrap();
    assert_eq!(SnapshotObject::decode(&path, &bytes).unwrap(), SnapshotObject::Snapshot(info));
    for damaged in flipped(&bytes) {
        assert_corrupt(&SnapshotObject::decode(&path, &damaged).unwrap_err(), &path);
    }
}

#[test]
fn every_flipped_bit_of_a_tombstone_a_repo_info_and_an_intent_is_found() {
    let bytes = samples::tombstone().encode().unwrap();
    for damaged in flipped(&bytes) {
        assert_corrupt(&SnapshotObject::decode("__ss_x/__info_y", &damaged).unwrap_err(), "__ss_x/__info_y");
    }
    let bytes = samples::repo_info().encode().unwrap();
    for damaged in flipped(&bytes) {
        assert_corrupt(&RepoInfo::decode("__repo_info", &damaged).unwrap_err(), "__repo_info");
    }
    let intent = samples::intent().unwrap();
    let path = layout::intent(intent.job);
    let bytes = intent.encode().unwrap();
    for damaged in flipped(&bytes) {
        assert_corrupt(&Intent::decode(&path, &damaged).unwrap_err(), &path);
    }
}

#[test]
fn a_sealed_object_cut_off_anywhere_or_with_something_behind_is_found() {
    let bytes = samples::tombstone().encode().unwrap();
    for length in 0..bytes.len() {
        assert_corrupt(&SnapshotObject::decode("x", &bytes[..length]).unwrap_err(), "x");
    }
    let longer = [&bytes[..], b"\n"].concat();
    assert_corrupt(&SnapshotObject::decode("x", &longer).unwrap_err(), "x");
}

#[test]
fn the_digest_covers_all_but_the_last_two_lines() {
    let bytes = samples::snapshot().unwrap().encode().unwrap();
    let text = std::str::from_utf8(&bytes).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let covered = lines[..lines.len() - 2].concat();
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(value["digest"], Digest::of(covered.as_bytes()).to_string());
    assert_eq!(value["kind"], "snapshot");
    assert_eq!(value["backup_type"], "incremental");
    assert_eq!(value["finish_time"]["text"], "2025-07-31 14:02:01");
}

#[test]
fn a_newer_version_is_refused_by_name_and_unknown_fields_are_not() {
    let newer = sealed::seal("x", &json!({"format_version": 2, "shape": "unknown"})).unwrap();
    let failure = SnapshotObject::decode("__ss_a/__info_b", &newer).unwrap_err();
    assert_eq!(failure.kind, Kind::Unsupported);
    assert!(failure.message.starts_with("__ss_a/__info_b has format version 2"), "{failure}");

    let mut value = serde_json::to_value(samples::repo_info()).unwrap();
    value["something_new"] = json!([1, 2]);
    let bytes = sealed::seal("x", &value).unwrap();
    assert_eq!(RepoInfo::decode("__repo_info", &bytes).unwrap(), samples::repo_info());
}

#[test]
fn an_info_under_another_name_and_an_intent_of_another_job_are_refused() {
    let bytes = samples::snapshot().unwrap().encode().unwrap();
    let path = "__ss_other/__info_2025-07-31-14-02-01-042";
    assert_corrupt(&SnapshotObject::decode(path, &bytes).unwrap_err(), path);
    let path = layout::intent(samples::job());
    let bytes = samples::intent().unwrap().encode().unwrap();
    assert_corrupt(&Intent::decode(&path, &bytes).unwrap_err(), &path);
}

#[test]
fn an_object_beyond_its_limit_is_refused() {
    let bytes = sealed::seal("x", &json!({"format_version": 1})).unwrap();
    assert!(sealed::open::<serde_json::Value>("x", &bytes, 50).is_err());
    assert!(sealed::seal("x", &json!({})).is_err());
    assert!(sealed::seal("x", &json!([1])).is_err());
}

#[test]
fn a_meta_cannot_refer_to_a_manifest_that_the_info_does_not_have() {
    let info: Info = samples::info().unwrap();
    assert_eq!(info.manifest(0).unwrap(), &info.manifests[0]);
    assert_corrupt(&info.manifest(1).unwrap_err(), &info.meta.path());
}

#[test]
fn an_owned_repository_lets_only_its_cluster_write() {
    let cluster = samples::cluster();
    let other = tabvault_common::ids::ClusterId::random();
    assert!(Ownership::ConditionalWrites.allows(other));
    assert!(Ownership::OneCluster(cluster).allows(cluster));
    assert!(!Ownership::OneCluster(cluster).allows(other));
}
