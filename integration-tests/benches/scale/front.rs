//! The coordinator's process, and what the kernel counts of it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tabvault_integration_tests::binary::{PASSWORD, program};
use tabvault_integration_tests::cluster::free_address;

/// What agents show.
pub(super) const TOKEN: &str = "of the agents, in benches";

/// Polls of [`super::LOOK`] that the process has to listen: five minutes.
const PATIENCE: usize = 150_000;

/// What the kernel tells of times is in hundredths of a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A `tabvault fe`, killed when dropped.
pub(super) struct Front {
    child: Child,
    address: String,
    data: PathBuf,
}

/// What a process has used.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    pub(super) cpu_s: f64,
    /// The highest of all; not a difference.
    pub(super) peak_bytes: u64,
    pub(super) written_bytes: u64,
}

impl Usage {
    pub(super) fn minus(&self, before: &Self) -> Self {
        Self {
            cpu_s: self.cpu_s - before.cpu_s,
            peak_bytes: self.peak_bytes,
            written_bytes: self.written_bytes - before.written_bytes,
        }
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            cpu_s: self.cpu_s + other.cpu_s,
            peak_bytes: self.peak_bytes.max(other.peak_bytes),
            written_bytes: self.written_bytes + other.written_bytes,
        }
    }
}

impl Front {
    /// Starts one and returns when it listens.
    pub(super) async fn start(dir: &Path) -> Self {
        let (grpc, data) = (free_address().to_string(), dir.join("fe"));
        let mut command = match std::env::var("TABVAULT_BENCH_WRAP") {
            // Such as `perf record -g -o perf.data`: the program behind its words.
            Ok(wrap) => {
                let mut words = wrap.split_whitespace();
                let mut command = Command::new(words.next().expect("a program that wraps"));
                command.args(words).arg(program());
                command
            }
            Err(_) => Command::new(program()),
        };
        command
            .args(["--log", "warn", "fe", "--grpc", &grpc, "--http", "127.0.0.1:0", "--mysql", "127.0.0.1:0", "--data"])
            .arg(&data)
            .env("TABVAULT_ROOT_PASSWORD", PASSWORD)
            .env("TABVAULT_AGENT_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut child = command.spawn().expect("start tabvault");
        for _ in 0..PATIENCE {
            if tokio::net::TcpStream::connect(&grpc).await.is_ok() && listens_for_calls(&grpc).await {
                return Self { child, address: format!("http://{grpc}"), data };
            }
            if let Some(status) = child.try_wait().expect("look at tabvault") {
                panic!("tabvault fe ended: {status}");
            }
            tokio::time::sleep(super::LOOK).await;
        }
        panic!("tabvault fe does not listen");
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn usage(&self) -> Usage {
        let stat = self.proc("stat");
        // Behind the name, which may hold anything: utime and stime are the 14th and 15th of all.
        let fields: Vec<u64> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
        let ticks = fields[11] + fields[12];
        Usage {
            cpu_s: ticks as f64 / TICKS_PER_SECOND,
            peak_bytes: number(&self.proc("status"), "VmHWM:") * 1024,
            written_bytes: number(&self.proc("io"), "wchar:"),
        }
    }

    /// Makes the peak count from now on.
    pub(super) fn reset_peak(&self) {
        // Where that is not allowed, the peak is that since the start, which is no less.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5");
    }

    /// Bytes of its database on the disk.
    pub(super) fn metadata_bytes(&self) -> u64 {
        let files = std::fs::read_dir(&self.data).expect("list the coordinator's directory");
        files.filter_map(|file| file.ok()?.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().expect("kill tabvault");
        self.child.wait().expect("wait for tabvault");
    }

    /// Ends it as an operator does.
    pub(super) fn shutdown(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("end tabvault");
        self.child.wait().expect("wait for tabvault");
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("read what the kernel counts")
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// The socket is bound before the records are read; calls are answered after.
async fn listens_for_calls(grpc: &str) -> bool {
    let client = super::Client::new(&format!("http://{grpc}"));
    tokio::time::timeout(Duration::from_secs(300), client.is_there()).await.unwrap_or(false)
}
