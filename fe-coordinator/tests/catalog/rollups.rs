//! ADD ROLLUP.

use std::collections::BTreeSet;

use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::{JobUuid, SchemaHash, TabletId, Version};
use tabvault_common::schema::IndexDef;
use tabvault_fe_coordinator::catalog::Catalog;
use tabvault_fe_coordinator::catalog::conformance::{partition, table};

use super::common::{Home, backends};

fn rollup(name: &str, columns: &[&str]) -> IndexDef {
    let columns = columns.iter().map(|column| (*column).to_owned()).collect();
    IndexDef { name: name.to_owned(), columns, schema_hash: SchemaHash::default() }
}

async fn add(home: &Home, rollups: &[IndexDef]) -> Result<(), Failure> {
    home.catalog.add_rollups("d", "t", rollups, &backends(3)).await
}

async fn tablets(home: &Home) -> BTreeSet<TabletId> {
    home.catalog.show_tablets("d", "t", None, None, 99).await.unwrap().iter().map(|view| view.tablet).collect()
}

#[tokio::test]
async fn every_partition_gets_the_tablets_of_a_new_rollup_in_one_step() {
    let home = Home::with_database().await;
    home.create(table("t"), &[partition("p", 0, 10), partition("q", 10, 20)]).await.unwrap();
    home.make_all().await;
    let before = tablets(&home).await;
    add(&home, &[rollup("by_v", &["v"]), rollup("both", &["v", "k"])]).await.unwrap();

    let home = home.reopen();
    let found = home.catalog.table("d", "t").await.unwrap();
    let names: Vec<&str> = found.def.indexes.iter().map(|index| index.name.as_str()).collect();
    assert_eq!(names, ["t", "r", "by_v", "both"]);
    let hashes: BTreeSet<SchemaHash> = found.def.indexes.iter().map(|index| index.schema_hash).collect();
    assert_eq!((hashes.len(), hashes.contains(&SchemaHash::default())), (4, false));
    home.make_all().await;
    for part in &found.partitions {
        assert_eq!(part.visible_version, Version::INITIAL);
        let infos = home.catalog.tablets(part.id).await.unwrap();
        let at: Vec<(u32, u32)> = infos.iter().map(|info| (info.index, info.position)).collect();
        assert_eq!(at, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]);
        for info in &infos {
            assert_eq!(info.schema_hash, found.def.indexes[info.index as usize].schema_hash);
            assert!(info.replicas.iter().all(|replica| replica.version == Version::INITIAL), "a backup finds them");
        }
    }
    // Page by page nothing is left out, and what was there before is removed.
    let (mut after, mut paged) = (None, BTreeSet::new());
    loop {
        let page = home.catalog.show_tablets("d", "t", None, after, 3).await.unwrap();
        paged.extend(page.iter().map(|view| view.tablet));
        after = page.last().map(|last| (last.tablet, last.replica));
        if page.len() < 3 {
            break;
        }
    }
    assert_eq!(paged.len(), 16);
    assert!(paged.is_disjoint(&before));
    let mut garbage = BTreeSet::new();
    for room in backends(3) {
        garbage.extend(home.catalog.garbage(room.backend, 99).await.unwrap());
    }
    assert_eq!(garbage, before);
    home.load("t", Some("p"), 5).await;
}

#[tokio::test]
async fn a_rollup_that_cannot_be_is_refused_and_changes_nothing() {
    let home = Home::with_database().await;
    home.create(table("t"), &[partition("p", 0, 10)]).await.unwrap();
    let before = home.catalog.table("d", "t").await.unwrap();
    for (wrong, words) in [
        (rollup("r", &["k"]), "Duplicate index name 'r' in table t"),
        (rollup("s", &["w"]), "Column w of index s of table t does not exist"),
        (rollup("s", &[]), "Index s of table t must have at least one column"),
        (rollup("a/b", &["k"]), "Incorrect rollup name 'a/b'"),
    ] {
        let refused = add(&home, &[rollup("fine", &["k"]), wrong]).await.unwrap_err();
        assert!(refused.message.starts_with(words), "{refused}");
    }
    let few = home.catalog.add_rollups("d", "t", &[rollup("s", &["k"])], &backends(1)).await.unwrap_err();
    assert_eq!(few.kind, Kind::ResourceExhausted);

    let load = JobUuid::random();
    home.catalog.begin_load(load, "d", "t", Some("p")).await.unwrap();
    let busy = add(&home, &[rollup("s", &["k"])]).await.unwrap_err();
    assert_eq!((busy.kind, busy.retry), (Kind::Busy, Retry::Safe), "{busy}");
    home.catalog.abort_load(load);
    assert_eq!(home.catalog.table("d", "t").await.unwrap(), before);

    home.load("t", Some("p"), 5).await;
    let loaded = add(&home, &[rollup("s", &["k"])]).await.unwrap_err();
    assert!(loaded.message.starts_with("Table t has data in partition p"), "{loaded}");
}
