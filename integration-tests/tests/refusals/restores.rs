//! Restores that the snapshot or the cluster cannot answer, and their properties.

use crate::provoked::{Provoked, Scene};

pub(crate) async fn scene() -> Provoked {
    let mut scene = Scene::new().await;
    what_the_snapshot_lacks(&mut scene).await;
    wrong_properties(&mut scene).await;

    // Without a number of replicas a new table would get three, and there are two backends.
    let hosts = "failed to find {} different hosts to create table … {} backends … replication_num";
    let elsewhere = "RESTORE SNAPSHOT base FROM repo DATABASE shop AS elsewhere";
    for properties in ["'backup_timestamp' = '$base'", "'backup_timestamp' = '$base', 'replication_num' = '3'"] {
        let restore = format!("{elsewhere} PROPERTIES ({properties})");
        let message = scene.refuse(hosts, &["3", "2"], &restore).await;
        assert!(message.contains("set \"replication_num\" = \"2\" or less"), "{message}");
    }
    let create = "CREATE TABLE wide (k INT) DISTRIBUTED BY HASH (k) BUCKETS 1";
    scene.refuse(hosts, &["3", "2"], create).await;
    let databases = scene.client.column("Database", "SHOW DATABASES").await;
    assert_eq!(databases, ["shop"], "a refused restore makes no database");
    scene.finish(&format!("{elsewhere} PROPERTIES ('backup_timestamp' = '$base', 'replication_num' = '2')")).await;
    scene.provoked()
}

async fn what_the_snapshot_lacks(scene: &mut Scene) {
    let info = "Failed to get info of snapshot '{}' because: …. Maybe specified wrong backup timestamp";
    let at = "PROPERTIES ('backup_timestamp' = '2001-01-01-01-01-01')";
    scene.refuse(info, &["base"], &format!("RESTORE SNAPSHOT shop.base FROM repo {at}")).await;
    scene.refuse(info, &["bass"], &format!("RESTORE SNAPSHOT shop.bass FROM repo {at}")).await;

    let at = "PROPERTIES ('backup_timestamp' = '$base')";
    for choose in ["ON", "EXCLUDE"] {
        let restore = format!("RESTORE SNAPSHOT shop.base FROM repo {choose}");
        let salts = format!("{restore} (salts) {at}");
        scene.refuse("Table {} does not exist in snapshot {}", &["salts", "base"], &salts).await;
        let p9 = format!("{restore} (sales PARTITION (p9)) {at}");
        scene.refuse("Partition {} of table {} does not exist in snapshot", &["p9", "sales"], &p9).await;
        let twice = format!("{restore} (items, items) {at}");
        scene.refuse("Duplicated table: {}", &["items"], &twice).await;
    }
    let both = format!("RESTORE SNAPSHOT shop.base FROM repo ON (items AS both, sales AS both) {at}");
    scene.refuse("Duplicated alias name: {}", &["both"], &both).await;
    let taken = format!("RESTORE SNAPSHOT shop.base FROM repo ON (items AS sales, sales) {at}");
    scene.refuse("Duplicated alias name: {}", &["sales"], &taken).await;
}

async fn wrong_properties(scene: &mut Scene) {
    scene.refuse("Missing backup_timestamp property", &[], "RESTORE SNAPSHOT shop.base FROM repo").await;
    let with = |property: &str| {
        format!("RESTORE SNAPSHOT shop.base FROM repo PROPERTIES ('backup_timestamp' = '$base', {property})")
    };
    let colour = with("'colour' = 'red'");
    scene.refuse("Unknown restore job properties: [{}]", &["colour"], &colour).await;
    scene.refuse("timeout must be at least 10 min", &[], &with("'timeout' = '5'")).await;
    for name in [
        "allow_load",
        "reserve_replica",
        "reserve_dynamic_partition_enable",
        "clean_tables",
        "clean_partitions",
        "atomic_restore",
        "force_replace",
    ] {
        let perhaps = with(&format!("'{name}' = 'perhaps'"));
        scene.refuse("Invalid boolean property '{}': {}", &[name, "perhaps"], &perhaps).await;
    }
    let label = "RESTORE SNAPSHOT shop.`no label` FROM repo PROPERTIES ('backup_timestamp' = '$base')";
    scene.refuse("Label format error. regex: …", &[], label).await;
}
