//! From tokens to statements: recursive descent, a file for each family of statements.
//!
//! # Overview
//! A text is read whole or not at all. Nothing nests but types of columns, and those only so deep; everything else is a
//! loop. What stands in errors comes from [`cursor::Cursor`], which remembers what it was asked for.

use super::error::SqlError;
use super::statement::{Literal, Statement};
use super::token::{self, Kind, Token};
use cursor::{Cursor, Parsed};

mod client;
mod cluster;
mod cursor;
mod database;
mod job;
mod parts;
mod set;
mod show;
mod table;
mod table_clauses;
mod user;

#[cfg(test)]
mod tests;

/// The statements of a text, parted by `;`; the whole text or nothing. Empty statements are left out.
///
/// # Errors
/// 1064 with the place: what stood there and what was expected.
pub fn parse(text: &str) -> Result<Vec<Statement>, SqlError> {
    let tokens = token::tokens(text)?;
    if let Some(at) = tokens.iter().position(|token| token.kind == Kind::Parameter) {
        let mut cursor = Cursor::new(text, &tokens[at..]);
        cursor.ask("a value: only a prepared statement has `?`");
        return cursor.unexpected();
    }
    statements(text, &tokens)
}

/// A text with `?` in the places of values. Values are put in as tokens, never as text, so that none can become
/// anything but a value.
#[derive(Clone)]
pub struct Prepared {
    text: String,
    tokens: Vec<Token>,
    statements: usize,
    parameters: usize,
}

impl Prepared {
    /// Reads the text.
    ///
    /// # Errors
    /// 1064 with the place, as [`parse`].
    pub fn new(text: &str) -> Result<Self, SqlError> {
        let tokens = token::tokens(text)?;
        let statements = statements(text, &tokens)?.len();
        let parameters = tokens.iter().filter(|token| token.kind == Kind::Parameter).count();
        Ok(Self { text: text.to_owned(), tokens, statements, parameters })
    }

    /// The number of statements, without empty ones.
    #[must_use]
    pub fn statements(&self) -> usize {
        self.statements
    }

    /// The number of `?`.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// The statements with a value in the place of each `?`.
    ///
    /// # Errors
    /// 1064: another number of values than of `?`, a number that is none, or a value of the wrong kind for its place.
    pub fn bind(&self, values: &[Literal]) -> Result<Vec<Statement>, SqlError> {
        if values.len() != self.parameters {
            let message = format!("the statement has {} parameters, not {}", self.parameters, values.len());
            return Err(SqlError::syntax(message, None));
        }
        let mut values = values.iter();
        let mut bound = Vec::with_capacity(self.tokens.len());
        for token in &self.tokens {
            match values.as_slice().first() {
                Some(value) if token.kind == Kind::Parameter => {
                    values.next();
                    let kinds = kinds(value)?;
                    bound.extend(kinds.into_iter().map(|kind| Token { kind, ..token.clone() }));
                }
                _ => bound.push(token.clone()),
            }
        }
        statements(&self.text, &bound)
    }
}

