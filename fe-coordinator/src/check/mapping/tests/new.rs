//! Restores into a place where nothing is.

use super::*;
use crate::check::samples::{def, index, object, view};

#[test]
fn into_a_new_database_everything_is_made_anew() {
    let mut request = request(Selection::All);
    request.into = Some("shop2".into());
    let plan = map_restore(&snapshot(), None, &request, &properties(), &plenty()).unwrap();
    assert_eq!(plan.prepare.database, "shop2");
    assert_eq!(made(&plan), "items(items) orders(p1,p2,p3)");
    assert_eq!(plan.sources, [vec![(0, 0)], vec![(1, 0), (1, 1), (1, 2)]]);
    assert_eq!(plan.index_map, [[0], [0]]);
    assert_eq!((plan.bytes, plan.replication_num), (4000, 3));
    assert_eq!(plan.prepare.tables[1].partitions[2].version, Version(40));
    assert_eq!(plan.prepare.backends, plenty());
    assert_eq!(plan.notices, [""; 0]);
    let objects: Vec<(&str, usize)> = plan.objects.iter().map(|o| (o.table.as_str(), o.partitions.len())).collect();
    assert_eq!(objects, [("items", 0), ("orders", 0)]);
}

#[test]
fn a_selection_takes_what_it_says() {
    for (selection, tables, sources) in [
        (only(&[object("orders", &["p3", "p1"], None)]), "orders(p1,p3)", vec![vec![(1, 0), (1, 2)]]),
        (only(&[object("items", &[], Some("things"))]), "things(things)", vec![vec![(0, 0)]]),
        (
            only(&[object("items", &[], Some("orders")), object("orders", &["p2"], Some("items"))]),
            "orders(orders) items(p2)",
            vec![vec![(0, 0)], vec![(1, 1)]],
        ),
        (except(&[object("items", &[], None)]), "orders(p1,p2,p3)", vec![vec![(1, 0), (1, 1), (1, 2)]]),
        (
            except(&[object("orders", &["p2"], None)]),
            "items(items) orders(p1,p3)",
            vec![vec![(0, 0)], vec![(1, 0), (1, 2)]],
        ),
        (except(&[object("orders", &["p1", "p2", "p3"], None)]), "items(items)", vec![vec![(0, 0)]]),
        (except(&[object("items", &["items"], None)]), "orders(p1,p2,p3)", vec![vec![(1, 0), (1, 1), (1, 2)]]),
    ] {
        let plan = map(None, selection.clone(), &properties()).unwrap();
        assert_eq!((made(&plan).as_str(), &plan.sources), (tables, &sources), "{selection:?}");
    }
}

#[test]
fn what_is_restored_is_shown_with_alias_and_partitions() {
    let selection = only(&[object("orders", &["p2"], Some("o2")), object("items", &[], None)]);
    let plan = map(None, selection, &properties()).unwrap();
    let shown = |table: &str, partitions: &[&str], alias: Option<&str>| ObjectView {
        table: table.into(),
        partitions: partitions.iter().map(|&p| p.into()).collect(),
        alias: alias.map(Into::into),
    };
    assert_eq!(plan.objects, [shown("items", &[], None), shown("orders", &["p2"], Some("o2"))]);
}

#[test]
fn under_an_alias_the_base_index_and_the_only_partition_take_the_tables_name() {
    let mut snapshot = snapshot();
    let table = &mut snapshot.tables[0];
    let rollup = index(&table.def, "by_day", &["day", "v"]);
    table.def.indexes.push(rollup);
    settle(table);
    let selection = only(&[object("items", &[], Some("things"))]);
    let plan = map_restore(&snapshot, Some(&shop()), &request(selection), &properties(), &plenty()).unwrap();
    let made = &plan.prepare.tables[0];
    let indexes: Vec<&str> = made.def.indexes.iter().map(|index| index.name.as_str()).collect();
    assert_eq!((made.def.name.as_str(), indexes), ("things", vec!["things", "by_day"]));
    assert_eq!(made.partitions[0].def.name, "things");
    assert_eq!(plan.index_map, [[0, 1]]);
}

