//! SET.

use super::client::{any_name, scope, user_variable, variable};
use super::cursor::{Cursor, Parsed};
use super::parts;
use super::user;
use crate::sql::statement::{Isolation, Scope, SetItem, SetValue, Statement, Variable};
use crate::sql::token::Kind;

pub(super) fn set(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    if cursor.word("PASSWORD") {
        return user::set_password(cursor);
    }
    if cursor.is_word("TRANSACTION") {
        return transaction(cursor, None);
    }
    // A scope holds until the next one is said.
    let mut said = None;
    let mut items = Vec::new();
    loop {
        if !is_assigned(cursor) {
            said = scope(cursor).or(said);
        }
        if items.is_empty() && said.is_some() && cursor.is_word("TRANSACTION") {
            return transaction(cursor, said);
        }
        items.push(item(cursor, said)?);
        if !cursor.sign(",") {
            return Ok(Statement::Set(items));
        }
    }
}

/// Whether the next token is a variable that a value follows, whatever its name.
fn is_assigned(cursor: &Cursor<'_>) -> bool {
    matches!(cursor.second(), Kind::Symbol("=" | ":="))
}

fn item(cursor: &mut Cursor<'_>, said: Option<Scope>) -> Parsed<SetItem> {
    if !is_assigned(cursor) {
        if cursor.word("NAMES") {
            let charset = charset(cursor)?;
            let collation = if cursor.word("COLLATE") { Some(word_or_text(cursor, "a collation")?) } else { None };
            return Ok(SetItem::Names { charset, collation });
        }
        if cursor.phrase("CHARACTER", &["SET"])? || cursor.word("CHARSET") {
            return charset(cursor).map(SetItem::CharacterSet);
        }
        if cursor.sign("@") {
            let name = user_variable(cursor)?;
            return Ok(SetItem::UserVariable { name, value: assigned(cursor)? });
        }
        if cursor.sign("@@") {
            let variable = variable(cursor)?;
            return Ok(SetItem::Variable { variable, value: assigned(cursor)? });
        }
    }
    let variable = Variable { scope: said, name: any_name(cursor, "a variable")? };
    Ok(SetItem::Variable { variable, value: assigned(cursor)? })
}

/// A character set; `None` for DEFAULT.
fn charset(cursor: &mut Cursor<'_>) -> Parsed<Option<String>> {
    if cursor.word("DEFAULT") { Ok(None) } else { word_or_text(cursor, "a character set").map(Some) }
}

fn word_or_text(cursor: &mut Cursor<'_>, what: &str) -> Parsed<String> {
    match cursor.name_if(what) {
        Some(name) => Ok(name),
        None => cursor.text(what),
    }
}

fn assigned(cursor: &mut Cursor<'_>) -> Parsed<SetValue> {
    if !cursor.sign("=") && !cursor.sign(":=") {
        return cursor.unexpected();
    }
    if *cursor.second() == Kind::Symbol("(") && cursor.word("CONCAT") {
        return cursor.list(value).map(SetValue::Concat);
    }
    value(cursor)
}

fn value(cursor: &mut Cursor<'_>) -> Parsed<SetValue> {
    if cursor.sign("@@") {
        return variable(cursor).map(SetValue::Variable);
    }
    if cursor.sign("@") {
        return user_variable(cursor).map(SetValue::UserVariable);
    }
    if let Some(literal) = parts::literal(cursor)? {
        return Ok(SetValue::Literal(literal));
    }
    cursor.ask("a word");
    match cursor.peek() {
        Kind::Word(word) => {
            cursor.advance();
            Ok(SetValue::Word(word.clone()))
        }
        _ => cursor.unexpected(),
    }
}

fn transaction(cursor: &mut Cursor<'_>, scope: Option<Scope>) -> Parsed<Statement> {
    cursor.need("TRANSACTION")?;
    let (mut isolation, mut read_only) = (None, None);
    loop {
        if isolation.is_none() && cursor.phrase("ISOLATION", &["LEVEL"])? {
            isolation = Some(level(cursor)?);
        } else if read_only.is_none() && cursor.word("READ") {
            match cursor.one_of(&["ONLY", "WRITE"]) {
                Some(word) => read_only = Some(word == "ONLY"),
                None => return cursor.unexpected(),
            }
        } else {
            return cursor.unexpected();
        }
        if !cursor.sign(",") {
            return Ok(Statement::Set(vec![SetItem::Transaction { scope, isolation, read_only }]));
        }
    }
}

fn level(cursor: &mut Cursor<'_>) -> Parsed<Isolation> {
    match cursor.one_of(&["READ", "REPEATABLE", "SERIALIZABLE"]) {
        Some("READ") => match cursor.one_of(&["COMMITTED", "UNCOMMITTED"]) {
            Some("COMMITTED") => Ok(Isolation::ReadCommitted),
            Some(_) => Ok(Isolation::ReadUncommitted),
            None => cursor.unexpected(),
        },
        Some("REPEATABLE") => cursor.need("READ").map(|()| Isolation::RepeatableRead),
        Some(_) => Ok(Isolation::Serializable),
        None => cursor.unexpected(),
    }
}
