//! The broker process: serves storages to clients that cannot, or should not, reach them themselves.
//!
//! # Overview
//! Every request carries its [`StorageAccess`], so there is nothing to configure per repository and nothing to lose in a
//! crash. Opened storages are kept, because their connections are worth something; secrets are never logged.
//!
//! # Consistency and crash consistency
//! A write is answered when the storage has answered, and aborted when its stream ends without a `close`. That happens
//! in a task of its own, so it happens also when the client is gone.

mod cache;
mod write;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use tabvault_common::access::StorageAccess;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::secret::Secret;
use tabvault_proto::failure::to_status;
use tabvault_proto::v1::broker_service_server::{BrokerService, BrokerServiceServer};
use tabvault_proto::v1::{self, ListResponse, ReadResponse, StoredObject};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, Streaming};

use crate::open::Options;
use crate::storage::{ObjectMeta, Result, Storage};
use cache::Cache;

/// Entries of one message of a listing.
const PAGE: usize = 500;

/// What a broker allows itself and others.
#[derive(Debug, Clone)]
pub struct Config {
    /// Storages kept open; beyond it, the one that was not used for longest is closed.
    pub storages: usize,
    /// The largest object, in bytes, that is written whole by `put` or `create`; it is held in memory.
    pub small_object: u64,
    /// Writes under way at once, of which those that are written piece by piece may be three quarters: these take as
    /// long as their writer does, and what commits a job must not wait for them. Memory for writes is at most this times
    /// 80 MiB, for objects up to 140 GiB.
    pub writes: usize,
    /// How long a write waits for its turn before it is refused as `Kind::RateLimited`.
    pub patience: Duration,
    /// The locations that are served: these and what is below them. Empty: all that this process can reach.
    pub locations: Vec<String>,
    /// What clients must present; `None`: whoever can connect is served.
    pub token: Option<Secret>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            storages: 64,
            small_object: 64 << 20,
            writes: 32,
            patience: Duration::from_secs(30),
            locations: Vec::new(),
            token: None,
        }
    }
}

/// The service of a broker process.
#[derive(Debug, Clone)]
pub struct BrokerServer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    config: Config,
    cache: Cache,
    writes: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl BrokerServer {
    /// A broker that opens storages with `options`.
    #[must_use]
    pub fn new(options: Options, config: Config) -> Self {
        let cache = Cache::new(config.storages);
        let writes = Arc::new(Semaphore::new(config.writes.max(1)));
        let streams = Arc::new(Semaphore::new((config.writes - config.writes / 4).max(1)));
        Self { inner: Arc::new(Inner { options, config, cache, writes, streams }) }
    }

    /// The service to add to a tonic server.
    #[must_use]
    pub fn into_service(self) -> BrokerServiceServer<Self> {
        BrokerServiceServer::new(self)
    }

    /// Refuses who does not present the token.
    fn admit<T>(&self, request: Request<T>) -> std::result::Result<T, Status> {
        if let Some(token) = &self.inner.config.token {
            let wanted = format!("Bearer {}", token.expose());
            let given = request.metadata().get("authorization").map(|value| value.as_bytes());
            if !given.is_some_and(|given| same(given, wanted.as_bytes())) {
                return Err(to_status(Failure::fatal(Kind::Unauthenticated, "the broker's token is missing or wrong")));
            }
        }
        Ok(request.into_inner())
    }

    async fn storage(&self, access: Option<v1::StorageAccess>) -> Result<Arc<dyn Storage>> {
        let access = understood(access)?;
        self.permit(&access.location)?;
        self.inner.cache.get_or_open(&access, || self.inner.options.open(&access)).await
    }

    fn permit(&self, location: &str) -> Result<()> {
        let served = &self.inner.config.locations;
        let below = |root: &str| {
            let root = root.trim_end_matches('/');
            location.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if served.is_empty() || served.iter().any(|root| below(root)) {
            return Ok(());
        }
        Err(Failure::fatal(Kind::PermissionDenied, format!("this broker does not serve '{location}'")))
    }
}

fn understood(access: Option<v1::StorageAccess>) -> Result<StorageAccess> {
    let access = access.ok_or_else(|| Failure::fatal(Kind::InvalidArgument, "the request names no storage"))?;
    if !access.brokers.is_empty() {
        return Err(Failure::fatal(Kind::InvalidArgument, "a broker does not go through other brokers"));
    }
    Ok(StorageAccess {
        location: access.location,
        properties: access.properties.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
        brokers: Vec::new(),
    })
}

/// Compares without telling by its duration how much was right.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    given.len() == wanted.len() && given.iter().zip(wanted).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

fn stored(meta: ObjectMeta) -> StoredObject {
    StoredObject { path: meta.path, size: meta.size }
}

type Answers<T> = BoxStream<'static, std::result::Result<T, Status>>;

/// Gathers what is there already into one message, up to [`PAGE`].
fn pages<T: Send + 'static>(
    items: BoxStream<'static, Result<T>>,
    page: impl Fn(Vec<T>) -> ListResponse + Send + 'static,
) -> Answers<ListResponse> {
    items
        .ready_chunks(PAGE)
        .map(move |chunk| chunk.into_iter().collect::<Result<Vec<T>>>().map(&page).map_err(to_status))
        .boxed()
}

