//! A coordinator and one agent as real processes, driven by the command line, as users run them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::measure::Taken;
use super::resources::{cpu_seconds, forget_peak, peak_memory};
use crate::binary::client_ok;
use crate::processes::Server;

/// The database that is backed up.
pub const BACKED_UP: &str = "bench";
/// The database that it is restored into.
pub const RESTORED: &str = "restored";

/// A cluster with a repository `repo` and a table `bench.files`.
#[derive(Debug)]
pub struct Ours {
    fe: Server,
    be: Server,
    be_data: PathBuf,
    url: String,
}

impl Ours {
    /// A new one with its data in `dir`, and a repository at `location`.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(dir: &Path, location: &str, properties: &[String]) -> Self {
        std::fs::create_dir_all(dir).expect("make a directory");
        let fe = Server::coordinator(dir);
        let be = fe.agent(dir);
        let be_data = dir.join("be");
        let url = format!("http://{}", fe.address);
        let this = Self { fe, be, be_data, url };
        this.wait_until("the agent is attached", || {
            this.show(&["backends"]).iter().any(|backend| backend["Alive"] == "true")
        });
        let mut args = vec!["repo", "create", "repo", "--location", location];
        args.extend(properties.iter().flat_map(|property| ["--property", property]));
        client_ok(&this.url, &args);
        this
    }

    /// Loads a directory into the table.
    ///
    /// # Panics
    /// If that fails.
    pub fn load(&self, directory: &Path) {
        let directory = directory.to_str().expect("a path in UTF-8");
        client_ok(&self.url, &["load", "bench.files", directory, "--replication-num", "1"]);
    }

    /// Backs the database up with properties `NAME=VALUE`, from the command's start until the job is FINISHED; what it
    /// took, and the timestamp.
    ///
    /// # Panics
    /// If the backup fails.
    #[must_use]
    pub fn backup(&self, label: &str, properties: &[&str]) -> (Taken, String) {
        let snapshot = format!("{BACKED_UP}.{label}");
        let mut args = vec!["backup", &snapshot, "--to", "repo", "--wait", "--output", "json"];
        args.extend(properties.iter().flat_map(|property| ["--property", property]));
        let (taken, said) = self.measured(&args);
        let rows: Vec<Value> = serde_json::from_str(&said).expect("a table in JSON");
        (taken, rows[0]["Timestamp"].as_str().expect("a timestamp").to_owned())
    }

    /// Restores a snapshot of the whole database into [`RESTORED`], which is made for it, from the command's start until
    /// the job is FINISHED.
    ///
    /// # Panics
    /// If the restore fails.
    #[must_use]
    pub fn restore(&self, label: &str, timestamp: &str) -> Taken {
        let snapshot = format!("{BACKED_UP}.{label}");
        let args = ["restore", &snapshot, "--from", "repo", "--timestamp", timestamp];
        let properties = ["--into", RESTORED, "--property", "replication_num=1", "--wait"];
        self.measured(&[&args[..], &properties].concat()).0
    }

    /// Waits until nothing of jobs is left to do on the agent.
    ///
    /// # Panics
    /// If that does not happen.
    pub fn settle(&self) {
        let work = ["snapshot", "reuse", "download", "trash"].map(|name| self.be_data.join(name));
        self.wait_until("the agent has cleaned up", || work.iter().all(|directory| is_empty(directory)));
    }

    /// Bytes and files of the table in `database`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn table(&self, database: &str) -> (String, String) {
        let rows = self.show(&["tables", database]);
        assert_eq!(rows.len(), 1, "{rows:?}");
        let cell = |name: &str| rows[0][name].as_str().expect("a cell").to_owned();
        (cell("DataSize"), cell("FileCount"))
    }

    fn show(&self, what: &[&str]) -> Vec<Value> {
        let args = [&["show"], what, &["--output", "json"]].concat();
        serde_json::from_str(&client_ok(&self.url, &args)).expect("a table in JSON")
    }

    fn measured(&self, args: &[&str]) -> (Taken, String) {
        let (fe, be) = (self.fe.pid(), self.be.pid());
        forget_peak(fe);
        forget_peak(be);
        let before = (cpu_seconds(fe), cpu_seconds(be));
        let start = Instant::now();
        let said = client_ok(&self.url, args);
        let seconds = start.elapsed().as_secs_f64();
        let taken = Taken {
            seconds,
            cpu_seconds: cpu_seconds(be) - before.1,
            peak_memory: Some(peak_memory(be)),
            coordinator_cpu_seconds: Some(cpu_seconds(fe) - before.0),
            coordinator_peak_memory: Some(peak_memory(fe)),
        };
        (taken, said)
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        // Removing a million files takes a while.
        for _ in 0..12_000 {
            if is_so() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("after ten minutes it is not so that {what}: {:?}", self.be_data);
    }
}

/// Nothing that is not there is in the way.
fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none())
}
