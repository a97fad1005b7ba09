#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use tabvault_common::ids::SchemaHash;
use tabvault_common::schema::{Column, IndexDef, KeyType, Partitioning};

use super::*;

fn keys(types: &[&str]) -> PartitionKeys {
    let names: Vec<String> = (0..types.len()).map(|n| format!("k{n}")).collect();
    let column = |(name, data_type): (&String, &&str)| Column {
        name: name.to_uppercase(),
        data_type: (*data_type).to_owned(),
        nullable: false,
        default: None,
        aggregation: None,
        comment: String::new(),
    };
    PartitionKeys::of(&TableDef {
        name: "t".into(),
        columns: names.iter().zip(types).map(column).collect(),
        key_type: KeyType::Duplicate,
        keys: names.clone(),
        partitioning: Partitioning::Range(names.clone()),
        distribution: names.clone(),
        buckets: 1,
        replication_num: 1,
        indexes: vec![IndexDef { name: "t".into(), columns: names, schema_hash: SchemaHash(1) }],
        properties: BTreeMap::new(),
        comment: String::new(),
    })
}

fn literals(texts: &[&str]) -> Vec<PartitionValue> {
    texts.iter().map(|text| value(text)).collect()
}

fn value(text: &str) -> PartitionValue {
    match text {
        "MIN" => PartitionValue::Min,
        "MAX" => PartitionValue::Max,
        text => PartitionValue::Literal(text.into()),
    }
}

fn range(lower: &[&str], upper: &[&str]) -> PartitionRange {
    PartitionRange::Range { lower: literals(lower), upper: literals(upper) }
}

fn list(texts: &[&str]) -> PartitionRange {
    PartitionRange::List(texts.iter().map(|text| literals(&[text])).collect())
}

#[test]
fn values_are_ordered_as_their_type_has_it() {
    for (data_type, ascending) in [
        ("INT", &["MIN", "-20", "-3", "0", "+4", "007", "10", "MAX"][..]),
        ("LARGEINT", &["-170141183460469231731687303715884105728", "9", "170141183460469231731687303715884105727"]),
        ("DECIMAL(10, 3)", &["-1.5", "-1.25", "-.5", "0.05", "0.5", "1", "1.01", "1.1", "10.0"]),
        ("BOOLEAN", &["false", "true"]),
        ("DATE", &["0001-1-1", "2023-12-31", "20240101", "2024-1-2", "2024-01-10"]),
        (
            "DATETIME(6)",
            &["2024-01-01", "2024-01-01 00:00:00.5", "2024-01-01 00:00:01", "2024-01-01 9:30", "2024-01-01T10:00:00"],
        ),
        ("VARCHAR(8)", &["", "10", "9", "A", "a"]),
        ("INT", &["5", "five"]),
    ] {
        let keys = keys(&[data_type]);
        let sorted: Vec<Key> = ascending.iter().map(|text| keys.key(&[value(text)])).collect();
        for pair in sorted.windows(2) {
            assert!(pair[0] < pair[1], "{data_type}: {pair:?}");
        }
    }
}

#[test]
fn one_value_may_be_written_in_several_ways() {
    for (data_type, a, b, same) in [
        ("INT", "7", "07", true),
        ("INT", "-0", "0", true),
        ("DECIMAL(9,2)", "1.50", "1.5", true),
        ("DECIMAL(9,2)", "1.50", "15", false),
        ("BOOLEAN", "TRUE", "1", true),
        ("DATE", "2024-01-01", "20240101", true),
        ("DATETIME", "2024-01-01", "2024-01-01 00:00:00.000", true),
        ("DATETIME", "2024-01-01", "2024-01-01 00:00:00.001", false),
        ("VARCHAR(3)", "7", "07", false),
        ("VARCHAR(3)", "a", "A", false),
    ] {
        let keys = keys(&[data_type]);
        let answer = keys.same(&range(&["MIN"], &[a]), &range(&["MIN"], &[b]));
        assert_eq!(answer, same, "{data_type}: {a} and {b}");
    }
}

