//! Views: kept as text, restored after all tables.

use tabvault_integration_tests::crash::Side;
use tabvault_integration_tests::sql::{SqlBench, cell};

use crate::shop;

async fn views(shop: &mut SqlBench, database: &str) -> Vec<String> {
    let mut rows = shop.client.rows(&format!("SHOW FULL TABLES FROM {database}")).await;
    rows.retain(|row| cell(row, "Table_type") == "VIEW");
    rows.iter().map(|row| cell(row, &format!("Tables_in_{database}")).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_travel_with_a_database_and_appear_when_their_tables_have() {
    let mut shop = shop().await;
    // The one that names the other comes first in the order of names.
    shop.run("CREATE VIEW cheap AS SELECT * FROM `zero`; CREATE VIEW zero AS SELECT id /* all */ FROM items").await;
    shop.finish("BACKUP SNAPSHOT shop.base TO repo").await;
    let hold = shop.crash.hold("catalog publish", Side::Before);
    let restore = "RESTORE SNAPSHOT base FROM repo DATABASE shop AS other
         PROPERTIES ('backup_timestamp' = '$base', 'replication_num' = '1')";
    let (id, notices) = shop.begin(restore).await;
    hold.reached().await;
    assert!(
        notices.iter().any(|notice| notice.contains("views are restored with the text that they had")),
        "{notices:?}"
    );
    assert_eq!(views(&mut shop, "other").await, [""; 0]);
    hold.release();
    shop.ended(id, restore).await;
    assert_eq!(views(&mut shop, "other").await, ["cheap", "zero"]);
    let text = shop.client.column("Create View", "SHOW CREATE VIEW other.zero").await.remove(0);
    assert!(text.ends_with("AS SELECT id /* all */ FROM items"), "{text}");
    shop.holds("other.items", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_are_left_out_by_exclude_and_by_naming_others() {
    let mut shop = shop().await;
    shop.run("CREATE VIEW a AS SELECT 1; CREATE VIEW b AS SELECT 2").await;
    for (label, objects, expected) in
        [("without", "EXCLUDE (a)", vec!["b"]), ("tables", "ON (items)", vec![]), ("named", "ON (items, a)", vec!["a"])]
    {
        shop.finish(&format!("BACKUP SNAPSHOT shop.{label} TO repo {objects}")).await;
        shop.finish(&format!(
            "RESTORE SNAPSHOT {label} FROM repo DATABASE shop AS {label}
             PROPERTIES ('backup_timestamp' = '${label}', 'replication_num' = '1')"
        ))
        .await;
        assert_eq!(views(&mut shop, label).await, expected, "{objects}");
    }
}
