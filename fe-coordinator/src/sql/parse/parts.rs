//! What many statements have in common: names, properties, storage, patterns.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use tabvault_common::secret::Secret;

use super::cursor::{Cursor, Parsed};
use crate::sql::statement::{Literal, Match, ObjectName, Properties, SecretProperties, StorageKind};
use crate::sql::token::Kind;

/// `[db.]name`.
pub(super) fn object(cursor: &mut Cursor<'_>, what: &str) -> Parsed<ObjectName> {
    let first = cursor.name(what)?;
    if cursor.sign(".") {
        let name = cursor.name(what)?;
        return Ok(ObjectName { database: Some(first), name });
    }
    Ok(ObjectName { database: None, name: first })
}

/// `[{FROM | IN} db]`.
pub(super) fn from_database(cursor: &mut Cursor<'_>) -> Parsed<Option<String>> {
    if cursor.one_of(&["FROM", "IN"]).is_none() {
        return Ok(None);
    }
    cursor.name("a database").map(Some)
}

/// `IF NOT EXISTS`.
pub(super) fn if_not_exists(cursor: &mut Cursor<'_>) -> Parsed<bool> {
    cursor.phrase("IF", &["NOT", "EXISTS"])
}

/// `IF EXISTS`.
pub(super) fn if_exists(cursor: &mut Cursor<'_>) -> Parsed<bool> {
    cursor.phrase("IF", &["EXISTS"])
}

/// `(a, b, …)`.
pub(super) fn names(cursor: &mut Cursor<'_>, what: &str) -> Parsed<Vec<String>> {
    cursor.list(|cursor| cursor.name(what))
}

/// `LIKE '…'`.
pub(super) fn like(cursor: &mut Cursor<'_>) -> Parsed<Option<String>> {
    if cursor.word("LIKE") { cursor.text("a pattern as a string").map(Some) } else { Ok(None) }
}

/// `= '…'` or `LIKE '…'`.
pub(super) fn matching(cursor: &mut Cursor<'_>) -> Parsed<Match> {
    if cursor.sign("=") {
        return cursor.text("a string").map(Match::Equals);
    }
    cursor.need("LIKE")?;
    cursor.text("a pattern as a string").map(Match::Like)
}

/// `[WHERE column {= | LIKE} '…']`.
pub(super) fn where_column(cursor: &mut Cursor<'_>, column: &str) -> Parsed<Option<Match>> {
    if !cursor.word("WHERE") {
        return Ok(None);
    }
    column_name(cursor, column)?;
    matching(cursor).map(Some)
}

/// The name of a column, in backquotes or not, without regard to case.
pub(super) fn column_name(cursor: &mut Cursor<'_>, column: &str) -> Parsed<()> {
    match cursor.peek() {
        Kind::Name(name) if name.eq_ignore_ascii_case(column) => {
            cursor.advance();
            Ok(())
        }
        _ => cursor.need(column),
    }
}

/// `[PROPERTIES (…)]` of what is no storage.
pub(super) fn properties(cursor: &mut Cursor<'_>) -> Parsed<Properties> {
    if cursor.word("PROPERTIES") { plain_list(cursor) } else { Ok(Properties::new()) }
}

/// `[PROPERTIES (…)]` of storage.
pub(super) fn secret_properties(cursor: &mut Cursor<'_>) -> Parsed<SecretProperties> {
    if cursor.word("PROPERTIES") { secret_list(cursor) } else { Ok(SecretProperties::new()) }
}

/// `("k" = "v", …)` without secrets.
pub(super) fn plain_list(cursor: &mut Cursor<'_>) -> Parsed<Properties> {
    pairs(cursor, |value| value)
}

/// `("k" = "v", …)` with secrets.
pub(super) fn secret_list(cursor: &mut Cursor<'_>) -> Parsed<SecretProperties> {
    pairs(cursor, Secret::new)
}

fn pairs<V>(cursor: &mut Cursor<'_>, make: impl Fn(String) -> V) -> Parsed<BTreeMap<String, V>> {
    // Somebody may type a secret where it does not belong.
    cursor.veil();
    let mut properties = BTreeMap::new();
    cursor.need_sign("(")?;
    if cursor.sign(")") {
        return Ok(properties);
    }
    loop {
        let key = property_key(cursor)?;
        let Entry::Vacant(place) = properties.entry(key) else {
            return cursor.refuse("this property is given twice");
        };
        cursor.need_sign("=")?;
        place.insert(make(property_value(cursor)?));
        if !cursor.sign(",") {
            break;
        }
    }
    cursor.need_sign(")")?;
    Ok(properties)
}

