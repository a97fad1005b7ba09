//! An HTTP proxy in front of an S3 server: it counts what passes and can hold every request up.
//!
//! Bodies are streamed, connections are kept alive on both sides, and the `host` header stays as the client sent it,
//! since clients sign it. So a server that takes path-style requests sees nothing of the proxy.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::Serialize;
use tabvault_common::clock::{Clock, Time};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// What has passed, each since the proxy was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Requests by kind: the method, or `LIST` for a GET that lists a bucket.
    pub requests: BTreeMap<String, u64>,
    /// Bytes of the requests' bodies.
    pub sent: u64,
    /// Bytes of the answers' bodies.
    pub received: u64,
}

impl Traffic {
    /// Requests of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }

    /// What has passed since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let more = |(kind, count): (&String, &u64)| {
            let more = count - earlier.requests.get(kind).unwrap_or(&0);
            (more > 0).then(|| (kind.clone(), more))
        };
        Self {
            requests: self.requests.iter().filter_map(more).collect(),
            sent: self.sent - earlier.sent,
            received: self.received - earlier.received,
        }
    }
}

/// A running proxy; dropped, it serves nobody any more.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    traffic: Arc<Mutex<Traffic>>,
    serving: JoinHandle<()>,
}

impl Proxy {
    /// Starts one on a free port, in front of `upstream`. Every request waits for `delay` of `clock` before it is passed on.
    ///
    /// # Panics
    /// If no port can be bound.
    pub async fn start(upstream: SocketAddr, delay: Duration, clock: Arc<dyn Clock>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind a port");
        let address = listener.local_addr().expect("the port's address");
        let traffic = Arc::new(Mutex::new(Traffic::default()));
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        let way = Way { upstream, delay, clock, traffic: traffic.clone(), client };
        Self { address, traffic, serving: tokio::spawn(serve(listener, way)) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has passed so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What takes longer is told on stderr: a run that stands out should not have to be guessed about.
const SLOW: Duration = Duration::from_secs(10);

type Body = BoxBody<Bytes, hyper::Error>;

/// What every request needs.
#[derive(Debug, Clone)]
struct Way {
    upstream: SocketAddr,
    delay: Duration,
    clock: Arc<dyn Clock>,
    traffic: Arc<Mutex<Traffic>>,
    client: Client<HttpConnector, Body>,
}

async fn serve(listener: TcpListener, way: Way) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve_one(stream, way.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_one(stream: TcpStream, way: Way) {
    // Without it, small answers wait for the acknowledgement of what went before.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let way = way.clone();
        async move { Ok::<_, Infallible>(way.pass(request).await) }
    });
    // An error means that the client has gone.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Way {
    #[expect(clippy::print_stderr, reason = "benches print")]
    async fn pass(&self, request: Request<Incoming>) -> Response<Body> {
        self.count(|traffic| *traffic.requests.entry(kind(&request).to_owned()).or_default() += 1);
        let what = format!("{} {}", request.method(), request.uri());
        let began = self.clock.now();
        let passed = Arc::new(AtomicU64::new(began.0));
        let answer = self.pass_on(request, passed.clone()).await;
        let took = began.until(self.clock.now());
        if took >= SLOW {
            let body = began.until(Time(passed.load(Ordering::Relaxed)));
            eprintln!("the proxy: {what}: {} after {took:?}, its body had passed after {body:?}", answer.status());
        }
        answer
    }

    /// Sends a request on, and into `passed` when the last of its body went.
    async fn pass_on(&self, request: Request<Incoming>, passed: Arc<AtomicU64>) -> Response<Body> {
        if !self.delay.is_zero() {
            self.clock.sleep(self.delay).await;
        }
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let Ok(uri) = format!("http://{}{path}", self.upstream).parse::<Uri>() else {
            return empty(StatusCode::BAD_REQUEST);
        };
        parts.uri = uri;
        let headers = &mut parts.headers;
        [CONNECTION, KEEP_ALIVE, TE, UPGRADE].iter().for_each(|name| drop(headers.remove(name)));
        let (traffic, clock) = (self.traffic.clone(), self.clock.clone());
        let body = counted(body, move |bytes| {
            passed.store(clock.now().0, Ordering::Relaxed);
            lock(&traffic, |traffic| traffic.sent += bytes);
        });
        let Ok(answer) = self.client.request(Request::from_parts(parts, body)).await else {
            return empty(StatusCode::BAD_GATEWAY);
        };
        let (mut parts, body) = answer.into_parts();
        [CONNECTION, KEEP_ALIVE, TRANSFER_ENCODING].iter().for_each(|name| drop(parts.headers.remove(name)));
        let traffic = self.traffic.clone();
        Response::from_parts(parts, counted(body, move |bytes| lock(&traffic, |traffic| traffic.received += bytes)))
    }

    fn count(&self, change: impl FnOnce(&mut Traffic)) {
        lock(&self.traffic, change);
    }
}

/// Not among hyper's names, since the header is not of HTTP/1.1.
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

fn lock(traffic: &Mutex<Traffic>, change: impl FnOnce(&mut Traffic)) {
    change(&mut traffic.lock().unwrap_or_else(PoisonError::into_inner));
}

fn counted(body: Incoming, count: impl Fn(u64) + Send + Sync + 'static) -> Body {
    let counted = body.map_frame(move |frame| {
        count(frame.data_ref().map_or(0, |data| data.len() as u64));
        frame
    });
    counted.boxed()
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *answer.status_mut() = status;
    answer
}

/// S3 lists by GET of a bucket, or of anything with a prefix.
fn kind(request: &Request<Incoming>) -> &str {
    let uri = request.uri();
    let is_bucket = !uri.path().trim_matches('/').contains('/');
    let has_prefix = uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("prefix=")));
    match *request.method() {
        Method::GET if is_bucket || has_prefix => "LIST",
        ref method => method.as_str(),
    }
}

#[cfg(test)]
mod tests;
