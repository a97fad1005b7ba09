#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;
use futures::TryStreamExt;
use tabvault_common::view::JobKind;

use super::*;
use crate::sql::parse;
use crate::sql::statement::{Show, Statement, UserStatement};

/// The page of a statement.
fn topic(statement: &Statement) -> &'static str {
    match statement {
        Statement::CreateRepository(_) => "CREATE REPOSITORY",
        Statement::AlterRepository { .. } => "ALTER REPOSITORY",
        Statement::DropRepository { .. } => "DROP REPOSITORY",
        Statement::AddBroker { .. } => "ALTER SYSTEM ADD BROKER",
        Statement::DropBroker { .. } => "ALTER SYSTEM DROP BROKER",
        Statement::DecommissionBackends(_) => "ALTER SYSTEM DECOMMISSION BACKEND",
        Statement::SetConfig { .. } => "ADMIN SET CONFIG",
        Statement::ShowConfig { .. } => "ADMIN SHOW CONFIG",
        Statement::Backup(_) => "BACKUP",
        Statement::Restore(_) => "RESTORE",
        Statement::ExplainBackup(_) | Statement::ExplainRestore(_) => "EXPLAIN",
        Statement::Cancel { kind: JobKind::Backup, .. } => "CANCEL BACKUP",
        Statement::Cancel { kind: JobKind::Restore, .. } => "CANCEL RESTORE",
        Statement::Load(_) => "LOAD",
        Statement::Export(_) => "EXPORT",
        Statement::CreateDatabase { .. } => "CREATE DATABASE",
        Statement::DropDatabase { .. } => "DROP DATABASE",
        Statement::CreateTable(_) => "CREATE TABLE",
        Statement::DropTable { .. } => "DROP TABLE",
        Statement::AlterTable(_) => "ALTER TABLE",
        Statement::CreateView(_) => "CREATE VIEW",
        Statement::DropView { .. } => "DROP VIEW",
        Statement::User(UserStatement::Create { .. }) => "CREATE USER",
        Statement::User(UserStatement::Alter { .. }) => "ALTER USER",
        Statement::User(UserStatement::SetPassword { .. }) => "SET PASSWORD",
        Statement::User(UserStatement::Drop { .. }) => "DROP USER",
        Statement::User(UserStatement::Grant(_)) => "GRANT",
        Statement::User(UserStatement::Revoke(_)) => "REVOKE",
        Statement::Show(show) => shown(show),
        Statement::Help(_) => "HELP",
        Statement::Use(_) => "USE",
        Statement::Set(_) => "SET",
        Statement::Select(_) => "SELECT",
        Statement::Begin | Statement::Commit | Statement::Rollback => "BEGIN",
        Statement::Kill { .. } => "KILL",
    }
}

fn shown(show: &Show) -> &'static str {
    match show {
        Show::Repositories => "SHOW REPOSITORIES",
        Show::Brokers => "SHOW BROKER",
        Show::Backends => "SHOW BACKENDS",
        Show::Backup { .. } => "SHOW BACKUP",
        Show::Restore { .. } => "SHOW RESTORE",
        Show::Snapshots { .. } => "SHOW SNAPSHOT",
        Show::Databases { .. } => "SHOW DATABASES",
        Show::Tables { .. } => "SHOW TABLES",
        Show::TableStatus { .. } => "SHOW TABLE STATUS",
        Show::CreateDatabase(_) => "SHOW CREATE DATABASE",
        Show::CreateTable(_) => "SHOW CREATE TABLE",
        Show::CreateView(_) => "SHOW CREATE VIEW",
        Show::Columns { .. } => "DESC",
        Show::Indexes(_) => "SHOW INDEX",
        Show::Partitions(_) => "SHOW PARTITIONS",
        Show::Tablets(_) => "SHOW TABLETS",
        Show::Grants(_) => "SHOW GRANTS",
        Show::Variables { .. } => "SHOW VARIABLES",
        Show::Status { .. } => "SHOW STATUS",
        Show::Warnings | Show::Errors => "SHOW WARNINGS",
        Show::ProcessList => "SHOW PROCESSLIST",
        Show::Collations { .. } | Show::Charsets { .. } => "SHOW COLLATION",
        Show::Engines | Show::Plugins => "SHOW ENGINES",
    }
}

fn answered(topic: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let Answer::Rows(rows) = help(topic) else { panic!("no rows") };
    let columns = rows.columns.into_iter().map(|column| column.name).collect();
    let pages: Vec<_> = rows.pages.try_collect().now_or_never().unwrap().unwrap();
    let texts = |row: Vec<Option<String>>| row.into_iter().map(Option::unwrap).collect();
    (columns, pages.concat().into_iter().map(texts).collect())
}

#[test]
fn every_example_reads_as_the_statement_that_its_page_is_about() {
    for page in pages() {
        let statements =
            parse(page.example).unwrap_or_else(|error| panic!("{}: {}", page.name, error.render(page.example)));
        assert!(!statements.is_empty(), "{}", page.name);
        for statement in statements {
            assert_eq!(topic(&statement), page.name, "{statement:?}");
        }
    }
}

#[test]
fn every_statement_has_a_page_and_every_page_says_something() {
    // `topic` names a page for each kind, and the compiler sees that it forgets none.
    let named: BTreeSet<&str> =
        include_str!("tests.rs").split('"').filter(|word| word.to_uppercase() == *word).collect();
    for page in pages() {
        assert!(named.contains(page.name), "{} is the page of no statement", page.name);
        assert!(page.description.contains("## Syntax") && page.description.len() > 60, "{}", page.name);
        assert!(page.description.lines().all(|line| line.chars().count() <= 104), "{}", page.name);
    }
    let known: BTreeMap<&str, ()> = pages().map(|page| (page.name, ())).collect();
    let in_topic = include_str!("tests.rs").split("#[test]").next().unwrap_or_default();
    for line in in_topic.lines().filter(|line| line.contains("=> \"")) {
        let name = line.split('"').nth(1).unwrap();
        assert!(known.contains_key(name), "{name} has no page");
    }
}

#[test]
fn pages_are_in_the_order_of_their_names_and_each_is_there_once() {
    let names: Vec<&str> = pages().map(|page| page.name).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
}

#[test]
fn help_answers_in_the_shapes_that_mysqls_shell_knows() {
    let (columns, rows) = answered("backup");
    assert_eq!(columns, ["name", "description", "example"]);
    assert_eq!((rows.len(), rows[0][0].as_str()), (1, "BACKUP"));
    assert!(
        rows[0][1].starts_with("Writes a snapshot")
            && rows[0][2].starts_with("BACKUP SNAPSHOT shop.friday TO backups;")
    );
    let (columns, rows) = answered("contents");
    assert_eq!(columns, ["source_category_name", "name", "is_it_category"]);
    assert_eq!(rows.len(), PAGES.len());
    let (columns, rows) = answered("cancel");
    assert_eq!(columns, ["name", "is_it_category"]);
    assert_eq!(rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ["CANCEL BACKUP", "CANCEL RESTORE"]);
    let (columns, rows) = answered("nothing of the kind");
    assert_eq!((columns.len(), rows.len()), (2, PAGES.len()));
    assert_eq!(answered("partitions").1[0][0], "SHOW PARTITIONS");
}
