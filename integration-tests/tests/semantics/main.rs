//! What BACKUP and RESTORE mean, as their users read of it, said in SQL: each test is a sentence of the manuals, and is
//! checked against the files that were loaded.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

use tabvault_integration_tests::sql::SqlBench;

mod definitions;
mod elsewhere;
mod guide;
mod jobs;
mod overwriting;
mod parts;
mod running;
mod views;

const ITEMS: &str = "CREATE TABLE items (id BIGINT NOT NULL, content STRING) UNIQUE KEY (id)
    DISTRIBUTED BY HASH (id) BUCKETS 2 PROPERTIES ('replication_num' = '2')";
const SALES: &str = "CREATE TABLE sales (day DATE NOT NULL, content STRING) DUPLICATE KEY (day)
    PARTITION BY RANGE (day) (PARTITION p1 VALUES LESS THAN ('2025-02-01'),
        PARTITION p2 VALUES LESS THAN ('2025-03-01'), PARTITION p3 VALUES LESS THAN ('2025-04-01'))
    DISTRIBUTED BY HASH (day) BUCKETS 2 PROPERTIES ('replication_num' = '2')";

/// What is loaded first, and the seeds of the trees.
const LOADED: [(&str, u64); 4] =
    [("sales PARTITION (p1)", 1), ("sales PARTITION (p2)", 2), ("sales PARTITION (p3)", 3), ("items", 4)];

/// Two backends; the tables `items` and `sales`, of three partitions, with two replicas of everything.
async fn shop() -> SqlBench {
    let mut shop = SqlBench::new(2).await;
    shop.run(&format!("{ITEMS}; {SALES}")).await;
    for (table, seed) in LOADED {
        shop.load(table, seed).await;
    }
    shop
}

/// The same with a snapshot `base` of everything.
async fn backed_up() -> SqlBench {
    let mut shop = shop().await;
    shop.finish("BACKUP SNAPSHOT shop.base TO repo").await;
    shop
}
