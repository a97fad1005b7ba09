//! Statements that cannot be read, and what their authors are told.

use super::parse;

#[test]
fn every_refusal_says_where_what_stood_there_and_what_was_expected() {
    let table = [
        (
            "FOO",
            "line 1, column 1: found `FOO`, expected ADMIN, ALTER, BACKUP, BEGIN, CANCEL, COMMIT, CREATE, DESC, DESCRIBE, \
             DROP, EXPLAIN, EXPORT, GRANT, HELP, KILL, LOAD, RESTORE, REVOKE, ROLLBACK, SELECT, SET, SHOW, START or \
             USE",
        ),
        (
            "SHOW BACKUP FORM db",
            "line 1, column 13: found `FORM`, expected FROM, IN, WHERE or the end of the statement",
        ),
        ("SHOW BACKUP FROM", "line 1, column 17: found the end of the text, expected a database"),
        (
            "SHOW BACKUP FROM table",
            "line 1, column 18: found `table`, expected a database (a reserved word only in backquotes)",
        ),
        ("SHOW BACKUP FROM 'db'", "line 1, column 18: found a string, expected a database"),
        ("SHOW BACKUP WHERE Label = 'x'", "line 1, column 19: found `Label`, expected SnapshotName"),
        ("SHOW BACKUP WHERE SnapshotName > 'x'", "line 1, column 32: found `>`, expected `=` or LIKE"),
        ("SHOW BACKUP WHERE SnapshotName = x", "line 1, column 34: found `x`, expected a string"),
        ("SHOW BRIEF BACKUP", "line 1, column 12: found `BACKUP`, expected RESTORE"),
        ("SHOW SNAPSHOT", "line 1, column 14: found the end of the text, expected ON"),
        ("SHOW SNAPSHOT ON r WHERE LABEL = 'x'", "line 1, column 26: found `LABEL`, expected SNAPSHOT or TIMESTAMP"),
        (
            "SHOW SNAPSHOT ON r WHERE SNAPSHOT = 'x' AND SNAPSHOT = 'y'",
            "line 1, column 45: found `SNAPSHOT`, expected TIMESTAMP",
        ),
        ("SHOW PARTITIONS t", "line 1, column 17: found `t`, expected FROM or IN"),
        (
            "CREATE",
            "line 1, column 7: found the end of the text, expected DATABASE, SCHEMA, READ, REPOSITORY, TABLE, USER or VIEW",
        ),
        ("CREATE READ REPOSITORY r", "line 1, column 13: found `REPOSITORY`, expected ONLY"),
        (
            "CREATE REPOSITORY r WITH HDFS ON LOCATION 'x'",
            "line 1, column 26: found `HDFS`, expected BROKER, S3 or LOCAL",
        ),
        ("CREATE REPOSITORY r WITH S3 LOCATION 'x'", "line 1, column 29: found `LOCATION`, expected ON"),
        (
            "CREATE REPOSITORY r\nWITH S3\nON LOCATION s3",
            "line 3, column 13: found `s3`, expected a location as a string",
        ),
        ("BACKUP SNAPSHOT l TO r ON ()", "line 1, column 28: found `)`, expected ALL, TABLE or a table"),
        (
            "BACKUP SNAPSHOT l TO r ON (t PARTITION (p)",
            "line 1, column 43: found the end of the text, expected AS, `,` or `)`",
        ),
        (
            "BACKUP SNAPSHOT l TO r ON (TABLE t, ALL TABLES)",
            "line 1, column 37: ALL TABLES stands alone: leave out what is named beside it",
        ),
        (
            "BACKUP SNAPSHOT l TO r ON (ALL TABLES, TABLE t)",
            "line 1, column 38: ALL TABLES stands alone: leave out what is named beside it",
        ),
        ("BACKUP l TO r", "line 1, column 8: found `l`, expected DATABASE or SNAPSHOT"),
        ("BACKUP SNAPSHOT l TO r PROPERTIES ('type' 'full')", "line 1, column 43: found a string, expected `=`"),
        (
            "RESTORE SNAPSHOT l FROM r AS x",
            "line 1, column 27: found `AS`, expected DATABASE, ON, EXCLUDE, PROPERTIES or the end of the statement",
        ),
        ("CANCEL LOAD", "line 1, column 8: found `LOAD`, expected BACKUP or RESTORE"),
        ("EXPLAIN SELECT 1", "line 1, column 9: found `SELECT`, expected BACKUP or RESTORE"),
        ("ALTER SYSTEM ADD BACKEND 'h:1'", "line 1, column 18: found `BACKEND`, expected BROKER"),
        (
            "DROP SNAPSHOT l ON r",
            "line 1, column 6: found `SNAPSHOT`, expected DATABASE, SCHEMA, REPOSITORY, TABLE, USER or VIEW",
        ),
        (
            "ADMIN SET FRONTEND CONFIG ('a' = 'b')",
            "line 1, column 11: found `FRONTEND`, expected AGENT, REPOSITORY or CONFIG",
        ),
        (
            "ADMIN SET AGENT CONFIG ('a' = 'b')",
            "line 1, column 17: found `CONFIG`, expected a backend's number or \"host\"",
        ),
        ("CREATE TABLE t ()", "line 1, column 17: found `)`, expected a column's name"),
        ("CREATE TABLE t (a NOT NULL)", "line 1, column 19: found `NOT`, expected a type"),
        (
            "CREATE TABLE t (a INT NULL NULL)",
            "line 1, column 28: found `NULL`, expected KEY, DEFAULT, COMMENT, SUM, MIN, MAX, REPLACE, \
             REPLACE_IF_NOT_NULL, HLL_UNION, BITMAP_UNION, QUANTILE_UNION, `,` or `)`",
        ),
        ("CREATE TABLE t (a ARRAY)", "line 1, column 24: found `)`, expected `<`"),
        ("CREATE TABLE t (a INT) ENGINE = InnoDB", "line 1, column 33: found `InnoDB`, expected OLAP"),
        (
            "CREATE TABLE t (a INT)",
            "line 1, column 23: found the end of the text, expected ENGINE, DUPLICATE, UNIQUE, AGGREGATE, PRIMARY, \
             COMMENT, PARTITION or DISTRIBUTED",
        ),
        (
            "CREATE TABLE t (a INT) DISTRIBUTED BY HASH (a) BUCKETS -1",
            "line 1, column 56: found `-`, expected AUTO or a number of buckets",
        ),
        (
            "CREATE TABLE t (a INT) DISTRIBUTED BY HASH (a) BUCKETS 4294967296",
            "line 1, column 56: found `4294967296`, expected AUTO or a number of buckets",
        ),
        ("ALTER TABLE t ADD PARTITION p VALUES (1)", "line 1, column 38: found `(`, expected LESS, IN or `[`"),
        ("ALTER TABLE t ADD COLUMN c INT", "line 1, column 19: found `COLUMN`, expected PARTITION or ROLLUP"),
        ("CREATE VIEW v AS", "line 1, column 17: found the end of the text, expected `(`, SELECT or WITH"),
        (
            "CREATE VIEW v AS SELECT /*!40000 1 */",
            "line 1, column 34: a view's statement cannot begin inside a `/*! */` and end outside, or the reverse",
        ),
        ("LOAD LABEL l (DATA INFILE ('a', 'b') INTO TABLE t)", "line 1, column 31: found `,`, expected `)`"),
        ("EXPORT TABLE t PARTITION (p, q) TO 'x'", "line 1, column 28: found `,`, expected `)`"),
        ("GRANT ALL ON *.* TO u", "line 1, column 7: found `ALL`, expected ADMIN_PRIV or LOAD_PRIV"),
        ("GRANT ADMIN_PRIV ON db.* TO u", "line 1, column 21: found `db`, expected `*`"),
        (
            "GRANT LOAD_PRIV ON *.* TO u",
            "line 1, column 20: found `*`, expected a database: LOAD_PRIV is granted database by database",
        ),
        ("REVOKE ADMIN_PRIV ON *.* TO u", "line 1, column 26: found `TO`, expected FROM"),
        ("CREATE USER u IDENTIFIED BY pw", "line 1, column 29: found a word, expected a password as a string"),
        ("ALTER USER u", "line 1, column 13: found the end of the text, expected `@` or IDENTIFIED"),
        (
            "SELECT * FROM t",
            "line 1, column 8: found `*`, expected `@@`, `@`, VERSION, DATABASE, SCHEMA, USER, SESSION_USER, \
             SYSTEM_USER, CURRENT_USER, CONNECTION_ID, LAST_INSERT_ID, NOW, CURRENT_TIMESTAMP or a literal",
        ),
        ("SELECT 1 FROM t", "line 1, column 15: found `t`, expected DUAL"),
        ("SELECT VERSION", "line 1, column 15: found the end of the text, expected `(`"),
        (
            "SELECT 0xFF",
            "line 1, column 8: found a binary literal, expected `@@`, `@`, VERSION, DATABASE, SCHEMA, USER, SESSION_USER, SYSTEM_USER, CURRENT_USER, CONNECTION_ID, LAST_INSERT_ID, NOW, CURRENT_TIMESTAMP or a literal",
        ),
        ("SELECT @''", "line 1, column 9: found a string, expected a variable"),
        ("SET x", "line 1, column 6: found the end of the text, expected `=` or `:=`"),
        ("SET TRANSACTION", "line 1, column 16: found the end of the text, expected ISOLATION or READ"),
        ("KILL x", "line 1, column 6: found `x`, expected CONNECTION, QUERY or a connection's number"),
        ("USE ``", "line 1, column 5: found ``, expected a database"),
        ("COMMIT COMMIT", "line 1, column 8: found `COMMIT`, expected WORK or the end of the statement"),
        ("SHOW BACKUP /* x", "line 1, column 17: found the end of the text inside a comment, expected */"),
        ("SHOW TABLES LIKE 'x", "line 1, column 18: found the end of the text inside quotes, expected '"),
    ];
    for (text, expected) in table {
        let error = parse(text).unwrap_err();
        assert_eq!(error.to_string(), format!("syntax error at {expected}"), "{text}");
        assert_eq!((error.code, error.sqlstate), (1064, "42000"));
        assert!(error.place.is_some(), "{text}");
    }
}

#[test]
fn one_bad_statement_refuses_the_whole_text() {
    let error = parse("SHOW BACKUP;\nSHOW BACKUPS").unwrap_err();
    let place = error.place.unwrap();
    assert_eq!((place.line, place.column, place.found.as_str()), (2, 6, "`BACKUPS`"));
}

#[test]
fn a_long_word_is_cut_in_the_error() {
    let message = parse(&format!("USE d {}", "ä".repeat(500))).unwrap_err().to_string();
    let shown = "ä".repeat(60);
    assert_eq!(
        message,
        format!("syntax error at line 1, column 7: found `{shown}…`, expected the end of the statement")
    );
}
