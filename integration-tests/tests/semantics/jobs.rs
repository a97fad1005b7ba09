//! Jobs that are cancelled, and repositories that are dropped.

use tabvault_integration_tests::crash::Side;
use tabvault_integration_tests::sql::{cell, location};

use crate::backed_up;

/// A label can be used again after a cancel, and the job says who cancelled it and where it stood.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_backup_says_who_did_it_and_in_which_state_and_gives_its_label_back() {
    let mut shop = backed_up().await;
    let backup = "BACKUP SNAPSHOT shop.friday TO repo";
    let hold = shop.crash.hold("storage put __data/", Side::Before);
    let (id, _) = shop.begin(backup).await;
    hold.reached().await;
    let state = shop.client.column("State", "SHOW BACKUP WHERE SnapshotName = 'friday'").await;
    shop.run("CANCEL BACKUP FROM shop").await;
    let row = shop.ended(id, backup).await;
    hold.release();
    assert_eq!(cell(&row, "State"), "CANCELLED");
    assert_eq!(cell(&row, "Status"), format!("[CANCELLED, msg: cancelled by 'ann' in state {}]", state[0]));
    assert_eq!(shop.client.column("Snapshot", "SHOW SNAPSHOT ON repo").await, ["base"]);
    shop.finish(backup).await;
    let mut snapshots = shop.client.column("Snapshot", "SHOW SNAPSHOT ON repo").await;
    snapshots.sort();
    assert_eq!(snapshots, ["base", "friday"]);
    let states = shop.client.column("State", "SHOW BACKUP WHERE SnapshotName = 'friday'").await;
    assert_eq!(states, ["CANCELLED", "FINISHED"], "the newest stands last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_restore_leaves_no_table_behind() {
    let mut shop = backed_up().await;
    shop.run("DROP TABLE items").await;
    let restore = "RESTORE SNAPSHOT shop.base FROM repo ON (items)
         PROPERTIES ('backup_timestamp' = '$base', 'replication_num' = '2')";
    let hold = shop.crash.hold("catalog publish", Side::Before);
    let (id, _) = shop.begin(restore).await;
    hold.reached().await;
    // It is seen, and not yet there.
    let tables = shop.client.rows("SHOW TABLES FROM shop").await;
    assert_eq!(cell(&tables[0], "Table"), "items");
    assert_eq!(cell(&tables[0], "State"), "RESTORE");
    shop.refused("EXPORT TABLE items TO 'file:///nowhere/at/all'").await;
    shop.run("CANCEL RESTORE FROM shop WHERE LABEL LIKE 'ba%'").await;
    let row = shop.ended(id, restore).await;
    hold.release();
    assert_eq!(cell(&row, "Status"), "[CANCELLED, msg: cancelled by 'ann' in state COMMITTING]");
    assert_eq!(shop.tables("shop").await, ["sales"]);
    shop.finish(restore).await;
    shop.holds("items", 4).await;
}

/// DROP REPOSITORY removes the name only; what lies there stays, and whoever makes it again finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_repository_keeps_its_snapshots() {
    let mut shop = backed_up().await;
    let place = location(&shop.cluster, "repo");
    shop.run("DROP REPOSITORY repo").await;
    assert!(shop.client.rows("SHOW REPOSITORIES").await.is_empty());
    shop.run(&format!("CREATE REPOSITORY repo WITH LOCAL ON LOCATION '{place}'")).await;
    shop.load("items", 14).await;
    shop.finish("RESTORE SNAPSHOT shop.base FROM repo PROPERTIES ('backup_timestamp' = '$base')").await;
    shop.holds("items", 4).await;
}
