//! CREATE TABLE and ALTER TABLE.

use tabvault_common::schema::{Column, KeyType, Partitioning};

use super::cursor::{Cursor, Parsed};
use super::database::force;
use super::parts;
use super::table_clauses::{data_type, distribution, partition, rollup};
use crate::sql::statement::{AlterTable, CreateTable, KeyClause, Statement, TableChange};
use crate::sql::token::Kind;

/// How values of an AGGREGATE KEY table are aggregated.
const AGGREGATIONS: [&str; 8] =
    ["SUM", "MIN", "MAX", "REPLACE", "REPLACE_IF_NOT_NULL", "HLL_UNION", "BITMAP_UNION", "QUANTILE_UNION"];

pub(super) fn create(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let if_not_exists = parts::if_not_exists(cursor)?;
    let table = parts::object(cursor, "a table's name")?;
    let defined = cursor.list(column)?;
    engine(cursor)?;
    let said = key_clause(cursor)?;
    let comment = comment(cursor)?;
    let (partitioning, partitions) = partitioning(cursor)?;
    let distribution = distribution(cursor)?;
    let rollups = if cursor.word("ROLLUP") { cursor.list(rollup)? } else { Vec::new() };
    let properties = parts::properties(cursor)?;
    let key = said.or_else(|| key_of(&defined));
    let columns = defined.into_iter().map(|(column, _)| column).collect();
    Ok(Statement::CreateTable(CreateTable {
        table,
        if_not_exists,
        columns,
        key,
        partitioning,
        partitions,
        distribution,
        rollups,
        properties,
        comment,
    }))
}

/// The key that columns say themselves, as old statements of Doris do.
fn key_of(defined: &[(Column, bool)]) -> Option<KeyClause> {
    let keys: Vec<String> = defined.iter().filter(|(_, key)| *key).map(|(column, _)| column.name.clone()).collect();
    let aggregates = defined.iter().any(|(column, _)| column.aggregation.is_some());
    let key_type = if aggregates { KeyType::Aggregate } else { KeyType::Duplicate };
    if keys.is_empty() { None } else { Some(KeyClause { key_type, columns: keys }) }
}

/// A column, and whether it says that it is part of the key.
fn column(cursor: &mut Cursor<'_>) -> Parsed<(Column, bool)> {
    let name = cursor.name("a column's name")?;
    let data_type = data_type(cursor, 0)?;
    let (mut key, mut nullable, mut aggregation) = (false, None, None);
    let (mut default, mut comment) = (None, None);
    loop {
        if !key && cursor.word("KEY") {
            key = true;
        } else if nullable.is_none() && cursor.phrase("NOT", &["NULL"])? {
            nullable = Some(false);
        } else if nullable.is_none() && cursor.word("NULL") {
            nullable = Some(true);
        } else if default.is_none() && cursor.word("DEFAULT") {
            default = Some(default_value(cursor)?);
        } else if comment.is_none() && cursor.word("COMMENT") {
            comment = Some(cursor.text("a comment as a string")?);
        } else if aggregation.is_none() {
            let Some(word) = cursor.one_of(&AGGREGATIONS) else { break };
            aggregation = Some(word.to_owned());
        } else {
            break;
        }
    }
    let (nullable, default, comment) = (nullable.unwrap_or(true), default.flatten(), comment.unwrap_or_default());
    Ok((Column { name, data_type, nullable, default, aggregation, comment }, key))
}

/// A literal, or a word such as CURRENT_TIMESTAMP; `None` for NULL.
fn default_value(cursor: &mut Cursor<'_>) -> Parsed<Option<String>> {
    if *cursor.peek() == Kind::Null || cursor.is_word("NULL") {
        cursor.advance();
        return Ok(None);
    }
    if let Some(number) = parts::number(cursor)? {
        return Ok(Some(number));
    }
    if let Kind::Word(word) = cursor.peek() {
        cursor.advance();
        return Ok(Some(word.to_ascii_uppercase()));
    }
    cursor.text("a default value").map(Some)
}

/// `[ENGINE [=] OLAP]`: there is no other.
fn engine(cursor: &mut Cursor<'_>) -> Parsed<()> {
    if !cursor.word("ENGINE") {
        return Ok(());
    }
    cursor.sign("=");
    match cursor.peek() {
        Kind::Text(engine) if engine.eq_ignore_ascii_case("OLAP") => {
            cursor.advance();
            Ok(())
        }
        _ => cursor.need("OLAP"),
    }
}

fn key_clause(cursor: &mut Cursor<'_>) -> Parsed<Option<KeyClause>> {
    let key_type = match cursor.one_of(&["DUPLICATE", "UNIQUE", "AGGREGATE", "PRIMARY"]) {
        Some("DUPLICATE") => KeyType::Duplicate,
        Some("UNIQUE") => KeyType::Unique,
        Some("AGGREGATE") => KeyType::Aggregate,
        Some(_) => KeyType::Primary,
        None => return Ok(None),
    };
    cursor.need("KEY")?;
    Ok(Some(KeyClause { key_type, columns: parts::names(cursor, "a column")? }))
}

fn comment(cursor: &mut Cursor<'_>) -> Parsed<String> {
    if cursor.word("COMMENT") { cursor.text("a comment as a string") } else { Ok(String::new()) }
}

fn partitioning(cursor: &mut Cursor<'_>) -> Parsed<(Partitioning, Vec<crate::sql::statement::PartitionClause>)> {
    if !cursor.phrase("PARTITION", &["BY"])? {
        return Ok((Partitioning::None, Vec::new()));
    }
    let by_range = match cursor.one_of(&["RANGE", "LIST"]) {
        Some(word) => word == "RANGE",
        None => return cursor.unexpected(),
    };
    let columns = parts::names(cursor, "a column")?;
    let partitioning = if by_range { Partitioning::Range(columns) } else { Partitioning::List(columns) };
    cursor.need_sign("(")?;
    let mut partitions = Vec::new();
    if cursor.is_word("PARTITION") {
        partitions = cursor.commas(partition)?;
    } else {
        cursor.ask("PARTITION");
    }
    cursor.need_sign(")")?;
    Ok((partitioning, partitions))
}

pub(super) fn alter(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let table = parts::object(cursor, "a table")?;
    let change = match cursor.one_of(&["SET", "ADD", "DROP"]) {
        Some("SET") => TableChange::Set(parts::plain_list(cursor)?),
        Some("ADD") => add(cursor)?,
        Some(_) => {
            cursor.need("PARTITION")?;
            let if_exists = parts::if_exists(cursor)?;
            let name = cursor.name("a partition")?;
            force(cursor);
            TableChange::DropPartition { name, if_exists }
        }
        None => return cursor.unexpected(),
    };
    Ok(Statement::AlterTable(AlterTable { table, change }))
}

fn add(cursor: &mut Cursor<'_>) -> Parsed<TableChange> {
    if cursor.is_word("PARTITION") {
        let partition = partition(cursor)?;
        let distributed = cursor.is_word("DISTRIBUTED");
        if !distributed {
            cursor.ask("DISTRIBUTED");
        }
        let distribution = if distributed { Some(distribution(cursor)?) } else { None };
        return Ok(TableChange::AddPartition { partition, distribution });
    }
    cursor.ask("PARTITION");
    cursor.need("ROLLUP")?;
    cursor.commas(rollup).map(TableChange::AddRollups)
}
