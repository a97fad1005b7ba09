//! SHOW and DESC.

use super::cursor::{Cursor, Parsed};
use super::parts;
use super::user;
use crate::sql::statement::{Match, ObjectName, Scope, Show, Statement};
use crate::sql::token::Kind;

/// What may be shown, in the order in which an error lists it.
const SHOWN: [&str; 39] = [
    "BACKENDS",
    "BACKUP",
    "BRIEF",
    "BROKER",
    "BROKERS",
    "CHARACTER",
    "CHARSET",
    "COLLATION",
    "COLUMNS",
    "CREATE",
    "DATABASES",
    "ENGINES",
    "ERRORS",
    "FIELDS",
    "FULL",
    "GLOBAL",
    "GRANTS",
    "INDEX",
    "INDEXES",
    "KEYS",
    "LOCAL",
    "PARTITIONS",
    "PLUGINS",
    "PROCESSLIST",
    "REPOSITORIES",
    "REPOSITORY",
    "RESTORE",
    "SCHEMAS",
    "SESSION",
    "SNAPSHOT",
    "STATUS",
    "STORAGE",
    "TABLE",
    "TABLES",
    "TABLET",
    "TABLETS",
    "VARIABLES",
    "WARNINGS",
    "SNAPSHOTS",
];

pub(super) fn show(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    shown(cursor).map(Statement::Show)
}

fn shown(cursor: &mut Cursor<'_>) -> Parsed<Show> {
    Ok(match cursor.one_of(&SHOWN).unwrap_or_default() {
        "BACKENDS" => Show::Backends,
        "BACKUP" => {
            let database = parts::from_database(cursor)?;
            Show::Backup { database, label: parts::where_column(cursor, "SnapshotName")? }
        }
        "BRIEF" => {
            cursor.need("RESTORE")?;
            restore(cursor, true)?
        }
        "BROKER" | "BROKERS" => Show::Brokers,
        "CHARACTER" => {
            cursor.need("SET")?;
            Show::Charsets { like: parts::like(cursor)? }
        }
        "CHARSET" => Show::Charsets { like: parts::like(cursor)? },
        "COLLATION" => Show::Collations { like: parts::like(cursor)? },
        "COLUMNS" | "FIELDS" => columns(cursor, false)?,
        "CREATE" => create(cursor)?,
        "DATABASES" | "SCHEMAS" => Show::Databases { like: parts::like(cursor)? },
        "ENGINES" => Show::Engines,
        "ERRORS" => Show::Errors,
        "FULL" => full(cursor)?,
        "GLOBAL" => scoped(cursor, Scope::Global)?,
        "GRANTS" => Show::Grants(if cursor.word("FOR") { user::whose(cursor)? } else { None }),
        "INDEX" | "INDEXES" | "KEYS" => Show::Indexes(of_table(cursor)?),
        "LOCAL" | "SESSION" => scoped(cursor, Scope::Session)?,
        "PARTITIONS" => Show::Partitions(of_table(cursor)?),
        "PLUGINS" => Show::Plugins,
        "PROCESSLIST" => Show::ProcessList,
        "REPOSITORIES" | "REPOSITORY" => Show::Repositories,
        "RESTORE" => restore(cursor, false)?,
        "SNAPSHOT" | "SNAPSHOTS" => snapshots(cursor)?,
        "STATUS" => Show::Status { scope: None, any_of: variables(cursor)? },
        "STORAGE" => {
            cursor.need("ENGINES")?;
            Show::Engines
        }
        "TABLE" => {
            cursor.need("STATUS")?;
            let database = parts::from_database(cursor)?;
            Show::TableStatus { database, like: parts::like(cursor)? }
        }
        "TABLES" => tables(cursor, false)?,
        "TABLET" | "TABLETS" => Show::Tablets(of_table(cursor)?),
        "VARIABLES" => Show::Variables { scope: None, any_of: variables(cursor)? },
        "WARNINGS" => Show::Warnings,
        _ => return cursor.unexpected(),
    })
}

fn restore(cursor: &mut Cursor<'_>, brief: bool) -> Parsed<Show> {
    let database = parts::from_database(cursor)?;
    Ok(Show::Restore { brief, database, label: parts::where_column(cursor, "Label")? })
}

