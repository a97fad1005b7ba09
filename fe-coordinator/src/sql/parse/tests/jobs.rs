//! Repositories, brokers, BACKUP, RESTORE, LOAD, EXPORT.

use tabvault_common::request::{ObjectSelection, Selection};
use tabvault_common::view::JobKind;

use super::{become_these, names, object, one, plain, s, secret, some};
use crate::sql::statement::{Backup, ConfigOf, CreateRepository, Export, Load, Match, Restore, Statement, StorageKind};

fn table(table: &str, partitions: &[&str], alias: Option<&str>) -> ObjectSelection {
    ObjectSelection { table: s(table), partitions: names(partitions), alias: alias.map(s) }
}

fn backup(database: Option<&str>, selection: Selection, properties: &[(&str, &str)]) -> Backup {
    let database = database.map(s);
    Backup { database, label: s("snap"), repository: s("r"), selection, properties: plain(properties) }
}

fn restore(selection: Selection) -> Restore {
    Restore {
        database: None,
        label: s("snap"),
        repository: s("r"),
        source: None,
        into: None,
        selection,
        properties: plain(&[("backup_timestamp", "2025-07-31-14-02-01")]),
    }
}

#[test]
fn repositories_brokers_and_backends() {
    let create = |read_only, storage, location: &str, properties| {
        let location = s(location);
        Statement::CreateRepository(CreateRepository { name: s("r"), read_only, storage, location, properties })
    };
    let keys = || secret(&[("s3.access_key", "AK"), ("s3.endpoint", "http://h:9000")]);
    become_these(vec![
        (
            "CREATE REPOSITORY `r` WITH S3 ON LOCATION \"s3://b/p\" PROPERTIES (\"s3.access_key\"=\"AK\", \
             \"s3.endpoint\" = \"http://h:9000\")",
            create(false, StorageKind::S3, "s3://b/p", keys()),
        ),
        (
            "create read only repository r with broker `b` on location 'hdfs://n/p'",
            create(true, StorageKind::Broker(some("b")), "hdfs://n/p", secret(&[])),
        ),
        (
            "CREATE REPOSITORY r WITH BROKER ON LOCATION 's3a://b' PROPERTIES ()",
            create(false, StorageKind::Broker(None), "s3a://b", secret(&[])),
        ),
        (
            "CREATE REPOSITORY r WITH LOCAL ON LOCATION 'file:///backup'",
            create(false, StorageKind::Local, "file:///backup", secret(&[])),
        ),
        (
            "ALTER REPOSITORY `r` PROPERTIES ('s3.access_key' = 'AK', 's3.endpoint' = 'http://h:9000')",
            Statement::AlterRepository { name: s("r"), properties: keys() },
        ),
        ("DROP REPOSITORY `r`", Statement::DropRepository { name: s("r") }),
        (
            "ALTER SYSTEM ADD BROKER b \"h1:8000\", 'h2:8000'",
            Statement::AddBroker { name: s("b"), addresses: names(&["h1:8000", "h2:8000"]) },
        ),
        (
            "ALTER SYSTEM DROP BROKER b \"h1:8000\"",
            Statement::DropBroker { name: s("b"), addresses: names(&["h1:8000"]) },
        ),
        ("ALTER SYSTEM DROP ALL BROKER b", Statement::DropBroker { name: s("b"), addresses: Vec::new() }),
        (
            "ADMIN SET CONFIG ('bytes_per_second' = 5)",
            Statement::SetConfig { of: ConfigOf::Agents, config: plain(&[("bytes_per_second", "5")]) },
        ),
        (
            "admin set agent 10001 config (bytes_per_second = '50M')",
            Statement::SetConfig { of: ConfigOf::Agent(s("10001")), config: plain(&[("bytes_per_second", "50M")]) },
        ),
        (
            "ADMIN SET REPOSITORY `config` CONFIG ()",
            Statement::SetConfig { of: ConfigOf::Repository(s("config")), config: plain(&[]) },
        ),
        ("ADMIN SHOW CONFIG LIKE '%b'", Statement::ShowConfig { like: some("%b") }),
        (
            "ALTER SYSTEM DECOMMISSION BACKEND 10003, \"h2:9050\"",
            Statement::DecommissionBackends(names(&["10003", "h2:9050"])),
        ),
    ]);
}

