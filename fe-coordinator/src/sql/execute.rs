//! Runs statements on the coordinator: one match, one file per family.
//!
//! # Crash consistency
//! As the façade says: a statement that was answered is done, one that was not may be.

use super::answer::{Answer, Cell, CellKind, Column, Rows};
use super::error::SqlError;
use super::session::Session;
use super::statement::{Show, Statement};

mod clients;
mod config;
mod databases;
mod definitions;
mod jobs;
mod loads;
mod pattern;
mod repositories;
mod show;
mod snapshots;
mod system;
mod tables;
#[cfg(test)]
mod tests;
mod users;
mod views;

impl Session {
    pub(super) async fn execute(&mut self, statement: &Statement) -> Result<Answer, SqlError> {
        match statement {
            Statement::CreateRepository(create) => self.create_repository(create).await,
            Statement::AlterRepository { name, properties } => self.alter_repository(name, properties).await,
            Statement::DropRepository { name } => self.drop_repository(name).await,
            Statement::AddBroker { name, addresses } => self.add_broker(name, addresses).await,
            Statement::DropBroker { name, addresses } => self.drop_broker(name, addresses).await,
            Statement::DecommissionBackends(backends) => self.decommission(backends).await,
            Statement::SetConfig { of, config } => self.set_config(of, config).await,
            Statement::ShowConfig { like } => self.show_config(like.as_deref()).await,
            Statement::Backup(backup) => self.backup(backup).await,
            Statement::Restore(restore) => self.restore(restore).await,
            Statement::ExplainBackup(backup) => self.explain_backup(backup).await,
            Statement::ExplainRestore(restore) => self.explain_restore(restore).await,
            Statement::Cancel { kind, database, label } => {
                self.cancel(*kind, database.as_deref(), label.as_ref()).await
            }
            Statement::Load(load) => self.load(load).await,
            Statement::Export(export) => self.export(export).await,
            Statement::CreateDatabase { name, if_not_exists } => self.create_database(name, *if_not_exists).await,
            Statement::DropDatabase { name, if_exists } => self.drop_database(name, *if_exists).await,
            Statement::CreateTable(create) => self.create_table(create).await,
            Statement::DropTable { table, if_exists } => self.drop_table(table, *if_exists).await,
            Statement::AlterTable(alter) => self.alter_table(alter).await,
            Statement::CreateView(create) => self.create_view(create).await,
            Statement::DropView { view, if_exists } => self.drop_view(view, *if_exists).await,
            Statement::User(user) => self.user(user).await,
            Statement::Show(show) => self.show(show).await,
            Statement::Help(topic) => Ok(super::help::help(topic)),
            Statement::Use(database) => self.use_database(database).await.map(|()| done()),
            Statement::Set(items) => self.set(items),
            Statement::Select(select) => self.select(select),
            // Every statement is its own; connectors say these at the begin and end of everything.
            Statement::Begin | Statement::Commit | Statement::Rollback => Ok(done()),
            Statement::Kill { connection, .. } => Err(clients::unknown_connection(*connection)),
        }
    }

    async fn show(&mut self, show: &Show) -> Result<Answer, SqlError> {
        match show {
            Show::Repositories => self.show_repositories().await,
            Show::Brokers => self.show_brokers().await,
            Show::Backends => self.show_backends().await,
            Show::Backup { database, label } => self.show_backup(database.as_deref(), label.as_ref()).await,
            Show::Restore { brief, database, label } => {
                self.show_restore(*brief, database.as_deref(), label.as_ref()).await
            }
            Show::Snapshots { repository, label, timestamp } => {
                self.show_snapshots(repository, label.as_ref(), timestamp.as_deref()).await
            }
            Show::Databases { like } => self.show_databases(like.as_deref()).await,
            Show::CreateDatabase(name) => self.show_create_database(name).await,
            Show::Tables { full, database, like } => {
                self.show_tables(*full, database.as_deref(), like.as_deref()).await
            }
            Show::TableStatus { database, like } => self.show_table_status(database.as_deref(), like.as_deref()).await,
            Show::CreateTable(table) => self.show_create_table(table).await,
            Show::CreateView(view) => self.show_create_view(view).await,
            Show::Columns { full, table, like } => self.show_columns(*full, table, like.as_deref()).await,
            Show::Indexes(table) => self.show_indexes(table).await,
            Show::Partitions(table) => self.show_partitions(table).await,
            Show::Tablets(table) => self.show_tablets(table).await,
            Show::Grants(user) => self.show_grants(user.as_ref()).await,
            Show::Variables { any_of, .. } => Ok(self.show_variables(any_of)),
            Show::Status { .. } => Ok(table(&["Variable_name", "Value"], Vec::new())),
            Show::Warnings => Ok(self.show_messages(false)),
            Show::Errors => Ok(self.show_messages(true)),
            Show::ProcessList => Ok(self.show_process_list()),
            Show::Collations { like } => Ok(show::collations(like.as_deref())),
            Show::Charsets { like } => Ok(show::charsets(like.as_deref())),
            Show::Engines => Ok(show::engines()),
            Show::Plugins => Ok(show::plugins()),
        }
    }
}

/// Done, with nothing to say.
fn done() -> Answer {
    noted(Vec::new())
}

/// Done, with something to say.
fn noted(notices: Vec<String>) -> Answer {
    Answer::Done { affected: 0, notices }
}

/// A small result set of texts.
fn table(columns: &[&str], rows: Vec<Vec<Cell>>) -> Answer {
    let text = |name: &&str| Column { name: (*name).to_owned(), kind: CellKind::Text };
    let columns = columns.iter().map(text).collect();
    Answer::Rows(Rows { columns, pages: Box::pin(futures::stream::iter([Ok(rows)])) })
}

/// A cell that is not NULL.
fn text(value: impl ToString) -> Cell {
    Some(value.to_string())
}
