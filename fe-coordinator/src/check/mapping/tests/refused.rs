//! A row for every refusal: what is changed, and what is said.

use tabvault_common::schema::{KeyType, Partitioning};

use super::*;
use crate::check::samples::{column, index, object, partition, table, view};

#[test]
fn a_selection_that_cannot_be_is_refused() {
    let lists = "SHOW SNAPSHOT with SNAPSHOT and TIMESTAMP lists those that do";
    for (selection, kind, message) in [
        (
            only(&[object("nope", &[], None)]),
            Kind::NotFound,
            format!("Table nope does not exist in snapshot nightly; {lists}"),
        ),
        (
            except(&[object("Items", &[], None)]),
            Kind::NotFound,
            format!("Table Items does not exist in snapshot nightly; {lists}"),
        ),
        (
            only(&[object("orders", &["p1", "p9"], None)]),
            Kind::NotFound,
            format!("Partition p9 of table orders does not exist in snapshot nightly; {lists}"),
        ),
        (
            except(&[object("orders", &["p9"], None)]),
            Kind::NotFound,
            format!("Partition p9 of table orders does not exist in snapshot nightly; {lists}"),
        ),
        (
            only(&[object("orders", &[], None), object("orders", &[], Some("o2"))]),
            Kind::InvalidArgument,
            "Duplicated table: orders; name it once, with all its partitions".into(),
        ),
        (
            only(&[object("orders", &["p1", "p1"], None)]),
            Kind::InvalidArgument,
            "Duplicated partition: p1 of table orders; name it once".into(),
        ),
        (
            only(&[object("items", &[], Some("x")), object("orders", &[], Some("x"))]),
            Kind::InvalidArgument,
            "Duplicated alias name: x; tables items and orders would both get it, so choose another for one".into(),
        ),
        (
            only(&[object("items", &[], Some("orders")), object("orders", &[], None)]),
            Kind::InvalidArgument,
            "Duplicated alias name: orders; tables items and orders would both get it, so choose another for one"
                .into(),
        ),
        (
            except(&[object("items", &[], Some("x"))]),
            Kind::InvalidArgument,
            "what EXCLUDE names is not restored: take away AS x after items".into(),
        ),
        (
            only(&[]),
            Kind::InvalidArgument,
            "nothing to restore of snapshot nightly: choose at least one of its tables".into(),
        ),
        (
            except(&[object("items", &[], None), object("orders", &[], None)]),
            Kind::InvalidArgument,
            "nothing to restore of snapshot nightly: choose at least one of its tables".into(),
        ),
    ] {
        assert_eq!(map(Some(&shop()), selection, &properties()), Err(Failure::fatal(kind, message)));
    }
}

#[test]
fn views_take_neither_partitions_nor_an_alias_nor_the_name_of_a_table() {
    let mut snapshot = snapshot();
    snapshot.views = vec![view("totals")];
    let mut shop_with_view = shop();
    shop_with_view.views = vec![view("items")];
    shop_with_view.tables.remove(0);
    let mut shop_with_table = shop();
    shop_with_table.tables.push(table("totals", &[]));
    for (local, selection, kind, message) in [
        (
            shop(),
            only(&[object("totals", &["p"], None)]),
            Kind::InvalidArgument,
            "view totals has no partitions: take away PARTITION after it",
        ),
        (
            shop(),
            only(&[object("totals", &[], Some("t2"))]),
            Kind::InvalidArgument,
            "view totals can be restored under its own name only, since its text may name it: take away AS t2",
        ),
        (
            shop_with_view,
            Selection::All,
            Kind::AlreadyExists,
            "Table items already exist in database shop as a view; leave it out, or drop the view first",
        ),
        (
            shop_with_table,
            Selection::All,
            Kind::AlreadyExists,
            "View totals already exist in database shop as a table; leave it out, or drop the table first",
        ),
        (
            shop(),
            only(&[object("totals", &[], None), object("items", &[], Some("totals"))]),
            Kind::AlreadyExists,
            "View totals already exist in database shop as a table; leave it out, or drop the table first",
        ),
    ] {
        let answer = map_restore(&snapshot, Some(&local), &request(selection), &properties(), &plenty());
        assert_eq!(answer, Err(Failure::fatal(kind, message)));
    }
}

#[test]
fn an_alias_may_not_be_the_name_of_a_rollup() {
    let mut snapshot = snapshot();
    let rollup = index(&snapshot.tables[0].def, "by_day", &["day", "v"]);
    snapshot.tables[0].def.indexes.push(rollup);
    settle(&mut snapshot.tables[0]);
    let request = request(only(&[object("items", &[], Some("by_day"))]));
    let refusal = map_restore(&snapshot, None, &request, &properties(), &plenty()).unwrap_err();
    assert_eq!(refusal.message, "Duplicated alias name: by_day; a rollup of table items has it, so choose another");
}

