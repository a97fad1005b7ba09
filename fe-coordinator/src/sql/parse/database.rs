//! Databases and views, and dropping tables.

use super::cursor::{Cursor, Parsed};
use super::parts;
use crate::sql::statement::{CreateView, Statement};
use crate::sql::token::Kind;

pub(super) fn create(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let if_not_exists = parts::if_not_exists(cursor)?;
    Ok(Statement::CreateDatabase { if_not_exists, name: cursor.name("a database")? })
}

pub(super) fn drop(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let if_exists = parts::if_exists(cursor)?;
    let name = cursor.name("a database")?;
    force(cursor);
    Ok(Statement::DropDatabase { if_exists, name })
}

/// FORCE means without the possibility to recover, which there is not anyway.
pub(super) fn force(cursor: &mut Cursor<'_>) {
    cursor.word("FORCE");
}

pub(super) fn drop_table(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let if_exists = parts::if_exists(cursor)?;
    let table = parts::object(cursor, "a table")?;
    force(cursor);
    Ok(Statement::DropTable { if_exists, table })
}

pub(super) fn create_view(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let if_not_exists = parts::if_not_exists(cursor)?;
    let view = parts::object(cursor, "a view")?;
    cursor.need("AS")?;
    let (start, comment) = (cursor.start(), cursor.comment());
    let mut last = comment;
    // How it begins is seen now rather than when the view is first used.
    if !(cursor.sign("(") || cursor.one_of(&["SELECT", "WITH"]).is_some()) {
        return cursor.unexpected();
    }
    while !matches!(cursor.peek(), Kind::Symbol(";") | Kind::End) {
        if *cursor.peek() == Kind::Parameter {
            cursor.ask("the rest of the view's statement, which takes no parameters");
            return cursor.unexpected();
        }
        last = cursor.comment();
        cursor.advance();
    }
    if last != comment {
        return cursor.refuse("a view's statement cannot begin inside a `/*! */` and end outside, or the reverse");
    }
    let text = cursor.since(start).to_owned();
    Ok(Statement::CreateView(CreateView { view, if_not_exists, text }))
}

pub(super) fn drop_view(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let if_exists = parts::if_exists(cursor)?;
    Ok(Statement::DropView { if_exists, view: parts::object(cursor, "a view")? })
}
