//! Objects in an S3 bucket, or in memory: the only place in tabvault that names OpenDAL.
//!
//! # Overview
//! A plain translation: retries, limits and time-outs of requests are decorators elsewhere. Two things are decided
//! here, because nobody outside sees them: how an object is cut into parts, and that a part, or all of an object that is
//! one PUT, is sent again after a failure.
//!
//! # Consistency
//! S3 makes an object visible whole, at the end of its PUT or when its multipart upload is completed. [`Storage::create`]
//! is `If-None-Match: *` on a single PUT; some services ignore that header, which is what [`crate::probe`] finds out.
//!
//! # Crash consistency
//! A crash leaves no object, but may leave the parts of an unfinished upload, which cost money until a lifecycle rule
//! of the bucket removes them.
//!
//! # Cancellation
//! A dropped request has an unknown outcome. A dropped writer aborts its upload in the background, if it still can.

mod error;
mod transport;
mod writer;

use std::ops::Range;
use std::sync::{Arc, Once};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use opendal::options::{ListOptions, WriteOptions};
use opendal::services::{Memory, S3};
use opendal::{ErrorKind, HttpTransporter, Operator};
use opendal_http_transport_reqwest::ReqwestTransport;
use tabvault_common::clock::Clock;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::secret::Secret;

use crate::observe::{Observer, is_push_back};
use crate::path::{check_object, check_prefix};
use crate::pieces;
use crate::properties::S3Settings;
use crate::retry::Policy;
use crate::storage::{Created, ObjectMeta, ObjectWriter, Result, Storage};
use transport::S3Transport;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// A last resort for connections that died silently; the [`crate::timeout`] decorator is stricter.
const SILENCE: Duration = Duration::from_secs(300);
/// How many objects one request deletes: the limit of S3.
const DELETE_BATCH: usize = 1000;
/// The region that services without regions expect in signatures.
const ANY_REGION: &str = "us-east-1";

/// A bucket, or a map in memory.
#[derive(Clone)]
pub struct OpendalStorage {
    op: Operator,
    place: Arc<Place>,
    clock: Arc<dyn Clock>,
    policy: Policy,
    observer: Option<Arc<dyn Observer>>,
}

/// Where the storage is, for messages.
struct Place {
    location: String,
    endpoint: String,
    bucket: String,
    /// Blotted out of every message, in case a server echoes them.
    secrets: Vec<Secret>,
}

impl std::fmt::Debug for OpendalStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpendalStorage").field("location", &self.place.location).finish_non_exhaustive()
    }
}

impl OpendalStorage {
    /// An empty storage in memory, gone when the last clone is dropped. For tests.
    ///
    /// # Errors
    /// None in practice; OpenDAL's builder is fallible.
    pub fn memory(name: &str, clock: Arc<dyn Clock>) -> Result<Self> {
        let place = Place {
            location: format!("memory://{name}"),
            endpoint: "memory".to_owned(),
            bucket: name.to_owned(),
            secrets: Vec::new(),
        };
        let op = Operator::new(Memory::default()).map_err(|error| misconfigured(&place, &error))?;
        Ok(Self { op, place: Arc::new(place), clock, policy: Policy::default(), observer: None })
    }