#[test]
fn the_database_of_the_snapshot_must_be_the_one_that_is_named() {
    let mut request = request(Selection::All);
    request.database = "crm".into();
    assert_eq!(map_restore(&snapshot(), None, &request, &properties(), &plenty()).unwrap().prepare.database, "crm");
    request.into = Some("crm2".into());
    let message = "Unknown database 'crm' in snapshot nightly: it was taken of shop, so write DATABASE shop AS crm2";
    let refusal = map_restore(&snapshot(), None, &request, &properties(), &plenty()).unwrap_err();
    assert_eq!(refusal, Failure::fatal(Kind::NotFound, message));
}

#[test]
fn the_first_difference_of_definitions_is_named() {
    let way = "restore it under another name with AS, or replace it with \"atomic_restore\" and \"force_replace\"";
    type Change = fn(&mut TableDef);
    let changes: [(Change, &str); 13] = [
        (
            |t| t.columns[2].data_type = "BIGINT".into(),
            "column 3 is v BIGINT NOT NULL here, v INT NOT NULL in the snapshot",
        ),
        (|t| t.columns[2].nullable = true, "column 3 is v INT NULL here, v INT NOT NULL in the snapshot"),
        (
            |t| t.columns[2].default = Some("0".into()),
            "column 3 is v INT NOT NULL DEFAULT \"0\" here, v INT NOT NULL in the snapshot",
        ),
        (
            |t| t.columns[2].aggregation = Some("SUM".into()),
            "column 3 is v INT SUM NOT NULL here, v INT NOT NULL in the snapshot",
        ),
        (|t| t.columns.push(column("w", "INT")), "column w is not in the snapshot"),
        (|t| drop(t.columns.pop()), "column v is missing here"),
        (|t| t.keys = vec!["id".into()], "key columns are (id) here, (id, day) in the snapshot"),
        (|t| t.partitioning = Partitioning::None, "it is not partitioned here, partitioned by range in the snapshot"),
        (
            |t| t.partitioning = Partitioning::Range(vec!["id".into()]),
            "partition columns are (id) here, (day) in the snapshot",
        ),
        (|t| t.distribution = vec!["v".into()], "distribution columns are (v) here, (id) in the snapshot"),
        (|t| t.indexes.push(index(t, "r", &["v"])), "rollup r is not in the snapshot"),
        (
            |t| t.indexes[0].columns.reverse(),
            "index orders: its columns are (v, day, id) here, (id, day, v) in the snapshot",
        ),
        (|t| t.indexes[0].schema_hash = SchemaHash(5), "index orders: its schema hash is 5 here, 7 in the snapshot"),
    ];
    let mut snapshot = snapshot();
    snapshot.tables[1].def.indexes[0].schema_hash = SchemaHash(7);
    settle(&mut snapshot.tables[1]);
    for (change, difference) in changes {
        let mut shop = shop();
        shop.tables[1].def.indexes[0].schema_hash = SchemaHash(7);
        change(&mut shop.tables[1].def);
        let answer = map_restore(&snapshot, Some(&shop), &request(Selection::All), &properties(), &plenty());
        let message = format!("Table orders already exist but with different schema: {difference}; {way}");
        assert_eq!(answer, Err(mismatch(message)));
    }
    let rollup = index(&snapshot.tables[1].def, "r", &["v"]);
    snapshot.tables[1].def.indexes.push(rollup);
    settle(&mut snapshot.tables[1]);
    let mut shop = shop();
    shop.tables[1].def.indexes[0].schema_hash = SchemaHash(7);
    let answer = map_restore(&snapshot, Some(&shop), &request(Selection::All), &properties(), &plenty());
    let message = format!("Table orders already exist but with different schema: rollup r is missing here; {way}");
    assert_eq!(answer, Err(mismatch(message)));
    shop.tables[1].def.key_type = KeyType::Unique;
    let answer = map_restore(&snapshot, Some(&shop), &request(Selection::All), &properties(), &plenty());
    let types = "UNIQUE KEY here, DUPLICATE KEY in the snapshot";
    let message = format!("Table orders already exist but with different key type: {types}; {way}");
    assert_eq!(answer, Err(mismatch(message)));
}

