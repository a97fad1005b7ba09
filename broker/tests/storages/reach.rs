use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::TryStreamExt;
use rustls::pki_types::PrivateKeyDer;
use tabvault_broker::open::Options;
use tabvault_broker::probe::probe;
use tabvault_broker::process::Config;
use tabvault_broker::retry::Policy;
use tabvault_broker::storage::Storage;
use tabvault_common::failure::{Failure, Kind, Retry};

use crate::canned::{Canned, answer};
use crate::moto::{SECRET, s3};
use crate::process::Process;

async fn storage(endpoint: &str) -> Arc<dyn Storage> {
    let retry = Policy { attempts: 1, base: Duration::ZERO, cap: Duration::ZERO };
    Options { retry, ..Options::default() }.open(&s3(endpoint, "s3://bucket")).await.unwrap()
}

/// What a write, a read and a listing say; all must say the same.
async fn failures(endpoint: &str) -> Vec<Failure> {
    let storage = storage(endpoint).await;
    let listed = async { storage.list("").await?.try_collect::<Vec<_>>().await };
    vec![
        storage.put("a", Bytes::from_static(b"x")).await.unwrap_err(),
        storage.get("a", 1).await.unwrap_err(),
        listed.await.unwrap_err(),
    ]
}

async fn expect(endpoint: &str, retry: Retry, says: &str) {
    for failure in failures(endpoint).await {
        assert_eq!((failure.kind, failure.retry), (Kind::Unreachable, retry), "{failure}");
        assert!(failure.message.contains(says) && failure.message.contains(endpoint), "{failure}");
        assert!(!failure.message.contains(SECRET));
    }
}

#[tokio::test]
async fn a_host_that_does_not_resolve() {
    expect("http://no-such-host.invalid:9000", Retry::Safe, "does not resolve").await;
}

#[tokio::test]
async fn a_port_at_which_nothing_listens() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    expect(&format!("http://{free}"), Retry::Safe, "the connection was refused").await;
}

