//! Real processes beside a test: the program's servers, and an S3 server. Each ends with the test.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tabvault_common::durable::write_file;

use crate::binary::server;
use crate::cluster::free_address;

/// Polls of 50 milliseconds that a process has to become ready: a minute.
const PATIENCE: usize = 1200;

/// A server of the program, killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// `host:port` of its gRPC.
    pub address: String,
    /// What it said when it was ready.
    said: String,
}

impl Server {
    /// `tabvault broker`.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn broker() -> Self {
        Self::start(["broker", "--grpc", "127.0.0.1:0"])
    }

    /// Starts a server and returns when it says that it is ready.
    ///
    /// # Panics
    /// If it ends before.
    #[must_use]
    pub fn start<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        let mut command = server();
        command.args(["--log", "error"]).args(args);
        Self::spawn(command, "gRPC")
    }

    /// `tabvault fe` on free ports, with its data in `dir/fe` and what it has to say in `dir/fe.log`.
    ///
    /// # Panics
    /// If it ends before it is ready.
    #[must_use]
    pub fn coordinator(dir: &Path) -> Self {
        let mut command = server();
        command.args(["fe", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"]).arg(dir.join("fe"));
        command.stderr(log(&dir.join("fe.log")));
        Self::spawn(command, "gRPC")
    }

    /// `tabvault be` of that coordinator on all cores, with its data in `dir/be`, its configuration in `dir/be.toml` and
    /// what it has to say in `dir/be.log`; it attaches once it is ready. Its address is that of its HTTP.
    ///
    /// # Panics
    /// If it ends before it is ready.
    #[must_use]
    pub fn agent(&self, dir: &Path) -> Self {
        let config = dir.join("be.toml");
        write_file(&config, b"[agent]\ncpu_cores = 0\n").expect("write a configuration");
        let mut command = server();
        command.args(["be", "--http", "127.0.0.1:0", "--fe", &format!("http://{}", self.address)]);
        command.arg("--agent-token-file").arg(dir.join("fe/agent.token")).arg("--data").arg(dir.join("be"));
        command.arg("--config").arg(config);
        command.stderr(log(&dir.join("be.log")));
        Self::spawn(command, "HTTP")
    }

    fn spawn(mut command: Command, protocol: &str) -> Self {
        command.stdout(Stdio::piped());
        let mut child = command.spawn().expect("start tabvault");
        let mut said = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("its stdout is ours"));
        stdout.read_line(&mut said).expect("read what it says");
        let Some(address) = listens(&said, protocol) else { panic!("{command:?} is not ready: {said}") };
        Self { child, address: address.to_owned(), said }
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `host:port` where it speaks `protocol`: gRPC, MySQL or HTTP.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn listens(&self, protocol: &str) -> &str {
        listens(&self.said, protocol).unwrap_or_else(|| panic!("it does not speak {protocol}: {}", self.said))
    }

    /// Kills it.
    ///
    /// # Panics
    /// If that is not possible.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill a server");
        self.child.wait().expect("wait for a server");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("open a log")
}

fn listens<'a>(said: &'a str, protocol: &str) -> Option<&'a str> {
    said.split(&format!("{protocol} ")).nth(1).and_then(|rest| rest.split([',', '\n']).next())
}

/// The secret key that no message may show.
pub const SECRET: &str = "verysecretkey";

/// An S3 server: moto, with the bucket `bucket`.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    /// Its endpoint.
    pub endpoint: String,
}

impl Moto {
    /// Starts one on a port of its own.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// As [`Moto::start`], with these environment variables.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start_with(environment: &[(&str, &str)]) -> Self {
        let address = free_address();
        let child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/moto-s3"))
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("moto does not start: {error}"));
        let mut moto = Self { child, endpoint: format!("http://{address}") };
        for _ in 0..PATIENCE {
            if let Ok(connection) = TcpStream::connect(address) {
                let answer = ask(connection, "PUT /bucket").expect("ask moto");
                assert!(answer.starts_with("HTTP/1.1 200"), "moto makes no bucket: {answer}");
                return moto;
            }
            let ended = moto.child.try_wait().expect("look after moto");
            assert!(ended.is_none(), "moto has ended: pip install 'moto[server]'");
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("moto does not listen at {address}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An unsigned request.
fn ask(mut connection: TcpStream, what: &str) -> std::io::Result<String> {
    let request = format!("{what} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}
