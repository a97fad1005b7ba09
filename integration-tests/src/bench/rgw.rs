//! An S3 server that is fast enough to be measured with: Ceph's gateway over an object store in memory.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The user's keys.
pub const ACCESS_KEY: &str = "tabvault";
/// See [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "tabvault-secret";

/// A running Ceph of one of each; ends when dropped, and forgets everything.
#[derive(Debug)]
pub struct Rgw {
    script: Child,
    address: SocketAddr,
}

impl Rgw {
    /// Starts one with its directories at `dir`, which is removed first.
    ///
    /// # Panics
    /// If it does not start; what it says is in `dir`.log.
    #[must_use]
    pub fn start(dir: &Path) -> Self {
        // An error means that nothing is there.
        let _ = std::fs::remove_dir_all(dir);
        let address = free_ports();
        let log = dir.with_extension("log");
        // An error means that there is none.
        let _ = std::fs::remove_file(&log);
        let log_file = OpenOptions::new().create(true).append(true).open(&log).expect("open the log");
        let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("ceph-rgw"))
            .arg(dir)
            .arg(address.port().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .expect("start ceph-rgw");
        let mut said = BufReader::new(script.stdout.take().expect("its stdout is ours")).lines();
        let ready = said.any(|line| line.is_ok_and(|line| line.starts_with("ready")));
        assert!(ready, "ceph-rgw does not start: see {}", log.display());
        // It says some more, which nobody must wait for.
        std::thread::spawn(move || said.for_each(drop));
        Self { script, address }
    }

    /// Where it speaks S3.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Rgw {
    fn drop(&mut self) {
        // The script takes its processes down with it, which SIGKILL would not let it. Errors mean that it has ended.
        if let Ok(pid) = i32::try_from(self.script.id()) {
            let pid = rustix::process::Pid::from_raw(pid);
            let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
        }
        let _ = self.script.wait();
    }
}

/// An address whose port and the two after it, which the monitor takes, are nobody's. Not from where the system takes
/// the ports of connections: one that has just ended would keep the monitor from its own.
fn free_ports() -> SocketAddr {
    let first = 20_000 + (std::process::id() % 4_000) as u16 * 3;
    let free = |port: &u16| (0..3).all(|n| TcpListener::bind((Ipv4Addr::LOCALHOST, port + n)).is_ok());
    let port = (first..32_000).step_by(3).chain((20_000..first).step_by(3)).find(free).expect("three free ports");
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