#[test]
fn a_new_table_gets_the_replicas_that_are_asked_for() {
    let mut snapshot = snapshot();
    snapshot.tables[1].def.replication_num = 2;
    snapshot.tables[1].partitions[1].def.replication_num = 2;
    for (replication_num, reserve_replica, table, partitions, shown) in [
        (None, false, 3, [3, 3, 3], 3),
        (Some(1), false, 1, [1, 1, 1], 1),
        (None, true, 2, [1, 2, 1], 2),
        (Some(3), true, 2, [1, 2, 1], 2),
    ] {
        let properties = RestoreProperties { replication_num, reserve_replica, ..properties() };
        let selection = only(&[object("orders", &[], None)]);
        let plan = map_restore(&snapshot, None, &request(selection), &properties, &plenty()).unwrap();
        let made = &plan.prepare.tables[0];
        let numbers: Vec<u32> = made.partitions.iter().map(|p| p.def.replication_num).collect();
        assert_eq!((made.def.replication_num, &numbers[..], plan.replication_num), (table, &partitions[..], shown));
        assert_eq!(plan.notices.len(), usize::from(reserve_replica && replication_num.is_some()));
    }
}

#[test]
fn dynamic_partitioning_goes_off_unless_it_is_reserved() {
    for (reserve, before, after, notices) in
        [(false, "true", "false", 1), (true, "true", "true", 0), (false, "false", "false", 0)]
    {
        let mut snapshot = snapshot();
        let key = "dynamic_partition.enable".to_owned();
        snapshot.tables[1].def.properties.insert(key.clone(), before.into());
        let properties = RestoreProperties { reserve_dynamic_partition_enable: reserve, ..properties() };
        let plan = map_restore(&snapshot, None, &request(Selection::All), &properties, &plenty()).unwrap();
        assert_eq!(plan.prepare.tables[1].def.properties[&key], after);
        assert_eq!(plan.notices.len(), notices);
    }
}

#[test]
fn a_colocate_group_is_left_behind_with_a_notice() {
    let mut snapshot = snapshot();
    snapshot.tables[0].def.properties.insert("colocate_with".into(), "g1".into());
    let plan = map_restore(&snapshot, None, &request(Selection::All), &properties(), &plenty()).unwrap();
    assert!(plan.prepare.tables[0].def.properties.is_empty());
    let notice = "table items: it is in no colocate group, since groups are not restored; it was in g1";
    assert_eq!(plan.notices, [notice]);
}

#[test]
fn views_come_unless_they_are_left_out() {
    let mut snapshot = snapshot();
    snapshot.views = vec![view("totals"), view("v2")];
    for (selection, views) in [
        (Selection::All, "totals v2"),
        (only(&[object("items", &[], None)]), ""),
        (only(&[object("v2", &[], None)]), "v2"),
        (except(&[object("totals", &[], None)]), "v2"),
    ] {
        let plan = map_restore(&snapshot, Some(&shop()), &request(selection), &properties(), &plenty()).unwrap();
        let names: Vec<&str> = plan.prepare.views.iter().map(|view| view.name.as_str()).collect();
        assert_eq!(names.join(" "), views);
        assert_eq!(plan.notices, [""; 0]);
    }
    let mut elsewhere = request(Selection::All);
    elsewhere.into = Some("shop2".into());
    let plan = map_restore(&snapshot, None, &elsewhere, &properties(), &plenty()).unwrap();
    let notice = "views are restored with the text that they had; where it names database shop, it still does";
    assert_eq!(plan.notices, [notice]);
}

#[test]
fn a_table_without_partitions_yet_is_made_as_such() {
    let mut snapshot = snapshot();
    snapshot.tables = vec![SnapshotTable { def: def("empty", true), partitions: Vec::new() }];
    let plan = map_restore(&snapshot, None, &request(Selection::All), &properties(), &plenty()).unwrap();
    assert_eq!((made(&plan).as_str(), plan.replication_num, plan.bytes), ("empty()", 3, 0));
}
