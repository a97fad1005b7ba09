//! What drivers and shells ask and say by themselves: SET, SELECT without tables, variables, messages.

use futures::stream;
use tabvault_common::failure::{Failure, Kind};

use super::pattern::matches;
use super::{done, table, text};
use crate::sql::answer::{Answer, Cell, CellKind, Column, Rows};
use crate::sql::error::SqlError;
use crate::sql::session::variables::MAX_VALUE;
use crate::sql::session::{SERVER_VERSION, Session};
use crate::sql::statement::{
    Function, Isolation, Literal, Match, Scope, Select, SelectValue, SetItem, SetValue, Variable,
};

/// Most items of a SELECT.
const MAX_ITEMS: usize = 1024;
/// Bytes of the row of a SELECT.
const MAX_ROW: usize = 1 << 20;

impl Session {
    pub(super) fn select(&self, select: &Select) -> Result<Answer, SqlError> {
        let too_large = || {
            let why = format!("SELECT: at most {MAX_ITEMS} items of at most {MAX_ROW} bytes in all are answered");
            Failure::fatal(Kind::ResourceExhausted, why)
        };
        if select.items.len() > MAX_ITEMS {
            return Err(too_large().into());
        }
        let (mut columns, mut row, mut size) = (Vec::new(), Vec::new(), 0);
        for item in &select.items {
            let (cell, kind) = self.value(&item.value)?;
            size += cell.as_ref().map_or(0, String::len);
            if size > MAX_ROW {
                return Err(too_large().into());
            }
            // An integer column is signed; what does not fit into one goes as text rather than as another number.
            let signed = cell.as_ref().is_none_or(|cell| cell.parse::<i64>().is_ok());
            let kind = if kind == CellKind::Integer && !signed { CellKind::Text } else { kind };
            columns.push(Column { name: item.name.clone(), kind });
            row.push(cell);
        }
        let rows = if select.limit == Some(0) { Vec::new() } else { vec![row] };
        Ok(Answer::Rows(Rows { columns, pages: Box::pin(stream::iter([Ok(rows)])) }))
    }

    fn value(&self, value: &SelectValue) -> Result<(Cell, CellKind), SqlError> {
        Ok(match value {
            SelectValue::Literal(literal) => {
                let whole = |text: &str| text.parse::<i64>().is_ok();
                match literal {
                    Literal::Null => (None, CellKind::Text),
                    Literal::Number(number) if whole(number) => (text(number), CellKind::Integer),
                    Literal::Number(other) | Literal::Text(other) => (text(other), CellKind::Text),
                }
            }
            SelectValue::Variable(variable) => {
                let (value, kind) = self.variable(variable)?;
                (Some(value), kind)
            }
            SelectValue::UserVariable(name) => (self.variables.user(name), CellKind::Text),
            SelectValue::Function(function) => self.function(*function),
        })
    }

    fn function(&self, function: Function) -> (Cell, CellKind) {
        let user = || text(format!("{}@%", self.who.user));
        match function {
            Function::Version => (text(SERVER_VERSION), CellKind::Text),
            Function::Database => (self.database.clone(), CellKind::Text),
            Function::User | Function::CurrentUser => (user(), CellKind::Text),
            Function::ConnectionId => (text(self.connection), CellKind::Integer),
            Function::LastInsertId => (text(0), CellKind::Integer),
            Function::Now => (text(self.coordinator.inner().clock.now()), CellKind::Text),
        }
    }

    fn variable(&self, variable: &Variable) -> Result<(String, CellKind), SqlError> {
        let errors = self.messages.iter().filter(|message| message.error).count();
        match variable.name.to_ascii_lowercase().as_str() {
            "warning_count" => Ok((self.messages.len().to_string(), CellKind::Integer)),
            "error_count" => Ok((errors.to_string(), CellKind::Integer)),
            name => self.variables.get(name),
        }
    }

    pub(super) fn set(&mut self, items: &[SetItem]) -> Result<Answer, SqlError> {
        // All of a statement or nothing of it.
        let before = self.variables.clone();
        for item in items {
            if let Err(error) = self.set_one(item) {
                self.variables = before;
                return Err(error);
            }
        }
        Ok(done())
    }