#[test]
fn the_order_of_a_list_says_nothing() {
    let keys = keys(&["INT"]);
    assert!(keys.same(&list(&["1", "2", "3"]), &list(&["3", "02", "1"])));
    assert!(!keys.same(&list(&["1", "2"]), &list(&["1"])));
    assert!(!keys.same(&list(&["1"]), &range(&["1"], &["2"])));
    assert!(keys.same(&PartitionRange::Whole, &PartitionRange::Whole));
}

#[test]
fn ranges_conflict_when_some_key_is_in_both() {
    let keys = keys(&["INT"]);
    let here =
        [("low", range(&["MIN"], &["-10"])), ("mid", range(&["0"], &["100"])), ("high", range(&["1000"], &["2000"]))];
    let occupied = Occupied::new(&keys, here.iter().map(|(name, range)| (*name, range)));
    for (lower, upper, conflict) in [
        ("-10", "0", None),
        ("-11", "0", Some("low")),
        ("MIN", "-20", Some("low")),
        ("99", "100", Some("mid")),
        ("9", "10", Some("mid")),
        ("100", "1000", None),
        ("-5", "500", Some("mid")),
        ("100", "1001", Some("high")),
        ("2000", "MAX", None),
        ("500", "MAX", Some("high")),
        ("50", "50", None),
    ] {
        assert_eq!(occupied.conflict(&range(&[lower], &[upper])), conflict, "[{lower}, {upper})");
    }
}

#[test]
fn ranges_of_several_columns_compare_column_by_column() {
    let keys = keys(&["DATE", "INT"]);
    let here = range(&["2024-01-01", "5"], &["2024-01-01", "MAX"]);
    let occupied = Occupied::new(&keys, [("p", &here)]);
    assert_eq!(occupied.conflict(&range(&["2024-01-01", "MIN"], &["2024-01-01", "5"])), None);
    assert_eq!(occupied.conflict(&range(&["2024-01-01", "MIN"], &["2024-01-01", "10"])), Some("p"));
    assert_eq!(occupied.conflict(&range(&["2024-01-02", "MIN"], &["MAX", "MAX"])), None);
}

#[test]
fn lists_conflict_when_they_share_a_value() {
    let keys = keys(&["VARCHAR(8)"]);
    let (north, south) = (list(&["oslo", "bergen"]), list(&["rome"]));
    let occupied = Occupied::new(&keys, [("north", &north), ("south", &south)]);
    assert_eq!(occupied.conflict(&list(&["paris", "rome"])), Some("south"));
    assert_eq!(occupied.conflict(&list(&["Rome", "paris"])), None);
}

#[test]
fn beside_a_partition_for_everything_there_is_no_room() {
    let keys = keys(&["INT"]);
    let occupied = Occupied::new(&keys, [("t", &PartitionRange::Whole)]);
    assert_eq!(occupied.conflict(&list(&["1"])), Some("t"));
    let one = list(&["1"]);
    assert_eq!(Occupied::new(&keys, [("p", &one)]).conflict(&PartitionRange::Whole), Some("p"));
    assert_eq!(Occupied::new(&keys, []).conflict(&PartitionRange::Whole), None);
}

proptest! {
    #[test]
    fn numbers_compare_as_integers_do(a: i64, b: i64) {
        let parse = |n: i64| Number::parse(&n.to_string()).unwrap();
        prop_assert_eq!(parse(a).cmp(&parse(b)), a.cmp(&b));
    }

    #[test]
    fn a_conflict_is_found_exactly_when_a_pairwise_look_finds_one(
        mut bounds in prop::collection::btree_set(-60_i32..60, 2..12),
        lower in -60_i32..60,
        length in 0_i32..40,
    ) {
        let keys = keys(&["INT"]);
        if bounds.len() % 2 == 1 {
            bounds.pop_last();
        }
        let bounds: Vec<i32> = bounds.into_iter().collect();
        let made = |lower: i32, upper: i32| range(&[&lower.to_string()], &[&upper.to_string()]);
        let here: Vec<PartitionRange> = bounds.chunks(2).map(|pair| made(pair[0], pair[1])).collect();
        let occupied = Occupied::new(&keys, here.iter().map(|range| ("p", range)));
        let upper = lower + length;
        let overlaps = bounds.chunks(2).any(|pair| lower < upper && lower < pair[1] && pair[0] < upper);
        prop_assert_eq!(occupied.conflict(&made(lower, upper)).is_some(), overlaps);
    }
}