    /// The bucket that `settings` describe. Nothing is contacted yet.
    pub(crate) fn s3(settings: &S3Settings, clock: Arc<dyn Clock>, policy: Policy) -> Result<Self> {
        let bucket = settings.bucket.as_str();
        let place = Place {
            location: format!("s3://{bucket}{}{}", if settings.prefix.is_empty() { "" } else { "/" }, settings.prefix),
            endpoint: settings.endpoint.clone().unwrap_or_else(|| "the default S3 endpoint".to_owned()),
            bucket: bucket.to_owned(),
            secrets: settings.keys.iter().map(|(_, key)| key.clone()).chain(settings.token.clone()).collect(),
        };
        let mut builder = S3::default().bucket(bucket).root(&format!("/{}", settings.prefix));
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.endpoint(endpoint);
        }
        if let Some((access_key, secret_key)) = &settings.keys {
            builder = builder.access_key_id(access_key.expose()).secret_access_key(secret_key.expose());
        }
        if let Some(token) = &settings.token {
            builder = builder.session_token(token.expose());
        }
        if let Some(role) = &settings.role_arn {
            builder = builder.role_arn(role);
        }
        if let Some(id) = &settings.external_id {
            builder = builder.external_id(id);
        }
        if settings.virtual_host {
            builder = builder.enable_virtual_host_style();
        }
        let environment = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| std::env::var(name).ok());
        builder = builder.region(settings.region.as_deref().or(environment.as_deref()).unwrap_or(ANY_REGION));

        let op = Operator::new(builder).map_err(|error| misconfigured(&place, &error))?;
        let transport = HttpTransporter::new(S3Transport(ReqwestTransport::new(client()?)));
        let context = op.base_context().with_http_transport(transport);
        Ok(Self { op: op.with_context(context), place: Arc::new(place), clock, policy, observer: None })
    }

    /// The same, telling `observer` of push-backs that are not seen from outside: of parts and pages that are asked for
    /// again here.
    pub(crate) fn observed(self, observer: Option<Arc<dyn Observer>>) -> Self {
        Self { observer, ..self }
    }

    async fn failed(&self, doing: impl Into<String>, effect: bool, error: &opendal::Error) -> Failure {
        error::failure(&self.place, doing.into(), effect, error).await
    }

    /// An object of a listing, asking for its size where the listing does not tell.
    async fn listed(&self, entry: opendal::Entry) -> Result<Option<ObjectMeta>> {
        if entry.path().ends_with('/') || entry.metadata().is_dir() {
            return Ok(None);
        }
        if entry.metadata().is_file() {
            let size = entry.metadata().content_length();
            return Ok(Some(ObjectMeta { path: entry.path().to_owned(), size }));
        }
        self.stat(entry.path()).await
    }

    async fn entries(&self, prefix: &str, recursive: bool) -> Result<BoxStream<'static, Result<opendal::Entry>>> {
        check_prefix(prefix)?;
        let mut listing = Listing {
            storage: self.clone(),
            prefix: prefix.to_owned(),
            recursive,
            lister: None,
            last: None,
            attempt: 0,
        };
        // The first page is fetched now, so that whoever asks wrongly hears it at once.
        let Some(first) = listing.next().await? else { return Ok(stream::empty().boxed()) };
        let rest = stream::try_unfold(listing, |mut listing| async move {
            Ok(listing.next().await?.map(|entry| (entry, listing)))
        });
        Ok(stream::iter([Ok(first)]).chain(rest).boxed())
    }

    /// Waits before attempt number `attempt` at what failed with `error`, or says that there were enough.
    async fn again(&self, attempt: &mut u32, error: &opendal::Error) -> bool {
        *attempt += 1;
        let Some(pause) = self.policy.pause(*attempt) else { return false };
        if let Some(observer) = &self.observer
            && is_push_back(&self.failed("try again", false, error).await)
        {
            observer.pushed_back();
        }
        self.clock.sleep(pause).await;
        true
    }
}

/// A listing under way that goes on after its last entry when a page fails: a decorator could only begin again.
struct Listing {
    storage: OpendalStorage,
    prefix: String,
    recursive: bool,
    lister: Option<opendal::Lister>,
    last: Option<String>,
    attempt: u32,
}

impl Listing {
    async fn next(&mut self) -> Result<Option<opendal::Entry>> {
        loop {
            match self.step().await {
                Ok(Some(entry)) => {
                    self.attempt = 0;
                    // After a fresh start, a level comes again that has more objects than were seen.
                    if self.last.as_deref().is_some_and(|last| self.sorted() && entry.path() <= last) {
                        continue;
                    }
                    self.last = Some(entry.path().to_owned());
                    return Ok(Some(entry));
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.lister = None;
                    let resumable = error.is_temporary() && (self.last.is_none() || self.sorted());
                    if resumable && self.storage.again(&mut self.attempt, &error).await {
                        continue;
                    }
                    let doing = format!("list {}/{}", self.storage.place.location, self.prefix);
                    return Err(self.storage.failed(doing, false, &error).await);
                }
            }
        }
    }

    /// Whether the storage lists in order and can start in the middle.
    fn sorted(&self) -> bool {
        self.storage.op.info().capability().list_with_start_after
    }

    async fn step(&mut self) -> opendal::Result<Option<opendal::Entry>> {
        let lister = match &mut self.lister {
            Some(lister) => lister,
            none => {
                let start_after =
                    if self.storage.op.info().capability().list_with_start_after { self.last.clone() } else { None };
                let options = ListOptions { recursive: self.recursive, start_after, ..ListOptions::default() };
                none.insert(self.storage.op.lister_options(&self.prefix, options).await?)
            }
        };
        lister.try_next().await
    }
}

#[async_trait]
impl Storage for OpendalStorage {
    fn location(&self) -> &str {
        &self.place.location
    }