impl std::fmt::Debug for Prepared {
    /// Without the text: it may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

/// The tokens of a value.
fn kinds(value: &Literal) -> Parsed<Vec<Kind>> {
    match value {
        Literal::Null => Ok(vec![Kind::Null]),
        Literal::Text(text) => Ok(vec![Kind::Text(text.clone())]),
        Literal::Number(number) => {
            let kinds: Vec<Kind> = token::tokens(number)?.into_iter().map(|token| token.kind).collect();
            match kinds.as_slice() {
                [Kind::Number(_), Kind::End] | [Kind::Symbol("-"), Kind::Number(_), Kind::End] => {
                    Ok(kinds[..kinds.len() - 1].to_vec())
                }
                _ => Err(SqlError::syntax("a parameter that should be a number is none".to_owned(), None)),
            }
        }
    }
}

fn statements(text: &str, tokens: &[Token]) -> Parsed<Vec<Statement>> {
    let mut cursor = Cursor::new(text, tokens);
    let mut statements = Vec::new();
    loop {
        while *cursor.peek() == Kind::Symbol(";") {
            cursor.advance();
        }
        if *cursor.peek() == Kind::End {
            return Ok(statements);
        }
        cursor.unveil();
        statements.push(statement(&mut cursor)?);
        if !matches!(cursor.peek(), Kind::Symbol(";") | Kind::End) {
            cursor.ask("the end of the statement");
            return cursor.unexpected();
        }
    }
}

/// The words that statements begin with, in the order in which an error lists them.
const BEGINNINGS: [&str; 24] = [
    "ADMIN", "ALTER", "BACKUP", "BEGIN", "CANCEL", "COMMIT", "CREATE", "DESC", "DESCRIBE", "DROP", "EXPLAIN", "EXPORT",
    "GRANT", "HELP", "KILL", "LOAD", "RESTORE", "REVOKE", "ROLLBACK", "SELECT", "SET", "SHOW", "START", "USE",
];

fn statement(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    match cursor.one_of(&BEGINNINGS).unwrap_or_default() {
        "ADMIN" => cluster::admin(cursor),
        "ALTER" => alter(cursor),
        "BACKUP" => job::backup(cursor).map(Statement::Backup),
        "BEGIN" => work(cursor, Statement::Begin),
        "CANCEL" => job::cancel(cursor),
        "COMMIT" => work(cursor, Statement::Commit),
        "CREATE" => create(cursor),
        "DESC" | "DESCRIBE" => show::describe(cursor),
        "DROP" => drop(cursor),
        "EXPLAIN" => job::explain(cursor),
        "EXPORT" => job::export(cursor),
        "GRANT" => user::grant(cursor),
        "HELP" => client::help(cursor),
        "KILL" => client::kill(cursor),
        "LOAD" => job::load(cursor),
        "RESTORE" => job::restore(cursor).map(Statement::Restore),
        "REVOKE" => user::revoke(cursor),
        "ROLLBACK" => work(cursor, Statement::Rollback),
        "SELECT" => client::select(cursor),
        "SET" => set::set(cursor),
        "SHOW" => show::show(cursor),
        "START" => client::start(cursor),
        "USE" => cursor.name("a database").map(Statement::Use),
        _ => cursor.unexpected(),
    }
}

/// BEGIN, COMMIT and ROLLBACK may say WORK.
fn work(cursor: &mut Cursor<'_>, statement: Statement) -> Parsed<Statement> {
    cursor.word("WORK");
    Ok(statement)
}

fn alter(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    match cursor.one_of(&["REPOSITORY", "SYSTEM", "TABLE", "USER"]).unwrap_or_default() {
        "REPOSITORY" => cluster::alter_repository(cursor),
        "SYSTEM" => cluster::alter_system(cursor),
        "TABLE" => table::alter(cursor),
        "USER" => user::alter(cursor),
        _ => cursor.unexpected(),
    }
}

fn create(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    match cursor.one_of(&["DATABASE", "SCHEMA", "READ", "REPOSITORY", "TABLE", "USER", "VIEW"]).unwrap_or_default() {
        "DATABASE" | "SCHEMA" => database::create(cursor),
        "READ" => {
            cursor.need_all(&["ONLY", "REPOSITORY"])?;
            cluster::create_repository(cursor, true)
        }
        "REPOSITORY" => cluster::create_repository(cursor, false),
        "TABLE" => table::create(cursor),
        "USER" => user::create(cursor),
        "VIEW" => database::create_view(cursor),
        _ => cursor.unexpected(),
    }
}

fn drop(cursor: &mut Cursor<'_>) -> Parsed<Statement> {
    match cursor.one_of(&["DATABASE", "SCHEMA", "REPOSITORY", "TABLE", "USER", "VIEW"]).unwrap_or_default() {
        "DATABASE" | "SCHEMA" => database::drop(cursor),
        "REPOSITORY" => Ok(Statement::DropRepository { name: cursor.name("a repository")? }),
        "TABLE" => database::drop_table(cursor),
        "USER" => user::drop(cursor),
        "VIEW" => database::drop_view(cursor),
        _ => cursor.unexpected(),
    }
}
