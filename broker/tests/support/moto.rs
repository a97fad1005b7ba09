//! A real S3 server: moto, started on a free port and ended with the test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tabvault_common::access::StorageAccess;
use tabvault_common::secret::Secret;

/// A running moto with the bucket `bucket`.
pub(crate) struct Moto {
    child: Child,
    port: u16,
}

impl Moto {
    pub(crate) fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../integration-tests/moto-s3"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("moto does not start: {error}"));
        let mut moto = Self { child, port };
        // A real process is waited for; how long it takes to start is its own affair.
        for _ in 0..1200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                let answer = moto.ask("PUT /bucket");
                assert!(answer.starts_with("HTTP/1.1 200"), "moto makes no bucket: {answer}");
                return moto;
            }
            let ended = moto.child.try_wait().unwrap();
            assert!(ended.is_none(), "moto has ended: pip install 'moto[server]'");
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("moto does not listen on port {port} after a minute");
    }

    /// An unsigned request, which moto accepts.
    pub(crate) fn ask(&self, what: &str) -> String {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!(
            "{what} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            self.port
        );
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Access to `location` with keys that moto accepts.
    pub(crate) fn access(&self, location: &str) -> StorageAccess {
        s3(&format!("http://127.0.0.1:{}", self.port), location)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The secret key that no message may show.
pub(crate) const SECRET: &str = "verysecretkey";

/// Access to `location` at `endpoint`.
pub(crate) fn s3(endpoint: &str, location: &str) -> StorageAccess {
    let mut access = StorageAccess::direct(location);
    for (name, value) in
        [("s3.endpoint", endpoint), ("s3.region", "us-east-1"), ("s3.access_key", "key"), ("s3.secret_key", SECRET)]
    {
        access.properties.insert(name.to_owned(), Secret::new(value));
    }
    access
}