fn snapshots(cursor: &mut Cursor<'_>) -> Parsed<Show> {
    cursor.need("ON")?;
    let repository = cursor.name("a repository")?;
    let (mut label, mut timestamp) = (None, None);
    if cursor.word("WHERE") {
        loop {
            if label.is_none() && cursor.word("SNAPSHOT") {
                label = Some(parts::matching(cursor)?);
            } else if timestamp.is_none() && cursor.word("TIMESTAMP") {
                cursor.need_sign("=")?;
                timestamp = Some(cursor.text("a timestamp as a string")?);
            } else {
                return cursor.unexpected();
            }
            if label.is_some() && timestamp.is_some() || !cursor.word("AND") {
                break;
            }
        }
    }
    Ok(Show::Snapshots { repository, label, timestamp })
}

fn create(cursor: &mut Cursor<'_>) -> Parsed<Show> {
    match cursor.one_of(&["DATABASE", "SCHEMA", "TABLE", "VIEW"]) {
        Some("TABLE") => parts::object(cursor, "a table").map(Show::CreateTable),
        Some("VIEW") => parts::object(cursor, "a view").map(Show::CreateView),
        Some(_) => cursor.name("a database").map(Show::CreateDatabase),
        None => cursor.unexpected(),
    }
}

fn full(cursor: &mut Cursor<'_>) -> Parsed<Show> {
    match cursor.one_of(&["COLUMNS", "FIELDS", "PROCESSLIST", "TABLES"]) {
        Some("TABLES") => tables(cursor, true),
        Some("PROCESSLIST") => Ok(Show::ProcessList),
        Some(_) => columns(cursor, true),
        None => cursor.unexpected(),
    }
}

fn tables(cursor: &mut Cursor<'_>, full: bool) -> Parsed<Show> {
    let database = parts::from_database(cursor)?;
    Ok(Show::Tables { full, database, like: parts::like(cursor)? })
}

fn scoped(cursor: &mut Cursor<'_>, scope: Scope) -> Parsed<Show> {
    let scope = Some(scope);
    match cursor.one_of(&["STATUS", "VARIABLES"]) {
        Some("STATUS") => Ok(Show::Status { scope, any_of: variables(cursor)? }),
        Some(_) => Ok(Show::Variables { scope, any_of: variables(cursor)? }),
        None => cursor.unexpected(),
    }
}

/// `LIKE '…'`, or `WHERE Variable_name {= | LIKE} '…' [OR …]`, or `WHERE Variable_name IN ('…', …)`.
fn variables(cursor: &mut Cursor<'_>) -> Parsed<Vec<Match>> {
    if let Some(pattern) = parts::like(cursor)? {
        return Ok(vec![Match::Like(pattern)]);
    }
    let mut any_of = Vec::new();
    if !cursor.word("WHERE") {
        return Ok(any_of);
    }
    loop {
        parts::column_name(cursor, "Variable_name")?;
        if cursor.word("IN") {
            any_of.extend(cursor.list(|cursor| cursor.text("a name as a string").map(Match::Equals))?);
        } else {
            any_of.push(parts::matching(cursor)?);
        }
        if !cursor.word("OR") {
            return Ok(any_of);
        }
    }
}

/// `{FROM | IN} [db.]t [{FROM | IN} db]`.
fn of_table(cursor: &mut Cursor<'_>) -> Parsed<ObjectName> {
    if cursor.one_of(&["FROM", "IN"]).is_none() {
        return cursor.unexpected();
    }
    let mut table = parts::object(cursor, "a table")?;
    if table.database.is_none() {
        table.database = parts::from_database(cursor)?;
    }
    Ok(table)
}

fn columns(cursor: &mut Cursor<'_>, full: bool) -> Parsed<Show> {
    let table = of_table(cursor)?;
    Ok(Show::Columns { full, table, like: parts::like(cursor)? })
}

/// DESC: a table, and perhaps a column or a pattern.
pub(super) fn describe(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let table = parts::object(cursor, "a table")?;
    let like = match cursor.peek() {
        Kind::Text(_) | Kind::Parameter => Some(cursor.text("a pattern as a string")?),
        _ => cursor.name_if("a column"),
    };
    Ok(Statement::Show(Show::Columns { full: false, table, like }))
}
