//! A storage behind a broker process: the same port, by gRPC.
//!
//! # Overview
//! The addresses of an access are tried in turn: the first that connects is used until it fails, then the next one.
//!
//! # Consistency
//! The broker answers a write only when the storage has, so the promises of the storage hold from afar.
//!
//! # Crash consistency
//! A writer whose stream ends without a `close` is aborted by the broker. When the broker dies, so does its storage's
//! writer, and nothing becomes visible.
//!
//! # Cancellation
//! A call whose answer is lost has an unknown outcome if it would have changed something; any other may be tried again.

mod look;
mod writer;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tabvault_common::access::StorageAccess;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::secret::Secret;
use tabvault_proto::failure::from_status;
use tabvault_proto::v1::broker_service_client::BrokerServiceClient;
use tabvault_proto::v1::{self, WriteMode, WriteOutcome};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

use crate::path::{check_object, check_prefix};
use crate::pieces;
use crate::storage::{Created, ObjectMeta, ObjectWriter, Result, Storage};

/// How long a connection to a broker may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How many objects one message names at most.
pub(crate) const DELETE_BATCH: usize = 1000;
/// Bytes of one stream under way, and of all streams of a connection: bounds what a slow reader makes pile up.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// How broker processes are talked to.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// Certificates (PEM) that may vouch for a broker; needed for `https://` addresses.
    pub ca: Option<Vec<u8>>,
    /// Certificate and key (PEM) by which this process proves who it is.
    pub identity: Option<(Vec<u8>, Secret)>,
    /// The name that a broker's certificate must have, if it is not the host of the address.
    pub domain: Option<String>,
    /// What the broker wants to hear from its clients.
    pub token: Option<Secret>,
    /// Whether keys may travel in clear to another machine.
    pub insecure: bool,
}

/// The client of broker processes.
#[derive(Clone)]
pub struct RemoteStorage {
    inner: Arc<Inner>,
}

struct Inner {
    access: StorageAccess,
    token: Option<AsciiMetadataValue>,
    brokers: Vec<Broker>,
    /// Index of the broker in use.
    current: AtomicUsize,
}

struct Broker {
    address: String,
    endpoint: Endpoint,
    channel: RwLock<Option<Channel>>,
}

impl std::fmt::Debug for RemoteStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let brokers: Vec<_> = self.inner.brokers.iter().map(|broker| &broker.address).collect();
        f.debug_struct("RemoteStorage").field("access", &self.inner.access).field("brokers", &brokers).finish()
    }
}

impl RemoteStorage {
    /// The storage of `access` as its brokers see it. Nothing is contacted yet.
    ///
    /// # Errors
    /// `Kind::InvalidArgument` when an address is none or there is none; `Kind::FailedPrecondition` when keys would
    /// travel in clear to another machine.
    pub fn new(access: &StorageAccess, connection: &Connection) -> Result<Self> {
        if access.brokers.is_empty() {
            return Err(Failure::fatal(Kind::InvalidArgument, "the access names no broker"));
        }
        let brokers = access.brokers.iter().map(|address| broker(address, connection)).collect::<Result<Vec<_>>>()?;
        let token = connection
            .token
            .as_ref()
            .map(|token| {
                let mut value = AsciiMetadataValue::try_from(format!("Bearer {}", token.expose()))
                    .map_err(|_| Failure::fatal(Kind::InvalidArgument, "the broker's token is not plain ASCII"))?;
                value.set_sensitive(true);
                Ok::<_, Failure>(value)
            })
            .transpose()?;
        let access = StorageAccess { brokers: Vec::new(), ..access.clone() };
        Ok(Self { inner: Arc::new(Inner { access, token, brokers, current: AtomicUsize::new(0) }) })
    }

    fn access(&self) -> Option<v1::StorageAccess> {
        let access = &self.inner.access;
        Some(v1::StorageAccess {
            location: access.location.clone(),
            properties: access.properties.iter().map(|(k, v)| (k.clone(), v.expose().to_owned())).collect(),
            brokers: Vec::new(),
        })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.inner.token {
            request.metadata_mut().insert("authorization", token.clone());
        }
        request
    }

