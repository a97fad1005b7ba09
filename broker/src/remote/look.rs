//! What listens at a broker's address, when TLS does not tell.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::codegen::http::Uri;

use super::CONNECT;

/// How a client of HTTP/2 begins: the preface and a frame of no settings.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The head of a frame, in which the fourth byte is its type.
const HEAD: usize = 9;
const SETTINGS: u8 = 4;

/// Passes if what listens at `uri` speaks HTTP/2. Nothing is asked of it, on a connection of its own.
///
/// # Errors
/// A sentence about what it is instead, or why it cannot be reached.
pub(super) async fn expect_http2(uri: &Uri) -> Result<(), String> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let look = first_bytes(host, uri.port_u16().unwrap_or(80));
    let seconds = CONNECT.as_secs();
    match tokio::time::timeout(CONNECT, look).await {
        Ok(Ok(said)) => understand(&said),
        Ok(Err(error)) => Err(unreachable(&error)),
        Err(_) => Err(format!("nothing answers there within {seconds} s: it is no broker, or it hangs")),
    }
}

async fn first_bytes(host: &str, port: u16) -> io::Result<Vec<u8>> {
    let mut connection = TcpStream::connect((host, port)).await?;
    connection.write_all(HELLO).await?;
    let mut said = Vec::new();
    connection.take(HEAD as u64).read_to_end(&mut said).await?;
    Ok(said)
}

fn unreachable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("nothing listens there: {error}"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            format!("it hangs up when it is spoken to, so it is no broker, or one that expects TLS: {error}")
        }
        _ => format!("no connection comes about: {error}"),
    }
}

fn understand(said: &[u8]) -> Result<(), String> {
    match said {
        [_, _, _, SETTINGS, ..] if said.len() == HEAD => Ok(()),
        [] => Err("it hangs up when it is spoken to, so it is no broker, or one that expects TLS".to_owned()),
        [21 | 22, 3, ..] => Err("it expects TLS: brokers with TLS are reached by https://".to_owned()),
        _ if said.starts_with(b"HTTP/1") => Err("a web server listens there, not a broker".to_owned()),
        _ if said.starts_with(b"SSH-") => Err("an SSH server listens there, not a broker".to_owned()),
        _ => Err("another service listens there, not a broker: it does not speak gRPC".to_owned()),
    }
}