#[test]
fn backup_in_both_forms() {
    let only = Selection::Only(vec![table("t1", &["p1", "p2"], None), table("t2", &[], None)]);
    let except = Selection::Except(vec![table("t1", &["p1"], None)]);
    let all = || backup(None, Selection::All, &[]);
    become_these(vec![
        ("BACKUP SNAPSHOT snap TO r", Statement::Backup(all())),
        (
            "BACKUP SNAPSHOT db.snap\nTO `r`\nON (t1 PARTITION (p1, `p2`), t2)\nPROPERTIES (\"type\"=\"full\", \
             \"timeout\" = \"3600\");",
            Statement::Backup(backup(Some("db"), only.clone(), &[("type", "full"), ("timeout", "3600")])),
        ),
        ("BACKUP SNAPSHOT snap TO r EXCLUDE (t1 PARTITION p1)", Statement::Backup(backup(None, except, &[]))),
        (
            "BACKUP SNAPSHOT snap TO r ON (t1 AS t2)",
            Statement::Backup(backup(None, Selection::Only(vec![table("t1", &[], Some("t2"))]), &[])),
        ),
        (
            "BACKUP DATABASE db SNAPSHOT snap TO r ON (TABLE t1 PARTITIONS (p1, p2), TABLE t2)",
            Statement::Backup(backup(Some("db"), only, &[])),
        ),
        (
            "BACKUP DATABASE db SNAPSHOT snap TO r ON (ALL TABLES)",
            Statement::Backup(backup(Some("db"), Selection::All, &[])),
        ),
        ("EXPLAIN BACKUP SNAPSHOT snap TO r", Statement::ExplainBackup(all())),
    ]);
}

#[test]
fn restore_with_everything() {
    let only = Selection::Only(vec![table("t1", &["p1"], Some("t3")), table("t2", &[], None)]);
    let full = Restore { database: some("db"), source: some("old"), into: some("new"), ..restore(Selection::All) };
    let except = Selection::Except(vec![table("t1", &[], None)]);
    become_these(vec![
        (
            "RESTORE SNAPSHOT snap FROM `r` ON (`t1` PARTITION (`p1`) AS `t3`, t2) PROPERTIES \
             (\"backup_timestamp\"=\"2025-07-31-14-02-01\")",
            Statement::Restore(restore(only)),
        ),
        (
            "RESTORE SNAPSHOT db.snap FROM r DATABASE old AS new PROPERTIES ('backup_timestamp' = \
             '2025-07-31-14-02-01')",
            Statement::Restore(full),
        ),
        (
            "RESTORE SNAPSHOT snap FROM r DATABASE old EXCLUDE (t1) PROPERTIES ('backup_timestamp' = \
             '2025-07-31-14-02-01')",
            Statement::Restore(Restore { source: some("old"), ..restore(except) }),
        ),
        (
            "EXPLAIN RESTORE SNAPSHOT snap FROM r PROPERTIES (backup_timestamp = '2025-07-31-14-02-01')",
            Statement::ExplainRestore(restore(Selection::All)),
        ),
    ]);
}

#[test]
fn cancel_of_one_job_or_by_label() {
    let cancel = |kind, database: Option<&str>, label| Statement::Cancel { kind, database: database.map(s), label };
    become_these(vec![
        ("CANCEL BACKUP", cancel(JobKind::Backup, None, None)),
        ("CANCEL RESTORE FROM db", cancel(JobKind::Restore, Some("db"), None)),
        ("CANCEL BACKUP IN db WHERE LABEL = 'x'", cancel(JobKind::Backup, Some("db"), Some(Match::Equals(s("x"))))),
        ("CANCEL RESTORE WHERE `label` LIKE 'x\\_%'", cancel(JobKind::Restore, None, Some(Match::Like(s("x\\_%"))))),
    ]);
}

#[test]
fn load_and_export() {
    let load = Load {
        database: some("db"),
        label: s("l1"),
        source: s("file:///data/**"),
        table: s("t"),
        partition: some("p"),
        storage: None,
        access: secret(&[]),
        properties: plain(&[]),
    };
    let export = Export {
        table: object("db.t"),
        partition: None,
        target: s("file:///out"),
        storage: None,
        access: secret(&[]),
        properties: plain(&[]),
    };
    let reached =
        |text: &str| one(&format!("LOAD LABEL db.l1 (DATA INFILE('file:///data/**') INTO TABLE t PARTITION p) {text}"));
    become_these(vec![
        (
            "LOAD LABEL db.l1 (DATA INFILE(\"file:///data/**\") INTO TABLE t PARTITION (p))",
            Statement::Load(load.clone()),
        ),
        ("EXPORT TABLE db.t TO \"file:///out\"", Statement::Export(export.clone())),
        (
            "EXPORT TABLE t PARTITION (p) TO \"s3://b/o\" PROPERTIES (\"a\" = \"b\") WITH S3 (\"k\" = \"v\")",
            Statement::Export(Export {
                table: object("t"),
                partition: some("p"),
                target: s("s3://b/o"),
                storage: Some(StorageKind::S3),
                access: secret(&[("k", "v")]),
                properties: plain(&[("a", "b")]),
            }),
        ),
    ]);
    let direct = Load { storage: Some(StorageKind::Broker(None)), properties: plain(&[("a", "b")]), ..load.clone() };
    assert_eq!(reached("WITH BROKER PROPERTIES ('a' = 'b')"), Statement::Load(direct));
    let named = Load { storage: Some(StorageKind::Broker(some("properties"))), access: secret(&[("a", "b")]), ..load };
    assert_eq!(reached("WITH BROKER `properties` ('a' = 'b')"), Statement::Load(named));
}
