//! Another cluster, and looking before doing.

use tabvault_integration_tests::cluster::Cluster;
use tabvault_integration_tests::sql::{Client, cell, location};
use tabvault_integration_tests::{checks, tree};

use crate::{LOADED, backed_up};

/// A migration: the other cluster makes a repository of the same place, sees the snapshots, and restores; what was
/// loaded since the snapshot is loaded there once more; then both hold the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_moves_to_another_cluster_and_the_loads_since_are_repeated_there() {
    let mut shop = backed_up().await;
    let since = shop.load_statement("items", 14);
    shop.run(&since).await;

    let other = Cluster::start(&shop.dir.path().join("other"), 1).await;
    let mut client = Client::new(other.fe(), "bob");
    let place = location(&shop.cluster, "repo");
    client.run(&format!("CREATE READ ONLY REPOSITORY repo WITH LOCAL ON LOCATION '{place}'")).await;
    assert_eq!(client.column("Snapshot", "SHOW SNAPSHOT ON repo").await, ["base"]);
    let restore = "RESTORE SNAPSHOT shop.base FROM repo
         PROPERTIES ('backup_timestamp' = '$base', 'replication_num' = '1')";
    client.run(&shop.fill(restore).await).await;
    let id = other.newest(tabvault_common::view::JobKind::Restore).id;
    checks::assert_finished(&*other.wait(id).await);

    client.run(&format!("USE shop; {since}")).await;
    shop.holds("items", 14).await;
    for (table, _) in LOADED {
        let (here, there) = (shop.dir.path().join("here"), shop.dir.path().join("there"));
        for dir in [&here, &there] {
            let _ = std::fs::remove_dir_all(dir);
        }
        shop.run(&format!("EXPORT TABLE {table} TO 'file://{}'", here.display())).await;
        client.run(&format!("EXPORT TABLE {table} TO 'file://{}'", there.display())).await;
        tree::assert_same(&here, &there);
    }
}

/// What a job takes can be guessed from the tablets of each partition and the versions of each tablet; EXPLAIN counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jobs_size_can_be_seen_before() {
    let mut shop = backed_up().await;
    let partitions = shop.client.rows("SHOW PARTITIONS FROM sales").await;
    let sum =
        |column: &str| partitions.iter().map(|row| cell(row, column).parse::<u64>().expect("a number")).sum::<u64>();
    assert_eq!(sum("TabletCount"), 3 * 2);
    let tablets = shop.client.rows("SHOW TABLET FROM sales").await;
    assert_eq!(tablets.len(), 3 * 2 * 2, "every replica");
    assert!(tablets.iter().all(|row| cell(row, "VersionCount").parse::<u64>().is_ok()), "{tablets:?}");
    let restore = "RESTORE SNAPSHOT shop.base FROM repo ON (sales) PROPERTIES ('backup_timestamp' = '$base')";
    let restore = shop.fill(restore).await;
    for statement in ["BACKUP SNAPSHOT shop.more TO repo ON (sales)", &restore] {
        let rows = shop.client.rows(&format!("EXPLAIN {statement}")).await;
        let item = |name: &str| {
            let row = rows.iter().find(|row| cell(row, "Item") == name).unwrap_or_else(|| panic!("{name}: {rows:?}"));
            cell(row, "Value").to_owned()
        };
        assert_eq!(item("Accepted"), "true", "{rows:?}");
        assert_eq!((item("Tables"), item("Partitions"), item("Tablets")), ("1".into(), "3".into(), "6".into()));
        // A snapshot also holds each tablet's list of files.
        for (counted, shown, lists) in [("Bytes", "DataSize", 6 * 4096), ("Files", "FileCount", 6)] {
            let counted = item(counted).parse::<u64>().expect("a number");
            assert!((sum(shown)..=sum(shown) + lists).contains(&counted), "{statement}: {counted} {}", sum(shown));
        }
    }
}

/// SHOW SNAPSHOT of one snapshot shows the database and all that is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_shows_its_tables_and_partitions() {
    let mut shop = backed_up().await;
    let show = shop.fill("SHOW SNAPSHOT ON repo WHERE SNAPSHOT = 'base' AND TIMESTAMP = '$base'").await;
    let row = shop.client.rows(&show).await.remove(0);
    assert_eq!((cell(&row, "Database"), cell(&row, "Status")), ("shop", "OK"));
    let details: serde_json::Value = serde_json::from_str(cell(&row, "Details")).expect("Details are JSON");
    let text = details.to_string();
    for name in ["items", "sales", "p1", "p2", "p3"] {
        assert!(text.contains(&format!("\"{name}\"")), "{name}: {text}");
    }
}
