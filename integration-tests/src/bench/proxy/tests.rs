use std::io;

use tabvault_common::clock::{ManualClock, SystemClock, Time};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::sync::mpsc;

use super::*;
use crate::tree::noise;

/// A server that answers every request with its own body and tells the request's first line and headers.
async fn echo() -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind a port");
    let address = listener.local_addr().expect("the port's address");
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = tell.send("connected".to_owned());
            tokio::spawn(echo_one(BufStream::new(stream), tell.clone()));
        }
    });
    (address, told)
}

async fn echo_one(mut stream: BufStream<TcpStream>, tell: mpsc::UnboundedSender<String>) -> io::Result<()> {
    loop {
        let head = head(&mut stream).await?;
        if head.is_empty() {
            return Ok(());
        }
        let length = length(&head);
        let _ = tell.send(head);
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes()).await?;
        stream.flush().await?;
        // Piece by piece: who keeps a body back until it is whole never sees its second piece.
        let mut left = length;
        while left > 0 {
            let mut piece = vec![0; left.min(1000)];
            stream.read_exact(&mut piece).await?;
            stream.write_all(&piece).await?;
            stream.flush().await?;
            left -= piece.len();
        }
    }
}

async fn head(stream: &mut BufStream<TcpStream>) -> io::Result<String> {
    let mut head = String::new();
    while stream.read_line(&mut head).await? > 0 && !head.ends_with("\r\n\r\n") {}
    Ok(head.to_lowercase())
}

fn length(head: &str) -> usize {
    let field = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    field.map_or(0, |length| length.parse().expect("a length"))
}

async fn start(upstream: SocketAddr) -> Proxy {
    Proxy::start(upstream, Duration::ZERO, Arc::new(SystemClock)).await
}

async fn connect(proxy: &Proxy) -> BufStream<TcpStream> {
    BufStream::new(TcpStream::connect(proxy.address()).await.expect("connect"))
}

async fn send(stream: &mut BufStream<TcpStream>, what: &str, body: &[u8]) {
    let request = format!("{what} HTTP/1.1\r\nHost: signed.example:1\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(request.as_bytes()).await.expect("send the head");
    stream.write_all(body).await.expect("send the body");
    stream.flush().await.expect("send");
}

async fn answer(stream: &mut BufStream<TcpStream>) -> Vec<u8> {
    let head = head(stream).await.expect("read the head");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let mut body = vec![0; length(&head)];
    stream.read_exact(&mut body).await.expect("read the body");
    body
}

#[tokio::test]
async fn bodies_pass_unchanged_over_one_connection_and_all_is_counted() {
    let (upstream, mut told) = echo().await;
    let proxy = start(upstream).await;
    let mut stream = connect(&proxy).await;
    let body = noise(1, 300_000);
    for _ in 0..2 {
        send(&mut stream, "PUT /bucket/key%20with%2Fslash", &body).await;
        assert!(answer(&mut stream).await == body, "the body has changed");
    }
    let expected = Traffic { requests: BTreeMap::from([("PUT".to_owned(), 2)]), sent: 600_000, received: 600_000 };
    assert_eq!(proxy.traffic(), expected);

    assert_eq!(told.recv().await.as_deref(), Some("connected"));
    for _ in 0..2 {
        let head = told.recv().await.expect("a request");
        assert!(head.starts_with("put /bucket/key%20with%2fslash http/1.1"), "{head}");
        assert!(head.contains("host: signed.example:1\r\n"), "signed with another host: {head}");
    }
    assert!(told.try_recv().is_err(), "a second connection was made");
}

#[tokio::test]
async fn a_body_is_passed_on_while_the_rest_is_not_there_yet() {
    let (upstream, _told) = echo().await;
    let proxy = start(upstream).await;
    let mut stream = connect(&proxy).await;
    stream.write_all(b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n").await.expect("send the head");
    stream.write_all(&[7; 1000]).await.expect("send half");
    stream.flush().await.expect("send");
    head(&mut stream).await.expect("the answer's head");
    let mut half = [0; 1000];
    stream.read_exact(&mut half).await.expect("half of the answer");
    assert_eq!((half, proxy.traffic().sent), ([7; 1000], 1000));
}

#[tokio::test]
async fn requests_are_counted_by_what_they_mean() {
    let (upstream, _told) = echo().await;
    let proxy = start(upstream).await;
    let mut stream = connect(&proxy).await;
    let before = proxy.traffic();
    for what in [
        "GET /bucket/key",
        "GET /bucket?list-type=2&prefix=a%2F",
        "GET /bucket/",
        "DELETE /bucket/key",
        "POST /bucket?delete",
    ] {
        send(&mut stream, what, b"").await;
        answer(&mut stream).await;
    }
    let counts = [("DELETE", 1), ("GET", 1), ("LIST", 2), ("POST", 1)];
    let after = proxy.traffic();
    assert_eq!(after.requests, counts.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect());
    assert_eq!(after.since(&before).total(), 5);
    assert_eq!(after.since(&after), Traffic::default());
}

#[tokio::test]
async fn a_request_is_held_up_for_the_delay() {
    let (upstream, mut told) = echo().await;
    let clock = ManualClock::new(Time(0));
    let slow = Proxy::start(upstream, Duration::from_millis(20), Arc::new(clock.clone())).await;
    let fast = start(upstream).await;
    let (mut held, mut free) = (connect(&slow).await, connect(&fast).await);
    send(&mut held, "GET /bucket/held", b"").await;
    while slow.traffic().total() == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        send(&mut free, "GET /bucket/free", b"").await;
        answer(&mut free).await;
    }
    while let Ok(said) = told.try_recv() {
        assert!(!said.contains("/bucket/held"), "it was passed on at once");
    }
    let time_passes = async {
        loop {
            clock.advance(Duration::from_millis(20));
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = answer(&mut held) => {}
        () = time_passes => {}
    }
    let said = async { while !told.recv().await.expect("the server runs").contains("/bucket/held") {} };
    said.await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_bad_gateway() {
    let proxy = start(crate::cluster::free_address()).await;
    let mut stream = connect(&proxy).await;
    send(&mut stream, "GET /bucket/key", b"").await;
    let head = head(&mut stream).await.expect("an answer");
    assert!(head.starts_with("http/1.1 502"), "{head}");
}
