//! The built binary, run as users run it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// The binary without anything from this process's environment that would change what it does.
pub(crate) fn tabvault() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tabvault"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TABVAULT_") {
            command.env_remove(name);
        }
    }
    // A free port, so that tests can run at the same time.
    command.env("TABVAULT_MYSQL", "127.0.0.1:0").stdin(Stdio::null());
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
    pub(crate) password_file: PathBuf,
}

impl Cluster {
    /// Starts one and waits until it says that it is ready.
    pub(crate) fn start(data: &Path, backends: usize) -> Self {
        Self::start_with(data, backends, |_| {})
    }

    /// As [`Cluster::start`], of a changed command.
    pub(crate) fn start_with(data: &Path, backends: usize, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = tabvault();
        command
            .args(["standalone", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log", "error", "--backends"])
            .arg(backends.to_string())
            .arg("--data")
            .arg(data)
            .stdout(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let rest = line.trim_end().strip_prefix("tabvault standalone is ready: ").unwrap();
        let address = |name| rest.split(", ").find_map(|part| part.strip_prefix(name)).unwrap().parse().unwrap();
        let (grpc, http) = (address("gRPC "), address("HTTP "));
        Self { child, grpc, http, password_file: data.join("root.password") }
    }

    /// Runs a client of it.
    pub(crate) fn client(&self, line: &str) -> Output {
        self.as_root().args(line.split_whitespace()).output().unwrap()
    }

    /// The binary as a client of it that knows the password of `root`.
    pub(crate) fn as_root(&self) -> Command {
        let mut command = self.stranger();
        command.env("TABVAULT_PASSWORD_FILE", &self.password_file);
        command
    }

    /// The binary as a client of it that knows no password.
    pub(crate) fn stranger(&self) -> Command {
        let mut command = tabvault();
        command.env("TABVAULT_FE", format!("http://{}", self.grpc));
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An agent in a process of its own, killed when it is dropped.
pub(crate) struct Agent {
    child: Child,
    http: SocketAddr,
}

impl Agent {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let rest = line.strip_prefix("tabvault be is ready: HTTP ").unwrap();
        Self { child, http: rest.split(',').next().unwrap().parse().unwrap() }
    }

    /// The nice values of its threads.
    pub(crate) fn nice(&self) -> Vec<i32> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let stats = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap());
        // The second field, the name in brackets, may hold blanks; nice is the nineteenth.
        stats.map(|stat| stat.rsplit(')').next().unwrap().split(' ').nth(17).unwrap().parse().unwrap()).collect()
    }

    /// What it is attached to, or why not, once it has tried.
    pub(crate) fn attached(&self) -> String {
        for _ in 0..3000 {
            let answer = self.get("/healthz");
            if !answer.contains("not attached yet") {
                return answer;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the agent does not dial");
    }

    /// What its HTTP port answers with.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
