//! Everything that can be set about an agent.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tabvault_broker::limit::LimitStorage;
use tabvault_broker::observe::ObserveStorage;
use tabvault_broker::open::Options;
use tabvault_broker::storage::Storage;
use tabvault_common::access::StorageAccess;
use tabvault_common::clock::{Clock, SystemClock};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::BackendId;
use tabvault_common::secret::Secret;
use tabvault_common::settings::AgentSettings;
use tonic::transport::Uri;

use crate::throttle::Throttle;

/// The least memory with which transfers make headway, in bytes.
pub const MIN_MEMORY_BUDGET: u64 = 32 << 20;

/// See the fields. [`AgentConfig::default`] lacks only `fe` and `state_dir`.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The coordinator's addresses, `http://host:port` or `https://host:port`; dialled in turn until one is the leader.
    pub fe: Vec<String>,
    /// Where the agent keeps its identity, its upload journal and digests of files (at most 256 MiB). Made if it does not
    /// exist; one process at a time.
    pub state_dir: PathBuf,
    /// The number that an embedding cluster gave this backend; `None`: the coordinator chooses and remembers it.
    pub backend_id: Option<BackendId>,
    /// The name shown for this backend.
    pub host: String,
    /// For `https` addresses.
    pub tls: TlsOptions,
    /// What the coordinator wants to see of its agents; `None`: it guards its door otherwise.
    pub token: Option<Secret>,
    /// Allows plain `http` to another machine, over which storage credentials then travel in clear.
    pub insecure: bool,
    /// Bytes that all transfers together may hold in memory, lists of their files included.
    pub memory_budget: u64,
    /// Objects and ranges in flight at once to and from `file://`, over all tasks.
    pub parallel_transfers: usize,
    /// What the agent keeps to where the coordinator says nothing. To and from other storage than `file://` as many
    /// objects and ranges are in flight as it takes without slowing down, up to `max_requests_in_flight`, 64 by default.
    pub settings: AgentSettings,
    /// Tasks that move bytes (upload, download, load, export) running at once.
    pub heavy_tasks: usize,
    /// Other tasks running at once.
    pub light_tasks: usize,
    /// Tasks that may wait or run; further ones are refused with `Busy`.
    pub max_tasks: usize,
    /// Time between heartbeats where the coordinator names none.
    pub heartbeat: Duration,
    /// The longest pause between two attempts to attach, once several have failed; a stream that lasted so long counts
    /// as a success.
    pub reconnect_within: Duration,
    /// Free bytes that a task must leave on each data disk; below that it fails with `NoSpace`.
    pub free_space_watermark: u64,
    /// How storage is reached.
    pub storage: StorageOpener,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
}

/// How an agent opens the storage that a task names: by the broker crate's [`Options`], or by a function that an embedder
/// gives.
///
/// Clones share what the agent keeps to: limits, and the window of requests. Give the agent and its store clones of one,
/// and every agent its own. Storage that a function opens keeps to the limits as well, but what it tries again by itself
/// is neither counted nor seen.
#[derive(Clone)]
pub struct StorageOpener {
    open: How,
    throttle: Throttle,
}

#[derive(Clone)]
enum How {
    Options(Arc<Options>),
    Function(Arc<OpenStorage>),
}

type Opening = BoxFuture<'static, Result<Arc<dyn Storage>, Failure>>;
type OpenStorage = dyn Fn(StorageAccess) -> Opening + Send + Sync;

impl StorageOpener {
    /// Opens storage by `open`.
    pub fn new(open: impl Fn(StorageAccess) -> Opening + Send + Sync + 'static) -> Self {
        Self { open: How::Function(Arc::new(open)), throttle: Throttle::new(Arc::new(SystemClock)) }
    }

    /// Opens the storage that `access` names.
    ///
    /// # Errors
    /// Those of [`Options::open`], or of the function given to [`StorageOpener::new`].
    pub async fn open(&self, access: &StorageAccess) -> Result<Arc<dyn Storage>, Failure> {
        let (limits, observer) = (self.throttle.limits(access), self.throttle.observer(access));
        match &self.open {
            How::Options(options) => {
                let mut options = Options::clone(options);
                options.limits.extend(limits);
                options.observer = observer.or(options.observer);
                options.open(access).await
            }
            How::Function(open) => {
                let mut storage = open(access.clone()).await?;
                if let Some(observer) = observer {
                    storage = Arc::new(ObserveStorage::new(storage, observer, Arc::clone(self.throttle.clock())));
                }
                for limits in limits {
                    storage = Arc::new(LimitStorage::new(storage, limits));
                }
                Ok(storage)
            }
        }
    }

    /// What everything opened by this keeps to.
    pub(crate) fn throttle(&self) -> &Throttle {
        &self.throttle
    }
}

impl From<Options> for StorageOpener {
    fn from(options: Options) -> Self {
        let throttle = Throttle::new(Arc::clone(&options.clock));
        Self { open: How::Options(Arc::new(options)), throttle }
    }
}

impl Default for StorageOpener {
    fn default() -> Self {
        Options::default().into()
    }
}

