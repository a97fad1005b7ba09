//! BACKUP, RESTORE, CANCEL, EXPLAIN, LOAD and EXPORT.

use tabvault_common::request::{ObjectSelection, Selection};
use tabvault_common::view::JobKind;

use super::cursor::{Cursor, Parsed};
use super::parts;
use crate::sql::statement::{Backup, Export, Load, Restore, Statement};

pub(super) fn backup(cursor: &mut Cursor<'_>) -> Parsed<Backup> {
    let (database, label) = if cursor.word("DATABASE") {
        let database = cursor.name("a database")?;
        cursor.need("SNAPSHOT")?;
        (Some(database), cursor.name("a label")?)
    } else {
        cursor.need("SNAPSHOT")?;
        let label = parts::object(cursor, "a label")?;
        (label.database, label.name)
    };
    cursor.need("TO")?;
    let repository = cursor.name("a repository")?;
    let selection = selection(cursor)?;
    let properties = parts::properties(cursor)?;
    Ok(Backup { database, label, repository, selection, properties })
}

pub(super) fn restore(cursor: &mut Cursor<'_>) -> Parsed<Restore> {
    cursor.need("SNAPSHOT")?;
    let label = parts::object(cursor, "a label")?;
    cursor.need("FROM")?;
    let repository = cursor.name("a repository")?;
    let source = if cursor.word("DATABASE") { Some(cursor.name("a database")?) } else { None };
    let renamed = source.is_some() && cursor.word("AS");
    let into = if renamed { Some(cursor.name("a database")?) } else { None };
    let selection = selection(cursor)?;
    let properties = parts::properties(cursor)?;
    Ok(Restore { database: label.database, label: label.name, repository, source, into, selection, properties })
}

/// `[{ON | EXCLUDE} ({[TABLE] t [PARTITION (p, …)] [AS alias] | ALL TABLES}, …)]`.
fn selection(cursor: &mut Cursor<'_>) -> Parsed<Selection> {
    match cursor.one_of(&["ON", "EXCLUDE"]).unwrap_or_default() {
        "ON" => {
            cursor.need_sign("(")?;
            if cursor.word("ALL") {
                cursor.need("TABLES")?;
                if cursor.sign(",") {
                    return cursor.refuse("ALL TABLES stands alone: leave out what is named beside it");
                }
                cursor.need_sign(")")?;
                return Ok(Selection::All);
            }
            let objects = cursor.commas(object)?;
            cursor.need_sign(")")?;
            Ok(Selection::Only(objects))
        }
        "EXCLUDE" => cursor.list(object).map(Selection::Except),
        _ => Ok(Selection::All),
    }
}

fn object(cursor: &mut Cursor<'_>) -> Parsed<ObjectSelection> {
    cursor.word("TABLE");
    if cursor.is_word("ALL") {
        cursor.advance();
        return cursor.refuse("ALL TABLES stands alone: leave out what is named beside it");
    }
    let table = cursor.name("a table")?;
    let partitions = if partition_word(cursor) { parts_of(cursor)? } else { Vec::new() };
    let alias = if cursor.word("AS") { Some(cursor.name("an alias")?) } else { None };
    Ok(ObjectSelection { table, partitions, alias })
}

/// PARTITION, or PARTITIONS, which errors need not offer.
fn partition_word(cursor: &mut Cursor<'_>) -> bool {
    cursor.word("PARTITION") || (cursor.is_word("PARTITIONS") && cursor.word("PARTITIONS"))
}

/// `p` or `(p, …)`.
fn parts_of(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    match cursor.name_if("a partition") {
        Some(partition) => Ok(vec![partition]),
        None => parts::names(cursor, "a partition"),
    }
}

/// `[PARTITION p]` or `[PARTITION (p)]`.
fn one_partition(cursor: &mut Cursor<'_>) -> Parsed<Option<String>> {
    if !partition_word(cursor) {
        return Ok(None);
    }
    if let Some(partition) = cursor.name_if("a partition") {
        return Ok(Some(partition));
    }
    cursor.need_sign("(")?;
    let partition = cursor.name("a partition")?;
    cursor.need_sign(")")?;
    Ok(Some(partition))
}

pub(super) fn cancel(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let kind = match cursor.one_of(&["BACKUP", "RESTORE"]) {
        Some("BACKUP") => JobKind::Backup,
        Some(_) => JobKind::Restore,
        None => return cursor.unexpected(),
    };
    let database = parts::from_database(cursor)?;
    let label = parts::where_column(cursor, "LABEL")?;
    Ok(Statement::Cancel { kind, database, label })
}

pub(super) fn explain(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    match cursor.one_of(&["BACKUP", "RESTORE"]) {
        Some("BACKUP") => backup(cursor).map(Statement::ExplainBackup),
        Some(_) => restore(cursor).map(Statement::ExplainRestore),
        None => cursor.unexpected(),
    }
}

pub(super) fn load(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.need("LABEL")?;
    let label = parts::object(cursor, "a label")?;
    cursor.need_sign("(")?;
    cursor.need_all(&["DATA", "INFILE"])?;
    cursor.need_sign("(")?;
    let source = cursor.text("a location as a string")?;
    cursor.need_sign(")")?;
    cursor.need_all(&["INTO", "TABLE"])?;
    let table = cursor.name("a table")?;
    let partition = one_partition(cursor)?;
    cursor.need_sign(")")?;
    let (storage, access, properties) = parts::reached(cursor)?;
    let (database, label) = (label.database, label.name);
    Ok(Statement::Load(Load { database, label, source, table, partition, storage, access, properties }))
}

pub(super) fn export(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.need("TABLE")?;
    let table = parts::object(cursor, "a table")?;
    let partition = one_partition(cursor)?;
    cursor.need("TO")?;
    let target = cursor.text("a location as a string")?;
    let (storage, access, properties) = parts::reached(cursor)?;
    Ok(Statement::Export(Export { table, partition, target, storage, access, properties }))
}
