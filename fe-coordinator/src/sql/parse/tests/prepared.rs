//! Prepared statements.

use super::{one, s};
use crate::sql::statement::{Literal, Statement};
use crate::sql::{Prepared, parse};

fn bound(text: &str, values: &[Literal]) -> Vec<Statement> {
    let prepared = Prepared::new(text).unwrap();
    assert_eq!(prepared.parameters(), values.len());
    prepared.bind(values).unwrap()
}

#[test]
fn values_take_the_places_of_parameters() {
    let text = "SHOW BACKUP WHERE SnapshotName = ?; SELECT ?, ? LIMIT ?; KILL ?";
    let values = [Literal::from("x"), Literal::from(-3_i64), Literal::Null, Literal::from(2_u64), Literal::from(9_u64)];
    let expected =
        parse("SHOW BACKUP WHERE SnapshotName = 'x'; SELECT -3 AS '?', NULL AS '?' LIMIT 2; KILL 9").unwrap();
    assert_eq!(bound(text, &values), expected);
    assert_eq!(bound("SHOW BACKUP", &[]), [one("SHOW BACKUP")]);
}

#[test]
fn a_value_is_never_anything_but_a_value() {
    let evil = "x'; DROP DATABASE db; -- \\";
    let expected = format!("CANCEL BACKUP WHERE LABEL = \"{}\"", evil.replace('\\', "\\\\"));
    assert_eq!(bound("CANCEL BACKUP WHERE LABEL = ?", &[Literal::from(evil)]), [one(&expected)]);
    let prepared = Prepared::new("SET x = ?").unwrap();
    for evil in ["1; COMMIT", "1, y = 2", "x", "", "--1", "'1'"] {
        let message = prepared.bind(&[Literal::Number(s(evil))]).unwrap_err().to_string();
        assert_eq!(message, "a parameter that should be a number is none", "{evil}");
    }
}

#[test]
fn the_number_and_the_kinds_of_values_are_checked() {
    let prepared = Prepared::new("SHOW TABLES LIKE ?").unwrap();
    assert_eq!(prepared.bind(&[]).unwrap_err().to_string(), "the statement has 1 parameters, not 0");
    let message = prepared.bind(&[Literal::Null]).unwrap_err().to_string();
    assert_eq!(message, "syntax error at line 1, column 18: found NULL, expected a pattern as a string");
}

#[test]
fn a_parameter_stands_only_where_a_value_does_and_only_in_prepared_statements() {
    for (text, message) in [
        ("DROP TABLE ?", "syntax error at line 1, column 12: found `?`, expected IF or a table"),
        (
            "CREATE VIEW v AS SELECT ?",
            "syntax error at line 1, column 25: found `?`, expected the rest of the view's statement, which takes no \
             parameters",
        ),
        ("USE d; SHOW ?", "found `?`, expected BACKENDS, BACKUP"),
    ] {
        let error = Prepared::new(text).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let expected = "syntax error at line 1, column 18: found `?`, expected a value: only a prepared statement has `?`";
    assert_eq!(parse("SHOW TABLES LIKE ?").unwrap_err().to_string(), expected);
}

#[test]
fn debug_does_not_show_a_prepared_text() {
    let prepared = Prepared::new("CREATE USER u IDENTIFIED BY 'hush'").unwrap();
    assert!(!format!("{prepared:?}").contains("hush"));
}
