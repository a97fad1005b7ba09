//! What an operator allows agents, changed while they work.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one agent may ask of storage and of its machine. `None`: nothing is said, so whoever is less specific decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentSettings {
    /// Bytes per second, to and from all remote storage together; 0: unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Requests per second to all remote storage together; 0: unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u64>,
    /// Cores that work on files (reading, hashing, compressing) may keep busy; 0: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<u32>,
    /// Most objects and ranges in flight at once to and from storage other than `file://`; at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests_in_flight: Option<u32>,
}

impl AgentSettings {
    /// These, and `others` where these say nothing.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            bytes_per_second: self.bytes_per_second.or(others.bytes_per_second),
            requests_per_second: self.requests_per_second.or(others.requests_per_second),
            cpu_cores: self.cpu_cores.or(others.cpu_cores),
            max_requests_in_flight: self.max_requests_in_flight.or(others.max_requests_in_flight),
        }
    }
}

/// What all agents together may ask of one repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RepositorySettings {
    /// Bytes per second, to and from it; `None` and 0: unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Requests per second to it; `None` and 0: unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u64>,
}

impl RepositorySettings {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What one of `agents` may ask, so that all together keep to these: an even share, and at least 1 per second.
    #[must_use]
    pub fn share(self, agents: usize) -> Self {
        let agents = u64::try_from(agents).unwrap_or(u64::MAX).max(1);
        let share = |all: Option<u64>| all.filter(|all| *all > 0).map(|all| (all / agents).max(1));
        Self { bytes_per_second: share(self.bytes_per_second), requests_per_second: share(self.requests_per_second) }
    }
}

/// All that one agent has to keep to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Configuration {
    /// What it may ask altogether; where nothing is said, its own configuration decides.
    pub agent: AgentSettings,
    /// Its share of what may be asked of repositories, by the location of their directories, as its tasks name them.
    pub repositories: BTreeMap<String, RepositorySettings>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_agents_keep_to_what_a_repository_allows() {
        let all = RepositorySettings { bytes_per_second: Some(100), requests_per_second: Some(2) };
        for agents in [1, 3, 7] {
            let share = all.share(agents);
            assert!(share.bytes_per_second.is_some_and(|share| share * agents as u64 <= 100), "{agents}");
        }
        assert_eq!(all.share(3).requests_per_second, Some(1), "nobody is shut out");
        assert_eq!(all.share(0), all);
        assert_eq!(
            RepositorySettings { bytes_per_second: Some(0), requests_per_second: None }.share(2).bytes_per_second,
            None
        );
    }

    #[test]
    fn what_is_said_of_one_agent_wins_over_what_is_said_of_all() {
        let all = AgentSettings { bytes_per_second: Some(5), cpu_cores: Some(2), ..AgentSettings::default() };
        let one = AgentSettings { bytes_per_second: Some(0), ..AgentSettings::default() };
        assert_eq!(one.or(all), AgentSettings { bytes_per_second: Some(0), ..all });
    }
}