impl fmt::Debug for StorageOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageOpener").finish_non_exhaustive()
    }
}

/// How the agent proves itself and knows its coordinator. All files are PEM.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    /// The authority that signed the coordinator's certificate.
    pub ca: Option<PathBuf>,
    /// The agent's own certificate; needs `key`.
    pub certificate: Option<PathBuf>,
    /// The key of `certificate`.
    pub key: Option<PathBuf>,
    /// The name in the coordinator's certificate where it is not the host that is dialled.
    pub domain: Option<String>,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            fe: Vec::new(),
            state_dir: PathBuf::new(),
            backend_id: None,
            host: "localhost".to_owned(),
            tls: TlsOptions::default(),
            token: None,
            insecure: false,
            memory_budget: 192 << 20,
            parallel_transfers: 16,
            settings: AgentSettings::default(),
            heavy_tasks: 4,
            light_tasks: 8,
            max_tasks: 1024,
            heartbeat: Duration::from_secs(3),
            reconnect_within: Duration::from_secs(5),
            free_space_watermark: 1 << 30,
            storage: StorageOpener::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

impl AgentConfig {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// `InvalidArgument` naming the field and what would be right.
    pub fn validate(&self) -> Result<(), Failure> {
        if self.fe.is_empty() {
            return Err(invalid("fe", "give at least one address such as http://127.0.0.1:9020"));
        }
        for address in &self.fe {
            self.check_address(address)?;
        }
        if self.state_dir.as_os_str().is_empty() {
            return Err(invalid("state_dir", "give a directory"));
        }
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            return Err(invalid("tls", "give a certificate and its key, or neither"));
        }
        if self.memory_budget < MIN_MEMORY_BUDGET {
            return Err(invalid("memory_budget", format_args!("give at least {MIN_MEMORY_BUDGET} bytes")));
        }
        for (field, number) in [
            ("parallel_transfers", self.parallel_transfers),
            ("heavy_tasks", self.heavy_tasks),
            ("light_tasks", self.light_tasks),
            ("max_tasks", self.max_tasks),
        ] {
            if !(1..=65_536).contains(&number) {
                return Err(invalid(field, "give a number from 1 to 65536"));
            }
        }
        if self.settings.max_requests_in_flight == Some(0) {
            return Err(invalid("max_requests_in_flight", "give a number from 1 on"));
        }
        for (field, span) in [("heartbeat", self.heartbeat), ("reconnect_within", self.reconnect_within)] {
            if span.is_zero() {
                return Err(invalid(field, "give a time above zero"));
            }
        }
        Ok(())
    }

    fn check_address(&self, address: &str) -> Result<(), Failure> {
        let wrong = || invalid("fe", format_args!("`{address}` is no address such as http://127.0.0.1:9020"));
        let uri: Uri = address.parse().map_err(|_| wrong())?;
        let host = uri.host().ok_or_else(wrong)?;
        match uri.scheme_str() {
            Some("https") => Ok(()),
            Some("http") if self.insecure || is_loopback(host) => Ok(()),
            Some("http") => {
                let message = "credentials would travel in clear: use https, or allow it with `insecure`";
                Err(invalid("fe", format_args!("`{address}` is another machine and {message}")))
            }
            _ => Err(wrong()),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn invalid(field: &str, what: impl std::fmt::Display) -> Failure {
    Failure::fatal(Kind::InvalidArgument, format!("agent configuration, {field}: {what}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn good() -> AgentConfig {
        AgentConfig { fe: vec!["http://127.0.0.1:9020".into()], state_dir: "/x".into(), ..AgentConfig::default() }
    }

    #[test]
    fn defaults_need_only_an_address_and_a_directory() {
        good().validate().unwrap();
        assert!(AgentConfig::default().validate().is_err());
    }

    #[test]
    fn credentials_do_not_leave_the_machine_in_clear_unless_allowed() {
        let far = AgentConfig { fe: vec!["http://fe.example:9020".into()], ..good() };
        assert!(far.validate().unwrap_err().message.contains("in clear"));
        AgentConfig { insecure: true, ..far }.validate().unwrap();
        AgentConfig { fe: vec!["https://fe.example:9020".into(), "http://[::1]:9020".into()], ..good() }
            .validate()
            .unwrap();
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = [
            (AgentConfig { fe: vec!["127.0.0.1".into()], ..good() }, "fe"),
            (AgentConfig { fe: vec!["ftp://127.0.0.1".into()], ..good() }, "fe"),
            (AgentConfig { state_dir: PathBuf::new(), ..good() }, "state_dir"),
            (AgentConfig { memory_budget: 1, ..good() }, "memory_budget"),
            (AgentConfig { heavy_tasks: 0, ..good() }, "heavy_tasks"),
            (AgentConfig { heartbeat: Duration::ZERO, ..good() }, "heartbeat"),
            (AgentConfig { tls: TlsOptions { key: Some("k".into()), ..TlsOptions::default() }, ..good() }, "tls"),
        ];
        for (config, field) in wrong {
            let failure = config.validate().unwrap_err();
            assert!(failure.message.contains(&format!(", {field}: ")), "{failure}");
        }
    }
}
