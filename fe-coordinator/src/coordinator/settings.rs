//! ADMIN SET … CONFIG: what agents and repositories are allowed, changed while jobs run.
//!
//! # Crash consistency
//! A setting that was answered is durable, survives a restart of the coordinator and goes with the leadership. One that
//! was not answered may have been set.

use std::collections::BTreeMap;

use tabvault_common::failure::Failure;
use tabvault_common::ids::BackendId;
use tabvault_common::settings::{AgentSettings, RepositorySettings};

use super::Coordinator;
use crate::check::settings::{self, SETTINGS};

/// Whose settings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingsOf {
    /// Of all agents that have no others, now and in future.
    Agents,
    /// Of one agent.
    Agent(BackendId),
    /// Of one repository, for all agents together.
    Repository(String),
}

/// A setting for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingView {
    /// Whose.
    pub of: SettingsOf,
    /// Its name.
    pub key: &'static str,
    /// Its value; `None`: not set.
    pub value: Option<u64>,
    /// What it means.
    pub comment: &'static str,
}

impl Coordinator {
    /// Changes settings, and tells the agents that are attached; those that are not named stay. Answers with what the
    /// user should know.
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown name or a wrong value; `NotFound` "Unknown backend 'n'" or "Repository X does not
    /// exist"; what the store says.
    pub async fn set_config(&self, of: SettingsOf, given: BTreeMap<String, String>) -> Result<Vec<String>, Failure> {
        let this = self.clone();
        self.to_the_end(async move { this.change_settings(of, &given).await }).await
    }

    async fn change_settings(&self, of: SettingsOf, given: &BTreeMap<String, String>) -> Result<Vec<String>, Failure> {
        // Whoever changes settings tells them before the next one does.
        let _turn = self.inner.settings.lock().await;
        let agents = self.agents();
        match &of {
            SettingsOf::Agents => agents.set_all(|before| settings::change_agent(before, given)).await?,
            SettingsOf::Agent(backend) => {
                agents.set_agent(*backend, |before| settings::change_agent(before, given)).await?;
                if !agents.is_alive(*backend) {
                    return Ok(vec![format!("the agent of backend {backend} is not attached: it is told when it is")]);
                }
            }
            SettingsOf::Repository(name) => {
                self.repositories().set(name, |before| settings::change_repository(before, given)).await?;
                self.limit_repositories().await?;
            }
        }
        Ok(Vec::new())
    }

    /// Tells the agents what repositories allow. Only for who holds the turn, or before anybody can.
    pub(super) async fn limit_repositories(&self) -> Result<(), Failure> {
        let allowed = self.repositories().settings().await?;
        self.agents().limit_repositories(allowed.into_values().collect());
        Ok(())
    }

    /// What is set: all that can be set for agents, and what is set for single agents and repositories.
    ///
    /// # Errors
    /// What the store says.
    pub async fn settings(&self) -> Result<Vec<SettingView>, Failure> {
        let (all, single) = self.agents().settings();
        let mut views = of_agent(&SettingsOf::Agents, all);
        for (backend, settings) in single {
            let own = of_agent(&SettingsOf::Agent(backend), settings);
            views.extend(own.into_iter().filter(|view| view.value.is_some()));
        }
        for (name, (_, settings)) in self.repositories().settings().await? {
            views.extend(of_repository(&SettingsOf::Repository(name), settings));
        }
        Ok(views)
    }
}

fn of_agent(of: &SettingsOf, settings: AgentSettings) -> Vec<SettingView> {
    let AgentSettings { bytes_per_second, requests_per_second, cpu_cores, max_requests_in_flight } = settings;
    let value = |key| match key {
        "bytes_per_second" => bytes_per_second,
        "requests_per_second" => requests_per_second,
        "cpu_cores" => cpu_cores.map(u64::from),
        "max_requests_in_flight" => max_requests_in_flight.map(u64::from),
        _ => None,
    };
    let view = |key, comment| SettingView { of: of.clone(), key, value: value(key), comment };
    SETTINGS.iter().map(|setting| view(setting.key, setting.of_agent)).collect()
}

fn of_repository(of: &SettingsOf, settings: RepositorySettings) -> Vec<SettingView> {
    let value = |key| match key {
        "bytes_per_second" => settings.bytes_per_second,
        "requests_per_second" => settings.requests_per_second,
        _ => None,
    };
    let view = |key, comment| SettingView { of: of.clone(), key, value: value(key), comment };
    let all = SETTINGS.iter().filter_map(|setting| Some(view(setting.key, setting.of_repository?)));
    all.filter(|view| view.value.is_some()).collect()
}
