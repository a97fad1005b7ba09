//! What of a table's definition travels, and what does not.

use tabvault_integration_tests::sql::SqlBench;

use crate::{LOADED, backed_up, shop};

async fn shown(shop: &mut SqlBench, table: &str) -> String {
    shop.client.column("Create Table", &format!("SHOW CREATE TABLE {table}")).await.remove(0)
}

/// `"content" = "metadata_only"`: definitions without data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_metadata_only_comes_back_as_empty_tables() {
    let mut shop = shop().await;
    shop.finish("BACKUP SNAPSHOT shop.base TO repo PROPERTIES ('content' = 'metadata_only')").await;
    shop.finish(
        "RESTORE SNAPSHOT base FROM repo DATABASE shop AS empty
         PROPERTIES ('backup_timestamp' = '$base', 'reserve_replica' = 'true')",
    )
    .await;
    for table in ["items", "sales"] {
        assert_eq!(shown(&mut shop, &format!("empty.{table}")).await, shown(&mut shop, table).await);
        let sizes = shop.client.column("DataSize", &format!("SHOW PARTITIONS FROM empty.{table}")).await;
        assert!(sizes.iter().all(|size| size == "0"), "{sizes:?}");
    }
    let refused = shop.refused("RESTORE SNAPSHOT shop.base FROM repo PROPERTIES ('backup_timestamp' = '$base')").await;
    assert!(refused.failure.message.contains("it would be emptied"), "{refused}");
    shop.holds("items", 4).await;
}

/// A dynamically partitioned table comes back with that switched off, and it is switched on by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dynamic_partitioning_is_off_after_a_restore_until_alter_table_turns_it_on() {
    let mut shop = backed_up().await;
    let (on, off) = ("\"dynamic_partition.enable\" = \"true\"", "\"dynamic_partition.enable\" = \"false\"");
    shop.run(&format!("ALTER TABLE sales SET ({on}, \"dynamic_partition.time_unit\" = \"MONTH\")")).await;
    shop.finish("BACKUP SNAPSHOT shop.dynamic TO repo ON (sales)").await;
    assert!(shown(&mut shop, "sales").await.contains(on), "the table itself stays as it was");
    let restore =
        "RESTORE SNAPSHOT shop.dynamic FROM repo PROPERTIES ('backup_timestamp' = '$dynamic', 'replication_num' = '2')";
    shop.run("DROP TABLE sales").await;
    let notices = shop.finish(restore).await;
    assert!(notices.iter().any(|notice| notice.contains("dynamic partitioning is off")), "{notices:?}");
    let table = shown(&mut shop, "sales").await;
    assert!(table.contains(off) && table.contains("\"dynamic_partition.time_unit\" = \"MONTH\""), "{table}");
    shop.run("ALTER TABLE sales SET (\"dynamic_partition.enable\"=\"true\")").await;
    assert!(shown(&mut shop, "sales").await.contains(on));

    shop.run("DROP TABLE sales").await;
    let reserved = restore.replace(")", ", 'reserve_dynamic_partition_enable' = 'true')");
    assert_eq!(shop.finish(&reserved).await, [""; 0]);
    assert!(shown(&mut shop, "sales").await.contains(on));
    shop.holds("sales PARTITION (p1)", 1).await;
}

/// That tables are colocated is not restored, and RESTORE says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_table_is_in_no_colocate_group() {
    let mut shop = shop().await;
    shop.run("ALTER TABLE items SET ('colocate_with' = 'group1')").await;
    shop.finish("BACKUP SNAPSHOT shop.base TO repo ON (items)").await;
    shop.run("DROP TABLE items").await;
    let restore = "RESTORE SNAPSHOT shop.base FROM repo
         PROPERTIES ('backup_timestamp' = '$base', 'replication_num' = '2')";
    let (id, notices) = shop.begin(restore).await;
    assert_eq!(shop.client.column("Message", "SHOW WARNINGS").await, notices);
    assert!(notices.iter().any(|notice| notice.contains("colocate group") && notice.contains("group1")), "{notices:?}");
    shop.ended(id, restore).await;
    assert!(!shown(&mut shop, "items").await.contains("colocate_with"));
    shop.holds("items", 4).await;
}

/// StarRocks does not back tables with primary keys up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_with_primary_keys_and_rollups_are_backed_up_as_any_other() {
    let mut shop = shop().await;
    shop.run(
        "CREATE TABLE accounts (id BIGINT NOT NULL, name STRING, balance DECIMAL(20, 2)) PRIMARY KEY (id)
         DISTRIBUTED BY HASH (id) BUCKETS 2 ROLLUP (by_name (name, id)) PROPERTIES ('replication_num' = '2')",
    )
    .await;
    shop.load("accounts", 9).await;
    let before = shown(&mut shop, "accounts").await;
    assert!(before.contains("PRIMARY KEY") && before.contains("by_name"), "{before}");
    shop.finish("BACKUP SNAPSHOT shop.base TO repo ON (accounts)").await;
    shop.run("DROP TABLE accounts").await;
    shop.finish(
        "RESTORE SNAPSHOT shop.base FROM repo PROPERTIES ('backup_timestamp' = '$base', 'replication_num' = '2')",
    )
    .await;
    assert_eq!(shown(&mut shop, "accounts").await, before);
    shop.holds("accounts", 9).await;
    shop.load("accounts", 10).await;
    shop.holds("accounts", 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_database_comes_back_as_it_was() {
    let mut shop = backed_up().await;
    let mut before = Vec::new();
    for table in ["items", "sales"] {
        before.push(shown(&mut shop, table).await);
    }
    shop.run("DROP DATABASE shop").await;
    // The database is made again, and tables get the replicas that they had.
    shop.run("CREATE DATABASE IF NOT EXISTS other; USE other").await;
    shop.finish(
        "RESTORE SNAPSHOT shop.base FROM repo PROPERTIES ('backup_timestamp' = '$base', 'reserve_replica' = 'true')",
    )
    .await;
    shop.run("USE shop").await;
    for (table, before) in ["items", "sales"].into_iter().zip(before) {
        assert_eq!(shown(&mut shop, table).await, before);
    }
    for (table, seed) in LOADED {
        shop.holds(table, seed).await;
    }
}
