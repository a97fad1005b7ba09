//! The clauses of CREATE TABLE that other statements share, and types.

use tabvault_common::schema::PartitionValue;

use super::cursor::{Cursor, Parsed, is_reserved};
use super::parts;
use crate::sql::statement::{Distribution, PartitionClause, PartitionValues, Rollup};
use crate::sql::token::Kind;

/// How deep types may nest.
const MAX_DEPTH: usize = 16;

/// A type, upper case and without blanks: `DECIMAL(10,2)`, `MAP<STRING,ARRAY<INT>>`, `STRUCT<name:STRING>`.
pub(super) fn data_type(cursor: &mut Cursor<'_>, depth: usize) -> Parsed<String> {
    let word = plain_word(cursor, "a type")?.to_ascii_uppercase();
    if depth == MAX_DEPTH {
        return cursor.refuse("types nest at most 16 deep");
    }
    let inner = match word.as_str() {
        "ARRAY" => {
            cursor.need_sign("<")?;
            data_type(cursor, depth + 1)?
        }
        "MAP" => {
            cursor.need_sign("<")?;
            let key = data_type(cursor, depth + 1)?;
            cursor.need_sign(",")?;
            format!("{key},{}", data_type(cursor, depth + 1)?)
        }
        "STRUCT" => {
            cursor.need_sign("<")?;
            cursor.commas(|cursor| field(cursor, depth + 1))?.join(",")
        }
        _ => return Ok(word + &parameters(cursor)?),
    };
    cursor.need_sign(">")?;
    Ok(format!("{word}<{inner}>"))
}

/// A word that begins with a letter and is not reserved.
fn plain_word<'a>(cursor: &mut Cursor<'a>, what: &str) -> Parsed<&'a str> {
    match cursor.peek() {
        Kind::Word(word) if !is_reserved(word) && !word.starts_with(|c: char| c.is_ascii_digit()) => {
            cursor.advance();
            Ok(word)
        }
        _ => {
            cursor.ask(what);
            cursor.unexpected()
        }
    }
}

/// `name:TYPE`, the colon may lack.
fn field(cursor: &mut Cursor<'_>, depth: usize) -> Parsed<String> {
    let name = plain_word(cursor, "a field's name without quotes")?.to_ascii_lowercase();
    cursor.sign(":");
    Ok(format!("{name}:{}", data_type(cursor, depth)?))
}

/// `[(n[, n])]` or `[(*)]`, without blanks.
fn parameters(cursor: &mut Cursor<'_>) -> Parsed<String> {
    if !cursor.sign("(") {
        return Ok(String::new());
    }
    if cursor.sign("*") {
        cursor.need_sign(")")?;
        return Ok("(*)".to_owned());
    }
    let numbers: Vec<u32> = cursor.commas(|cursor| cursor.integer("a number"))?;
    cursor.need_sign(")")?;
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    Ok(format!("({})", numbers.join(",")))
}

/// `DISTRIBUTED BY HASH (…) [BUCKETS {n | AUTO}]`.
pub(super) fn distribution(cursor: &mut Cursor<'_>) -> Parsed<Distribution> {
    cursor.need_all(&["DISTRIBUTED", "BY", "HASH"])?;
    let columns = parts::names(cursor, "a column")?;
    let counted = cursor.word("BUCKETS") && !cursor.word("AUTO");
    let buckets = if counted { Some(cursor.integer("a number of buckets")?) } else { None };
    Ok(Distribution { columns, buckets })
}

/// `r (c, …)`.
pub(super) fn rollup(cursor: &mut Cursor<'_>) -> Parsed<Rollup> {
    let name = cursor.name("a rollup's name")?;
    Ok(Rollup { name, columns: parts::names(cursor, "a column")? })
}

/// `PARTITION [IF NOT EXISTS] p VALUES … [("k" = "v", …)]`.
pub(super) fn partition(cursor: &mut Cursor<'_>) -> Parsed<PartitionClause> {
    cursor.need("PARTITION")?;
    let if_not_exists = parts::if_not_exists(cursor)?;
    let name = cursor.name("a partition's name")?;
    cursor.need("VALUES")?;
    let values = values(cursor)?;
    let properties = if *cursor.peek() == Kind::Symbol("(") {
        parts::plain_list(cursor)?
    } else {
        cursor.ask("`(`");
        Default::default()
    };
    Ok(PartitionClause { name, if_not_exists, values, properties })
}

fn values(cursor: &mut Cursor<'_>) -> Parsed<PartitionValues> {
    if cursor.phrase("LESS", &["THAN"])? {
        if cursor.word("MAXVALUE") {
            return Ok(PartitionValues::LessThan(vec![PartitionValue::Max]));
        }
        return cursor.list(value).map(PartitionValues::LessThan);
    }
    if cursor.word("IN") {
        return cursor.list(key).map(PartitionValues::In);
    }
    cursor.need_sign("[")?;
    let lower = cursor.list(value)?;
    cursor.need_sign(",")?;
    let upper = cursor.list(value)?;
    cursor.need_sign(")")?;
    Ok(PartitionValues::Range { lower, upper })
}

/// One value, or as many in brackets as there are partition columns.
fn key(cursor: &mut Cursor<'_>) -> Parsed<Vec<PartitionValue>> {
    if *cursor.peek() == Kind::Symbol("(") {
        return cursor.list(value);
    }
    cursor.ask("`(`");
    Ok(vec![value(cursor)?])
}

fn value(cursor: &mut Cursor<'_>) -> Parsed<PartitionValue> {
    if cursor.word("MAXVALUE") {
        return Ok(PartitionValue::Max);
    }
    if cursor.word("MINVALUE") {
        return Ok(PartitionValue::Min);
    }
    if let Some(number) = parts::number(cursor)? {
        return Ok(PartitionValue::Literal(number));
    }
    cursor.text("a value").map(PartitionValue::Literal)
}
