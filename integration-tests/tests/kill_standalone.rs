//! `tabvault standalone`, killed by SIGKILL at any moment and started again: everything at once is gone, nothing is lost.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tabvault_integration_tests::binary::{client, client_ok, server};
use tabvault_integration_tests::checks::fast_dir;
use tabvault_integration_tests::cluster::free_address;
use tabvault_integration_tests::tree;

struct Standalone {
    child: Child,
    fe: String,
}

impl Drop for Standalone {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Standalone {
    fn start(dir: &Path) -> Self {
        let (grpc, http) = (free_address().to_string(), free_address().to_string());
        let child = server()
            .args(["--log", "error", "standalone", "--backends", "2", "--grpc", &grpc, "--http", &http, "--data"])
            .arg(dir.join("standalone"))
            .stdout(Stdio::null())
            .spawn()
            .expect("start tabvault");
        let this = Self { child, fe: format!("http://{grpc}") };
        let begun = Instant::now();
        while this.alive_backends() < 2 {
            assert!(begun.elapsed() < Duration::from_secs(60), "the backends do not attach");
            std::thread::sleep(Duration::from_millis(20));
        }
        this
    }

    fn alive_backends(&self) -> usize {
        let output = client(&self.fe, &["show", "backends", "--output", "json"]);
        let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let alive =
            |row: &&serde_json::Value| row["Alive"].as_bool() == Some(true) || row["Alive"].as_str() == Some("true");
        rows.as_array().map_or(0, |rows| rows.iter().filter(alive).count())
    }

    fn rows(&self, what: &[&str]) -> Vec<serde_json::Value> {
        let args: Vec<&str> = ["show"].iter().chain(what).chain(&["--output", "json"]).copied().collect();
        serde_json::from_str(&client_ok(&self.fe, &args)).expect("SHOW prints JSON")
    }

    /// The newest job of the label, once it has ended.
    fn ended(&self, kind: &str, label_column: &str, label: &str) -> Option<String> {
        let begun = Instant::now();
        loop {
            let row = self.rows(&[kind]).pop().filter(|row| row[label_column].as_str() == Some(label))?;
            let state = row["State"].as_str().expect("a state").to_owned();
            if state == "FINISHED" || state == "CANCELLED" {
                return Some(state);
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "the job does not end: {row:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_standalone_cluster_survives_kills_at_any_moment() {
    let dir = fast_dir();
    let source = dir.path().join("source");
    tree::make(&source, 1, 60);
    let location = format!("file://{}", dir.path().join("repo").display());
    let mut server = Standalone::start(dir.path());
    let path = source.to_str().expect("a path");
    client_ok(&server.fe, &["load", "shop.files", path, "--buckets", "2", "--replication-num", "2"]);
    client_ok(&server.fe, &["repo", "create", "repo", "--location", &location]);
    for n in 0..4_u64 {
        let label = format!("b{n}");
        let name = format!("shop.{label}");
        let asked = client(&server.fe, &["backup", &name, "--to", "repo"]);
        std::thread::sleep(Duration::from_millis(n * 25));
        drop(server);
        server = Standalone::start(dir.path());
        assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
        let end = server.ended("backup", "SnapshotName", &label);
        assert_eq!(end.as_deref(), Some("FINISHED"), "a job whose number was given goes on");

        let snapshots = server.rows(&["snapshots", "repo", &label]);
        assert_eq!(snapshots.len(), 1, "{snapshots:?}");
        let timestamp = snapshots[0]["Timestamp"].as_str().expect("a timestamp").to_owned();
        let alias = format!("files=copy{n}");
        let restore = ["restore", &name, "--from", "repo", "--timestamp", &timestamp, "--table", &alias];
        let properties = ["--property", "replication_num=2"];
        let args: Vec<&str> = restore.iter().chain(&properties).copied().collect();
        client_ok(&server.fe, &args);
        std::thread::sleep(Duration::from_millis(n * 25));
        drop(server);
        server = Standalone::start(dir.path());
        assert_eq!(server.ended("restore", "Label", &label).as_deref(), Some("FINISHED"));
        let out = dir.path().join(format!("out{n}"));
        client_ok(&server.fe, &["export", &format!("shop.copy{n}"), out.to_str().expect("a path")]);
        tree::assert_same(&source, &out);
    }
}
