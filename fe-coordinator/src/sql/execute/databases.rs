//! Databases, and telling by type which name is unknown.

use tabvault_common::failure::{Failure, Kind};

use super::pattern::like_any;
use super::{done, noted, table, text};
use crate::auth::Privilege;
use crate::catalog::{Cut, CutTable};
use crate::sql::answer::Answer;
use crate::sql::error::SqlError;
use crate::sql::session::Session;
use crate::sql::statement::ObjectName;

impl Session {
    pub(super) async fn create_database(&self, name: &str, if_not_exists: bool) -> Result<Answer, SqlError> {
        self.admin().await?;
        self.coordinator.local()?.create_database(name, if_not_exists).await?;
        Ok(done())
    }

    pub(super) async fn drop_database(&mut self, name: &str, if_exists: bool) -> Result<Answer, SqlError> {
        self.admin().await?;
        match self.coordinator.local()?.drop_database(name).await {
            Ok(()) => {
                if self.database.as_deref() == Some(name) {
                    self.database = None;
                }
                Ok(done())
            }
            Err(failure) => forgiven(self.unknown(failure, name, &[]).await, if_exists),
        }
    }

    /// All databases for administrators, else those whose tables one may see.
    pub(super) async fn show_databases(&self, like: Option<&str>) -> Result<Answer, SqlError> {
        let all = self.has(&Privilege::Admin).await?;
        let mut rows = Vec::new();
        for name in self.coordinator.catalog().databases().await? {
            if like_any(like, &name) && (all || self.has(&Privilege::Load(name.clone())).await?) {
                rows.push(vec![Some(name)]);
            }
        }
        Ok(table(&["Database"], rows))
    }

    pub(super) async fn show_create_database(&self, name: &str) -> Result<Answer, SqlError> {
        self.may_see(name).await?;
        self.known_database(name).await?;
        let statement = format!("CREATE DATABASE `{}`", name.replace('`', "``"));
        Ok(table(&["Database", "Create Database"], vec![vec![text(name), Some(statement)]]))
    }

    /// Refuses a database that does not exist.
    pub(super) async fn known_database(&self, name: &str) -> Result<(), SqlError> {
        let known = self.coordinator.catalog().databases().await?;
        if known.iter().any(|known| known == name) { Ok(()) } else { Err(SqlError::unknown_database(name)) }
    }

    /// One look at the database that `object` is meant to be in, and its name, for whoever may see it.
    pub(super) async fn look(&self, database: Option<&str>) -> Result<Cut, SqlError> {
        let database = self.meant(database)?;
        self.may_see(database).await?;
        match self.coordinator.catalog().cut(database).await {
            Ok(cut) => Ok(cut),
            Err(failure) => Err(self.unknown(failure, database, &[]).await),
        }
    }

    /// A table as it is now, for whoever may see its database.
    pub(super) async fn table(&self, name: &ObjectName) -> Result<CutTable, SqlError> {
        let cut = self.look(name.database.as_deref()).await?;
        let found = cut.tables.into_iter().find(|table| table.def.name == name.name);
        found.ok_or_else(|| SqlError::unknown_table(&name.name))
    }

    /// Gives a failure MySQL's number where it came from a database or one of `tables` that does not exist. The message
    /// stays: it may say more.
    pub(super) async fn unknown(&self, failure: Failure, database: &str, tables: &[&str]) -> SqlError {
        if failure.kind != Kind::NotFound {
            return failure.into();
        }
        let numbered = match self.known_database(database).await {
            Err(unknown) if unknown.failure.kind == Kind::NotFound => unknown,
            Err(_) => return failure.into(),
            Ok(()) => {
                let Ok(cut) = self.coordinator.catalog().cut(database).await else { return failure.into() };
                let known = |name: &str| {
                    cut.tables.iter().any(|t| t.def.name == name) || cut.views.iter().any(|v| v.name == name)
                };
                match tables.iter().find(|name| !known(name)) {
                    Some(name) => SqlError::unknown_table(name),
                    None => return failure.into(),
                }
            }
        };
        SqlError { failure, ..numbered }
    }
}

/// IF EXISTS: a database or table that is unknown is only worth a notice.
pub(super) fn forgiven(error: SqlError, if_exists: bool) -> Result<Answer, SqlError> {
    match error.code {
        1049 | 1146 if if_exists => Ok(noted(vec![error.failure.message])),
        _ => Err(error),
    }
}