    fn set_one(&mut self, item: &SetItem) -> Result<(), SqlError> {
        match item {
            SetItem::Names { charset, collation } => {
                self.character_set(charset.as_deref())?;
                match collation {
                    Some(collation) => self.variables.set("collation_connection", Some(collation)),
                    None => Ok(()),
                }
            }
            SetItem::CharacterSet(charset) => self.character_set(charset.as_deref()),
            SetItem::Variable { variable, value } => {
                own(variable.scope, &variable.name)?;
                let value = match value {
                    SetValue::Word(word) if word.eq_ignore_ascii_case("DEFAULT") => None,
                    value => Some(self.set_value(value)?.unwrap_or_default()),
                };
                self.variables.set(&variable.name, value.as_deref())
            }
            SetItem::UserVariable { name, value } => {
                let value = self.set_value(value)?;
                self.variables.set_user(name, value)
            }
            SetItem::Transaction { scope, isolation, read_only } => {
                own(*scope, "transaction_isolation")?;
                if let Some(isolation) = isolation {
                    let word = match isolation {
                        Isolation::ReadUncommitted => "READ-UNCOMMITTED",
                        Isolation::ReadCommitted => "READ-COMMITTED",
                        Isolation::RepeatableRead => "REPEATABLE-READ",
                        Isolation::Serializable => "SERIALIZABLE",
                    };
                    self.variables.set("transaction_isolation", Some(word))?;
                }
                match read_only {
                    Some(read_only) => {
                        self.variables.set("transaction_read_only", Some(if *read_only { "ON" } else { "OFF" }))
                    }
                    None => Ok(()),
                }
            }
        }
    }

    /// Text is UTF-8 here; what a client says of it is kept for whoever asks again.
    fn character_set(&mut self, charset: Option<&str>) -> Result<(), SqlError> {
        for name in ["character_set_client", "character_set_connection", "character_set_results"] {
            self.variables.set(name, charset)?;
        }
        Ok(())
    }

    /// `None` is NULL.
    fn set_value(&self, value: &SetValue) -> Result<Option<String>, SqlError> {
        Ok(match value {
            SetValue::Literal(Literal::Null) => None,
            SetValue::Literal(Literal::Number(text) | Literal::Text(text)) | SetValue::Word(text) => Some(text.clone()),
            SetValue::Variable(variable) => Some(self.variable(variable)?.0),
            SetValue::UserVariable(name) => self.variables.user(name),
            SetValue::Concat(parts) => {
                let mut whole = String::new();
                for part in parts {
                    // CONCAT of NULL is NULL.
                    let Some(part) = self.set_value(part)? else { return Ok(None) };
                    if whole.len() + part.len() > MAX_VALUE {
                        let why = format!("SET: CONCAT makes a value of more than {MAX_VALUE} bytes");
                        return Err(Failure::fatal(Kind::ResourceExhausted, why).into());
                    }
                    whole.push_str(&part);
                }
                Some(whole)
            }
        })
    }

    pub(super) fn show_variables(&self, any_of: &[Match]) -> Answer {
        let lower = |wanted: &Match| match wanted {
            Match::Equals(name) => Match::Equals(name.to_lowercase()),
            Match::Like(pattern) => Match::Like(pattern.to_lowercase()),
        };
        let any_of: Vec<Match> = any_of.iter().map(lower).collect();
        let fits = |name: &str| any_of.is_empty() || any_of.iter().any(|wanted| matches(Some(wanted), name));
        let wanted = self.variables.list().filter(|(name, _)| fits(name));
        table(&["Variable_name", "Value"], wanted.map(|(name, value)| vec![text(name), text(value)]).collect())
    }

    pub(super) fn show_messages(&self, errors_only: bool) -> Answer {
        let wanted = self.messages.iter().filter(|message| message.error || !errors_only);
        let row = |message: &crate::sql::session::Message| {
            let level = if message.error { "Error" } else { "Warning" };
            vec![text(level), text(message.code), text(&message.text)]
        };
        table(&["Level", "Code", "Message"], wanted.map(row).collect())
    }

    /// Only one's own: a session knows of no other.
    pub(super) fn show_process_list(&self) -> Answer {
        let columns = ["Id", "User", "Host", "db", "Command", "Time", "State", "Info"];
        let (id, user, database) = (text(self.connection), text(&self.who.user), self.database.clone());
        let row = vec![id, user, text("%"), database, text("Query"), text(0), text(""), text("SHOW PROCESSLIST")];
        table(&columns, vec![row])
    }
}

/// A variable of all sessions cannot be set: there are none.
fn own(scope: Option<Scope>, name: &str) -> Result<(), Failure> {
    match scope {
        Some(Scope::Global) => {
            let why = format!("SET GLOBAL {name}: variables are those of a session, leave GLOBAL out");
            Err(Failure::fatal(Kind::Unsupported, why))
        }
        Some(Scope::Session) | None => Ok(()),
    }
}

/// KILL of a connection that is not there. Who holds the connections answers for those that are.
pub(super) fn unknown_connection(connection: u64) -> SqlError {
    let failure = Failure::fatal(Kind::NotFound, format!("Unknown thread id: {connection}"));
    SqlError { failure, code: 1094, sqlstate: "HY000", place: None }
}
