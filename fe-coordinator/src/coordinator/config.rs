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
    /// A job over more tablets is refused: the coordinator keeps about 150 bytes of each in memory while it runs,
    /// and its database several times as much.
    pub max_tablets_per_job: u64,
    /// How often repositories and brokers are looked at.
    pub health_interval: Duration,
    /// Most bytes of Details in SHOW SNAPSHOT: what is beyond goes untold, and the text says so.
    pub max_snapshot_details: usize,
    /// Absolute paths of directories, as agents see them, below which who has LOAD_PRIV only may load from and export to
    /// `file://`. Whoever has ADMIN_PRIV may use any.
    pub load_directories: Vec<String>,
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
            load_directories: Vec::new(),
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
        if let Some(wrong) = self.load_directories.iter().find(|directory| components(directory).is_none()) {
            return refuse(&format!(
                "load_directories must be absolute paths without `.`, `..` and `//`, such as /mnt/in: `{wrong}` is not"
            ));
        }
        Ok(())
    }

    /// Whether the path lies below one of `load_directories`, as paths are spelled. Links are not followed, and nothing
    /// is decoded, as agents decode nothing.
    pub(crate) fn is_load_directory(&self, path: &str) -> bool {
        let Some(path) = components(path) else { return false };
        let mut directories = self.load_directories.iter().filter_map(|directory| components(directory));
        directories.any(|above| path.len() > above.len() && path.starts_with(&above))
    }
}

/// The names in an absolute path; one slash at its end says nothing. `None` if the path could mean another.
fn components(path: &str) -> Option<Vec<&str>> {
    let names = path.strip_prefix('/')?;
    let names = names.strip_suffix('/').unwrap_or(names);
    if names.is_empty() {
        return (path == "/").then(Vec::new);
    }
    let names: Vec<&str> = names.split('/').collect();
    names.iter().all(|name| !matches!(*name, "" | "." | "..")).then_some(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn load_directories_hold_what_is_spelled_below_them() {
        let config = Config { load_directories: vec!["/mnt/in/".to_owned()], ..Config::default() };
        config.validate().unwrap();
        for path in ["/mnt/in/a", "/mnt/in/a/b/", "/mnt/in/%2e%2e"] {
            assert!(config.is_load_directory(path), "{path}");
        }
        for path in ["/mnt/in", "/mnt/in/", "/mnt/inn/a", "/mnt/in/../x", "/mnt/in//x", "/mnt/in/./x", "mnt/in/a", "/"]
        {
            assert!(!config.is_load_directory(path), "{path}");
        }
        assert!(!Config::default().is_load_directory("/mnt/in/a"));
        for wrong in ["", "mnt", "/mnt/..", "//", "/a//b"] {
            let config = Config { load_directories: vec![wrong.to_owned()], ..Config::default() };
            assert_eq!(config.validate().unwrap_err().kind, Kind::InvalidArgument, "{wrong}");
        }
    }
}
