//! Restores into tables that are here.

use super::*;
use crate::catalog::CutPartition;
use crate::check::samples::{index, object, partition, table};
use tabvault_common::ids::PartitionId;
use tabvault_common::schema::{PartitionRange, PartitionValue};

#[test]
fn an_existing_table_keeps_its_definition_and_its_replicas() {
    let mut shop = shop();
    shop.tables[0].def.comment = "ours".into();
    shop.tables[0].def.properties.insert("dynamic_partition.enable".into(), "true".into());
    shop.tables[0].partitions[0].def.replication_num = 2;
    let plan = map(Some(&shop), Selection::All, &properties()).unwrap();
    assert_eq!(made(&plan), "=items(=items) =orders(=p1,=p2,=p3)");
    assert_eq!(plan.prepare.tables[0].def, shop.tables[0].def);
    assert_eq!(plan.prepare.tables[0].partitions[0].def, shop.tables[0].partitions[0].def);
    assert_eq!(plan.prepare.tables[1].partitions[1].existing, Some(shop.tables[1].partitions[1].id));
    assert_eq!(plan.prepare.tables[1].partitions[1].version, Version(40));
    assert_eq!((plan.replication_num, plan.notices.len()), (2, 0));
    assert!(plan.prepare.tables.iter().all(|table| table.drop_partitions.is_empty()));
    assert_eq!(plan.prepare.drop_tables, [""; 0]);
}

#[test]
fn partitions_that_are_missing_here_are_added_and_others_left_alone() {
    let mut shop = shop();
    shop.tables[1] = table("orders", &["p2", "p7"]);
    shop.tables[1].def.replication_num = 2;
    let plan = map(Some(&shop), only(&[object("orders", &[], None)]), &properties()).unwrap();
    assert_eq!(made(&plan), "=orders(p1,=p2,p3)");
    let numbers: Vec<u32> = plan.prepare.tables[0].partitions.iter().map(|p| p.def.replication_num).collect();
    assert_eq!(numbers, [2, 1, 2]);
    assert!(plan.prepare.tables[0].drop_partitions.is_empty());
}

#[test]
fn rollups_are_matched_by_name_and_base_with_base() {
    let mut snapshot = snapshot();
    let mut shop = shop();
    let rollups = |def: &mut TableDef, names: [&str; 2]| {
        for name in names {
            let columns: &[&str] = if name == "a" { &["v"] } else { &["day", "v"] };
            let rollup = index(def, name, columns);
            def.indexes.push(rollup);
        }
    };
    rollups(&mut snapshot.tables[0].def, ["a", "b"]);
    settle(&mut snapshot.tables[0]);
    let mut things = table("things", &[]);
    rollups(&mut things.def, ["b", "a"]);
    shop.tables.push(things);
    let selection = only(&[object("items", &[], Some("things"))]);
    let plan = map_restore(&snapshot, Some(&shop), &request(selection), &properties(), &plenty()).unwrap();
    assert_eq!(made(&plan), "=things(=things)");
    assert_eq!(plan.index_map, [[0, 2, 1]]);
}

#[test]
fn names_of_columns_compare_without_regard_to_case_and_comments_say_nothing() {
    let mut shop = shop();
    let def = &mut shop.tables[0].def;
    def.columns[0].name = "ID".into();
    def.columns[2].comment = "a value".into();
    def.keys = vec!["Id".into(), "Day".into()];
    def.distribution = vec!["iD".into()];
    assert!(map(Some(&shop), Selection::All, &properties()).is_ok());
}

#[test]
fn ranges_that_are_written_differently_are_the_same() {
    let mut shop = shop();
    let mut snapshot = snapshot();
    for column in [&mut shop.tables[1].def.columns[1], &mut snapshot.tables[1].def.columns[1]] {
        column.data_type = "DATETIME".into();
    }
    if let PartitionRange::Range { lower, .. } = &mut shop.tables[1].partitions[0].def.range {
        lower[0] = PartitionValue::Literal("2024-01-01 00:00:00".into());
    }
    let plan = map_restore(&snapshot, Some(&shop), &request(Selection::All), &properties(), &plenty()).unwrap();
    assert_eq!(made(&plan), "=items(=items) =orders(=p1,=p2,=p3)");
}