#[test]
fn a_partition_that_does_not_fit_is_named() {
    let way = "restore it under another name with AS, or replace it with \"atomic_restore\" and \"force_replace\"";
    type Change = fn(&mut CutTable);
    let changes: [(Change, Option<u32>, bool, String); 5] = [
        (
            |t| t.partitions[1].def.range = partition("p9").range,
            None,
            false,
            format!(
                "Partition p2 of table orders has different range with partition in repository: [(\"2024-01-09\"), \
                 (\"2024-01-10\")) here, [(\"2024-01-02\"), (\"2024-01-03\")) in the snapshot; {way}"
            ),
        ),
        (
            |t| t.partitions[1].def.name = "other".into(),
            None,
            false,
            format!(
                "Partition p2 of table orders has conflict range with existing ranges: [(\"2024-01-02\"), \
                 (\"2024-01-03\")) overlaps partition other, so drop that first, or {way}"
            ),
        ),
        (
            |t| t.partitions[1].def.buckets = 8,
            None,
            false,
            format!(
                "Partition p2 of table orders has different bucket number with partition in repository: 8 here, 4 in \
                 the snapshot; {way}"
            ),
        ),
        (
            |t| t.partitions[0].def.replication_num = 2,
            Some(2),
            false,
            "Partition p2 of table orders has different replication num '1' with partition in repository, which is 2 \
             by the property replication_num; leave replication_num out to keep 1"
                .into(),
        ),
        (
            |t| t.partitions[0].def.replication_num = 2,
            Some(2),
            true,
            "Partition p1 of table orders has different replication num '2' with partition in repository, which is 1; \
             leave reserve_replica out to keep 2"
                .into(),
        ),
    ];
    for (change, replication_num, reserve_replica, message) in changes {
        let mut shop = shop();
        change(&mut shop.tables[1]);
        let properties = RestoreProperties { replication_num, reserve_replica, ..properties() };
        assert_eq!(map(Some(&shop), only(&[object("orders", &[], None)]), &properties), Err(mismatch(message)));
    }
}

#[test]
fn a_table_that_is_not_normal_is_named() {
    let mut shop = shop();
    shop.tables[0].state = TableState::Restore;
    let message = "Table items's state is not NORMAL: RESTORE; wait until it is, or leave it out of the restore";
    let refusal = map(Some(&shop), Selection::All, &properties()).unwrap_err();
    assert_eq!(refusal, Failure::fatal(Kind::FailedPrecondition, message));
    let orders = only(&[object("orders", &[], None)]);
    assert!(map(Some(&shop), orders.clone(), &properties()).is_ok());
    let properties = RestoreProperties { clean_tables: true, ..properties() };
    let message = "Table items's state is not NORMAL: RESTORE; wait until it is, or leave clean_tables out, which \
                   would drop it";
    let refusal = map(Some(&shop), orders, &properties).unwrap_err();
    assert_eq!(refusal, Failure::fatal(Kind::FailedPrecondition, message));
}

#[test]
fn atomic_restore_takes_no_partitions_of_a_table_that_is_here() {
    let properties = RestoreProperties { atomic_restore: true, ..properties() };
    let message = "atomic_restore replaces table orders as a whole: restore all of its partitions, or leave \
                   atomic_restore out";
    for selection in [only(&[object("orders", &["p1"], None)]), except(&[object("orders", &["p1"], None)])] {
        let refusal = map(Some(&shop()), selection.clone(), &properties).unwrap_err();
        assert_eq!(refusal, Failure::fatal(Kind::InvalidArgument, message));
        assert!(map(None, selection, &properties).is_ok());
    }
}

#[test]
fn definitions_alone_never_empty_a_table() {
    let mut snapshot = snapshot();
    snapshot.content = Content::MetadataOnly;
    let request = request(only(&[object("items", &[], None)]));
    let message = "Table items already exist, and snapshot nightly holds definitions only: it would be emptied; \
                   restore it under another name with AS, or drop it first";
    let refusal = map_restore(&snapshot, Some(&shop()), &request, &properties(), &plenty()).unwrap_err();
    assert_eq!(refusal, Failure::fatal(Kind::FailedPrecondition, message));
    assert!(map_restore(&snapshot, None, &request, &properties(), &plenty()).is_ok());
}

#[test]
fn a_snapshot_that_contradicts_itself_is_refused() {
    let changes: [fn(&mut SnapshotPartition); 4] = [
        |p| p.indexes[0].tablets = 3,
        |p| p.indexes[0].schema_hash = SchemaHash(1),
        |p| p.indexes[0].name = "x".into(),
        |p| p.indexes.clear(),
    ];
    for change in changes {
        let mut snapshot = snapshot();
        change(&mut snapshot.tables[1].partitions[1]);
        let refusal = map_restore(&snapshot, None, &request(Selection::All), &properties(), &plenty()).unwrap_err();
        let message = "snapshot nightly 2025-07-31-14-02-01-042 contradicts itself: partition p2 of table orders has \
                       other indexes or tablets than its definition says";
        assert_eq!(refusal, Failure::fatal(Kind::Corrupt, message));
        // What is not restored does not matter.
        let items = request(only(&[object("items", &[], None)]));
        assert!(map_restore(&snapshot, None, &items, &properties(), &plenty()).is_ok());
    }
}

#[test]
fn another_format_version_than_the_one_asked_for_is_refused() {
    let asked = |version| RestoreProperties { meta_version: Some(version), ..properties() };
    let refusal = map(None, Selection::All, &asked(2)).unwrap_err();
    let message = "snapshot nightly 2025-07-31-14-02-01-042 has format version 3, meta_version says 2: write 3, or \
                   leave meta_version out";
    assert_eq!(refusal, mismatch(message));
    assert!(map(None, Selection::All, &asked(3)).is_ok());
}
