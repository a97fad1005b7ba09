//! From where a storage is and how it is reached to a [`Storage`] that may be used at once.
//!
//! Every opened storage wears the same decorators, from the inside: time-outs (each attempt has its own), the observer
//! (who does not count waiting for limits), limits (each attempt costs), retries. Nothing is contacted while opening; wrong locations and properties are refused here, wrong
//! keys and dead hosts by the first call. [`crate::probe`] makes such calls on purpose.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tabvault_common::access::StorageAccess;
use tabvault_common::clock::{Clock, SystemClock};
use tabvault_common::failure::{Failure, Kind};

use crate::faults::Faults;
use crate::limit::{LimitStorage, Limits};
use crate::local::LocalStorage;
use crate::observe::{ObserveStorage, Observer};
use crate::opendal::OpendalStorage;
use crate::properties::{self, Target};
use crate::remote::{Connection, RemoteStorage};
use crate::retry::{Policy, RetryStorage};
use crate::storage::{Result, Storage};
use crate::timeout::{TimeoutStorage, Timeouts};

/// Attempts of [`Options::impatient`], and how long each may take.
const TRIES: u32 = 3;
const TRY: Duration = Duration::from_secs(15);

/// How storages are opened: what is the same for all of them in one process.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// How often a call is tried.
    pub retry: Policy,
    /// When a call is given up.
    pub timeouts: Timeouts,
    /// The budgets that all storages opened with these options share; each of them must allow what is asked.
    pub limits: Vec<Limits>,
    /// Who is told how requests went, each attempt by itself.
    pub observer: Option<Arc<dyn Observer>>,
    /// How broker processes are talked to.
    pub connection: Connection,
    /// Whether `memory://name` is understood, shared by name within the process. Only tests want that: a backup there
    /// would be gone with the process.
    pub memory: bool,
    /// What goes wrong beneath the decorators. Only tests want that.
    pub faults: Option<Faults>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            retry: Policy::default(),
            timeouts: Timeouts::default(),
            limits: Vec::new(),
            observer: None,
            connection: Connection::default(),
            memory: false,
            faults: None,
        }
    }
}

/// Opens `access` with the default [`Options`].
///
/// # Errors
/// As [`Options::open`].
pub async fn open(access: &StorageAccess) -> Result<Arc<dyn Storage>> {
    Options::default().open(access).await
}

/// Refuses what [`Options::open`] would refuse for its location or properties, without opening anything.
///
/// # Errors
/// `Kind::InvalidArgument` with what is wrong and what is known.
pub fn check(access: &StorageAccess) -> Result<()> {
    properties::parse(access).map(|_| ())
}

/// What a location reaches, and in whose name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Directories of the machine that opens it.
    Local,
    /// A bucket, with keys that its properties give and nothing else.
    Keyed,
    /// A bucket, with whatever rights the machine that opens it has, or memory of its process.
    Ambient,
}

/// What `access` reaches, without contacting anything.
///
/// # Errors
/// `InvalidArgument` for a location or properties that nobody can open.
pub fn reach(access: &StorageAccess) -> Result<Reach> {
    Ok(match properties::parse(access)? {
        Target::Local(_) => Reach::Local,
        // A role is taken on by whoever the machine is.
        Target::S3(settings) if settings.keys.is_some() && settings.role_arn.is_none() => Reach::Keyed,
        Target::S3(_) | Target::Memory(_) => Reach::Ambient,
    })
}

impl Options {
    /// Opens `access`: directly, or through its brokers if it names any.
    ///
    /// # Errors
    /// `Kind::InvalidArgument` when the location or a property is wrong, `Kind::FailedPrecondition` when secrets would
    /// travel to a broker in clear. The storage itself is not contacted.
    pub async fn open(&self, access: &StorageAccess) -> Result<Arc<dyn Storage>> {
        let mut plain = self.undecorated(access)?;
        if let Some(faults) = &self.faults {
            plain = faults.wrap(plain);
        }
        let mut storage: Arc<dyn Storage> = Arc::new(TimeoutStorage::new(plain, self.timeouts, self.clock.clone()));
        if let Some(observer) = &self.observer {
            storage = Arc::new(ObserveStorage::new(storage, observer.clone(), self.clock.clone()));
        }
        for limits in &self.limits {
            storage = Arc::new(LimitStorage::new(storage, limits.clone()));
        }
        Ok(Arc::new(RetryStorage::new(storage, self.retry, self.clock.clone())))
    }

    /// The same for trying out a storage while somebody waits: what does not answer is given up within a minute.
    #[must_use]
    pub fn impatient(&self) -> Self {
        let retry = Policy { attempts: self.retry.attempts.min(TRIES), ..self.retry };
        let request = self.timeouts.request.min(TRY);
        Self { retry, timeouts: Timeouts { request, ..self.timeouts }, ..self.clone() }
    }

    fn undecorated(&self, access: &StorageAccess) -> Result<Arc<dyn Storage>> {
        // Also on the way to a broker: what is wrong is better said here than there.
        let target = properties::parse(access)?;
        if !access.brokers.is_empty() {
            return Ok(Arc::new(RemoteStorage::new(access, &self.connection)?));
        }
        Ok(match target {
            Target::Local(root) => Arc::new(LocalStorage::new(root)?),
            Target::S3(settings) => {
                let storage = OpendalStorage::s3(&settings, self.clock.clone(), self.retry)?;
                Arc::new(storage.observed(self.observer.clone()))
            }
            Target::Memory(name) if self.memory => shared_memory(&name, &self.clock)?,
            Target::Memory(_) => {
                return Err(Failure::fatal(
                    Kind::InvalidArgument,
                    "storage 'memory://' is not supported: write file:///dir or s3://bucket/prefix",
                ));
            }
        })
    }
}

/// The storage of this name in this process; one without a name is new every time.
fn shared_memory(name: &str, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Storage>> {
    static NAMED: LazyLock<Mutex<HashMap<String, OpendalStorage>>> = LazyLock::new(Mutex::default);
    let fresh = OpendalStorage::memory(name, clock.clone())?;
    if name.is_empty() {
        return Ok(Arc::new(fresh));
    }
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Arc::new(named.entry(name.to_owned()).or_insert(fresh).clone()))
}
