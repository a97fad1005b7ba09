//! What is refused: before anything has changed, in words that say what is wrong.

use tabvault_common::request::{CreateTableRequest, RestoreRequest, Selection};
use tabvault_common::schema::{KeyType, PartitionDef, PartitionRange, PartitionValue, Partitioning, TableDef};
use tabvault_integration_tests::checks;
use tabvault_integration_tests::cluster::{alias, backup_request};
use tabvault_integration_tests::crash::Side;

use crate::bench::{Bench, some, with};

impl Bench {
    /// The table `name` is another one of that name.
    async fn remade(&self, name: &str, change: impl FnOnce(&mut TableDef, &mut Vec<PartitionDef>)) {
        let local = self.cluster.fe().local().expect("built in");
        let there = local.table("shop", name).await.expect("the table is there");
        let (mut table, mut partitions) = (there.def, there.partitions.into_iter().map(|p| p.def).collect());
        // The catalog makes the base index itself.
        table.indexes.clear();
        change(&mut table, &mut partitions);
        local.drop_table("shop", name).await.expect("drop");
        let request = CreateTableRequest { database: "shop".to_owned(), table, partitions, if_not_exists: false };
        self.cluster.fe().create_table(&request).await.expect("create the table");
        checks::assert_no_garbage(&self.cluster).await;
    }

    async fn refused_items(&self, words: &[&str]) {
        self.refused(self.only("items"), words).await;
    }

    async fn refused_sales(&self, words: &[&str]) {
        self.refused(self.only("sales"), words).await;
    }

    fn only(&self, table: &str) -> RestoreRequest {
        RestoreRequest { selection: Selection::Only(some(table, &[])), ..self.request.clone() }
    }
}

