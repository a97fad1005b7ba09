#![allow(clippy::unwrap_used, clippy::panic)]
//! Every statement of the field and the tree it becomes; bad ones and the words of their refusal; and that printing
//! and parsing are each other's reverse.

use std::collections::BTreeMap;

use tabvault_common::secret::Secret;

use super::parse;
use crate::sql::statement::{ObjectName, Properties, SecretProperties, Statement};

mod bad;
mod clients;
mod generate;
mod jobs;
mod prepared;
mod round_trip;
mod shows;
mod tables;
mod users;

fn one(text: &str) -> Statement {
    let mut statements = parse(text).unwrap_or_else(|error| panic!("{}", error.render(text)));
    assert_eq!(statements.len(), 1, "{text}");
    statements.remove(0)
}

/// Each text becomes its statement, and so does what is printed of it.
fn become_these(table: Vec<(&str, Statement)>) {
    for (text, expected) in table {
        assert_eq!(one(text), expected, "{text}");
        assert_eq!(one(&expected.to_sql()), expected, "{}", expected.to_sql());
    }
}

fn s(text: &str) -> String {
    text.to_owned()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| s(name)).collect()
}

fn object(text: &str) -> ObjectName {
    match text.split_once('.') {
        Some((database, name)) => ObjectName { database: some(database), name: s(name) },
        None => ObjectName { database: None, name: s(text) },
    }
}

fn plain(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(key, value)| (s(key), s(value))).collect()
}

fn secret(pairs: &[(&str, &str)]) -> SecretProperties {
    pairs.iter().map(|(key, value)| (s(key), Secret::new(*value))).collect()
}

#[test]
fn a_text_holds_several_statements_and_empty_ones_are_left_out() {
    let all = parse(";; SHOW BACKUP;\n-- nothing\n; /* nothing */ commit;").unwrap();
    let printed: Vec<String> = all.iter().map(Statement::to_sql).collect();
    assert_eq!(printed, ["SHOW BACKUP", "COMMIT"]);
    assert_eq!(parse(" \n# nothing").unwrap(), []);
}

#[test]
fn keywords_that_the_grammar_can_spare_are_names() {
    let text = "BACKUP SNAPSHOT backup.label TO repository ON (snapshot PARTITION (restore, status), view AS tables)";
    assert_eq!(one(text), one(&one(text).to_sql()));
    for word in ["backup", "label", "timestamp", "brief", "properties", "type", "user", "password", "names", "value"] {
        assert_eq!(one(&format!("DROP TABLE {word}")), one(&format!("drop table `{word}`")), "{word}");
    }
}

#[test]
fn nobody_sees_a_secret_by_accident() {
    let texts = [
        "CREATE REPOSITORY r WITH S3 ON LOCATION 's3://b' PROPERTIES ('s3.secret_key' = 'hush')",
        "ALTER REPOSITORY r PROPERTIES ('s3.secret_key' = 'hush')",
        "LOAD LABEL l (DATA INFILE ('s3://b') INTO TABLE t) WITH S3 ('s3.secret_key' = 'hush')",
        "EXPORT TABLE t TO 's3://b' WITH S3 ('s3.secret_key' = 'hush')",
        "CREATE USER u IDENTIFIED BY 'hush'",
        "ALTER USER u IDENTIFIED BY 'hush'",
        "SET PASSWORD FOR u = PASSWORD('hush')",
        "SET PASSWORD = 'hush'",
    ];
    for text in texts {
        let statement = one(text);
        assert!(!format!("{statement} {statement:?}").contains("hush"), "{statement} {statement:?}");
        assert!(statement.to_string().contains("\"***\""), "{statement}");
        assert!(statement.to_sql().contains("\"hush\""), "{text}");
    }
}

#[test]
fn an_error_never_repeats_what_may_be_a_secret() {
    let texts = [
        "CREATE USER u IDENTIFIED BY hush",
        "CREATE USER u IDENTIFIED BY 'x' hush",
        "CREATE USER u IDENTIFIED 'hush'",
        "SET PASSWORD = PASSWORD('x' hush)",
        "SET PASSWORD = hush",
        "SET PASSWORD = PASSWORD('x', 'hush')",
        "ALTER REPOSITORY r PROPERTIES ('k' = 'x' hush)",
        "ALTER REPOSITORY r PROPERTIES ('k' 'hush')",
        "ALTER REPOSITORY r PROPERTIES ('k' = x`hush`)",
        "ALTER REPOSITORY r PROPERTIES ('k' = 'v') hush",
        "ALTER REPOSITORY r PROPERTIES ('k' = 'v', 'hush' = 'v', 'hush' = 'w')",
        "ALTER REPOSITORY r PROPERTIES ('k' = x'hush')",
        "BACKUP SNAPSHOT s TO r PROPERTIES ('k' = 'v' hush)",
        "SHOW 'hush",
        "SHOW 'hush'",
    ];
    for text in texts {
        let error = parse(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
}

#[test]
fn types_nest_only_so_deep_and_no_text_is_read_that_is_too_long() {
    let table = |depth: usize| {
        let (open, close) = ("ARRAY<".repeat(depth), ">".repeat(depth));
        format!("CREATE TABLE t (c {open}INT{close}) DISTRIBUTED BY HASH (c)")
    };
    assert!(parse(&table(15)).is_ok());
    let message = parse(&table(100_000)).unwrap_err().to_string();
    assert_eq!(message, "syntax error at line 1, column 115: types nest at most 16 deep");
    assert!(parse(&"(".repeat(1 << 20)).is_err());
    assert!(parse(&"x".repeat((1 << 20) + 1)).is_err());
}

#[test]
fn the_terminal_shows_the_line_and_a_caret_under_the_place() {
    let text = "SHOW BACKUP;\r\n\tSHOW RESTORE  FORM ä;\r\n";
    let error = parse(text).unwrap_err();
    let expected = "syntax error at line 2, column 16: found `FORM`, expected FROM, IN, WHERE or the end of the \
                    statement\n\tSHOW RESTORE  FORM ä;\n\t              ^";
    assert_eq!(error.render(text), expected);
}

#[test]
fn a_property_is_given_once() {
    let message = parse("BACKUP SNAPSHOT s TO r PROPERTIES ('a' = '1', a = '2')").unwrap_err().to_string();
    assert_eq!(message, "syntax error at line 1, column 47: this property is given twice");
    let all: BTreeMap<String, String> = plain(&[("a", "1"), ("b.c", "true"), ("d", "-3")]);
    let Statement::Backup(backup) = one("BACKUP SNAPSHOT s TO r PROPERTIES (\"a\"=\"1\", b.c = true, 'd' = -3)") else {
        panic!("no BACKUP");
    };
    assert_eq!(backup.properties, all);
}