    /// A client of the first broker that can be reached, with its index.
    async fn client(&self) -> Result<(usize, BrokerServiceClient<Channel>)> {
        let brokers = &self.inner.brokers;
        let first = self.inner.current.load(Ordering::Relaxed);
        let mut why = Vec::new();
        for step in 0..brokers.len() {
            let index = (first + step) % brokers.len();
            let Some(broker) = brokers.get(index) else { continue };
            match broker.channel().await {
                Ok(channel) => {
                    self.inner.current.store(index, Ordering::Relaxed);
                    return Ok((index, BrokerServiceClient::new(channel)));
                }
                Err(error) => why.push(format!("{}: {error}", broker.address)),
            }
        }
        Err(Failure::transient(Kind::Unreachable, format!("no broker can be reached: {}", why.join("; "))))
    }

    /// What `status` of broker `index` means, and whether to turn to the next broker.
    fn failed(&self, index: usize, effect: bool, status: &Status) -> Failure {
        let mut failure = from_status(status);
        let causes = std::iter::successors(std::error::Error::source(status), |error| error.source());
        let mut broken = false;
        let mut unsent = false;
        for cause in causes {
            broken = true;
            unsent |= cause.is::<tonic::ConnectError>();
        }
        if let Some(broker) = self.inner.brokers.get(index) {
            // A broker says in its details what it means; another service does not know the call at all.
            if status.code() == Code::Unimplemented && failure.kind == Kind::Unsupported && status.details().is_empty()
            {
                let said = Some(status.message()).filter(|said| !said.is_empty());
                failure = Failure::transient(
                    Kind::Unreachable,
                    format!(
                        "{} answers, but is no broker of tabvault: it does not know the service BrokerService{}",
                        broker.address,
                        said.map(|said| format!(": {said}")).unwrap_or_default()
                    ),
                );
            }
            if broken {
                broker.forget();
                failure = failure.context(format!("broker {}", broker.address));
            }
            if failure.kind == Kind::Unreachable {
                let next = (index + 1) % self.inner.brokers.len();
                let _ = self.inner.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
        if failure.retry == Retry::OutcomeUnknown && (unsent || !effect) {
            failure.retry = Retry::Safe;
        }
        failure
    }

    async fn whole(&self, path: &str, mode: WriteMode, data: Bytes) -> Result<WriteOutcome> {
        check_object(path)?;
        let hint = Some(data.len() as u64);
        let mut writer = writer::RemoteWriter::open(self, path, mode, hint).await?;
        writer.send(data).await?;
        writer.finish().await
    }

    async fn listing(&self, prefix: &str, one_level: bool) -> Result<BoxStream<'static, Result<v1::ListResponse>>> {
        check_prefix(prefix)?;
        let (index, mut client) = self.client().await?;
        let message = v1::ListRequest { access: self.access(), prefix: prefix.to_owned(), one_level };
        match client.list(self.request(message)).await {
            Ok(answer) => Ok(self.stream(index, answer.into_inner())),
            Err(status) => Err(self.failed(index, false, &status)),
        }
    }

    fn stream<T: Send + 'static>(&self, index: usize, stream: tonic::Streaming<T>) -> BoxStream<'static, Result<T>> {
        let storage = self.clone();
        stream.map_err(move |status| storage.failed(index, false, &status)).boxed()
    }
}

impl Broker {
    async fn channel(&self) -> std::result::Result<Channel, String> {
        let known = self.channel.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(channel) = known {
            return Ok(channel);
        }
        // Without TLS a connection comes about with whatever listens.
        if self.endpoint.uri().scheme_str() == Some("http") {
            look::expect_http2(self.endpoint.uri()).await?;
        }
        let channel = self.endpoint.connect().await.map_err(|error| Failure::chain(&error))?;
        *self.channel.write().unwrap_or_else(PoisonError::into_inner) = Some(channel.clone());
        Ok(channel)
    }