fn values(names: &[&str]) -> PartitionRange {
    PartitionRange::List(names.iter().map(|name| vec![PartitionValue::Literal((*name).to_owned())]).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_the_snapshot_cannot_answer() {
    let bench = Bench::dropped().await;
    checks::assert_no_garbage(&bench.cluster).await;
    let request = &bench.request;

    let words = ["Failed to get info of snapshot 'base' because: ", "Maybe specified wrong backup timestamp"];
    bench.refused(with(request, "backup_timestamp", "2001-01-01-01-01-01-001"), &words).await;
    bench.refused(with(request, "backup_timestamp", "yesterday"), &["yesterday"]).await;
    let other = RestoreRequest { label: "bass".to_owned(), ..request.clone() };
    bench.refused(other, &["Failed to get info of snapshot 'bass' because: "]).await;
    let mut without = request.clone();
    without.properties.remove("backup_timestamp");
    bench.refused(without, &["Missing backup_timestamp property"]).await;
    bench.refused(with(request, "colour", "red"), &["Unknown restore job properties: [colour]"]).await;
    bench.refused(with(request, "allow_load", "perhaps"), &["Invalid boolean property 'allow_load': perhaps"]).await;
    let words = ["meta_version is 2, this program reads up to 1"];
    bench.refused(with(request, "meta_version", "2"), &words).await;
    bench.refused(with(request, "timeout", "5"), &["timeout must be at least 10 min"]).await;
    let other = RestoreRequest { label: "so not".to_owned(), ..request.clone() };
    bench.refused(other, &["Label format error. regex: "]).await;
    let other = RestoreRequest { repository: "rope".to_owned(), ..request.clone() };
    bench.refused(other, &["Repository rope does not exist"]).await;
    let other = RestoreRequest { database: "shed".to_owned(), into: Some("shop".to_owned()), ..request.clone() };
    bench.refused(other, &["Unknown database 'shed'", "shop"]).await;

    let select = |selection| RestoreRequest { selection, ..request.clone() };
    for choose in [Selection::Only, Selection::Except] {
        let words = ["Table salts does not exist in snapshot base"];
        bench.refused(select(choose(some("salts", &[]))), &words).await;
        let words = ["Partition south of table sales does not exist in snapshot"];
        bench.refused(select(choose(some("sales", &["south"]))), &words).await;
    }
    let twice = [some("items", &[]), some("items", &[])].concat();
    bench.refused(select(Selection::Only(twice)), &["Duplicated table: items"]).await;
    let mut aliased = [some("items", &[]), some("sales", &[])].concat();
    aliased.iter_mut().for_each(|object| object.alias = Some("both".to_owned()));
    bench.refused(select(Selection::Only(aliased)), &["Duplicated alias name: both"]).await;

    // Also a database that would be new is not made.
    let mut elsewhere = with(request, "replication_num", "3");
    elsewhere.into = Some("elsewhere".to_owned());
    let words = ["failed to find 3 different hosts to create table", "there are 2 backends", "replication_num"];
    bench.refused(elsewhere.clone(), &words).await;
    elsewhere.properties.remove("replication_num");
    bench.refused(elsewhere, &words).await;
    assert_eq!(bench.cluster.fe().catalog().databases().await.expect("list the databases"), ["shop"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_another_than_the_snapshots() {
    let bench = Bench::new().await;
    let schema = "Table items already exist but with different schema";
    bench
        .remade("items", |table, _| {
            let mut extra = table.columns[1].clone();
            extra.name = "colour".to_owned();
            table.columns.push(extra);
        })
        .await;
    bench.refused_items(&[schema, "colour"]).await;
    bench
        .remade("items", |table, _| {
            table.columns.pop();
            table.columns[1].data_type = "INT".to_owned();
        })
        .await;
    bench.refused_items(&[schema, "content INT", "content STRING"]).await;
    bench
        .remade("items", |table, _| {
            table.columns[1].data_type = "STRING".to_owned();
            table.key_type = KeyType::Duplicate;
        })
        .await;
    bench
        .refused_items(&["Table items already exist but with different key type", "DUPLICATE KEY", "UNIQUE KEY"])
        .await;
    bench
        .remade("items", |table, partitions| {
            table.key_type = KeyType::Unique;
            partitions[0].buckets = 7;
        })
        .await;
    bench.refused_items(&["Partition items of table items has different bucket number", "7 here, 2 in"]).await;
    bench
        .remade("items", |table, partitions| {
            partitions[0].buckets = 2;
            table.partitioning = Partitioning::List(vec!["path".to_owned()]);
            partitions[0].range = values(&["a"]);
        })
        .await;
    bench.refused_items(&[schema, "partitioned by list here, not partitioned in the snapshot"]).await;
    // Beside it there is room.
    bench.restore(alias("items", "things")).await;
    bench.check("shop.things", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_are_others_than_the_snapshots() {
    let bench = Bench::new().await;
    bench.remade("sales", |_, partitions| partitions[0].range = values(&["east", "far east"])).await;
    let words = ["Partition east of table sales has different range with partition in repository", "far east"];
    bench.refused_sales(&words).await;
    bench
        .remade("sales", |_, partitions| {
            partitions[0].range = values(&["far east"]);
            partitions.retain(|partition| partition.name == "east");
            partitions[0].name = "orient".to_owned();
            partitions[0].range = values(&["orient", "east"]);
        })
        .await;
    let words = ["Partition east of table sales has conflict range with existing ranges", "orient"];
    bench.refused_sales(&words).await;
    // What does not conflict can be had.
    bench.restore(Selection::Only(some("sales", &["west"]))).await;
    assert_eq!(bench.partitions("shop.sales").await, ["orient", "west"]);
    bench.check("shop.sales/west", 3).await;
    bench
        .remade("sales", |_, partitions| partitions.iter_mut().for_each(|partition| partition.replication_num = 1))
        .await;
    let words =
        ["Partition west of table sales has different replication num '1' with partition in repository, which is 2"];
    bench
        .refused(
            RestoreRequest { selection: Selection::Only(some("sales", &["west"])), ..bench.request.clone() },
            &words,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_busy() {
    let bench = Bench::dropped().await;
    let hold = bench.crash.hold("catalog publish", Side::Before);
    let id = bench.cluster.fe().restore(bench.request.clone()).await.expect("the restore is accepted").id;
    hold.reached().await;
    let fe = bench.cluster.fe();
    let busy = "Can only run one backup or restore job of a database at same time";
    let refused = fe.restore(bench.request.clone()).await.expect_err("the database is busy");
    assert!(refused.message.contains(busy), "{refused}");
    let refused = fe.backup(backup_request("shop", "more", "repo")).await.expect_err("the database is busy");
    assert!(refused.message.contains(busy), "{refused}");
    let refused = fe.drop_repository("repo").await.expect_err("the repository is busy");
    assert!(
        refused.message.contains("Backup or restore job is running on this repository. Can not drop it"),
        "{refused}"
    );

    // A table that is being restored is listed and not readable, and nobody else changes it.
    assert_eq!(bench.tables("shop").await, ["items", "sales"]);
    let state = "Table items's state is not NORMAL: RESTORE";
    let out = bench.dir.path().join("out");
    let refused = bench.cluster.export("shop.items", &out).await.expect_err("it is not readable");
    assert!(refused.message.contains(state), "{refused}");
    assert!(!out.exists(), "nothing is left of a refused export");
    let refused = fe.local().expect("built in").drop_table("shop", "items").await.expect_err("it is not NORMAL");
    assert!(refused.message.contains(state), "{refused}");

    // Another database is free.
    let elsewhere = RestoreRequest { into: Some("elsewhere".to_owned()), ..bench.request.clone() };
    let other = fe.restore(elsewhere).await.expect("another database is free").id;
    hold.release();
    for id in [id, other] {
        checks::assert_finished(&*bench.cluster.wait(id).await);
    }
    assert_eq!(fe.jobs(None, None).len(), 3, "refused requests leave no job");
    bench.check("shop.items", 4).await;
    bench.check("elsewhere.items", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_nothing_here_can_have() {
    let bench = Bench::dropped().await;
    let select = |selection| RestoreRequest { selection, ..bench.request.clone() };
    for name in ["a/b", "", "1st", &"x".repeat(65)] {
        let words = [&format!("Incorrect table name '{name}'"), "restore it under another name with AS"];
        bench.refused(select(alias("items", name)), &words).await;
        let database = RestoreRequest { into: Some(name.to_owned()), ..bench.request.clone() };
        let words = [&format!("Incorrect database name '{name}'"), "restore it under another name with AS"];
        bench.refused(database, &words).await;
    }
    assert_eq!(bench.cluster.fe().catalog().databases().await.expect("list the databases"), ["shop"]);
    // What is not a table's name cannot be the name of one to back up either.
    for name in ["a/b", "", "1st"] {
        let mut request = backup_request("shop", "more", "repo");
        request.selection = Selection::Only(some(name, &[]));
        let refused = bench.cluster.fe().backup(request).await.expect_err("there is no such table");
        assert!(refused.message.starts_with(&format!("Unknown table '{name}'")), "{refused}");
        let refused = bench.cluster.fe().backup(backup_request(name, "more", "repo")).await;
        let refused = refused.expect_err("there is no such database");
        assert!(refused.message.starts_with(&format!("Unknown database '{name}'")), "{refused}");
    }
}
