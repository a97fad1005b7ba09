//! A part of a database: of what is backed up, and of what is restored.

use crate::{LOADED, backed_up, shop};

/// The smallest thing that can be backed up is a partition, and so it is with what is restored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_and_restore_go_partition_by_partition() {
    let mut shop = shop().await;
    for partition in ["p1", "p2"] {
        let objects = format!("ON (sales PARTITION ({partition}))");
        shop.finish(&format!("BACKUP SNAPSHOT shop.{partition} TO repo {objects}")).await;
    }
    shop.run("DROP TABLE sales; DROP TABLE items").await;
    let properties = "PROPERTIES ('backup_timestamp' = '$p1', 'replication_num' = '2')";
    shop.finish(&format!("RESTORE SNAPSHOT shop.p1 FROM repo {properties}")).await;
    assert_eq!(shop.tables("shop").await, ["sales"]);
    assert_eq!(shop.partitions("sales").await, ["p1"]);
    // The other one is added beside it; what is there keeps its number of replicas.
    shop.finish("RESTORE SNAPSHOT shop.p2 FROM repo PROPERTIES ('backup_timestamp' = '$p2')").await;
    assert_eq!(shop.partitions("sales").await, ["p1", "p2"]);
    shop.holds("sales PARTITION (p1)", 1).await;
    shop.holds("sales PARTITION (p2)", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_restored_leaves_the_others_as_they_are() {
    let mut shop = backed_up().await;
    for (partition, seed) in [("p1", 11), ("p2", 12)] {
        shop.load(&format!("sales PARTITION ({partition})"), seed).await;
    }
    let objects = "ON (sales PARTITION (p2))";
    shop.finish(&format!("RESTORE SNAPSHOT shop.base FROM repo {objects} PROPERTIES ('backup_timestamp' = '$base')"))
        .await;
    shop.holds("sales PARTITION (p1)", 11).await;
    shop.holds("sales PARTITION (p2)", 2).await;
    let row = shop.client.rows("SHOW RESTORE").await.pop().expect("it is shown");
    assert_eq!(row["RestoreObjs"].as_deref(), Some("[shop.sales PARTITION (p2)]"));
}

/// EXCLUDE of a backup leaves out what it names and nothing else: of a table whose partitions it names, those.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_leaves_out_what_exclude_names() {
    let mut shop = shop().await;
    for (label, exclude, there) in [
        ("tables", "items", vec![("sales", vec!["p1", "p2", "p3"])]),
        ("parts", "sales PARTITION (p1, p3)", vec![("items", vec!["items"]), ("sales", vec!["p2"])]),
        ("both", "items, sales PARTITION (p2)", vec![("sales", vec!["p1", "p3"])]),
    ] {
        shop.finish(&format!("BACKUP SNAPSHOT shop.{label} TO repo EXCLUDE ({exclude})")).await;
        let properties = format!("PROPERTIES ('backup_timestamp' = '${label}', 'replication_num' = '1')");
        shop.finish(&format!("RESTORE SNAPSHOT {label} FROM repo DATABASE shop AS {label} {properties}")).await;
        let names: Vec<&str> = there.iter().map(|(table, _)| *table).collect();
        assert_eq!(shop.tables(label).await, names, "{exclude}");
        for (table, partitions) in there {
            assert_eq!(shop.partitions(&format!("{label}.{table}")).await, partitions, "{exclude}");
        }
    }
    shop.holds("parts.sales PARTITION (p2)", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_leaves_out_what_exclude_names() {
    let mut shop = backed_up().await;
    for (into, exclude, there) in [
        ("tables", "sales", vec![("items", vec!["items"])]),
        ("parts", "sales PARTITION (p1)", vec![("items", vec!["items"]), ("sales", vec!["p2", "p3"])]),
    ] {
        let properties = "PROPERTIES ('backup_timestamp' = '$base', 'replication_num' = '1')";
        shop.finish(&format!(
            "RESTORE SNAPSHOT base FROM repo DATABASE shop AS {into} EXCLUDE ({exclude}) {properties}"
        ))
        .await;
        let names: Vec<&str> = there.iter().map(|(table, _)| *table).collect();
        assert_eq!(shop.tables(into).await, names, "{exclude}");
        for (table, partitions) in there {
            assert_eq!(shop.partitions(&format!("{into}.{table}")).await, partitions, "{exclude}");
        }
    }
}

/// AS gives a table another name here, beside the one that it was taken of, which stays as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_comes_back_under_another_name() {
    let mut shop = backed_up().await;
    shop.load("sales PARTITION (p1)", 11).await;
    let objects = "ON (items AS things, sales PARTITION (p1) AS january)";
    let properties = "PROPERTIES ('backup_timestamp' = '$base', 'replication_num' = '2')";
    shop.finish(&format!("RESTORE SNAPSHOT shop.base FROM repo {objects} {properties}")).await;
    assert_eq!(shop.tables("shop").await, ["items", "january", "sales", "things"]);
    assert_eq!(shop.partitions("january").await, ["p1"]);
    shop.holds("january PARTITION (p1)", 1).await;
    shop.holds("things", 4).await;
    shop.holds("sales PARTITION (p1)", 11).await;
    shop.load("things", 14).await;
    shop.holds("items", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_after_the_snapshot_are_not_in_the_backup() {
    let mut shop = shop().await;
    let before = shop.crash.hold("/head=SNAPSHOTING", tabvault_integration_tests::crash::Side::Before);
    let backup = "BACKUP SNAPSHOT shop.base TO repo";
    let (id, _) = shop.begin(backup).await;
    before.reached().await;
    for (table, seed) in LOADED {
        shop.load(table, seed + 10).await;
    }
    before.release();
    shop.ended(id, backup).await;
    shop.finish(
        "RESTORE SNAPSHOT base FROM repo DATABASE shop AS old
         PROPERTIES ('backup_timestamp' = '$base', 'reserve_replica' = 'true')",
    )
    .await;
    for (table, seed) in LOADED {
        shop.holds(table, seed + 10).await;
        shop.holds(&format!("old.{table}"), seed).await;
    }
}
