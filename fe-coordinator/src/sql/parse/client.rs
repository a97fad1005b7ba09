//! What shells and drivers say by themselves: SELECT without tables, HELP, KILL, transactions.

use super::cursor::{Cursor, Parsed};
use super::parts;
use crate::sql::statement::{Function, Literal, Scope, Select, SelectItem, SelectValue, Statement, Variable};
use crate::sql::token::Kind;

pub(super) fn help(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    if let Some(topic) = cursor.text_if("a topic") {
        return Ok(Statement::Help(topic));
    }
    let mut words: Vec<&str> = Vec::new();
    while let Kind::Word(word) = cursor.peek() {
        words.push(word);
        cursor.advance();
    }
    Ok(Statement::Help(words.join(" ")))
}

pub(super) fn kill(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let query = cursor.one_of(&["CONNECTION", "QUERY"]) == Some("QUERY");
    Ok(Statement::Kill { query, connection: cursor.integer("a connection's number")? })
}

/// What follows START. How the transaction is to be makes no difference: there is none.
pub(super) fn start(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    cursor.need("TRANSACTION")?;
    loop {
        match cursor.one_of(&["WITH", "READ"]) {
            Some("WITH") => cursor.need_all(&["CONSISTENT", "SNAPSHOT"])?,
            Some(_) if cursor.one_of(&["ONLY", "WRITE"]).is_some() => {}
            Some(_) => return cursor.unexpected(),
            None => return Ok(Statement::Begin),
        }
        if !cursor.sign(",") {
            return Ok(Statement::Begin);
        }
    }
}

pub(super) fn select(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let items = cursor.commas(item)?;
    cursor.phrase("FROM", &["DUAL"])?;
    let mut limit = None;
    if cursor.word("LIMIT") {
        let first: u64 = cursor.integer("a number of rows")?;
        let rows = |skipped: u64, rows: u64| if skipped == 0 { rows } else { 0 };
        limit = Some(if cursor.sign(",") {
            rows(first, cursor.integer("a number of rows")?)
        } else if cursor.word("OFFSET") {
            rows(cursor.integer("a number of rows")?, first)
        } else {
            first
        });
    }
    Ok(Statement::Select(Select { items, limit }))
}

fn item(cursor: &mut Cursor<'_>) -> Parsed<SelectItem> {
    let start = cursor.start();
    let value = value(cursor)?;
    let name = match &value {
        SelectValue::Literal(Literal::Text(text)) => text.clone(),
        _ => cursor.since(start).to_owned(),
    };
    let alias = if cursor.word("AS") {
        match cursor.name_if("an alias") {
            Some(alias) => Some(alias),
            None => Some(cursor.text("an alias")?),
        }
    } else {
        cursor.name_if("an alias")
    };
    Ok(SelectItem { value, name: alias.unwrap_or(name) })
}

fn value(cursor: &mut Cursor<'_>) -> Parsed<SelectValue> {
    if cursor.sign("@@") {
        return variable(cursor).map(SelectValue::Variable);
    }
    if cursor.sign("@") {
        return user_variable(cursor).map(SelectValue::UserVariable);
    }
    for function in Function::ALL {
        if cursor.one_of(function.names()).is_some() {
            let brackets_may_lack = matches!(function, Function::CurrentUser | Function::Now);
            if cursor.sign("(") {
                cursor.need_sign(")")?;
            } else if !brackets_may_lack {
                return cursor.unexpected();
            }
            return Ok(SelectValue::Function(function));
        }
    }
    match parts::literal(cursor)? {
        Some(literal) => Ok(SelectValue::Literal(literal)),
        None => cursor.unexpected(),
    }
}

/// GLOBAL, SESSION or LOCAL.
pub(super) fn scope(cursor: &mut Cursor<'_>) -> Option<Scope> {
    cursor.one_of(&["GLOBAL", "SESSION", "LOCAL"]).map(|word| match word {
        "GLOBAL" => Scope::Global,
        _ => Scope::Session,
    })
}

/// What follows `@@`: `[{global | session | local}.]name`.
pub(super) fn variable(cursor: &mut Cursor<'_>) -> Parsed<Variable> {
    let scope = if *cursor.second() == Kind::Symbol(".") { scope(cursor) } else { None };
    if scope.is_some() {
        cursor.need_sign(".")?;
    }
    Ok(Variable { scope, name: any_name(cursor, "a system variable")? })
}

/// What follows `@`.
pub(super) fn user_variable(cursor: &mut Cursor<'_>) -> Parsed<String> {
    match cursor.peek() {
        Kind::Text(name) if !name.is_empty() => {
            cursor.advance();
            Ok(name.clone())
        }
        _ => any_name(cursor, "a variable"),
    }
}

/// A name that may be a reserved word, because it stands where nothing else may.
pub(super) fn any_name(cursor: &mut Cursor<'_>, what: &str) -> Parsed<String> {
    match cursor.peek() {
        Kind::Word(word) => {
            cursor.advance();
            Ok(word.clone())
        }
        _ => cursor.name(what),
    }
}