#[tokio::test]
async fn a_plain_port_that_is_asked_for_tls() {
    let server = Canned::bytes(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    expect(&format!("https://{}", server.address), Retry::Never, "does not speak TLS").await;
}

#[tokio::test]
async fn a_tls_port_that_is_asked_in_plain_http() {
    // The alert that TLS servers answer to what is no TLS.
    let server = Canned::bytes(&[21, 3, 3, 0, 2, 2, 10]).await;
    expect(&format!("http://{}", server.address), Retry::Never, "expects TLS: write https://").await;
    let polite = answer(400, "Client sent an HTTP request to an HTTPS server.\n");
    let server = Canned::http(vec![polite]).await;
    expect(&format!("http://{}", server.address), Retry::Never, "expects TLS: write https://").await;
}

#[tokio::test]
async fn a_service_that_does_not_speak_http() {
    let server = Canned::bytes(b"SSH-2.0-OpenSSH_9.2p1\r\n").await;
    expect(&format!("http://{}", server.address), Retry::Never, "does not speak HTTP").await;
}

#[tokio::test]
async fn a_web_server_that_is_no_s3() {
    let echo = format!("<html>404 not here: {SECRET}</html>");
    let server = Canned::http(vec![answer(404, &echo)]).await;
    expect(&format!("http://{}", server.address), Retry::Never, "is no S3 service").await;
    let failure = failures(&format!("http://{}", server.address)).await.remove(0);
    assert!(failure.message.contains("(its answer was status 404)"), "{failure}");
}

#[tokio::test]
async fn a_web_server_that_says_yes_to_everything() {
    let pages = [
        answer(200, "{\"hello\": 1}"),
        answer(200, "<html><body>It works!</body></html>"),
        answer(200, "<?xml version=\"1.0\"?><root/>"),
        answer(200, ""),
        answer(204, ""),
    ];
    for page in pages {
        let server = Canned::http(vec![page]).await;
        let endpoint = format!("http://{}", server.address);
        expect(&endpoint, Retry::Never, "answers, but is no S3 service").await;
        nothing_can_be_made_at(&endpoint, "answers, but is no S3 service").await;
        let failure = storage(&endpoint).await.stat("a").await.unwrap_err();
        assert!(failure.message.contains("is no S3 service"), "{failure}");
    }
}

#[tokio::test]
async fn a_web_server_whose_pages_have_tags() {
    let page =
        "HTTP/1.1 200 OK\r\netag: \"e\"\r\nserver: nginx\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi";
    let server = Canned::http(vec![page.to_owned()]).await;
    let says = "is no S3 service (its answer was status 200, text/html, server nginx)";
    nothing_can_be_made_at(&format!("http://{}", server.address), says).await;
    // What is listed decides what is still needed, so a page must never pass for an empty bucket.
    let failure = storage(&format!("http://{}", server.address)).await.list("").await.err().unwrap();
    assert_eq!((failure.kind, failure.retry), (Kind::Unreachable, Retry::Never), "{failure}");
}

#[tokio::test]
async fn a_web_server_that_sends_elsewhere() {
    // Whoever followed would hear of a host that the operator has never named.
    let moved = "HTTP/1.1 301 Moved\r\nlocation: https://elsewhere.invalid/\r\ncontent-length: 0\r\n\r\n";
    let server = Canned::http(vec![moved.to_owned()]).await;
    let endpoint = format!("http://{}", server.address);
    expect(&endpoint, Retry::Never, "it sends elsewhere (status 301, to https://elsewhere.invalid/)").await;
    nothing_can_be_made_at(&endpoint, "it sends elsewhere").await;
}

#[tokio::test]
async fn a_web_server_that_refuses_without_a_word() {
    for (status, says) in [
        (404, "has no bucket 'bucket', or is no S3 service (its answer was status 404 without a reason)"),
        (405, "refuses this as no S3 service would, without a reason (its answer was status 405)"),
        (400, "refuses this as no S3 service would, without a reason (its answer was status 400)"),
        (403, "refuses this with status 403 and does not say why: keys or permissions are wrong"),
    ] {
        let server = Canned::http(vec![answer(status, "")]).await;
        nothing_can_be_made_at(&format!("http://{}", server.address), says).await;
    }
}

#[tokio::test]
async fn other_services_at_the_port() {
    let greetings: [&[u8]; 2] = [b"\x4a\0\0\0\x0a8.0.35\0\x08\0\0\0abcdefgh\0", b"-ERR unknown command\r\n"];
    for greeting in greetings {
        let server = Canned::bytes(greeting).await;
        expect(&format!("http://{}", server.address), Retry::Never, "does not speak HTTP").await;
        expect(&format!("https://{}", server.address), Retry::Never, "does not speak TLS").await;
    }
}

#[tokio::test]
async fn a_port_of_grpc() {
    let process = Process::start(Config::default()).await;
    nothing_can_be_made_at(&process.address, "does not speak HTTP").await;
}

/// Neither kind of probe passes, and both say why.
async fn nothing_can_be_made_at(endpoint: &str, says: &str) {
    let storage = storage(endpoint).await;
    for read_only in [false, true] {
        let failure = probe(&*storage, "", read_only).await.unwrap_err();
        assert!(failure.message.contains(says) && failure.message.contains(endpoint), "{failure}");
        assert!(!failure.message.contains(SECRET));
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for() {
    let port = tls_server();
    expect(&format!("https://localhost:{port}"), Retry::Never, "certificate").await;
    // The same in plain HTTP, from a server that hangs up without an alert.
    expect(&format!("http://localhost:{port}"), Retry::Never, "expects TLS: write https://").await;
}

/// A server with a certificate of its own making, on a port of its own.
fn tls_server() -> u16 {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            // The handshake ends with the client's complaint.
            let _ = rustls::StreamOwned::new(session, connection.unwrap()).read(&mut [0; 1]);
        }
    });
    port
}
