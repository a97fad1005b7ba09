//! Servers that say what they are told to: HTTP answers, or bytes that are no HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server on a port of its own, alive until its runtime ends.
pub(crate) struct Canned {
    pub(crate) address: String,
    requests: Arc<AtomicUsize>,
}

impl Canned {
    /// Answers the `n`th request with the `n`th of `answers`, and all later ones with the last.
    pub(crate) async fn http(answers: Vec<String>) -> Self {
        Self::start(move |mut connection, requests| {
            let answers = answers.clone();
            async move {
                while let Some(head) = read_request(&mut connection).await {
                    // A closer look at an endpoint that behaves strangely is none of the requests that tests count.
                    let looks = head.starts_with("get / ");
                    let n = requests.fetch_add(usize::from(!looks), Ordering::SeqCst);
                    let answer = &answers[n.min(answers.len() - 1)];
                    if answer.is_empty() || connection.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Says `greeting` to whoever says anything.
    pub(crate) async fn bytes(greeting: &'static [u8]) -> Self {
        Self::start(move |mut connection, _| async move {
            let mut some = [0; 1024];
            let _ = connection.read(&mut some).await;
            let _ = connection.write_all(greeting).await;
        })
        .await
    }

    async fn start<F>(serve: impl Fn(TcpStream, Arc<AtomicUsize>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, counter.clone()));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Reads a request with its body and gives its head in lower case; nothing when the connection ends before.
async fn read_request(connection: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match connection.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return None,
        }
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    connection.read_exact(&mut body).await.ok().map(|_| head)
}

/// An HTTP answer.
pub(crate) fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// An error as S3 says it.
pub(crate) fn s3_error(status: u16, code: &str) -> String {
    answer(status, &format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>because</Message></Error>"))
}
