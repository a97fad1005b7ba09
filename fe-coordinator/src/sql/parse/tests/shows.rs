//! SHOW, DESC, HELP.

use super::{become_these, object, s, some};
use crate::sql::statement::{Match, Scope, Show, Statement};

#[test]
fn everything_that_can_be_shown() {
    let equals = |text: &str| Some(Match::Equals(s(text)));
    let like = |text: &str| Some(Match::Like(s(text)));
    let snapshots = |label, timestamp| Show::Snapshots { repository: s("r"), label, timestamp };
    let stamp = || some("2025-07-31-14-02-01");
    let restore = |brief, database: Option<&str>, label| Show::Restore { brief, database: database.map(s), label };
    let tables = |full, database: Option<&str>, like: Option<&str>| Show::Tables {
        full,
        database: database.map(s),
        like: like.map(s),
    };
    let columns =
        |full, table: &str, like: Option<&str>| Show::Columns { full, table: object(table), like: like.map(s) };
    let variables = |scope, any_of| Show::Variables { scope, any_of };
    let language = || Match::Equals(s("language"));
    let table: Vec<(&str, Show)> = vec![
        ("SHOW REPOSITORIES", Show::Repositories),
        ("show repository", Show::Repositories),
        ("SHOW BROKER", Show::Brokers),
        ("SHOW BACKENDS", Show::Backends),
        ("SHOW BACKUP", Show::Backup { database: None, label: None }),
        ("SHOW BACKUP FROM db WHERE SnapshotName = 'x'", Show::Backup { database: some("db"), label: equals("x") }),
        ("SHOW BACKUP IN `db`", Show::Backup { database: some("db"), label: None }),
        ("SHOW BACKUP WHERE `snapshotname` LIKE 'x%'", Show::Backup { database: None, label: like("x%") }),
        ("SHOW RESTORE", restore(false, None, None)),
        ("SHOW BRIEF RESTORE FROM db WHERE Label LIKE \"x%\"", restore(true, Some("db"), like("x%"))),
        ("SHOW RESTORE WHERE LABEL = 'x'", restore(false, None, equals("x"))),
        ("SHOW SNAPSHOT ON r", snapshots(None, None)),
        ("SHOW SNAPSHOT ON `r` WHERE SNAPSHOT = 'x'", snapshots(equals("x"), None)),
        ("SHOW SNAPSHOT ON r WHERE SNAPSHOT LIKE 'x%'", snapshots(like("x%"), None)),
        (
            "SHOW SNAPSHOT ON r WHERE SNAPSHOT = 'x' AND TIMESTAMP = '2025-07-31-14-02-01'",
            snapshots(equals("x"), stamp()),
        ),
        (
            "SHOW SNAPSHOT ON r WHERE TIMESTAMP = '2025-07-31-14-02-01' AND SNAPSHOT = 'x'",
            snapshots(equals("x"), stamp()),
        ),
        ("SHOW SNAPSHOT ON r WHERE TIMESTAMP = '2025-07-31-14-02-01'", snapshots(None, stamp())),
        ("SHOW DATABASES", Show::Databases { like: None }),
        ("SHOW SCHEMAS LIKE 'x%'", Show::Databases { like: some("x%") }),
        ("SHOW TABLES", tables(false, None, None)),
        ("SHOW TABLES FROM db LIKE '%'", tables(false, Some("db"), Some("%"))),
        ("SHOW FULL TABLES IN db", tables(true, Some("db"), None)),
        ("SHOW TABLE STATUS FROM db LIKE 'x'", Show::TableStatus { database: some("db"), like: some("x") }),
        ("SHOW CREATE TABLE db.t", Show::CreateTable(object("db.t"))),
        ("SHOW CREATE VIEW v", Show::CreateView(object("v"))),
        ("SHOW CREATE SCHEMA db", Show::CreateDatabase(s("db"))),
        ("DESC t", columns(false, "t", None)),
        ("DESCRIBE `db`.`t`", columns(false, "db.t", None)),
        ("DESC t c", columns(false, "t", Some("c"))),
        ("SHOW COLUMNS FROM t IN db", columns(false, "db.t", None)),
        ("SHOW FULL FIELDS FROM db.t LIKE 'c%'", columns(true, "db.t", Some("c%"))),
        ("SHOW INDEX FROM t FROM db", Show::Indexes(object("db.t"))),
        ("SHOW KEYS FROM t", Show::Indexes(object("t"))),
        ("SHOW PARTITIONS FROM db.t", Show::Partitions(object("db.t"))),
        ("SHOW TABLET FROM t", Show::Tablets(object("t"))),
        ("SHOW TABLETS FROM t", Show::Tablets(object("t"))),
        ("SHOW VARIABLES", variables(None, Vec::new())),
        ("SHOW GLOBAL VARIABLES LIKE 'x%'", variables(Some(Scope::Global), vec![Match::Like(s("x%"))])),
        (
            "SHOW VARIABLES WHERE Variable_name ='language' OR Variable_name LIKE 'x' OR Variable_name IN ('language')",
            variables(None, vec![language(), Match::Like(s("x")), language()]),
        ),
        ("SHOW LOCAL STATUS", Show::Status { scope: Some(Scope::Session), any_of: Vec::new() }),
        ("SHOW WARNINGS", Show::Warnings),
        ("SHOW ERRORS", Show::Errors),
        ("SHOW FULL PROCESSLIST", Show::ProcessList),
        ("SHOW COLLATION", Show::Collations { like: None }),
        ("SHOW CHARSET LIKE 'utf8%'", Show::Charsets { like: some("utf8%") }),
        ("SHOW CHARACTER SET", Show::Charsets { like: None }),
        ("SHOW STORAGE ENGINES", Show::Engines),
        ("SHOW PLUGINS", Show::Plugins),
    ];
    become_these(table.into_iter().map(|(text, show)| (text, Statement::Show(show))).collect());
}

#[test]
fn help_takes_a_string_or_words() {
    become_these(vec![
        ("HELP 'BACKUP'", Statement::Help(s("BACKUP"))),
        ("help create   repository", Statement::Help(s("create repository"))),
        ("HELP", Statement::Help(s(""))),
    ]);
}
