//! The built binary, run as users run it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The binary without anything from this process's environment that would change what it does.
pub(crate) fn tabvault() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tabvault"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TABVAULT_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs it to its end with the words of `line` as arguments.
pub(crate) fn run(line: &str) -> Output {
    tabvault().args(line.split_whitespace()).output().unwrap()
}

/// What it said on stderr.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that it ended with `code` and one line on stderr that starts with `error: ` and contains `words`.
#[track_caller]
pub(crate) fn refused(output: &Output, code: i32, words: &str) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.starts_with("error: ") && said.contains(words), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(output.stdout.is_empty());
}

/// A standalone cluster in a process of its own, killed when it is dropped.
pub(crate) struct Cluster {
    pub(crate) child: Child,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
}

impl Cluster {
    /// Starts one and waits until it says that it is ready.
    pub(crate) fn start(data: &Path, backends: usize) -> Self {
        let mut child = tabvault()
            .args(["standalone", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log", "error", "--backends"])
            .arg(backends.to_string())
            .arg("--data")
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let rest = line.trim_end().strip_prefix("tabvault standalone is ready: gRPC ").unwrap();
        let (grpc, http) = rest.split_once(", HTTP ").unwrap();
        Self { child, grpc: grpc.parse().unwrap(), http: http.parse().unwrap() }
    }

    /// Runs a client of it.
    pub(crate) fn client(&self, line: &str) -> Output {
        tabvault().args(line.split_whitespace()).env("TABVAULT_FE", format!("http://{}", self.grpc)).output().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
