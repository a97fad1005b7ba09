//! Live settings.

use super::pattern::like_any;
use super::{noted, table, text};
use crate::coordinator::{SettingView, SettingsOf};
use crate::sql::answer::{Answer, Cell};
use crate::sql::error::SqlError;
use crate::sql::session::Session;
use crate::sql::statement::{ConfigOf, Properties};

impl Session {
    pub(super) async fn set_config(&self, of: &ConfigOf, config: &Properties) -> Result<Answer, SqlError> {
        self.admin().await?;
        let of = match of {
            ConfigOf::Agents => SettingsOf::Agents,
            ConfigOf::Agent(typed) => SettingsOf::Agent(self.backend(typed)?),
            ConfigOf::Repository(name) => SettingsOf::Repository(name.clone()),
        };
        Ok(noted(self.coordinator.set_config(of, config.clone()).await?))
    }

    pub(super) async fn show_config(&self, like: Option<&str>) -> Result<Answer, SqlError> {
        self.admin().await?;
        let mut views = self.coordinator.settings().await?;
        views.retain(|view| like_any(like, view.key));
        Ok(table(&["Target", "Key", "Value", "Comment"], views.iter().map(row).collect()))
    }
}

fn row(view: &SettingView) -> Vec<Cell> {
    let target = match &view.of {
        SettingsOf::Agents => "AGENTS".to_owned(),
        SettingsOf::Agent(backend) => format!("AGENT {backend}"),
        SettingsOf::Repository(name) => format!("REPOSITORY {name}"),
    };
    vec![text(target), text(view.key), view.value.map(|value| value.to_string()), text(view.comment)]
}
