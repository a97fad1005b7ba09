//! Looks at a catalog.

use tabvault_common::failure::Kind;
use tabvault_common::ids::{PartitionId, Version};

use super::{Fixture, cut_table, hash, partition, refused, table};
use crate::catalog::{Result, TableState};

/// Names that mean nothing are answered with the words that users of Doris search for.
pub async fn what_does_not_exist_is_refused_in_the_words_of_users(fixture: &dyn Fixture) -> Result<()> {
    let catalog = fixture.catalog();
    let none = "conformance_none";
    for refusal in [
        refused(catalog.cut(none).await),
        refused(catalog.show_tables(none).await),
        refused(catalog.show_partitions(none, "t").await),
    ] {
        assert_eq!((refusal.kind, refusal.message.as_str()), (Kind::NotFound, "Unknown database 'conformance_none'"));
    }
    let database = "conformance_unknown";
    fixture.create_database(database).await?;
    assert!(catalog.databases().await?.contains(&database.to_owned()));
    for refusal in [
        refused(catalog.show_partitions(database, "t").await),
        refused(catalog.show_tablets(database, "t", None, None, 9).await),
    ] {
        assert_eq!((refusal.kind, refusal.message.as_str()), (Kind::NotFound, "Unknown table 't'"));
    }
    fixture.create_table(database, &table("t"), &[partition("p", 0, 10)]).await?;
    let refusal = refused(catalog.show_tablets(database, "t", Some("q"), None, 9).await);
    assert_eq!((refusal.kind, refusal.message.as_str()), (Kind::NotFound, "Unknown partition q in table t"));
    assert_eq!(catalog.partition(PartitionId(u64::MAX)).await?, None);
    assert_eq!(refused(catalog.tablets(PartitionId(u64::MAX)).await).kind, Kind::NotFound);
    Ok(())
}

/// Whatever a catalog can hold, an empty name is none, and plain ones are.
pub async fn names_that_nothing_can_have_are_refused(fixture: &dyn Fixture) -> Result<()> {
    for what in ["database", "table", "partition", "rollup", "view"] {
        fixture.catalog().check_name(what, "orders_2024").await?;
        let refusal = refused(fixture.catalog().check_name(what, "").await);
        assert_eq!(refusal.kind, Kind::InvalidArgument, "{refusal}");
        assert!(refusal.message.starts_with(&format!("Incorrect {what} name ''")), "{refusal}");
    }
    Ok(())
}

/// Tables by name, partitions by range as numbers compare, tablets by index and bucket.
pub async fn a_cut_shows_tables_partitions_and_tablets_in_order(fixture: &dyn Fixture) -> Result<()> {
    let (catalog, database) = (fixture.catalog(), "conformance_cut");
    fixture.create_database(database).await?;
    let partitions = [partition("c", 100, 200), partition("a", 9, 10), partition("b", -5, 9)];
    fixture.create_table(database, &table("t2"), &partitions).await?;
    fixture.create_table(database, &table("t1"), &[partition("p", 0, 1)]).await?;

    let cut = catalog.cut(database).await?;
    assert_eq!(cut.database, database);
    assert_eq!(cut.tables.iter().map(|table| table.def.name.as_str()).collect::<Vec<_>>(), ["t1", "t2"]);
    let t2 = cut_table(fixture, database, "t2").await?;
    assert_eq!((&t2.def, t2.state), (&table("t2"), TableState::Normal));
    assert_eq!(t2.partitions.iter().map(|part| part.def.name.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
    for part in &t2.partitions {
        assert_eq!(part.visible_version, Version::INITIAL);
        assert_eq!(catalog.partition(part.id).await?.as_ref(), Some(part));
        let tablets = catalog.tablets(part.id).await?;
        let places: Vec<_> = tablets.iter().map(|tablet| (tablet.index, tablet.position)).collect();
        assert_eq!(places, [(0, 0), (0, 1), (1, 0), (1, 1)]);
        for tablet in &tablets {
            assert_eq!(Some(tablet.schema_hash), hash(&t2.def, tablet.index));
            assert_eq!(tablet.replicas.len(), 2);
        }
    }
    let shown = catalog.show_partitions(database, "t2").await?;
    let first = shown.first().map(|part| (part.name.as_str(), part.range.as_str(), part.tablet_count));
    assert_eq!(first, Some(("b", "[(\"-5\"), (\"9\"))", 4)));
    let tables = catalog.show_tables(database).await?;
    let counted: Vec<_> = tables.iter().map(|t| (t.name.as_str(), t.state.as_str(), t.partitions, t.tablets)).collect();
    assert_eq!(counted, [("t1", "NORMAL", 1, 4), ("t2", "NORMAL", 3, 12)]);
    Ok(())
}

/// However small the pages, every replica is shown once and in order.
pub async fn tablets_are_shown_page_by_page(fixture: &dyn Fixture) -> Result<()> {
    let (catalog, database) = (fixture.catalog(), "conformance_pages");
    fixture.create_database(database).await?;
    let partitions = [partition("b", 10, 20), partition("a", 0, 10)];
    fixture.create_table(database, &table("t"), &partitions).await?;
    let whole = catalog.show_tablets(database, "t", None, None, usize::MAX).await?;
    assert_eq!(whole.len(), 2 * 4 * 2);
    assert!(whole.is_sorted_by_key(|view| (view.tablet, view.replica)));
    for limit in [1, 3, 16, 17] {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = catalog.show_tablets(database, "t", None, after, limit).await?;
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some((last.tablet, last.replica));
            pages.extend(page);
        }
        assert_eq!(pages, whole, "in pages of {limit}");
    }
    let one = catalog.show_tablets(database, "t", Some("a"), None, usize::MAX).await?;
    assert_eq!(one.len(), 8);
    assert!(one.iter().all(|view| whole.contains(view)));
    Ok(())
}
