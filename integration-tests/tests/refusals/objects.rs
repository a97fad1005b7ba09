//! Backups of what is not there or cannot be meant, and their properties.

use crate::provoked::{Provoked, Scene};

pub(crate) async fn scene() -> Provoked {
    let mut scene = Scene::new().await;
    for statement in [
        "BACKUP SNAPSHOT shed.more TO repo",
        "SHOW BACKUP FROM shed",
        "SHOW TABLES FROM shed",
        "USE shed",
        "DROP DATABASE shed",
        "EXPORT TABLE shed.items TO 'file:///out'",
    ] {
        scene.refuse("Unknown database '{}'", &["shed"], statement).await;
    }
    for statement in [
        "BACKUP SNAPSHOT shop.more TO repo ON (salts)",
        "BACKUP SNAPSHOT shop.more TO repo EXCLUDE (salts)",
        "DROP TABLE salts",
        "ALTER TABLE salts DROP PARTITION p1",
        "SHOW PARTITIONS FROM salts",
        "SHOW TABLET FROM salts",
        "DESC salts",
        "EXPORT TABLE salts TO 'file:///out'",
        "LOAD LABEL l (DATA INFILE('file:///in') INTO TABLE salts)",
    ] {
        scene.refuse("Unknown table '{}'", &["salts"], statement).await;
    }
    for statement in [
        "BACKUP SNAPSHOT shop.more TO repo ON (sales PARTITION (p1, p9))",
        "BACKUP SNAPSHOT shop.more TO repo EXCLUDE (sales PARTITION (p9))",
        "ALTER TABLE sales DROP PARTITION p9",
    ] {
        scene.refuse("Unknown partition {} in table {}", &["p9", "sales"], statement).await;
    }
    let twice = "BACKUP SNAPSHOT shop.more TO repo ON (items, sales PARTITION (p1), sales PARTITION (p2))";
    scene.refuse("Duplicated table: {}", &["sales"], twice).await;
    let alias = "BACKUP SNAPSHOT shop.more TO repo ON (items AS things)";
    scene.refuse("Can not set alias for table in Backup Command", &[], alias).await;

    let with = |property: &str| format!("BACKUP SNAPSHOT shop.more TO repo PROPERTIES ({property})");
    let colour = with("'colour' = 'red', 'size' = 'large'");
    scene.refuse("Unknown backup job properties: [{}]", &["colour, size"], &colour).await;
    scene.refuse("timeout must be at least 10 min", &[], &with("'timeout' = '599'")).await;
    let label = "BACKUP SNAPSHOT shop.`no label` TO repo";
    let message = scene.refuse("Label format error. regex: …", &[], label).await;
    assert!(message.contains("^[-_A-Za-z0-9:]{1,128}$"), "{message}");
    scene.provoked()
}
