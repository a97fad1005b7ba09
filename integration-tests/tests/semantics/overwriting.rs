//! Restores over tables that are there, and what their properties mean.

use tabvault_integration_tests::crash::Side;

use crate::{backed_up, shop};

const WHERE: &str = "RESTORE SNAPSHOT shop.base FROM repo";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clean_tables_drops_tables_that_the_restore_does_not_bring() {
    let mut shop = backed_up().await;
    let later = "CREATE TABLE later (k INT) DISTRIBUTED BY HASH (k) BUCKETS 1 PROPERTIES ('replication_num' = '1')";
    shop.run(later).await;
    shop.finish(&format!("{WHERE} PROPERTIES ('backup_timestamp' = '$base')")).await;
    assert_eq!(shop.tables("shop").await, ["items", "later", "sales"]);
    let clean = "PROPERTIES ('backup_timestamp' = '$base', 'clean_tables' = 'true')";
    let notices = shop.finish(&format!("{WHERE} {clean}")).await;
    assert!(
        notices.iter().any(|notice| notice.contains("clean_tables drops from database shop: later")),
        "{notices:?}"
    );
    assert_eq!(shop.tables("shop").await, ["items", "sales"]);
    // A table under an alias is one that it brings.
    let clean = clean.replace(")", ", 'replication_num' = '2')");
    shop.finish(&format!("{WHERE} ON (items AS things) {clean}")).await;
    assert_eq!(shop.tables("shop").await, ["things"]);
    shop.holds("things", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clean_partitions_drops_partitions_that_the_restore_does_not_bring() {
    let mut shop = backed_up().await;
    shop.run("ALTER TABLE sales ADD PARTITION p4 VALUES LESS THAN ('2025-05-01')").await;
    shop.finish(&format!("{WHERE} ON (sales) PROPERTIES ('backup_timestamp' = '$base')")).await;
    assert_eq!(shop.partitions("sales").await, ["p1", "p2", "p3", "p4"]);
    let clean = "PROPERTIES ('backup_timestamp' = '$base', 'clean_partitions' = 'true')";
    let notices = shop.finish(&format!("{WHERE} ON (sales) {clean}")).await;
    assert!(notices.iter().any(|notice| notice.contains("clean_partitions drops from table sales: p4")), "{notices:?}");
    assert_eq!(shop.partitions("sales").await, ["p1", "p2", "p3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn atomic_restore_replaces_tables_as_a_whole_and_force_replace_those_that_differ() {
    let mut shop = backed_up().await;
    shop.run("ALTER TABLE sales ADD PARTITION p4 VALUES LESS THAN ('2025-05-01')").await;
    let atomic = "PROPERTIES ('backup_timestamp' = '$base', 'atomic_restore' = 'true')";
    shop.finish(&format!("{WHERE} ON (sales) {atomic}")).await;
    assert_eq!(shop.partitions("sales").await, ["p1", "p2", "p3"]);

    let other = "id BIGINT NOT NULL, content STRING, colour STRING) UNIQUE KEY (id)";
    let tail = "DISTRIBUTED BY HASH (id) BUCKETS 1 PROPERTIES ('replication_num' = '2')";
    shop.run(&format!("DROP TABLE items; CREATE TABLE items ({other} {tail}")).await;
    let refused = shop.refused(&format!("{WHERE} ON (items) {atomic}")).await;
    assert!(refused.failure.message.contains("but with different schema"), "{refused}");
    let force = atomic.replace(")", ", 'force_replace' = 'true')");
    shop.finish(&format!("{WHERE} ON (items) {force}")).await;
    assert_eq!(shop.client.column("Field", "DESC items").await, ["id", "content"]);
    shop.holds("items", 4).await;
}

/// `reserve_replica`: every partition gets the number of replicas that it had; else what `replication_num` says; a
/// table that is there keeps its number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_are_those_that_the_properties_say() {
    let mut shop = shop().await;
    shop.run(
        "CREATE TABLE mixed (k INT) PARTITION BY RANGE (k) (
             PARTITION one VALUES LESS THAN ('10') ('replication_num' = '1'), PARTITION two VALUES LESS THAN ('20'))
         DISTRIBUTED BY HASH (k) BUCKETS 1 PROPERTIES ('replication_num' = '2')",
    )
    .await;
    shop.load("mixed PARTITION (one)", 8).await;
    shop.finish("BACKUP SNAPSHOT shop.base TO repo ON (mixed)").await;
    for (into, property, expected) in [
        ("reserved", "'reserve_replica' = 'true'", ["1", "2"]),
        ("chosen", "'replication_num' = '2'", ["2", "2"]),
        ("shop", "'timeout' = '600'", ["1", "2"]),
    ] {
        shop.finish(&format!(
            "RESTORE SNAPSHOT base FROM repo DATABASE shop AS {into} PROPERTIES ('backup_timestamp' = '$base', {property})"
        ))
        .await;
        let mut numbers = shop.client.rows(&format!("SHOW PARTITIONS FROM {into}.mixed")).await;
        numbers.sort_by_key(|row| row["PartitionName"].clone());
        let numbers: Vec<_> = numbers.iter().map(|row| row["ReplicationNum"].as_deref().unwrap_or("")).collect();
        assert_eq!(numbers, expected, "{into}: {property}");
        shop.holds(&format!("{into}.mixed PARTITION (one)"), 8).await;
    }
}

/// Elsewhere the data that a restore overwrites may be lost once it commits. Here it is the old or the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_over_a_table_that_is_cancelled_while_it_commits_leaves_the_old_data() {
    let mut shop = backed_up().await;
    shop.load("items", 14).await;
    let hold = shop.crash.hold("catalog publish", Side::Before);
    let restore = format!("{WHERE} ON (items) PROPERTIES ('backup_timestamp' = '$base')");
    let (id, _) = shop.begin(&restore).await;
    hold.reached().await;
    let state = shop.client.column("State", "SHOW RESTORE").await;
    assert_eq!(state, ["COMMITTING"]);
    shop.holds("items", 14).await;
    shop.run("CANCEL RESTORE").await;
    let row = shop.ended(id, &restore).await;
    hold.release();
    assert_eq!(row["State"].as_deref(), Some("CANCELLED"), "{row:?}");
    shop.holds("items", 14).await;
    shop.load("items", 15).await;
    shop.holds("items", 15).await;
    shop.finish(&restore).await;
    shop.holds("items", 4).await;
}
