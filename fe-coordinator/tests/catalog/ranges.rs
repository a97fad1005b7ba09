//! How partitions compare.

use proptest::prelude::*;
use tabvault_common::schema::{PartitionRange, PartitionValue, Partitioning, TableDef};
use tabvault_fe_coordinator::catalog::conformance::{partition, table};
use tabvault_fe_coordinator::catalog::ranges::{Span, first_overlap, text};

fn typed(data_type: &str) -> TableDef {
    let mut def = table("t");
    def.columns[0].data_type = data_type.to_owned();
    def
}

fn values(of: &[&str]) -> Vec<PartitionValue> {
    let value = |text: &&str| match *text {
        "MIN" => PartitionValue::Min,
        "MAX" => PartitionValue::Max,
        text => PartitionValue::Literal(text.to_owned()),
    };
    of.iter().map(value).collect()
}

fn range(def: &TableDef, lower: &str, upper: &str) -> Result<Span, String> {
    let range = PartitionRange::Range { lower: values(&[lower]), upper: values(&[upper]) };
    Span::of(def, "p", &range).map_err(|failure| failure.message)
}

#[test]
fn numbers_compare_as_numbers_and_dates_and_texts_as_text() {
    let int = typed("INT");
    assert!(range(&int, "9", "10").is_ok());
    assert!(range(&int, "-10", "-9").is_ok());
    assert!(range(&int, "MIN", "MAX").is_ok());
    assert!(range(&int, "MAX", "0").is_err());
    assert!(range(&int, "9", "3000000000").unwrap_err().contains("is no value of column k, whose type is INT"));
    assert!(range(&typed("BIGINT"), "9", "3000000000").is_ok());
    assert!(range(&typed("LARGEINT"), "9", "170141183460469231731687303715884105727").is_ok());
    assert!(range(&int, "nine", "10").is_err());
    assert!(range(&typed("VARCHAR(10)"), "9", "10").is_err(), "as text 10 is before 9");
    assert!(range(&typed("DATE"), "2024-09-01", "2024-10-01").is_ok());
    assert!(range(&typed("DATE"), "2024-9-1", "2024-10-01").is_err());
    assert!(range(&typed("DATETIME"), "2024-09-01", "2024-09-01 00:00:00").unwrap_err().contains("empty"));
    assert!(range(&typed("DATETIME(6)"), "2024-09-01 00:00:00.10", "2024-09-01 00:00:00.1").is_err());
    assert!(range(&typed("DOUBLE"), "1", "2").is_err());
}

#[test]
fn neighbours_do_not_overlap_and_a_shorter_key_goes_on_with_minvalue() {
    let int = typed("INT");
    let (a, b) = (range(&int, "0", "10").unwrap(), range(&int, "10", "20").unwrap());
    assert!(!a.overlaps(&b) && a < b);
    assert!(a.overlaps(&range(&int, "9", "11").unwrap()));
    let mut two = typed("INT");
    two.partitioning = Partitioning::Range(vec!["k".to_owned(), "v".to_owned()]);
    let of = |lower: &[&str], upper: &[&str]| {
        Span::of(&two, "p", &PartitionRange::Range { lower: values(lower), upper: values(upper) }).unwrap()
    };
    assert!(!of(&["1"], &["2"]).overlaps(&of(&["2", "MIN"], &["3"])));
    assert!(of(&["1"], &["2", "a"]).overlaps(&of(&["2", "MIN"], &["3"])));
}

#[test]
fn lists_overlap_if_they_share_a_key() {
    let mut def = typed("INT");
    def.partitioning = Partitioning::List(vec!["k".to_owned()]);
    let of =
        |keys: &[&str]| Span::of(&def, "p", &PartitionRange::List(keys.iter().map(|key| values(&[key])).collect()));
    assert_eq!(first_overlap(&[of(&["1", "3"]).unwrap(), of(&["2"]).unwrap()]), None);
    assert_eq!(first_overlap(&[of(&["1", "3"]).unwrap(), of(&["2", "03"]).unwrap()]), Some((0, 1)));
    assert!(of(&["1", "01"]).unwrap_err().message.contains("twice"));
    assert!(of(&["MAX"]).is_err());
    assert!(of(&[]).is_err());
}

#[test]
fn ranges_are_shown_as_they_are_written() {
    assert_eq!(text(&partition("p", 1, 2).range), "[(\"1\"), (\"2\"))");
    assert_eq!(text(&PartitionRange::List(vec![values(&["a"]), values(&["b"])])), "(\"a\"), (\"b\")");
    assert_eq!(text(&PartitionRange::Whole), "");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_overlap_is_found_wherever_it_is(bounds in prop::collection::vec((0_i64..60, 1_i64..8), 1..12)) {
        let spans: Vec<Span> = bounds
            .iter()
            .map(|(lower, length)| Span::of(&table("t"), "p", &partition("p", *lower, lower + length).range).unwrap())
            .collect();
        let mut any = false;
        for (at, (lower, length)) in bounds.iter().enumerate() {
            any |= bounds[..at].iter().any(|(other, reach)| lower < &(other + reach) && other < &(lower + length));
        }
        let found = first_overlap(&spans);
        prop_assert_eq!(found.is_some(), any);
        if let Some((a, b)) = found {
            prop_assert!(a != b && spans[a].overlaps(&spans[b]));
        }
    }
}
