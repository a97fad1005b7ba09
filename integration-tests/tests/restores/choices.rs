//! All of a snapshot or a part of it, here or elsewhere, over what is there or beside it.

use std::collections::BTreeMap;

use tabvault_common::request::{CreateRepositoryRequest, Selection};
use tabvault_integration_tests::checks;
use tabvault_integration_tests::cluster::{Cluster, Setup, alias, backup_request};
use tabvault_integration_tests::crash::Side;
use tabvault_integration_tests::tree;

use crate::bench::{Bench, LOADED, some, with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_database_comes_back_with_its_sizes_and_a_directory_per_partition() {
    let bench = Bench::dropped().await;
    bench.restore(Selection::All).await;
    for (table, seed) in LOADED {
        bench.check(table, seed).await;
    }
    assert_eq!(bench.sizes().await, bench.shown);

    let out = bench.dir.path().join("out");
    bench.cluster.export("shop.sales", &out).await.expect("export");
    let mut directories: Vec<_> =
        std::fs::read_dir(&out).expect("read").map(|e| e.expect("read").file_name()).collect();
    directories.sort();
    assert_eq!(directories, ["east", "north", "west"]);
    for (name, seed) in [("east", 1), ("north", 2), ("west", 3)] {
        tree::assert_same(&bench.tree(seed), &out.join(name));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_was_asked_for_comes_back() {
    let bench = Bench::dropped().await;
    bench.restore(Selection::Only(some("items", &[]))).await;
    assert_eq!(bench.tables("shop").await, ["items"]);
    bench.check("shop.items", 4).await;

    bench.restore(Selection::Only(some("sales", &["north"]))).await;
    assert_eq!(bench.partitions("shop.sales").await, ["north"]);
    bench.check("shop.sales/north", 2).await;

    // A partition that is missing is added, and the one that is there stays.
    bench.restore(Selection::Only(some("sales", &["west"]))).await;
    assert_eq!(bench.partitions("shop.sales").await, ["north", "west"]);
    bench.check("shop.sales/north", 2).await;
    bench.check("shop.sales/west", 3).await;

    bench.drop_tables().await;
    bench.restore(Selection::Except(some("sales", &["east", "west"]))).await;
    assert_eq!(bench.tables("shop").await, ["items", "sales"]);
    assert_eq!(bench.partitions("shop.sales").await, ["north"]);
    bench.check("shop.sales/north", 2).await;

    bench.drop_tables().await;
    bench.restore(Selection::Except(some("sales", &[]))).await;
    assert_eq!(bench.tables("shop").await, ["items"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_was_asked_for_is_backed_up() {
    let bench = Bench::new().await;
    let selections = [
        ("one", Selection::Only(some("sales", &["north"])), vec![("sales", vec!["north"])]),
        (
            "but",
            Selection::Except(some("sales", &["north"])),
            vec![("items", vec!["items"]), ("sales", vec!["east", "west"])],
        ),
        ("none", Selection::Except(some("sales", &[])), vec![("items", vec!["items"])]),
    ];
    for (label, selection, expected) in selections {
        let mut request = backup_request("shop", label, "repo");
        request.selection = selection;
        let id = bench.cluster.fe().backup(request).await.expect("back up").id;
        checks::assert_finished(&*bench.cluster.wait(id).await);
        let mut request = bench.cluster.restore_request("shop", label, "repo", 2).await;
        request.into = Some(label.to_owned());
        bench.finish(request).await;
        let mut found = Vec::new();
        for table in bench.tables(label).await {
            let partitions = bench.partitions(&format!("{label}.{table}")).await;
            found.push((table, partitions));
        }
        let expected: Vec<(String, Vec<String>)> = expected
            .into_iter()
            .map(|(table, partitions)| (table.to_owned(), partitions.into_iter().map(str::to_owned).collect()))
            .collect();
        assert_eq!(found, expected, "{label}");
    }
    bench.check("one.sales/north", 2).await;
    bench.check("but.sales/west", 3).await;
    bench.check("none.items", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_comes_back_under_another_name_in_another_database_with_another_number_of_replicas() {
    let bench = Bench::new().await;
    bench.restore(alias("items", "copy")).await;
    bench.check("shop.copy", 4).await;
    bench.check("shop.items", 4).await;

    let mut request = with(&bench.request, "replication_num", "1");
    request.into = Some("other".to_owned());
    bench.finish(request.clone()).await;
    assert_eq!(bench.tables("other").await, ["items", "sales"]);
    let partitions = bench.cluster.fe().catalog().show_partitions("other", "sales").await.expect("show partitions");
    assert!(partitions.iter().all(|partition| partition.replication_num == 1), "{partitions:?}");
    for (name, seed) in LOADED {
        bench.check(&name.replace("shop", "other"), seed).await;
    }

    request.into = Some("reserved".to_owned());
    request.properties.remove("replication_num");
    bench.finish(with(&request, "reserve_replica", "true")).await;
    let partitions = bench.cluster.fe().catalog().show_partitions("reserved", "sales").await.expect("show partitions");
    assert!(partitions.iter().all(|partition| partition.replication_num == 2), "{partitions:?}");

    // A table that is there keeps its number.
    let words = ["Partition items of table items has different replication num '2' with partition in repository"];
    bench.refused(with(&bench.request, "replication_num", "1"), &words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_data_stays_readable_until_the_snapshots_takes_its_place() {
    let bench = Bench::new().await;
    let newer = bench.new_tree(11);
    // A file that the snapshot has not must go again.
    tree::write(&newer.join("only-newer"), b"newer");
    bench.cluster.load("shop.sales/east", &newer, 2).await.expect("load");
    bench.check("shop.sales/east", 11).await;
    bench.new_tree(12);
    bench.cluster.load("shop.sales/south", &bench.tree(12), 2).await.expect("load");

    let hold = bench.crash.hold("catalog publish", Side::Before);
    let id = bench.cluster.fe().restore(bench.request.clone()).await.expect("the restore is accepted").id;
    hold.reached().await;
    for (name, seed) in [("shop.sales/east", 11), ("shop.sales/south", 12), ("shop.items", 4)] {
        bench.check(name, seed).await;
    }
    hold.release();
    checks::assert_finished(&*bench.cluster.wait(id).await);
    for (name, seed) in LOADED {
        bench.check(name, seed).await;
    }
    // The snapshot says nothing of it.
    bench.check("shop.sales/south", 12).await;
    checks::assert_swept(&bench.cluster).await;

    // Loading the same path again replaces it; other paths stay.
    bench.cluster.load("shop.items", &bench.new_tree(13), 2).await.expect("load");
    bench.check("shop.items", 13).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_sees_the_snapshots_and_restores_them() {
    let bench = Bench::new().await;
    let location = format!("file://{}", bench.cluster.dir.join("repo").display());
    let setup = Setup { buckets: 5, ..Setup::default() };
    let other = Cluster::start_with(&bench.dir.path().join("other"), 1, setup).await;
    other.repository_at("repo", &location, BTreeMap::new(), None).await.expect("the same repository");
    assert_eq!(other.snapshots("repo").await, bench.cluster.snapshots("repo").await);
    let before = tree::read(&bench.cluster.dir.join("repo"));

    let request = other.restore_request("shop", "base", "repo", 1).await;
    checks::assert_finished(&other.restore(request).await.expect("restore"));
    for (name, seed) in LOADED {
        checks::assert_table_is(&other, name, &bench.tree(seed)).await;
    }

    let third = Cluster::start(&bench.dir.path().join("third"), 1).await;
    let request = CreateRepositoryRequest {
        name: "repo".to_owned(),
        location,
        properties: BTreeMap::new(),
        broker: None,
        read_only: true,
    };
    third.fe().repositories().create(request).await.expect("the same repository, read only");
    let mut request = third.restore_request("shop", "base", "repo", 1).await;
    request.selection = Selection::Only(some("items", &[]));
    checks::assert_finished(&third.restore(request).await.expect("restore"));
    checks::assert_table_is(&third, "shop.items", &bench.tree(4)).await;
    let refused = third.backup("shop", "mine", "repo").await.expect_err("it is read only");
    assert!(refused.message.contains("Repository repo is read only"), "{refused}");
    assert_eq!(tree::read(&bench.cluster.dir.join("repo")), before, "restoring writes nothing");

    // A backup of the other cluster is seen by the first.
    checks::assert_finished(&other.backup("shop", "theirs", "repo").await.expect("back up"));
    checks::assert_one_snapshot(&bench.cluster, "repo", "theirs").await;
}
