//! Numbers of a coordinator.

use std::time::Duration;

use tabvault_common::failure::{Failure, Kind};

/// Numbers that an operator may want to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// A backend whose agent is silent for this long is dead: its tablets are taken elsewhere.
    pub backend_patience: Duration,
    /// How often agents are to give a sign of life.
    pub heartbeat: Duration,
    /// How many ended jobs of each kind SHOW remembers.
    pub kept_jobs: usize,
    /// Jobs that may run in one database at the same time. Restores into one table exclude each other all the same.
    pub jobs_per_database: u32,
    /// A job over more tablets is refused: the coordinator keeps about 500 bytes of each in memory while it runs.
    pub max_tablets_per_job: u64,
    /// How often repositories and brokers are looked at.
    pub health_interval: Duration,
    /// Most bytes of Details in SHOW SNAPSHOT: what is beyond goes untold, and the text says so.
    pub max_snapshot_details: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backend_patience: Duration::from_secs(30),
            heartbeat: Duration::from_secs(3),
            kept_jobs: 100,
            jobs_per_database: 1,
            max_tablets_per_job: 2_000_000,
            health_interval: Duration::from_secs(60),
            max_snapshot_details: 8 << 20,
        }
    }
}

/// Most jobs in one database: each is looked for when another begins.
const MAX_JOBS_PER_DATABASE: u32 = 64;
/// Fewest bytes of Details: room for what it says of the snapshot as a whole.
const MIN_SNAPSHOT_DETAILS: usize = 4096;

impl Config {
    /// Refuses numbers that cannot work.
    ///
    /// # Errors
    /// `InvalidArgument` naming the field and what would be right.
    pub fn validate(&self) -> Result<(), Failure> {
        let refuse = |what: &str| Err(Failure::fatal(Kind::InvalidArgument, what));
        if self.heartbeat.is_zero() || self.heartbeat * 2 > self.backend_patience {
            return refuse("heartbeat must be more than zero and at most half of backend_patience");
        }
        if self.kept_jobs == 0 || self.max_tablets_per_job == 0 {
            return refuse("kept_jobs and max_tablets_per_job must be at least 1");
        }
        if !(1..=MAX_JOBS_PER_DATABASE).contains(&self.jobs_per_database) {
            return refuse("jobs_per_database must be 1 to 64");
        }
        if self.max_snapshot_details < MIN_SNAPSHOT_DETAILS {
            return refuse("max_snapshot_details must be at least 4096 bytes");
        }
        if self.health_interval < Duration::from_secs(1) {
            return refuse("health_interval must be at least one second");
        }
        Ok(())
    }
}
