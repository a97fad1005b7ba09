//! CREATE, ALTER, DROP and SHOW REPOSITORY.

use std::collections::BTreeMap;
use std::time::Duration;

use tabvault_broker::faults::{Act, Op, Rule};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{ClusterId, JobUuid};
use tabvault_common::repo::layout;
use tabvault_common::repo::repo_info::{Ownership, RepoInfo};
use tabvault_common::request::CreateRepositoryRequest;
use tabvault_common::secret::Secret;
use tabvault_fe_coordinator::brokers::BrokerAddress;
use tabvault_fe_coordinator::repository::health;
use tabvault_fe_coordinator::store::JobStore;

use crate::support::*;

const AT: &str = "2025-07-31-14-02-01-042";

#[tokio::test]
async fn a_new_repository_is_listed_and_stands_where_it_should() {
    let cluster = Cluster::new().await;
    let location = somewhere();
    let view = cluster.repositories.create(request("r", &format!("{location}//"))).await.unwrap();
    assert_eq!((view.id, view.name.as_str(), view.create_time), (1, "r", NOW));
    assert_eq!((view.location.as_str(), view.kind.as_str()), (location.as_str(), "MEMORY"));
    assert_eq!(
        (view.read_only, view.broker.clone(), view.error.clone(), view.notice.clone()),
        (false, None, None, None)
    );
    let second = cluster.repositories.create(request("a", &location)).await.unwrap();
    assert_eq!(cluster.repositories.list().await, Ok(vec![view, second]));

    assert_eq!(left_at(&location).await, ["__repo_info"]);
    let info = repo_info(&location).await;
    assert_eq!((info.name.as_str(), info.ownership), ("r", Ownership::ConditionalWrites));
    assert_eq!(record(&cluster, "r").await.uuid, info.uuid);
    let access = cluster.repositories.access("r").await.unwrap();
    assert_eq!(access.location, format!("{location}/__tabvault_repository_r"));
}