/// `"a.b"`, `'a.b'` or `a.b`.
fn property_key(cursor: &mut Cursor<'_>) -> Parsed<String> {
    // A parameter is a value, and two of them would be the same key while the statement is prepared.
    if let Kind::Text(key) = cursor.peek() {
        cursor.advance();
        return Ok(key.clone());
    }
    let mut key = cursor.name("the name of a property")?;
    while cursor.sign(".") {
        key.push('.');
        key.push_str(&cursor.name("the name of a property")?);
    }
    Ok(key)
}

/// `"v"`, `'v'`, a number, or a word such as `true`.
fn property_value(cursor: &mut Cursor<'_>) -> Parsed<String> {
    if let Kind::Word(word) = cursor.peek() {
        cursor.advance();
        return Ok(word.clone());
    }
    if let Some(number) = number(cursor)? {
        return Ok(number);
    }
    cursor.text("a value as a string")
}

/// `[-]number`, as text.
pub(super) fn number(cursor: &mut Cursor<'_>) -> Parsed<Option<String>> {
    let negative = matches!((cursor.peek(), cursor.second()), (Kind::Symbol("-"), Kind::Number(_)));
    if negative {
        cursor.advance();
    }
    let Kind::Number(number) = cursor.peek() else { return Ok(None) };
    cursor.advance();
    Ok(Some(if negative { format!("-{number}") } else { number.clone() }))
}

/// NULL, TRUE, FALSE, a number or a string, if one is next.
pub(super) fn literal(cursor: &mut Cursor<'_>) -> Parsed<Option<Literal>> {
    let word = match cursor.peek() {
        Kind::Null => Some(Literal::Null),
        Kind::Word(word) if word.eq_ignore_ascii_case("NULL") => Some(Literal::Null),
        Kind::Word(word) if word.eq_ignore_ascii_case("TRUE") => Some(Literal::Number("1".to_owned())),
        Kind::Word(word) if word.eq_ignore_ascii_case("FALSE") => Some(Literal::Number("0".to_owned())),
        _ => None,
    };
    if word.is_some() {
        cursor.advance();
        return Ok(word);
    }
    if let Some(number) = number(cursor)? {
        return Ok(Some(Literal::Number(number)));
    }
    Ok(cursor.text_if("a literal").map(Literal::Text))
}

/// What follows WITH: `BROKER [name]`, `S3` or `LOCAL`.
pub(super) fn storage(cursor: &mut Cursor<'_>) -> Parsed<StorageKind> {
    match cursor.one_of(&["BROKER", "S3", "LOCAL"]).unwrap_or_default() {
        "S3" => Ok(StorageKind::S3),
        "LOCAL" => Ok(StorageKind::Local),
        "BROKER" => {
            let properties = cursor.is_word("PROPERTIES") && *cursor.second() == Kind::Symbol("(");
            let name = if properties { None } else { cursor.name_if("a broker's name") };
            Ok(StorageKind::Broker(name))
        }
        _ => cursor.unexpected(),
    }
}

/// `[WITH storage [(…)]] [PROPERTIES (…)]`, in either order: how files are reached, and what else is wanted.
pub(super) fn reached(cursor: &mut Cursor<'_>) -> Parsed<(Option<StorageKind>, SecretProperties, Properties)> {
    let (mut storage_kind, mut access, mut wanted) = (None, SecretProperties::new(), None);
    loop {
        if storage_kind.is_none() && cursor.word("WITH") {
            storage_kind = Some(storage(cursor)?);
            if *cursor.peek() == Kind::Symbol("(") {
                access = secret_list(cursor)?;
            } else {
                cursor.ask("`(`");
            }
        } else if wanted.is_none() && cursor.word("PROPERTIES") {
            wanted = Some(plain_list(cursor)?);
        } else {
            return Ok((storage_kind, access, wanted.unwrap_or_default()));
        }
    }
}
