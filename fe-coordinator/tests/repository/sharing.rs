//! One repository and several clusters: who joins, who may write, who is refused.

use tabvault_broker::faults::Op;
use tabvault_common::failure::Kind;
use tabvault_common::repo::repo_info::Ownership;

use crate::support::*;

const AT: &str = "2025-07-31-14-02-01-042";

#[tokio::test]
async fn a_second_cluster_joins_and_sees_the_snapshots_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    for location in [somewhere(), format!("file://{}", directory.path().display())] {
        let (first, second, reader) = (Cluster::new().await, Cluster::new().await, Cluster::new().await);
        first.repositories.create(request("r", &location)).await.unwrap();
        let snapshot = Snapshot::new("l", AT);
        snapshot.publish(&first.repositories.open("r").await.unwrap()).await;

        second.repositories.create(request("r", &location)).await.unwrap();
        reader.repositories.create(read_only("r", &location)).await.unwrap();
        for other in [&second, &reader] {
            assert_eq!(record(other, "r").await.uuid, record(&first, "r").await.uuid);
            let repository = other.repositories.open("r").await.unwrap();
            assert_eq!(repository.read_info(&label("l"), AT).await, Ok(snapshot.info.clone()));
            assert!(repository.read_meta(&snapshot.info).await.is_ok());
        }
        Snapshot::new("m", AT).publish(&second.repositories.open("r").await.unwrap()).await;
        assert!(first.repositories.open("r").await.unwrap().label_exists(&label("m")).await.unwrap());
        // Another name is another repository, also at the same place.
        second.repositories.create(request("r2", &location)).await.unwrap();
        assert_ne!(record(&second, "r2").await.uuid, record(&second, "r").await.uuid);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_that_create_one_repository_at_the_same_time_share_it() {
    for _ in 0..20 {
        let (location, mut creating, mut clusters) = (somewhere(), Vec::new(), Vec::new());
        for _ in 0..3 {
            let cluster = Cluster::new().await;
            let (repositories, request) = (cluster.repositories.clone(), request("r", &location));
            creating.push(tokio::spawn(async move { repositories.create(request).await }));
            clusters.push(cluster);
        }
        for created in creating {
            created.await.unwrap().unwrap();
        }
        let info = repo_info(&location).await;
        for cluster in &clusters {
            assert_eq!(record(cluster, "r").await.uuid, info.uuid);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_create_one_name_in_one_cluster_one_is_refused() {
    for conditional in [true, false] {
        let (cluster, location) = (Cluster::new().await, somewhere());
        if !conditional {
            cluster.without_conditional_writes();
        }
        let create = || {
            let (repositories, request) = (cluster.repositories.clone(), request("r", &location));
            tokio::spawn(async move { repositories.create(request).await })
        };
        let (a, b) = (create(), create());
        let answers = [a.await.unwrap(), b.await.unwrap()];
        let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        let [failure] = refused.as_slice() else { panic!("{answers:?}") };
        assert_eq!(failure.message, "Repository r already exist");
        assert_eq!(record(&cluster, "r").await.uuid, repo_info(&location).await.uuid);
    }
}

#[tokio::test]
async fn a_read_only_repository_must_be_there_and_is_not_written_to() {
    let (cluster, location) = (Cluster::new().await, somewhere());
    let failure = cluster.repositories.create(read_only("r", &location)).await.unwrap_err();
    assert_eq!(failure.kind, Kind::NotFound);
    assert!(failure.message.contains("Repository r does not exist at "), "{failure}");
    assert!(failure.message.ends_with("check name and location, or leave READ ONLY out"), "{failure}");
    Cluster::new().await.repositories.create(request("r", &location)).await.unwrap();
    let view = cluster.repositories.create(read_only("r", &location)).await.unwrap();
    assert!(view.read_only && cluster.repositories.open("r").await.unwrap().read_only());
    for op in [Op::Put, Op::Create, Op::Writer, Op::Delete] {
        assert_eq!(cluster.faults.count(op, ""), 0, "{op:?}");
    }
}

#[tokio::test]
async fn without_conditional_writes_a_repository_belongs_to_one_cluster() {
    let (owner, other, location) = (Cluster::new().await, Cluster::new().await, somewhere());
    owner.without_conditional_writes();
    let view = owner.repositories.create(request("r", &location)).await.unwrap();
    let notice = view.notice.unwrap();
    assert!(notice.contains(&format!("only this cluster ({}) may write", owner.id)), "{notice}");
    assert_eq!(repo_info(&location).await.ownership, Ownership::OneCluster(owner.id));

    let failure = other.repositories.create(request("r", &location)).await.unwrap_err();
    assert_eq!(failure.kind, Kind::FailedPrecondition);
    assert!(failure.message.contains(&format!("belongs to cluster {}", owner.id)), "{failure}");
    assert!(failure.message.contains("create it READ ONLY"), "{failure}");
    assert!(other.repositories.list().await.unwrap().is_empty());
    let snapshot = Snapshot::new("l", AT);
    snapshot.publish(&owner.repositories.open("r").await.unwrap()).await;
    other.repositories.create(read_only("r", &location)).await.unwrap();
    assert!(other.repositories.open("r").await.unwrap().label_exists(&label("l")).await.unwrap());
    // The owner may come back after a DROP.
    owner.repositories.drop_repository("r", false).await.unwrap();
    owner.repositories.create(request("r", &location)).await.unwrap();
}

#[tokio::test]
async fn a_repository_of_many_clusters_is_not_written_through_storage_that_keeps_nobody_apart() {
    let (first, second, location) = (Cluster::new().await, Cluster::new().await, somewhere());
    first.repositories.create(request("r", &location)).await.unwrap();
    second.without_conditional_writes();
    let failure = second.repositories.create(request("r", &location)).await.unwrap_err();
    assert_eq!(failure.kind, Kind::FailedPrecondition);
    assert!(failure.message.contains("several clusters could write over each other"), "{failure}");
    second.repositories.create(read_only("r", &location)).await.unwrap();
}