#[tokio::test]
async fn what_cannot_be_a_repository_is_refused_before_anything_is_contacted() {
    let cluster = Cluster::new().await;
    let location = somewhere();
    let refused = async |request| {
        let failure = cluster.repositories.create(request).await.unwrap_err();
        (failure.kind, failure.message)
    };
    let (kind, message) = refused(request("1r", &location)).await;
    assert_eq!(kind, Kind::InvalidArgument);
    assert!(message.starts_with("repository name '1r' is not valid: "), "{message}");
    let through = CreateRepositoryRequest { broker: Some("b".to_owned()), ..request("r", &location) };
    let (kind, message) = refused(through).await;
    assert_eq!((kind, message.as_str()), (Kind::NotFound, "broker does not exist: b"));
    let mut huge = request("r", &location);
    huge.properties.insert("k".to_owned(), Secret::new("x".repeat(65 * 1024)));
    assert_eq!(refused(huge).await.0, Kind::InvalidArgument);
    assert_eq!(cluster.faults.log(), vec![]);

    cluster.repositories.create(request("r", &location)).await.unwrap();
    let expected = (Kind::AlreadyExists, "Repository r already exist".to_owned());
    assert_eq!(refused(request("r", &somewhere())).await, expected);
    assert_eq!(cluster.repositories.open("x").await.unwrap_err().message, "Repository x does not exist");
    assert_eq!(cluster.repositories.access("x").await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn a_damaged_repo_info_is_named_and_stays_as_it_is() {
    let (cluster, location) = (Cluster::new().await, somewhere());
    let storage = storage(&format!("{location}/__tabvault_repository_r")).await;
    storage.put(layout::repo_info(), "{}".into()).await.unwrap();
    let failure = cluster.repositories.create(request("r", &location)).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Corrupt);
    assert!(failure.message.contains("__repo_info is damaged"), "{failure}");
    assert_eq!(storage.get(layout::repo_info(), 100).await.unwrap(), "{}");
}

#[tokio::test]
async fn a_create_that_fails_at_any_step_leaves_nothing_half_made() {
    let lost = Failure::transient(Kind::Unreachable, "the storage is gone");
    for act in [Act::Refuse(lost), Act::Refuse(unknown()), Act::Unheard] {
        let mut failed = 0;
        for step in 0.. {
            let (cluster, location) = (Cluster::new().await, somewhere());
            let rule = Rule { op: None, prefix: String::new(), skip: step, times: Some(1), act: act.clone() };
            cluster.faults.rule(rule);
            let answer = cluster.repositories.create(request("r", &location)).await;
            let hit = cluster.faults.log().get(usize::try_from(step).unwrap()).cloned();
            let Some((op, _)) = hit else {
                // Every step has had its turn.
                answer.unwrap();
                break;
            };
            cluster.faults.clear();
            if let Err(failure) = answer {
                failed += 1;
                assert!(failure.message.starts_with("create repository r: "), "{failure}");
                assert_eq!(cluster.repositories.list().await, Ok(vec![]), "{op:?} {step}");
                // A deletion that fails cannot be made up for by another.
                let left: Vec<_> = left_at(&location).await;
                assert!(op == Op::Delete || left.iter().all(|path| path == "__repo_info"), "{op:?} {step}: {left:?}");
                cluster.repositories.create(request("r", &location)).await.unwrap();
            }
            assert_eq!(record(&cluster, "r").await.uuid, repo_info(&location).await.uuid, "{op:?} {step}");
        }
        assert!(failed > 5, "{failed}");
    }
}

#[tokio::test]
async fn a_coordinator_that_leads_no_more_changes_nothing() {
    let (cluster, location) = (Cluster::new().await, somewhere());
    cluster.repositories.create(request("r", &location)).await.unwrap();
    cluster.store.lead().await.unwrap();
    assert_eq!(cluster.repositories.create(request("s", &location)).await.unwrap_err().kind, Kind::Stale);
    assert_eq!(cluster.repositories.drop_repository("r", false).await.unwrap_err().kind, Kind::Stale);
    assert_eq!(cluster.repositories.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn altered_properties_are_merged_tried_and_used_from_then_on() {
    let (cluster, location) = (Cluster::new().await, somewhere());
    let mut first = request("r", &location);
    first.properties.insert("s3.access_key".to_owned(), Secret::new("old-key"));
    first.properties.insert("s3.region".to_owned(), Secret::new("eu"));
    cluster.repositories.create(first).await.unwrap();
    let before = cluster.repositories.open("r").await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&before, &cluster.repositories.open("r").await.unwrap()));

    let change = BTreeMap::from([("s3.access_key".to_owned(), Secret::new("new-key"))]);
    cluster.faults.rule(Rule::outage());
    let failure = cluster.repositories.alter("r", change.clone()).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Unreachable);
    cluster.faults.clear();
    assert_eq!(record(&cluster, "r").await.properties["s3.access_key"], Secret::new("old-key"));
    assert!(std::sync::Arc::ptr_eq(&before, &cluster.repositories.open("r").await.unwrap()));

    cluster.repositories.alter("r", change).await.unwrap();
    let properties = cluster.repositories.access("r").await.unwrap().properties;
    assert_eq!(properties["s3.access_key"], Secret::new("new-key"));
    assert_eq!(properties["s3.region"], Secret::new("eu"));
    assert!(!std::sync::Arc::ptr_eq(&before, &cluster.repositories.open("r").await.unwrap()));
    assert_eq!(cluster.opener.opened.lock().unwrap().last().unwrap().properties, properties);
    assert_eq!(
        cluster.repositories.alter("x", BTreeMap::new()).await.unwrap_err().message,
        "Repository x does not exist"
    );
}

#[tokio::test]
async fn an_alteration_that_leads_to_another_repository_is_refused() {
    let opened = opened().await;
    let other = RepoInfo::new("r", NOW, Ownership::OneCluster(ClusterId::random()));
    opened.storage.put(layout::repo_info(), other.encode().unwrap()).await.unwrap();
    let failure = opened.cluster.repositories.alter("r", BTreeMap::new()).await.unwrap_err();
    assert_eq!(failure.kind, Kind::FailedPrecondition);
    opened.storage.delete(&[layout::repo_info().to_owned()]).await.unwrap();
    let failure = opened.cluster.repositories.alter("r", BTreeMap::new()).await.unwrap_err();
    assert_eq!(failure.kind, Kind::NotFound);
    assert_eq!(objects(opened.storage.as_ref()).await, Vec::<String>::new());
}