    /// The next call connects anew, so that a dead broker is told from a lost answer.
    fn forget(&self) {
        *self.channel.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn broker(address: &str, connection: &Connection) -> Result<Broker> {
    let bad = |why: &str| Failure::fatal(Kind::InvalidArgument, format!("broker '{address}': {why}"));
    let whole = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let endpoint = Endpoint::from_shared(whole).map_err(|error| bad(&Failure::chain(&error)))?;
    let uri = endpoint.uri().clone();
    let host = uri.host().ok_or_else(|| bad("write http://host:port or https://host:port"))?;
    let mut endpoint = endpoint
        .connect_timeout(CONNECT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    match uri.scheme_str() {
        Some("https") => {
            let ca = connection.ca.as_ref().ok_or_else(|| bad("https needs the certificate of a CA to trust"))?;
            let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
            if let Some((certificate, key)) = &connection.identity {
                tls = tls.identity(Identity::from_pem(certificate, key.expose()));
            }
            if let Some(domain) = &connection.domain {
                tls = tls.domain_name(domain);
            }
            endpoint = endpoint.tls_config(tls).map_err(|error| bad(&Failure::chain(&error)))?;
        }
        Some("http") if connection.insecure || is_loopback(host) => {}
        Some("http") => {
            return Err(Failure::fatal(
                Kind::FailedPrecondition,
                format!("broker '{address}': keys would travel in clear: use https://, or allow insecure connections"),
            ));
        }
        _ => return Err(bad("write http://host:port or https://host:port")),
    }
    Ok(Broker { address: address.to_owned(), endpoint, channel: RwLock::new(None) })
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[async_trait]
impl Storage for RemoteStorage {
    fn location(&self) -> &str {
        &self.inner.access.location
    }

    async fn put(&self, path: &str, data: Bytes) -> Result<()> {
        match self.whole(path, WriteMode::Put, data).await? {
            WriteOutcome::Written => Ok(()),
            other => Err(writer::surprise(path, other)),
        }
    }

    async fn create(&self, path: &str, data: Bytes) -> Result<Created> {
        match self.whole(path, WriteMode::Create, data).await? {
            WriteOutcome::Written => Ok(Created::New),
            WriteOutcome::Exists => Ok(Created::Exists),
            other => Err(writer::surprise(path, other)),
        }
    }

    async fn writer(&self, path: &str, size_hint: Option<u64>) -> Result<Box<dyn ObjectWriter>> {
        check_object(path)?;
        Ok(Box::new(writer::RemoteWriter::open(self, path, WriteMode::Stream, size_hint).await?))
    }

    fn writer_memory(&self, size_hint: Option<u64>) -> u64 {
        size_hint.unwrap_or(u64::MAX).min(writer::MEMORY)
    }

    async fn get(&self, path: &str, limit: u64) -> Result<Bytes> {
        pieces::collect(path, limit, self.read(path, None).await?).await
    }

    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        check_object(path)?;
        if let Some(range) = &range {
            pieces::length(path, range)?;
        }
        let (index, mut client) = self.client().await?;
        let wanted = range.as_ref().map(|range| v1::ByteRange { start: range.start, end: range.end });
        let message = v1::ReadRequest { access: self.access(), path: path.to_owned(), range: wanted };
        let stream = match client.read(self.request(message)).await {
            Ok(answer) => self.stream(index, answer.into_inner()),
            Err(status) => return Err(self.failed(index, false, &status)),
        };
        let data = stream.map_ok(|piece| piece.data).boxed();
        Ok(match range {
            Some(range) => pieces::exactly(path, range, data),
            None => data,
        })
    }

    async fn stat(&self, path: &str) -> Result<Option<ObjectMeta>> {
        check_object(path)?;
        let (index, mut client) = self.client().await?;
        let message = v1::StatRequest { access: self.access(), path: path.to_owned() };
        match client.stat(self.request(message)).await {
            Ok(answer) => Ok(answer.into_inner().object.map(meta)),
            Err(status) => Err(self.failed(index, false, &status)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        let pages = self.listing(prefix, false).await?;
        Ok(pages.map_ok(|page| stream::iter(page.objects.into_iter().map(meta).map(Ok))).try_flatten().boxed())
    }

    async fn list_level(&self, prefix: &str) -> Result<BoxStream<'static, Result<String>>> {
        let pages = self.listing(prefix, true).await?;
        Ok(pages.map_ok(|page| stream::iter(page.names.into_iter().map(Ok))).try_flatten().boxed())
    }

    async fn delete(&self, paths: &[String]) -> Result<()> {
        paths.iter().try_for_each(|path| check_object(path))?;
        for batch in paths.chunks(DELETE_BATCH) {
            let (index, mut client) = self.client().await?;
            let message = v1::DeleteRequest { access: self.access(), paths: batch.to_vec() };
            if let Err(status) = client.delete(self.request(message)).await {
                return Err(self.failed(index, true, &status));
            }
        }
        Ok(())
    }
}

fn meta(object: v1::StoredObject) -> ObjectMeta {
    ObjectMeta { path: object.path, size: object.size }
}
