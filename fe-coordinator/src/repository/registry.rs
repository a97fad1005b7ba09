//! The repositories that this cluster knows by name.
//!
//! # Overview
//! One record per repository in the job store. CREATE and ALTER try everything out before they store anything; DROP
//! removes the record and nothing else. Opened storages are kept until the way to reach them changes.
//!
//! # Consistency
//! Every change expects the record as it was read, so that two changes at the same time cannot undo each other, and
//! carries the epoch. What is open is compared with the record at each use: a change by another leader is seen, too.
//!
//! # Crash consistency
//! A change that has answered is durable. See [`super`] for what a crash in the middle of CREATE leaves.
//!
//! # Cancellation
//! A dropped future leaves the outcome unknown: list, and ask again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tabvault_broker::storage::Storage;
use tabvault_common::access::StorageAccess;
use tabvault_common::clock::Clock;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::{ClusterId, Epoch};
use tabvault_common::request::CreateRepositoryRequest;
use tabvault_common::secret::Secret;
use tabvault_common::settings::RepositorySettings;
use tabvault_common::view::RepositoryView;

use super::founding::{Founded, Founding};
use super::record::{self, RepositoryRecord};
use super::{Repository, place};
use crate::brokers::Brokers;
use crate::store::{Committed, JobStore, Transaction};

type Result<T> = std::result::Result<T, Failure>;

/// The last number that was given to a repository, as decimal text.
const LAST_ID: &str = "repository-last-id";
/// Attempts to get a number, each lost to another CREATE REPOSITORY.
const ATTEMPTS: u32 = 16;
/// Records that are read at once.
const PAGE: usize = 100;

/// How storages are opened: [`tabvault_broker::open::Options`], unless a test wants faults.
#[async_trait]
pub trait OpenStorage: Send + Sync + std::fmt::Debug {
    /// Opens what `access` describes, without contacting it.
    ///
    /// # Errors
    /// When location or properties are wrong.
    async fn open(&self, access: &StorageAccess) -> Result<Arc<dyn Storage>>;

    /// The same for a storage that is only tried out, while somebody waits.
    ///
    /// # Errors
    /// As of [`Self::open`].
    async fn open_to_try(&self, access: &StorageAccess) -> Result<Arc<dyn Storage>> {
        self.open(access).await
    }
}

#[async_trait]
impl OpenStorage for tabvault_broker::open::Options {
    async fn open(&self, access: &StorageAccess) -> Result<Arc<dyn Storage>> {
        Self::open(self, access).await
    }

    async fn open_to_try(&self, access: &StorageAccess) -> Result<Arc<dyn Storage>> {
        Self::open(&self.impatient(), access).await
    }
}

/// See the module.
pub struct Repositories {
    store: Arc<dyn JobStore>,
    epoch: Epoch,
    cluster: ClusterId,
    brokers: Arc<Brokers>,
    opener: Arc<dyn OpenStorage>,
    pub(super) clock: Arc<dyn Clock>,
    /// One entry per name used since this leadership began.
    names: Mutex<HashMap<String, Name>>,
}

impl std::fmt::Debug for Repositories {
    /// Without the store, whose records hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { epoch, cluster, names, .. } = self;
        f.debug_struct("Repositories")
            .field("epoch", epoch)
            .field("cluster", cluster)
            .field("names", names)
            .finish_non_exhaustive()
    }
}

/// What is remembered of a name.
#[derive(Debug, Default)]
struct Name {
    /// Held while a name that must not be written twice is written to a storage that does not see to it itself.
    commits: Arc<tokio::sync::Mutex<()>>,
    opened: Option<Opened>,
    /// What the last health check found wrong.
    error: Option<String>,
}

#[derive(Debug)]
struct Opened {
    record: RepositoryRecord,
    access: StorageAccess,
    repository: Arc<Repository>,
}

