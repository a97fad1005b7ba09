#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::check::samples::{cut, names, object, table};

fn database() -> Cut {
    let mut cut = cut("shop", vec![table("items", &[]), table("orders", &["p1", "p2", "p3"]), table("users", &[])]);
    cut.views = vec![crate::check::samples::view("totals"), crate::check::samples::view("v2")];
    cut
}

fn only(objects: &[ObjectSelection]) -> Selection {
    Selection::Only(objects.to_vec())
}

fn except(objects: &[ObjectSelection]) -> Selection {
    Selection::Except(objects.to_vec())
}

#[test]
fn a_selection_takes_what_it_says() {
    for (selection, tables, views) in [
        (Selection::All, "items(items) orders(p1,p2,p3) users(users)", "totals v2"),
        (only(&[object("users", &[], None), object("items", &[], None)]), "items(items) users(users)", ""),
        (only(&[object("orders", &["p3", "p1"], None)]), "orders(p1,p3)", ""),
        (only(&[object("totals", &[], None)]), "", "totals"),
        (except(&[object("orders", &[], None)]), "items(items) users(users)", "totals v2"),
        (except(&[object("orders", &["p2"], None)]), "items(items) orders(p1,p3) users(users)", "totals v2"),
        (except(&[object("orders", &["p1", "p2", "p3"], None)]), "items(items) users(users)", "totals v2"),
        (except(&[object("v2", &[], None)]), "items(items) orders(p1,p2,p3) users(users)", "totals"),
        (except(&[]), "items(items) orders(p1,p2,p3) users(users)", "totals v2"),
    ] {
        let selected = select(&database(), &selection).unwrap();
        assert_eq!(names(&selected), tables, "{selection:?}");
        let selected: Vec<&str> = selected.views.iter().map(|view| view.name.as_str()).collect();
        assert_eq!(selected.join(" "), views, "{selection:?}");
    }
}

#[test]
fn a_selection_that_cannot_be_is_refused_in_the_words_users_search_for() {
    for (selection, kind, message) in [
        (
            only(&[object("nope", &[], None)]),
            Kind::NotFound,
            "Unknown table 'nope' in database shop; SHOW TABLES lists those that exist",
        ),
        (
            except(&[object("Orders", &[], None)]),
            Kind::NotFound,
            "Unknown table 'Orders' in database shop; SHOW TABLES lists those that exist",
        ),
        (
            only(&[object("orders", &["p1", "p9"], None)]),
            Kind::NotFound,
            "Unknown partition p9 in table orders; SHOW PARTITIONS FROM orders lists those that exist",
        ),
        (
            except(&[object("orders", &["p9"], None)]),
            Kind::NotFound,
            "Unknown partition p9 in table orders; SHOW PARTITIONS FROM orders lists those that exist",
        ),
        (
            only(&[object("orders", &["p1"], None), object("orders", &["p2"], None)]),
            Kind::InvalidArgument,
            "Duplicated table: orders; name it once, with all its partitions",
        ),
        (
            only(&[object("orders", &["p1", "p2", "p1"], None)]),
            Kind::InvalidArgument,
            "Duplicated partition: p1 of table orders; name it once",
        ),
        (
            only(&[object("orders", &[], Some("o2"))]),
            Kind::InvalidArgument,
            "Can not set alias for table in Backup Command: take away AS o2 after orders; RESTORE can rename",
        ),
        (
            only(&[object("totals", &["p"], None)]),
            Kind::InvalidArgument,
            "view totals has no partitions: take away PARTITION after it",
        ),
        (
            only(&[]),
            Kind::InvalidArgument,
            "nothing to back up in database shop: name a table in ON, or leave ON out for all of them",
        ),
        (
            except(&["items", "orders", "users", "totals", "v2"].map(|name| object(name, &[], None))),
            Kind::InvalidArgument,
            "nothing to back up in database shop: EXCLUDE leaves no table, so name fewer in it",
        ),
    ] {
        let refusal = select(&database(), &selection).unwrap_err();
        assert_eq!(refusal, Failure::fatal(kind, message));
    }
    let refusal = select(&cut("empty", vec![]), &Selection::All).unwrap_err();
    assert_eq!(refusal, invalid("nothing to back up: database empty has no tables"));
}

#[test]
fn a_table_that_is_not_normal_is_named_with_the_way_to_leave_it_out() {
    let mut database = database();
    database.tables[1].state = TableState::Alter;
    for (selection, way) in [
        (Selection::All, "leave it out with EXCLUDE (`orders`)"),
        (only(&[object("orders", &["p1"], None)]), "take it out of ON"),
        (except(&[object("users", &[], None)]), "add `orders` to EXCLUDE"),
    ] {
        let refusal = select(&database, &selection).unwrap_err();
        let message = format!("Table orders's state is not NORMAL: ALTER; wait until it is, or {way}");
        assert_eq!(refusal, Failure::fatal(Kind::FailedPrecondition, message));
    }
    assert!(select(&database, &except(&[object("orders", &[], None)])).is_ok());
    assert!(select(&database, &only(&[object("users", &[], None)])).is_ok());
}
