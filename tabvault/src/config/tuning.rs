//! Numbers that have good defaults; they are set in the configuration file only.

use std::time::Duration;

use serde::Deserialize;
use tabvault_be_agent::config::AgentConfig;
use tabvault_common::settings::AgentSettings;
use tabvault_fe_coordinator::coordinator::Config;

/// Section `[coordinator]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoordinatorTuning {
    /// A backend silent for so many milliseconds is dead.
    pub backend_patience_ms: u64,
    /// Milliseconds between two signs of life of an agent.
    pub heartbeat_ms: u64,
    /// Ended jobs of each kind that SHOW remembers.
    pub kept_jobs: usize,
    /// Jobs that may run in one database at the same time.
    pub max_jobs_per_database: u32,
    /// A job over more tablets is refused.
    pub max_tablets_per_job: u64,
    /// Seconds between two looks at repositories and brokers.
    pub health_interval_s: u64,
    /// Most bytes of Details in SHOW SNAPSHOT.
    pub max_snapshot_details: usize,
    /// Directories below which who has LOAD_PRIV only may load from and export to `file://`.
    pub load_directories: Vec<String>,
}

impl Default for CoordinatorTuning {
    fn default() -> Self {
        let config = Config::default();
        Self {
            backend_patience_ms: millis(config.backend_patience),
            heartbeat_ms: millis(config.heartbeat),
            kept_jobs: config.kept_jobs,
            max_jobs_per_database: config.jobs_per_database,
            max_tablets_per_job: config.max_tablets_per_job,
            health_interval_s: config.health_interval.as_secs(),
            max_snapshot_details: config.max_snapshot_details,
            load_directories: config.load_directories,
        }
    }
}

impl CoordinatorTuning {
    /// As the coordinator takes it, which also checks it.
    #[must_use]
    pub fn config(&self) -> Config {
        Config {
            backend_patience: Duration::from_millis(self.backend_patience_ms),
            heartbeat: Duration::from_millis(self.heartbeat_ms),
            kept_jobs: self.kept_jobs,
            jobs_per_database: self.max_jobs_per_database,
            max_tablets_per_job: self.max_tablets_per_job,
            health_interval: Duration::from_secs(self.health_interval_s),
            max_snapshot_details: self.max_snapshot_details,
            load_directories: self.load_directories.clone(),
        }
    }
}

/// Section `[agent]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentTuning {
    /// Bytes that all transfers together may hold in memory.
    pub memory_budget: u64,
    /// Objects and ranges in flight at once to and from `file://`.
    pub parallel_transfers: usize,
    /// The most of them to and from other storage; 64 if left out. Fewer where the storage becomes slower or says 503.
    pub max_requests_in_flight: Option<u32>,
    /// Tasks that move bytes, running at once.
    pub heavy_tasks: usize,
    /// Other tasks running at once.
    pub light_tasks: usize,
    /// Free bytes that a task must leave on each data disk.
    pub free_space_watermark: u64,
    /// Bytes per second to and from remote storage; unlimited if left out.
    pub bytes_per_second: Option<u64>,
    /// Requests per second to remote storage; unlimited if left out.
    pub requests_per_second: Option<u64>,
    /// Cores that work on files may keep busy; if left out half of them for `tabvault be`, else all. 0: all.
    pub cpu_cores: Option<u32>,
    /// The nice value of `tabvault be`, 0 to 19: how far it gives way to other processes that want the same cores.
    pub nice: i32,
}

impl Default for AgentTuning {
    fn default() -> Self {
        let config = AgentConfig::default();
        Self {
            memory_budget: config.memory_budget,
            parallel_transfers: config.parallel_transfers,
            max_requests_in_flight: None,
            heavy_tasks: config.heavy_tasks,
            light_tasks: config.light_tasks,
            free_space_watermark: config.free_space_watermark,
            bytes_per_second: None,
            requests_per_second: None,
            cpu_cores: None,
            nice: 10,
        }
    }
}

impl AgentTuning {
    /// The same for an agent that is a process of its own, beside a database: half of the cores, rounded up, unless
    /// they say how many. Beside a backup on all of them, whoever wakes up finds none free, whatever the nice value.
    #[must_use]
    pub fn beside_a_database(mut self) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        self.cpu_cores = self.cpu_cores.or(u32::try_from(cores).ok());
        self
    }

    /// What the agent keeps to where the coordinator says nothing.
    #[must_use]
    pub fn settings(&self) -> AgentSettings {
        AgentSettings {
            bytes_per_second: self.bytes_per_second,
            requests_per_second: self.requests_per_second,
            cpu_cores: self.cpu_cores,
            max_requests_in_flight: self.max_requests_in_flight,
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_a_database_half_of_the_cores_are_enough_unless_more_are_given() {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        assert_eq!(AgentTuning::default().beside_a_database().settings().cpu_cores, Some(cores.div_ceil(2)));
        for given in [0, 7] {
            let tuning = AgentTuning { cpu_cores: Some(given), ..AgentTuning::default() };
            assert_eq!(tuning.beside_a_database().settings().cpu_cores, Some(given));
        }
    }
}