#[tokio::test]
async fn dropping_forgets_the_name_and_keeps_what_is_stored() {
    let opened = opened().await;
    let repositories = &opened.cluster.repositories;
    Snapshot::new("l", AT).publish(&opened.repository).await;
    let stored = objects(opened.storage.as_ref()).await;
    let failure = repositories.drop_repository("r", true).await.unwrap_err();
    assert_eq!(failure.message, "Backup or restore job is running on this repository. Can not drop it");
    repositories.drop_repository("r", false).await.unwrap();
    assert_eq!(repositories.drop_repository("r", false).await.unwrap_err().message, "Repository r does not exist");
    assert_eq!(repositories.open("r").await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(repositories.list().await, Ok(vec![]));
    assert_eq!(objects(opened.storage.as_ref()).await, stored);
}

#[tokio::test]
async fn more_repositories_than_a_page_are_all_listed() {
    let cluster = Cluster::new().await;
    let location = somewhere();
    for n in 0..101 {
        cluster.repositories.create(request(&format!("r{n}"), &location)).await.unwrap();
    }
    let ids: Vec<u64> = cluster.repositories.list().await.unwrap().iter().map(|view| view.id).collect();
    assert_eq!(ids, (1..=101).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_a_health_check_finds_is_shown_until_it_is_well_again() {
    let opened = opened().await;
    let (repositories, clock) = (opened.cluster.repositories.clone(), opened.cluster.clock.clone());
    let error = async || repositories.list().await.unwrap()[0].error.clone();
    opened.faults.rule(Rule::outage());
    let watch = tokio::spawn(health::watch(repositories.clone(), Duration::from_secs(60)));
    while error().await.is_none() {
        tokio::task::yield_now().await;
    }
    assert!(error().await.unwrap().ends_with("the storage is gone"));
    opened.faults.clear();
    tokio::task::yield_now().await;
    assert!(error().await.is_some());
    clock.advance(Duration::from_secs(60));
    while error().await.is_some() {
        tokio::task::yield_now().await;
    }
    opened.storage.delete(&[layout::repo_info().to_owned()]).await.unwrap();
    clock.advance(Duration::from_secs(60));
    while error().await.is_none() {
        clock.advance(Duration::from_secs(60));
        tokio::task::yield_now().await;
    }
    assert!(error().await.unwrap().contains("repository r is gone"));
    watch.abort();
}

#[tokio::test]
async fn through_brokers_a_repository_has_their_addresses_and_is_opened_anew_when_they_change() {
    let (cluster, location) = (Cluster::new().await, somewhere());
    let at = |port| BrokerAddress { host: "127.0.0.1".to_owned(), port };
    cluster.brokers.add("b", &[at(8000)]).await.unwrap();
    let through = CreateRepositoryRequest { broker: Some("b".to_owned()), ..request("r", &location) };
    let view = cluster.repositories.create(through).await.unwrap();
    assert_eq!((view.kind.as_str(), view.broker.as_deref()), ("BROKER", Some("b")));
    assert_eq!(cluster.repositories.access("r").await.unwrap().brokers, ["http://127.0.0.1:8000"]);
    let before = cluster.repositories.open("r").await.unwrap();
    cluster.brokers.add("b", &[at(8001)]).await.unwrap();
    assert!(!std::sync::Arc::ptr_eq(&before, &cluster.repositories.open("r").await.unwrap()));
    let addresses = ["http://127.0.0.1:8000", "http://127.0.0.1:8001"];
    assert_eq!(cluster.opener.opened.lock().unwrap().last().unwrap().brokers, addresses);
}

#[tokio::test]
async fn secrets_are_not_in_what_is_printed() {
    let (cluster, location) = (Cluster::new().await, somewhere());
    let mut secret = request("r", &location);
    secret.properties.insert("s3.secret_key".to_owned(), Secret::new("hunter2"));
    cluster.repositories.create(secret).await.unwrap();
    let repository = cluster.repositories.open("r").await.unwrap();
    let record = record(&cluster, "r").await;
    let printed =
        format!("{:?} {repository:?} {record:?} {:?}", cluster.repositories, cluster.repositories.list().await);
    assert!(printed.contains("s3.secret_key"), "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
    // Neither is what a damaged record holds.
    let key = "repository/r".to_owned();
    let change = tabvault_fe_coordinator::store::Transaction {
        put: vec![(key, r#"{"id":"hunter2"}"#.into())],
        ..tabvault_fe_coordinator::store::Transaction::default()
    };
    cluster.store.commit(cluster.epoch, change).await.unwrap();
    let failure = cluster.repositories.open("r").await.unwrap_err();
    assert_eq!((failure.kind, failure.message.contains("hunter2")), (Kind::Corrupt, false));
}

#[tokio::test]
async fn a_leader_finds_what_its_predecessor_made() {
    let opened = opened().await;
    let cluster = &opened.cluster;
    let epoch = cluster.store.lead().await.unwrap();
    let next = tabvault_fe_coordinator::repository::Repositories::new(
        cluster.store.clone(),
        epoch,
        cluster.id,
        cluster.brokers.clone(),
        cluster.opener.clone(),
        std::sync::Arc::new(cluster.clock.clone()),
    );
    next.open("r").await.unwrap().write_intent(&intent(JobUuid::random(), "l")).await.unwrap();
    assert_eq!(next.create(request("s", &somewhere())).await.unwrap().id, 2);
}
