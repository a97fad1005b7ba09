//! Views: kept as text.

use tabvault_common::schema::ViewDef;

use super::databases::forgiven;
use super::{done, noted, table, text};
use crate::sql::answer::Answer;
use crate::sql::error::SqlError;
use crate::sql::session::Session;
use crate::sql::statement::{CreateView, ObjectName, Statement};

impl Session {
    pub(super) async fn create_view(&self, create: &CreateView) -> Result<Answer, SqlError> {
        self.admin().await?;
        let database = self.meant(create.view.database.as_deref())?;
        let view = ViewDef { name: create.view.name.clone(), text: create.text.clone() };
        match self.coordinator.local()?.create_view(database, &view, create.if_not_exists).await {
            Ok(true) => Ok(done()),
            Ok(false) => Ok(noted(vec![format!("View {} already exist", view.name)])),
            Err(failure) => Err(self.unknown(failure, database, &[]).await),
        }
    }

    pub(super) async fn drop_view(&self, name: &ObjectName, if_exists: bool) -> Result<Answer, SqlError> {
        self.admin().await?;
        let database = self.meant(name.database.as_deref())?;
        match self.coordinator.local()?.drop_view(database, &name.name).await {
            Ok(()) => Ok(done()),
            Err(failure) => forgiven(self.unknown(failure, database, &[&name.name]).await, if_exists),
        }
    }

    pub(super) async fn show_create_view(&self, name: &ObjectName) -> Result<Answer, SqlError> {
        let cut = self.look(name.database.as_deref()).await?;
        let found = cut.views.into_iter().find(|view| view.name == name.name);
        let view = found.ok_or_else(|| SqlError::unknown_table(&name.name))?;
        let object = ObjectName { database: None, name: view.name.clone() };
        let statement = Statement::CreateView(CreateView { view: object, if_not_exists: false, text: view.text });
        let columns = ["View", "Create View", "character_set_client", "collation_connection"];
        let row = vec![Some(view.name), text(statement), text("utf8mb4"), text("utf8mb4_general_ci")];
        Ok(table(&columns, vec![row]))
    }
}
