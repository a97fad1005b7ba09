//! Users and privileges.

use tabvault_common::secret::Secret;

use super::cursor::{Cursor, Parsed};
use super::parts;
use crate::auth::Privilege;
use crate::sql::statement::{Grant, Statement, User, UserStatement};
use crate::sql::token::Kind;

/// `'u'`, `u`, `'u'@'host'`, `u@%`.
pub(super) fn user(cursor: &mut Cursor<'_>) -> Parsed<User> {
    let name = text_or_name(cursor, "a user")?;
    if !cursor.sign("@") {
        return Ok(User { name, host: None });
    }
    let host = if cursor.sign("%") { "%".to_owned() } else { text_or_name(cursor, "a host")? };
    Ok(User { name, host: Some(host) })
}

fn text_or_name(cursor: &mut Cursor<'_>, what: &str) -> Parsed<String> {
    match cursor.name_if(what) {
        Some(name) => Ok(name),
        None => cursor.text(what),
    }
}

/// `IDENTIFIED BY '…'`, if it is next.
fn identified(cursor: &mut Cursor<'_>) -> Parsed<Option<Secret>> {
    if !cursor.word("IDENTIFIED") {
        return Ok(None);
    }
    cursor.veil();
    cursor.need("BY")?;
    cursor.text("a password as a string").map(|password| Some(Secret::new(password)))
}

pub(super) fn create(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let if_not_exists = parts::if_not_exists(cursor)?;
    let user = user(cursor)?;
    let password = identified(cursor)?;
    Ok(Statement::User(UserStatement::Create { user, if_not_exists, password }))
}

pub(super) fn alter(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let user = user(cursor)?;
    match identified(cursor)? {
        Some(password) => Ok(Statement::User(UserStatement::Alter { user, password })),
        None => cursor.unexpected(),
    }
}

pub(super) fn drop(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let if_exists = parts::if_exists(cursor)?;
    Ok(Statement::User(UserStatement::Drop { if_exists, user: user(cursor)? }))
}

/// What follows SET PASSWORD.
pub(super) fn set_password(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let user = if cursor.word("FOR") { whose(cursor)? } else { None };
    cursor.need_sign("=")?;
    cursor.veil();
    let password = if cursor.word("PASSWORD") {
        cursor.need_sign("(")?;
        let password = cursor.text("a password as a string")?;
        cursor.need_sign(")")?;
        password
    } else {
        cursor.text("a password as a string")?
    };
    Ok(Statement::User(UserStatement::SetPassword { user, password: Secret::new(password) }))
}

/// A user, or `CURRENT_USER[()]` for who asks.
pub(super) fn whose(cursor: &mut Cursor<'_>) -> Parsed<Option<User>> {
    if !cursor.word("CURRENT_USER") {
        return user(cursor).map(Some);
    }
    if cursor.sign("(") {
        cursor.need_sign(")")?;
    }
    Ok(None)
}

pub(super) fn grant(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let privilege = privilege(cursor)?;
    cursor.need("TO")?;
    Ok(Statement::User(UserStatement::Grant(Grant { privilege, user: user(cursor)? })))
}

pub(super) fn revoke(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    let privilege = privilege(cursor)?;
    cursor.need("FROM")?;
    Ok(Statement::User(UserStatement::Revoke(Grant { privilege, user: user(cursor)? })))
}

/// `ADMIN_PRIV ON *.*` or `LOAD_PRIV ON db.*`.
fn privilege(cursor: &mut Cursor<'_>) -> Parsed<Privilege> {
    let privilege = match cursor.one_of(&["ADMIN_PRIV", "LOAD_PRIV"]) {
        Some("ADMIN_PRIV") => {
            cursor.need("ON")?;
            cursor.need_sign("*")?;
            Privilege::Admin
        }
        Some(_) => {
            cursor.need("ON")?;
            if *cursor.peek() == Kind::Symbol("*") {
                cursor.ask("a database: LOAD_PRIV is granted database by database");
                return cursor.unexpected();
            }
            Privilege::Load(cursor.name("a database")?)
        }
        None => return cursor.unexpected(),
    };
    cursor.need_sign(".")?;
    cursor.need_sign("*")?;
    Ok(privilege)
}