    async fn put(&self, path: &str, data: Bytes) -> Result<()> {
        check_object(path)?;
        match self.op.write(path, data).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(format!("write {path}"), true, &error).await),
        }
    }

    async fn create(&self, path: &str, data: Bytes) -> Result<Created> {
        check_object(path)?;
        let options = WriteOptions { if_not_exists: true, ..WriteOptions::default() };
        match self.op.write_options(path, data, options).await {
            Ok(_) => Ok(Created::New),
            Err(error) if matches!(error.kind(), ErrorKind::ConditionNotMatch | ErrorKind::AlreadyExists) => {
                Ok(Created::Exists)
            }
            Err(error) => Err(self.failed(format!("create {path}"), true, &error).await),
        }
    }

    async fn writer(&self, path: &str, size_hint: Option<u64>) -> Result<Box<dyn ObjectWriter>> {
        check_object(path)?;
        Ok(Box::new(writer::PartWriter::new(self.clone(), path.to_owned(), size_hint)))
    }

    fn writer_memory(&self, size_hint: Option<u64>) -> u64 {
        writer::memory(size_hint)
    }

    async fn get(&self, path: &str, limit: u64) -> Result<Bytes> {
        pieces::collect(path, limit, self.read(path, None).await?).await
    }

    async fn read(&self, path: &str, range: Option<Range<u64>>) -> Result<BoxStream<'static, Result<Bytes>>> {
        check_object(path)?;
        let doing = format!("read {path}");
        if let Some(range) = &range
            && pieces::length(path, range)? == 0
        {
            // HTTP has no empty ranges.
            return match self.stat(path).await? {
                Some(meta) if range.end <= meta.size => Ok(stream::empty().boxed()),
                Some(_) => Err(pieces::beyond_end(path, range)),
                None => Err(Failure::fatal(Kind::NotFound, format!("{doing}: there is no such object"))),
            };
        }
        let opened = match self.op.reader(path).await {
            Ok(reader) => match &range {
                Some(range) => reader.into_bytes_stream(range.clone()).await.map_err(std::io::Error::other),
                None => reader.into_bytes_stream(..).await.map_err(std::io::Error::other),
            },
            Err(error) => Err(std::io::Error::other(error)),
        };
        let mut opened = match opened {
            Ok(opened) => opened,
            Err(error) => return Err(error::read_failure(&self.place, path, range.as_ref(), error).await),
        };
        // The request is made now, so that a missing object is told here and not in the stream.
        let first = match opened.try_next().await {
            Ok(first) => first,
            Err(error) => return Err(error::read_failure(&self.place, path, range.as_ref(), error).await),
        };
        let (place, name, wanted) = (self.place.clone(), path.to_owned(), range.clone());
        let rest = opened.or_else(move |error| {
            let (place, name, wanted) = (place.clone(), name.clone(), wanted.clone());
            async move { Err(error::read_failure(&place, &name, wanted.as_ref(), error).await) }
        });
        let whole = pieces::bounded(stream::iter(first.map(Ok)).chain(rest).boxed());
        Ok(match range {
            Some(range) => pieces::exactly(path, range, whole),
            None => whole,
        })
    }

    async fn stat(&self, path: &str) -> Result<Option<ObjectMeta>> {
        check_object(path)?;
        match self.op.stat(path).await {
            Ok(meta) if meta.is_dir() => Ok(None),
            Ok(meta) => Ok(Some(ObjectMeta { path: path.to_owned(), size: meta.content_length() })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(format!("look at {path}"), false, &error).await),
        }
    }

    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        let storage = self.clone();
        let entries = self.entries(prefix, true).await?;
        Ok(entries
            .try_filter_map(move |entry| {
                let storage = storage.clone();
                async move { storage.listed(entry).await }
            })
            .boxed())
    }

    async fn list_level(&self, prefix: &str) -> Result<BoxStream<'static, Result<String>>> {
        let itself = if prefix.is_empty() { "/".to_owned() } else { prefix.to_owned() };
        let entries = self.entries(prefix, false).await?;
        Ok(entries
            .try_filter_map(move |entry| {
                let name = (entry.path() != itself).then(|| entry.path().to_owned());
                async move { Ok(name) }
            })
            .boxed())
    }

    async fn delete(&self, paths: &[String]) -> Result<()> {
        paths.iter().try_for_each(|path| check_object(path))?;
        for batch in paths.chunks(DELETE_BATCH) {
            if self.op.delete_iter(batch.iter().cloned()).await.is_ok() {
                continue;
            }
            // Either the service has no bulk deletion, or OpenDAL swallowed which object failed and why.
            for path in batch {
                if let Err(error) = self.op.delete(path).await {
                    return Err(self.failed(format!("delete {path}"), true, &error).await);
                }
            }
        }
        Ok(())
    }
}

/// Puts TLS on ring, once: OpenDAL's transport comes without a provider, so that the process has only one.
fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the program chose one before, which is then used.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A client of its own per storage: its connections belong to the runtime that opened them.
fn client() -> Result<reqwest::Client> {
    install_tls();
    reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .http1_only()
        // A signature holds for one host, so S3 could not be followed anyway; whoever else sends on is no S3.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("tabvault/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Failure::fatal(Kind::Internal, format!("set up HTTP: {}", Failure::chain(&error))))
}

fn misconfigured(place: &Place, error: &opendal::Error) -> Failure {
    Failure::fatal(Kind::InvalidArgument, format!("open {}: {}", place.location, error.message()))
}