impl Repositories {
    /// The repositories in `store`, for the leadership `epoch` of the cluster `cluster`.
    pub fn new(
        store: Arc<dyn JobStore>,
        epoch: Epoch,
        cluster: ClusterId,
        brokers: Arc<Brokers>,
        opener: Arc<dyn OpenStorage>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, epoch, cluster, brokers, opener, clock, names: Mutex::default() }
    }

    /// Makes a repository known, and makes it there unless it exists or is read only.
    ///
    /// # Errors
    /// `InvalidArgument` for a wrong name, location or property; `AlreadyExists` "Repository X already exist";
    /// `NotFound` "broker does not exist: X", or a read-only repository that is not there; `FailedPrecondition` when
    /// another cluster owns it; else what the storage or the store says. Nothing is left behind but, at worst, an empty
    /// repository without a mapping.
    pub async fn create(&self, request: CreateRepositoryRequest) -> Result<RepositoryView> {
        let CreateRepositoryRequest { name, location, properties, broker, read_only } = request;
        place::check_name("repository", &name)?;
        // Two that create one name in this process shall not both found it.
        let commits = self.commits(&name);
        let _alone = commits.lock().await;
        if self.store.get(&RepositoryRecord::key(&name)).await?.is_some() {
            return Err(already_exists(&name));
        }
        let mut record = RepositoryRecord {
            id: 0,
            uuid: uuid::Uuid::nil(),
            location: place::normalise(&location),
            properties,
            broker,
            read_only,
            conditional_writes: false,
            create_time: self.clock.now(),
            notice: None,
            settings: RepositorySettings::default(),
            name,
        };
        // Too many properties, and what is no location at all, are refused before anything is contacted.
        record.encode()?;
        if !record.location.contains("://") {
            let (location, properties) = (location, record.properties.clone());
            tabvault_broker::open::check(&StorageAccess { location, properties, brokers: Vec::new() })?;
        }
        let founded = self.found("create", &record, None).await?;
        let Founded { uuid, conditional_writes, notice } = founded;
        record = RepositoryRecord { uuid, conditional_writes, notice, ..record };
        let record = self.insert(record).await?;
        tracing::info!(repository = record.name, location = record.location, "created a repository");
        Ok(record.view(None))
    }

    /// Changes properties; the others stay. They are tried out before they are stored.
    ///
    /// # Errors
    /// `NotFound` "Repository X does not exist"; `Busy` when it is changed at the same time; else as of
    /// [`Self::create`].
    pub async fn alter(&self, name: &str, properties: BTreeMap<String, Secret>) -> Result<RepositoryView> {
        let (before, mut record) = self.record(name).await?;
        record.properties.extend(properties);
        // Too many properties are refused before anything is contacted.
        record.encode()?;
        let founded = self.found("alter", &record, Some(record.uuid)).await?;
        record.conditional_writes = founded.conditional_writes;
        record.notice = founded.notice;
        let after = record.encode()?;
        let key = RepositoryRecord::key(name);
        let change =
            Transaction { expect: vec![(key.clone(), Some(before))], put: vec![(key, after)], delete: Vec::new() };
        self.change(name, change).await?;
        self.found_wrong(name, None);
        Ok(record.view(None))
    }

    /// Forgets a repository. What is stored there stays. `busy` says whether a job uses it; the caller sees to it that
    /// none begins meanwhile.
    ///
    /// # Errors
    /// `NotFound` "Repository X does not exist"; `Busy` "Backup or restore job is running on this repository. Can not
    /// drop it"; else what the store says.
    pub async fn drop_repository(&self, name: &str, busy: bool) -> Result<()> {
        let (before, _) = self.record(name).await?;
        if busy {
            return Err(Failure::fatal(
                Kind::Busy,
                "Backup or restore job is running on this repository. Can not drop it",
            ));
        }
        let key = RepositoryRecord::key(name);
        let change = Transaction { expect: vec![(key.clone(), Some(before))], put: Vec::new(), delete: vec![key] };
        self.change(name, change).await?;
        self.remembered(name, |name| (name.opened, name.error) = (None, None));
        Ok(())
    }

    /// All repositories, in the order in which they were created, each with what its last health check found.
    ///
    /// # Errors
    /// What the store says.
    pub async fn list(&self) -> Result<Vec<RepositoryView>> {
        let mut records = self.records().await?;
        records.sort_by_key(|record| record.id);
        let error = |name: &str| self.remembered(name, |name| name.error.clone());
        Ok(records.iter().map(|record| record.view(error(&record.name))).collect())
    }

    /// Whether there is a repository of this name, whatever keeps it from being opened.
    pub(crate) async fn exists(&self, name: &str) -> Result<bool> {
        match self.record(name).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.kind == Kind::NotFound => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// The repository `name`, open. It is not contacted.
    ///
    /// # Errors
    /// `NotFound` "Repository X does not exist" or "broker does not exist: X"; else what the store says.
    pub async fn open(&self, name: &str) -> Result<Arc<Repository>> {
        let (_, record) = self.record(name).await?;
        let access = self.access_of(&record).await?;
        let same = |opened: &&Opened| opened.record == record && opened.access == access;
        let known =
            self.remembered(name, |name| name.opened.as_ref().filter(same).map(|opened| opened.repository.clone()));
        if let Some(repository) = known {
            return Ok(repository);
        }
        let storage = self.opener.open(&access).await.map_err(|failure| doing("open", name, failure))?;
        let commits = self.commits(name);
        let repository = Arc::new(Repository::new(&record, self.cluster, storage, self.clock.clone(), commits));
        let opened = Opened { record, access, repository: repository.clone() };
        self.remembered(name, |name| name.opened = Some(opened));
        Ok(repository)
    }

    /// How an agent reaches the repository's directory; with secrets.
    ///
    /// # Errors
    /// As of [`Self::open`].
    pub async fn access(&self, name: &str) -> Result<StorageAccess> {
        let (_, record) = self.record(name).await?;
        self.access_of(&record).await
    }

    async fn access_of(&self, record: &RepositoryRecord) -> Result<StorageAccess> {
        let brokers = match &record.broker {
            Some(broker) => self.brokers.addresses(broker).await?,
            None => Vec::new(),
        };
        Ok(record.access(brokers))
    }

    /// Tries out what `record` says, for the statement `what`.
    async fn found(&self, what: &str, record: &RepositoryRecord, known: Option<uuid::Uuid>) -> Result<Founded> {
        let access = self.access_of(record).await?;
        let (name, read_only, cluster) = (record.name.as_str(), record.read_only, self.cluster);
        let founding = Founding { name, read_only, cluster, now: self.clock.now(), known };
        let founded = async {
            let storage = self.opener.open_to_try(&access).await?;
            founding.find_or_found(storage.as_ref()).await
        };
        founded.await.map_err(|failure| doing(what, name, failure))
    }

    /// Stores a new record under the next number.
    async fn insert(&self, mut record: RepositoryRecord) -> Result<RepositoryRecord> {
        let key = RepositoryRecord::key(&record.name);
        for _ in 0..ATTEMPTS {
            let last = self.store.get(LAST_ID).await?;
            record.id = next_id(last.as_deref())?;
            let bytes = record.encode()?;
            let change = Transaction {
                expect: vec![(key.clone(), None), (LAST_ID.to_owned(), last)],
                put: vec![(key.clone(), bytes.clone()), (LAST_ID.to_owned(), record.id.to_string().into())],
                delete: Vec::new(),
            };
            match self.store.commit(self.epoch, change).await {
                Ok(Committed::Done) => return Ok(record),
                Ok(Committed::Conflict { key: conflict }) if conflict == key => {
                    return Err(already_exists(&record.name));
                }
                Ok(Committed::Conflict { .. }) => {}
                // The answer was lost; whether the record is there tells.
                Err(failure) if failure.retry == Retry::OutcomeUnknown => {
                    return if self.store.get(&key).await?.as_ref() == Some(&bytes) {
                        Ok(record)
                    } else {
                        Err(failure)
                    };
                }
                Err(failure) => return Err(failure),
            }
        }
        let message = format!("create repository {}: too many others were created at the same time", record.name);
        Err(Failure::transient(Kind::Busy, message))
    }

    pub(super) async fn change(&self, name: &str, change: Transaction) -> Result<()> {
        match self.store.commit(self.epoch, change).await? {
            Committed::Done => Ok(()),
            Committed::Conflict { .. } => Err(Failure::transient(
                Kind::Busy,
                format!("repository {name} was changed at the same time: look at it and try again"),
            )),
        }
    }

    pub(super) async fn record(&self, name: &str) -> Result<(Bytes, RepositoryRecord)> {
        let key = RepositoryRecord::key(name);
        match self.store.get(&key).await? {
            Some(bytes) => RepositoryRecord::decode(&key, &bytes).map(|record| (bytes, record)),
            None => Err(Failure::fatal(Kind::NotFound, format!("Repository {name} does not exist"))),
        }
    }

    pub(super) async fn records(&self) -> Result<Vec<RepositoryRecord>> {
        let mut records: Vec<RepositoryRecord> = Vec::new();
        loop {
            let after = records.last().map(|record| RepositoryRecord::key(&record.name));
            let page = self.store.scan(record::PREFIX, after.as_deref(), PAGE).await?;
            let full = page.len() >= PAGE;
            for (key, bytes) in page {
                records.push(RepositoryRecord::decode(&key, &bytes)?);
            }
            if !full {
                return Ok(records);
            }
        }
    }

    /// Remembers what a health check of the repository `name` found.
    pub(super) fn found_wrong(&self, name: &str, error: Option<String>) {
        self.remembered(name, |name| name.error = error);
    }

    fn commits(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.remembered(name, |name| name.commits.clone())
    }

    fn remembered<T>(&self, name: &str, look: impl FnOnce(&mut Name) -> T) -> T {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        look(names.entry(name.to_owned()).or_default())
    }
}

fn next_id(last: Option<&[u8]>) -> Result<u64> {
    let Some(last) = last else { return Ok(1) };
    let number = std::str::from_utf8(last).ok().and_then(|text| text.parse::<u64>().ok());
    let next = number.and_then(|number| number.checked_add(1));
    next.ok_or_else(|| Failure::fatal(Kind::Corrupt, format!("the job store's record {LAST_ID} is damaged")))
}

fn already_exists(name: &str) -> Failure {
    Failure::fatal(Kind::AlreadyExists, format!("Repository {name} already exist"))
}

fn doing(what: &str, name: &str, failure: Failure) -> Failure {
    failure.context(format_args!("{what} repository {name}"))
}
