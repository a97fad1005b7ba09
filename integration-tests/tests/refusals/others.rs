//! Restores over tables that are others than the snapshot's.

use crate::provoked::{Provoked, SALES, Scene};

const RESTORE: &str = "RESTORE SNAPSHOT shop.base FROM repo PROPERTIES ('backup_timestamp' = '$base')";

pub(crate) async fn scene() -> Provoked {
    let mut scene = Scene::new().await;
    let replicas =
        "Partition {} of table {} has different replication num '{}' with partition in repository, which is {}";
    let one = "RESTORE SNAPSHOT shop.base FROM repo ON (sales PARTITION (p2))
         PROPERTIES ('backup_timestamp' = '$base', 'replication_num' = '1')";
    scene.refuse(replicas, &["p2", "sales", "2", "1"], one).await;

    let tail = "DISTRIBUTED BY HASH (id) BUCKETS 2 PROPERTIES ('replication_num' = '2')";
    let schema = "Table {} already exist but with different schema";
    for columns in ["id BIGINT NOT NULL, content STRING, colour STRING", "id INT NOT NULL, content STRING", "id BIGINT"]
    {
        scene.run(&format!("DROP TABLE items; CREATE TABLE items ({columns}) UNIQUE KEY (id) {tail}")).await;
        scene.refuse(schema, &["items"], RESTORE).await;
    }
    let keys = "id BIGINT NOT NULL, content STRING) DUPLICATE KEY (id)";
    scene.run(&format!("DROP TABLE items; CREATE TABLE items ({keys} {tail}")).await;
    scene.refuse("Table {} already exist but with different key type", &["items"], RESTORE).await;
    scene.run("DROP TABLE items").await;

    let later = SALES.replace("2025-02-01", "2025-02-15");
    scene.run(&format!("DROP TABLE sales; {later}")).await;
    let range = "Partition {} of table {} has different range with partition in repository";
    scene.refuse(range, &["p1", "sales"], RESTORE).await;
    let renamed = SALES.replace("p1", "early");
    scene.run(&format!("DROP TABLE sales; {renamed}")).await;
    let conflict = "Partition {} of table {} has conflict range with existing ranges";
    let message = scene.refuse(conflict, &["p1", "sales"], RESTORE).await;
    assert!(message.contains("overlaps partition early"), "{message}");

    // With the tables out of the way it is accepted.
    scene.run("DROP TABLE sales").await;
    let fresh = RESTORE.replace(")", ", 'replication_num' = '2')");
    scene.finish(&fresh).await;
    scene.holds("sales PARTITION (p1)", 1).await;
    scene.holds("items", 3).await;
    scene.provoked()
}
