//! Writing: intents, metas, and the one name that info and tombstone compete for.

use bytes::Bytes;
use tabvault_broker::faults::{Act, Op, Rule};
use tabvault_common::digest::Digest;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::{Epoch, JobUuid};
use tabvault_common::repo::layout;
use tabvault_common::repo::repo_info::{Ownership, RepoInfo};
use tabvault_common::repo::sealed;
use tabvault_fe_coordinator::repository::{InfoWrite, TombstoneWrite};

use crate::support::*;

const AT: &str = "2025-07-31-14-02-01-042";

async fn without_conditional_writes() -> Opened {
    let cluster = Cluster::new().await;
    cluster.without_conditional_writes();
    opened_by(cluster).await
}

#[tokio::test]
async fn an_info_is_written_once_whoever_repeats_it() {
    for opened in [opened().await, without_conditional_writes().await] {
        let snapshot = Snapshot::new("l", AT);
        assert_eq!(opened.repository.write_info(snapshot.info.clone()).await, Ok(InfoWrite::Written));
        let first = opened.storage.get(&snapshot.info.path(), 1 << 20).await.unwrap();
        // A later leader writes other times; the snapshot stays as it was.
        let mut again = snapshot.info.clone();
        again.job.epoch = Epoch(2);
        assert_eq!(opened.repository.write_info(again.clone()).await, Ok(InfoWrite::OursAlready));
        assert_eq!(opened.storage.get(&snapshot.info.path(), 1 << 20).await.unwrap(), first);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writers_of_one_info_one_is_told_to_take_another_timestamp() {
    for opened in [opened().await, without_conditional_writes().await] {
        for round in 0..50 {
            let at = format!("2025-07-31-14-02-01-{round:03}");
            let (one, other) = (Snapshot::new("l", &at), Snapshot::new("l", &at));
            let (first, second) = (opened.repository.clone(), opened.repository.clone());
            let (a, b) = (one.info.clone(), other.info.clone());
            let a = tokio::spawn(async move { first.write_info(a).await });
            let b = tokio::spawn(async move { second.write_info(b).await });
            let answers = (a.await.unwrap().unwrap(), b.await.unwrap().unwrap());
            let standing = opened.repository.read_info(&label("l"), &at).await.unwrap();
            let expected = if standing.job.uuid == one.info.job.uuid {
                (InfoWrite::Written, InfoWrite::TakenByOther)
            } else {
                (InfoWrite::TakenByOther, InfoWrite::Written)
            };
            assert_eq!(answers, expected, "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_commit_and_a_cancel_exactly_one_wins_and_both_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let files = opened_at(Cluster::new().await, &format!("file://{}", directory.path().display())).await;
    for opened in [opened().await, without_conditional_writes().await, files] {
        for round in 0..200 {
            let snapshot = Snapshot::new("l", &format!("2025-07-31-14-02-01-{round:03}"));
            let (first, second) = (opened.repository.clone(), opened.repository.clone());
            let (a, b) = (snapshot.info.clone(), snapshot.info.clone());
            let commit = tokio::spawn(async move { first.write_info(a).await.unwrap() });
            let cancel = tokio::spawn(async move {
                second.write_tombstone(&b.label, &b.timestamp, b.job.uuid, "cancelled").await.unwrap()
            });
            let answers = (commit.await.unwrap(), cancel.await.unwrap());
            let visible = opened.repository.read_info(&snapshot.info.label, snapshot.info.timestamp.as_str()).await;
            match answers {
                (InfoWrite::Written, TombstoneWrite::InfoStands) => assert_eq!(visible, Ok(snapshot.info)),
                (InfoWrite::Tombstoned, TombstoneWrite::Written) => {
                    assert_eq!(visible.map_err(|failure| failure.kind), Err(Kind::NotFound));
                }
                other => panic!("round {round}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_cancelled_job_publishes_nothing_and_a_published_one_is_not_cancelled() {
    for opened in [opened().await, without_conditional_writes().await] {
        let (repository, snapshot) = (&opened.repository, Snapshot::new("l", AT));
        let (at, job) = (timestamp(AT), snapshot.info.job.uuid);
        let cancel = async |job| repository.write_tombstone(&label("l"), &at, job, "cancelled by root").await;
        assert_eq!(cancel(job).await, Ok(TombstoneWrite::Written));
        assert_eq!(cancel(job).await, Ok(TombstoneWrite::Written));
        assert_eq!(repository.write_info(snapshot.info.clone()).await, Ok(InfoWrite::Tombstoned));
        assert_eq!(cancel(JobUuid::random()).await, Ok(TombstoneWrite::TakenByOther));
        assert_eq!(repository.write_info(Snapshot::new("l", AT).info).await, Ok(InfoWrite::TakenByOther));

        let published = Snapshot::new("m", AT);
        published.publish(repository).await;
        let cancel = async |job| repository.write_tombstone(&label("m"), &at, job, "cancelled by root").await;
        assert_eq!(cancel(published.info.job.uuid).await, Ok(TombstoneWrite::InfoStands));
        assert_eq!(cancel(JobUuid::random()).await, Ok(TombstoneWrite::TakenByOther));
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_out_by_looking() {
    let opened = opened().await;
    let snapshot = Snapshot::new("l", AT);
    opened.faults.rule(Rule::next(Op::Create, "__ss_", Act::Unheard));
    assert_eq!(opened.repository.write_info(snapshot.info.clone()).await, Ok(InfoWrite::OursAlready));

    opened.faults.rule(Rule::next(Op::Create, "__ss_", Act::Unheard));
    let (at, job) = (timestamp("2025-07-31-14-02-02-000"), JobUuid::random());
    let cancelled = opened.repository.write_tombstone(&label("l"), &at, job, "cancelled").await;
    assert_eq!(cancelled, Ok(TombstoneWrite::Written));
}

#[tokio::test]
async fn an_outcome_that_cannot_be_found_out_is_passed_on_as_unknown() {
    let opened = opened().await;
    let snapshot = Snapshot::new("l", AT);
    // It was written, nobody heard, and reading is forbidden.
    opened.faults.rule(Rule::next(Op::Create, "__ss_", Act::Unheard));
    let forbidden = Failure::fatal(Kind::PermissionDenied, "forbidden");
    opened.faults.rule(Rule::next(Op::Get, "__ss_", Act::Refuse(forbidden)));
    let failure = opened.repository.write_info(snapshot.info.clone()).await.unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::PermissionDenied, Retry::OutcomeUnknown));
    assert_eq!(opened.repository.write_info(snapshot.info.clone()).await, Ok(InfoWrite::OursAlready));

    // It did not arrive yet: it may.
    let late = Snapshot::new("m", AT);
    opened.faults.rule(Rule::next(Op::Create, "__ss_", Act::Refuse(unknown())));
    let failure = opened.repository.write_info(late.info.clone()).await.unwrap_err();
    assert_eq!(failure.retry, Retry::OutcomeUnknown);
    assert_eq!(opened.repository.write_info(late.info.clone()).await, Ok(InfoWrite::Written));
}

#[tokio::test]
async fn what_surely_did_not_happen_is_passed_on_as_it_is() {
    let opened = opened().await;
    let snapshot = Snapshot::new("l", AT);
    let refused = Failure::transient(Kind::RateLimited, "slow down");
    opened.faults.rule(Rule::next(Op::Create, "__ss_", Act::Refuse(refused)));
    let failure = opened.repository.write_info(snapshot.info.clone()).await.unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::RateLimited, Retry::Safe));
    assert!(failure.message.starts_with("publish a snapshot in repository r: "), "{failure}");
}

#[tokio::test]
async fn a_damaged_object_has_the_name_and_another_is_taken() {
    let opened = opened().await;
    let snapshot = Snapshot::new("l", AT);
    opened.storage.put(&snapshot.info.path(), Bytes::from_static(b"torn")).await.unwrap();
    assert_eq!(opened.repository.write_info(snapshot.info.clone()).await, Ok(InfoWrite::TakenByOther));
    let (at, job) = (timestamp(AT), snapshot.info.job.uuid);
    let cancelled = opened.repository.write_tombstone(&label("l"), &at, job, "cancelled").await;
    assert_eq!(cancelled, Ok(TombstoneWrite::TakenByOther));
}

#[tokio::test]
async fn what_a_newer_program_wrote_is_not_judged() {
    let opened = opened().await;
    let snapshot = Snapshot::new("l", AT);
    let newer = sealed::seal("x", &serde_json::json!({ "format_version": 99, "kind": "snapshot" })).unwrap();
    opened.storage.put(&snapshot.info.path(), newer).await.unwrap();
    let failure = opened.repository.write_info(snapshot.info.clone()).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Unsupported);
}

#[tokio::test]
async fn nothing_is_written_to_a_read_only_repository() {
    let (writer, reader) = (Cluster::new().await, Cluster::new().await);
    let location = somewhere();
    writer.repositories.create(request("r", &location)).await.unwrap();
    let mut read_only = request("r", &location);
    read_only.read_only = true;
    reader.repositories.create(read_only).await.unwrap();
    let repository = reader.repositories.open("r").await.unwrap();
    let (snapshot, job) = (Snapshot::new("l", AT), JobUuid::random());
    let refusals = [
        repository.write_intent(&intent(job, "l")).await.unwrap_err(),
        repository.remove_intent(job).await.unwrap_err(),
        repository.put_by_digest(job, Bytes::from_static(b"x")).await.map(|_| ()).unwrap_err(),
        repository.write_info(snapshot.info.clone()).await.map(|_| ()).unwrap_err(),
        repository.write_tombstone(&label("l"), &timestamp(AT), job, "x").await.map(|_| ()).unwrap_err(),
    ];
    for refusal in refusals {
        assert_eq!((refusal.kind, refusal.message.as_str()), (Kind::FailedPrecondition, "Repository r is read only"));
    }
    for op in [Op::Put, Op::Create, Op::Writer, Op::Delete] {
        assert_eq!(reader.faults.count(op, ""), 0, "{op:?}");
    }
}

#[tokio::test]
async fn an_intent_is_written_over_by_its_job_and_removed_more_than_once() {
    let opened = opened().await;
    let job = JobUuid::random();
    let path = layout::intent(job);
    opened.repository.write_intent(&intent(job, "l")).await.unwrap();
    let mut second = intent(job, "l");
    second.epoch = Epoch(2);
    opened.repository.write_intent(&second).await.unwrap();
    let bytes = opened.storage.get(&path, 1 << 20).await.unwrap();
    assert_eq!(tabvault_common::repo::intent::Intent::decode(&path, &bytes), Ok(second));
    opened.repository.remove_intent(job).await.unwrap();
    opened.repository.remove_intent(job).await.unwrap();
    assert_eq!(opened.storage.stat(&path).await, Ok(None));
}

#[tokio::test]
async fn no_backup_begins_in_a_repository_that_is_gone_or_another_one() {
    let opened = opened().await;
    let job = JobUuid::random();
    let other = RepoInfo::new("r", NOW, Ownership::ConditionalWrites);
    opened.storage.put(layout::repo_info(), other.encode().unwrap()).await.unwrap();
    let failure = opened.repository.write_intent(&intent(job, "l")).await.unwrap_err();
    assert_eq!(failure.kind, Kind::FailedPrecondition);
    assert!(failure.message.contains(&other.uuid.to_string()), "{failure}");

    opened.storage.delete(&[layout::repo_info().to_owned()]).await.unwrap();
    let failure = opened.repository.write_intent(&intent(job, "l")).await.unwrap_err();
    assert_eq!(failure.kind, Kind::NotFound);
    assert_eq!(objects(opened.storage.as_ref()).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_meta_has_the_name_of_its_digest_whatever_its_size() {
    let opened = opened().await;
    let job = JobUuid::random();
    for size in [0, 10, 20 << 20] {
        let bytes = Bytes::from(vec![7; size]);
        for _ in 0..2 {
            let reference = opened.repository.put_by_digest(job, bytes.clone()).await.unwrap();
            assert_eq!((reference.digest, reference.size), (Digest::of(&bytes), size as u64));
            assert_eq!(opened.storage.get(&reference.path(), 1 << 30).await.unwrap(), bytes);
        }
    }
}

#[tokio::test]
async fn a_large_meta_whose_upload_fails_leaves_nothing() {
    let opened = opened().await;
    let before = objects(opened.storage.as_ref()).await;
    let lost = Failure::transient(Kind::Unreachable, "the storage is gone");
    opened.faults.rule(Rule::nth(2, Op::Write, "", Act::Refuse(lost)));
    let failure = opened.repository.put_by_digest(JobUuid::random(), Bytes::from(vec![7; 20 << 20])).await.unwrap_err();
    assert!(failure.message.starts_with("write a meta to repository r: "), "{failure}");
    assert_eq!(objects(opened.storage.as_ref()).await, before);
}
