//! `tabvault sql` with statements of the command line and of scripts.

use std::io::Write;
use std::process::{Output, Stdio};

use crate::program::{Cluster, said};

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn sql(cluster: &Cluster, args: &[&str]) -> Output {
    cluster.as_root().arg("sql").args(args).output().unwrap()
}

/// With a script on stdin.
fn script(cluster: &Cluster, args: &[&str], text: &str) -> Output {
    let mut command = cluster.as_root();
    command.arg("sql").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn statements_are_run_in_order_and_answered_in_every_format() {
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(home.path(), 1);
    let made = sql(&cluster, &["-e", "CREATE DATABASE shop; USE shop; SHOW TABLES"]);
    assert!(made.status.success(), "{}", said(&made));
    let ok = "Query OK, 0 rows affected\n";
    assert_eq!(told(&made), format!("{ok}{ok}Empty set\n"));

    let databases = |format: &str| told(&sql(&cluster, &["-e", "SHOW DATABASES LIKE 'sh%'", "--output", format]));
    let rows = databases("table");
    assert!(rows.starts_with("+--") && rows.contains("| shop") && rows.ends_with("1 row in set\n"), "{rows}");
    let rows: serde_json::Value = serde_json::from_str(&databases("json")).unwrap();
    assert_eq!(rows[0].as_object().unwrap().values().next().unwrap(), "shop");
    assert!(databases("csv").ends_with("\nshop\n"));
    let rows = databases("vertical");
    assert!(rows.starts_with("*************************** 1. row") && rows.contains(": shop\n"), "{rows}");
    let vertical = sql(&cluster, &["-e", "SHOW DATABASES\\G"]);
    assert!(told(&vertical).contains("1. row"), "{}", told(&vertical));

    let nothing = script(&cluster, &[], "-- nothing\n;\n");
    assert!(nothing.status.success() && nothing.stdout.is_empty());
}

#[test]
fn a_script_ends_at_the_first_error_unless_it_is_forced() {
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(home.path(), 1);
    let text = "CREATE DATABASE a;\n\nDROP TABLE a.missing;\nCREATE DATABASE b;\n";
    let ended = script(&cluster, &["--output", "csv"], text);
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(said(&ended), "ERROR 1146 (42S02) at line 3: Unknown table 'missing'\n");
    let names = || told(&sql(&cluster, &["-e", "SHOW DATABASES", "--output", "csv"]));
    assert!(names().contains("\na\n") && !names().contains("\nb\n"), "{}", names());

    let text = "DROP TABLE a.missing;\nCREATE DATABASE b";
    let forced = script(&cluster, &["--force"], text);
    assert_eq!(forced.status.code(), Some(1));
    assert!(names().contains("\nb\n"), "{}", names());
}

#[test]
fn what_cannot_be_read_is_shown_with_a_caret() {
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(home.path(), 1);
    let wrong = script(&cluster, &[], "SHOW DATABASES;\n  SHOW NONSENSE;\n");
    assert_eq!(wrong.status.code(), Some(1));
    let said = said(&wrong);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("ERROR 1064 (42000) at line 2: ") && lines[0].contains("line 2, column 8"), "{said}");
    assert_eq!(lines[1..], ["  SHOW NONSENSE;", "       ^"], "{said}");
}

#[test]
fn users_are_made_and_have_what_they_were_granted() {
    let home = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(home.path(), 1);
    let text = "CREATE DATABASE shop; CREATE USER ann IDENTIFIED BY 'pass'; GRANT LOAD_PRIV ON shop.* TO ann";
    let made = sql(&cluster, &["-e", text]);
    assert!(made.status.success(), "{}", said(&made));
    let ann = |line: &str| {
        let mut command = cluster.stranger();
        command.env("TABVAULT_PASSWORD", "pass").env("TABVAULT_USER", "ann").args(line.split(' '));
        command.output().unwrap()
    };
    let tables = ann("show tables shop");
    assert!(tables.status.success(), "{}", said(&tables));
    let words = "error: Access denied; you need (at least one of) the ADMIN privilege(s) for this operation\n";
    assert_eq!(said(&ann("repo list")), words);
    let (there, missing) = (ann("show tables b"), ann("show tables information_schema"));
    assert_eq!(said(&there), said(&missing));
}