#[test]
fn clean_tables_drops_what_the_restore_does_not_bring_and_never_an_alias() {
    let mut shop = shop();
    shop.tables.push(table("extra", &[]));
    shop.tables.push(table("things", &[]));
    for (selection, dropped) in [
        (Selection::All, &["extra", "things"][..]),
        (only(&[object("items", &[], Some("things"))]), &["items", "orders", "extra"]),
        (except(&[object("items", &[], None)]), &["extra", "things"]),
        (except(&[object("orders", &["p1"], None)]), &["extra", "things"]),
        (except(&[object("orders", &["p1", "p2", "p3"], None)]), &["extra", "things"]),
    ] {
        let properties = RestoreProperties { clean_tables: true, ..properties() };
        let plan = map(Some(&shop), selection.clone(), &properties).unwrap();
        assert_eq!(plan.prepare.drop_tables, dropped, "{selection:?}");
        let notice = format!("clean_tables drops from database shop: {}", dropped.join(", "));
        assert_eq!(plan.notices, [notice]);
    }
    let properties = RestoreProperties { clean_tables: true, ..properties() };
    assert_eq!(map(None, Selection::All, &properties).unwrap().prepare.drop_tables, [""; 0]);
}

#[test]
fn clean_partitions_drops_what_the_restore_does_not_bring_unless_exclude_names_it() {
    let mut shop = shop();
    shop.tables[1].partitions.push(CutPartition {
        id: PartitionId(77),
        def: partition("p7"),
        ..samples::table("orders", &["p1"]).partitions[0].clone()
    });
    let of = |n: usize| shop.tables[1].partitions[n].id;
    for (selection, dropped) in [
        (Selection::All, vec![of(3)]),
        (only(&[object("orders", &["p2"], None)]), vec![of(0), of(2), of(3)]),
        (except(&[object("orders", &["p2"], None)]), vec![of(3)]),
    ] {
        let properties = RestoreProperties { clean_partitions: true, ..properties() };
        let plan = map(Some(&shop), selection.clone(), &properties).unwrap();
        let orders = plan.prepare.tables.iter().find(|table| table.def.name == "orders").unwrap();
        assert_eq!(orders.drop_partitions, dropped, "{selection:?}");
        assert_eq!(plan.notices.len(), 1);
    }
}

#[test]
fn what_clean_partitions_drops_is_in_nobodys_way() {
    let mut shop = shop();
    shop.tables[1].partitions[1].def.name = "other".into();
    let orders = only(&[object("orders", &[], None)]);
    assert_eq!(map(Some(&shop), orders.clone(), &properties()).unwrap_err().kind, Kind::Mismatch);
    let properties = RestoreProperties { clean_partitions: true, ..properties() };
    let plan = map(Some(&shop), orders, &properties).unwrap();
    assert_eq!(made(&plan), "=orders(=p1,p2,=p3)");
    assert_eq!(plan.prepare.tables[0].drop_partitions, [shop.tables[1].partitions[1].id]);
}

#[test]
fn atomic_restore_replaces_a_table_as_a_whole() {
    let mut shop = shop();
    shop.tables[0].def.comment = "ours".into();
    shop.tables[0].def.replication_num = 2;
    shop.tables[1] = table("orders", &["p1", "p7"]);
    let properties = RestoreProperties { atomic_restore: true, ..properties() };
    let plan = map(Some(&shop), Selection::All, &properties).unwrap();
    // What is here already is named, so that its files are used again.
    assert_eq!(made(&plan), "!items(=items) !orders(=p1,p2,p3)");
    assert_eq!(plan.prepare.tables[0].def, TableDef { replication_num: 2, ..snapshot().tables[0].def.clone() });
    assert_eq!(plan.prepare.tables[0].partitions[0].def.replication_num, 2);
    assert_eq!(
        plan.notices,
        ["atomic_restore replaces table orders as a whole and so drops partitions that the snapshot lacks: p7"]
    );
    // Where nothing is, it is a restore like any other.
    let plan = map(None, Selection::All, &properties).unwrap();
    assert_eq!(made(&plan), "items(items) orders(p1,p2,p3)");
}

#[test]
fn force_replace_replaces_what_differs() {
    let changes: [fn(&mut CutTable); 5] = [
        |t| t.def.key_type = tabvault_common::schema::KeyType::Unique,
        |t| t.def.columns.truncate(2),
        |t| t.def.distribution = vec!["v".into()],
        |t| t.partitions[0].def.buckets = 9,
        |t| t.partitions[0].def.range = partition("p9").range,
    ];
    for change in changes {
        let mut shop = shop();
        change(&mut shop.tables[1]);
        let atomic = RestoreProperties { atomic_restore: true, ..properties() };
        assert_eq!(map(Some(&shop), Selection::All, &atomic).unwrap_err().kind, Kind::Mismatch);
        let forced = RestoreProperties { force_replace: true, ..atomic };
        let plan = map(Some(&shop), Selection::All, &forced).unwrap();
        assert_eq!(made(&plan), "!items(=items) !orders(p1,p2,p3)");
        assert_eq!(plan.prepare.tables[1].partitions[0].def.range, partition("p1").range);
    }
    let forced =
        RestoreProperties { atomic_restore: true, force_replace: true, replication_num: Some(2), ..properties() };
    let plan = map(Some(&shop()), Selection::All, &forced).unwrap();
    assert_eq!(plan.replication_num, 2);
}