#[tonic::async_trait]
impl BrokerService for BrokerServer {
    type ReadStream = Answers<ReadResponse>;
    type ListStream = Answers<ListResponse>;

    async fn write(
        &self,
        request: Request<Streaming<v1::WriteRequest>>,
    ) -> std::result::Result<Response<v1::WriteResponse>, Status> {
        let steps = self.admit(request)?;
        let server = self.clone();
        // In a task of its own: tonic drops this future when the client goes away, and an abort must still happen.
        let task = tokio::spawn(async move { write::serve(&server, steps).await });
        match task.await {
            Ok(Ok(outcome)) => Ok(Response::new(v1::WriteResponse { outcome: outcome.into() })),
            Ok(Err(failure)) => Err(to_status(failure)),
            Err(error) => Err(to_status(Failure {
                kind: Kind::Internal,
                retry: tabvault_common::failure::Retry::OutcomeUnknown,
                message: format!("the write did not end: {error}"),
            })),
        }
    }

    async fn read(&self, request: Request<v1::ReadRequest>) -> std::result::Result<Response<Self::ReadStream>, Status> {
        let message = self.admit(request)?;
        let storage = self.storage(message.access).await.map_err(to_status)?;
        let range = message.range.map(|range| range.start..range.end);
        let data = storage.read(&message.path, range).await.map_err(to_status)?;
        Ok(Response::new(data.map_ok(|data| ReadResponse { data }).map_err(to_status).boxed()))
    }

    async fn stat(&self, request: Request<v1::StatRequest>) -> std::result::Result<Response<v1::StatResponse>, Status> {
        let message = self.admit(request)?;
        let storage = self.storage(message.access).await.map_err(to_status)?;
        let meta = storage.stat(&message.path).await.map_err(to_status)?;
        Ok(Response::new(v1::StatResponse { object: meta.map(stored) }))
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> std::result::Result<Response<Self::ListStream>, Status> {
        let message = self.admit(request)?;
        let storage = self.storage(message.access).await.map_err(to_status)?;
        let answers = if message.one_level {
            let names = storage.list_level(&message.prefix).await.map_err(to_status)?;
            pages(names, |names| ListResponse { objects: Vec::new(), names })
        } else {
            let objects = storage.list(&message.prefix).await.map_err(to_status)?;
            pages(objects, |objects| ListResponse {
                objects: objects.into_iter().map(stored).collect(),
                names: Vec::new(),
            })
        };
        Ok(Response::new(answers))
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> std::result::Result<Response<v1::DeleteResponse>, Status> {
        let message = self.admit(request)?;
        let storage = self.storage(message.access).await.map_err(to_status)?;
        storage.delete(&message.paths).await.map_err(to_status)?;
        Ok(Response::new(v1::DeleteResponse {}))
    }
}
