//! The façade: what an embedding frontend, the gRPC services and SQL call.
//!
//! # Overview
//! [`Coordinator::start`] takes the leadership, loads what is stored, and resumes every job where it stood. All methods
//! may be called at once from anywhere.
//!
//! # Crash consistency
//! A caller who got a job's number has a job that ends by itself, whatever crashes. A caller who got no answer may have
//! one: SHOW tells.
//!
//! # Cancellation
//! Dropping a future of this type leaves the request done or not done; running jobs do not depend on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tabvault_broker::remote::Connection;
use tabvault_common::clock::Clock;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{ClusterId, Epoch, JobId, JobUuid};
use tabvault_common::task::JobEnd;
use tabvault_common::view::{JobKind, JobView};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::agents::Agents;
use crate::asks::{Asks, Found, Published};
use crate::auth::Authorizer;
use crate::auth::users::Users;
use crate::brokers::Brokers;
use crate::catalog::Catalog;
use crate::catalog::local::LocalCatalog;
use crate::chores::ChoreBell;
use crate::job::any::Job;
use crate::records::Records;
use crate::repository::registry::{OpenStorage, Repositories};
use crate::runner::{self, Context, Running};
use crate::store::{Committed, JobStore, Transaction};

mod config;
pub(crate) mod decommission;
mod explain;
mod new_job;
mod requests;
#[cfg(test)]
pub(crate) mod samples;
mod settings;

pub use config::Config;
pub use explain::{Explanation, Work};
pub use settings::{SettingView, SettingsOf};

/// What a coordinator stands on.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Its durable records.
    pub store: Arc<dyn JobStore>,
    /// The cluster's tables.
    pub catalog: Arc<dyn Catalog>,
    /// The built-in catalog again, where it is the one: what makes DDL, loads and exports possible.
    pub local: Option<Arc<LocalCatalog>>,
    /// How remote storage is opened.
    pub opener: Arc<dyn OpenStorage>,
    /// How broker processes are reached.
    pub brokers: Connection,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who may do what.
    pub authorizer: Arc<dyn Authorizer>,
    /// The built-in users again, where they are the authorizer: what makes CREATE USER and GRANT possible.
    pub users: Option<Arc<Users>>,
}

/// A job that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStarted {
    /// Its number.
    pub id: JobId,
    /// Its identity.
    pub uuid: JobUuid,
    /// What the user should know.
    pub notices: Vec<String>,
}

/// The coordinator of a cluster. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Coordinator {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) cluster: ClusterId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) local: Option<Arc<LocalCatalog>>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) repositories: Arc<Repositories>,
    pub(crate) brokers: Arc<Brokers>,
    pub(crate) chores: Arc<ChoreBell>,
    authorizer: Arc<dyn Authorizer>,
    users: Option<Arc<Users>>,
    records: Records,
    asks: Arc<Asks>,
    context: Arc<Context>,
    running: Mutex<BTreeMap<JobId, Running>>,
    ended: Mutex<BTreeMap<JobId, Arc<JobView>>>,
    over: mpsc::UnboundedSender<JobId>,
    /// Held while settings are changed and told.
    settings: tokio::sync::Mutex<()>,
    /// Held for reading while a job starts, for writing while a repository is dropped that none may use.
    starting: tokio::sync::RwLock<()>,
    pub(crate) stop: CancellationToken,
}

const CLUSTER: &str = "cluster";

impl Coordinator {
    /// Takes the leadership, and resumes every job that had not ended.
    ///
    /// # Errors
    /// A wrong configuration, or a store that cannot be read.
    pub async fn start(config: Config, parts: Parts) -> Result<Self, Failure> {
        config.validate()?;
        let epoch = parts.store.lead().await?;
        if let Some(users) = &parts.users {
            users.lead(epoch);
        }
        let cluster = cluster(&*parts.store, epoch).await?;
        let (store, clock) = (parts.store.clone(), parts.clock.clone());
        let brokers = Arc::new(Brokers::new(store.clone(), epoch, parts.brokers, clock.clone()));
        let opener = parts.opener.clone();
        let repositories =
            Arc::new(Repositories::new(store.clone(), epoch, cluster, brokers.clone(), opener, clock.clone()));
        let patience = config.backend_patience;
        let agents = Agents::load(store.clone(), clock.clone(), cluster, epoch, patience).await?;
        let records = Records::new(store, epoch).with_slots(config.jobs_per_database);
        records.sweep().await?;
        let stop = CancellationToken::new();
        let asks = Arc::new(Asks {
            catalog: parts.catalog.clone(),
            repositories: repositories.clone(),
            agents: agents.clone(),
            records: records.clone(),
            clock: clock.clone(),
            epoch,
            max_tablets: config.max_tablets_per_job,
            published: Published::default(),
            found: Found::default(),
        });
        let context = Arc::new(Context {
            records: records.clone(),
            agents: agents.clone(),
            repositories: repositories.clone(),
            asks: asks.clone(),
            clock: clock.clone(),
            kept_jobs: config.kept_jobs,
            stop: stop.clone(),
        });
        let (over, ends) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            config,
            cluster,
            clock,
            catalog: parts.catalog,
            local: parts.local,
            agents,
            repositories,
            brokers,
            chores: Arc::default(),
            authorizer: parts.authorizer,
            users: parts.users,
            records,
            asks,
            context,
            running: Mutex::default(),
            ended: Mutex::default(),
            over,
            settings: tokio::sync::Mutex::default(),
            starting: tokio::sync::RwLock::default(),
            stop,
        });
        let this = Self { inner };
        this.limit_repositories().await?;
        for view in this.inner.records.history().await? {
            this.ended().insert(view.id, Arc::new(view));
        }
        for job in this.inner.records.running().await? {
            tracing::info!(id = %job.id(), state = job.state(), "job resumes");
            this.run(job);
        }
        this.spawn_loops(ends);
        tracing::info!(%cluster, %epoch, "coordinator leads");
        Ok(this)
    }

    fn spawn_loops(&self, mut ends: mpsc::UnboundedReceiver<JobId>) {
        let stop = &self.inner.stop;
        let agents = self.inner.agents.clone();
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move { agents.run().await }));
        let (brokers, interval) = (self.inner.brokers.clone(), self.inner.config.health_interval);
        tokio::spawn(stop.clone().run_until_cancelled_owned(brokers.watch(interval)));
        let repositories = self.inner.repositories.clone();
        let watch = crate::repository::health::watch(repositories, interval);
        tokio::spawn(stop.clone().run_until_cancelled_owned(watch));
        let chores = crate::chores::Chores::new(&self.inner);
        tokio::spawn(stop.clone().run_until_cancelled_owned(chores.run()));
        let this = self.clone();
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Some(id) = ends.recv().await {
                this.retire(id);
            }
        }));
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<JobId, Running>> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> MutexGuard<'_, BTreeMap<JobId, Arc<JobView>>> {
        self.inner.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, job: Job) {
        let id = job.id();
        // The lock is held while it starts, so that it is listed before it can be over.
        let mut running = self.running();
        running.insert(id, runner::start(self.inner.context.clone(), job, self.inner.over.clone()));
        count_running(&running);
    }

    /// Moves a job whose runner has stopped to those that have ended; a bounded number of each kind stays.
    fn retire(&self, id: JobId) {
        let mut running = self.running();
        let Some(job) = running.remove(&id) else { return };
        count_running(&running);
        let view = job.view();
        let mut ended = self.ended();
        let kind = view.kind;
        ended.insert(id, view);
        let of_kind: Vec<JobId> = ended.iter().filter(|(_, view)| view.kind == kind).map(|(id, _)| *id).collect();
        let surplus = of_kind.len().saturating_sub(self.inner.config.kept_jobs);
        for id in &of_kind[..surplus] {
            ended.remove(id);
        }
    }

    /// How a job ended that an agent asks about; `None` while it runs. What this coordinator does not know is a load or
    /// an export that nobody waits for any more: jobs are stored before any agent hears of them.
    pub(crate) async fn ended_job(&self, job: JobUuid) -> Result<Option<JobEnd>, Failure> {
        if self.inner.agents.is_registered(job) {
            return Ok(None);
        }
        let end = self.inner.records.ended(job).await?;
        // It may have begun in between.
        Ok(if self.inner.agents.is_registered(job) { None } else { Some(end.unwrap_or(JobEnd::Discarded)) })
    }

    /// This cluster's identity.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.inner.cluster
    }

    /// The numbers it was started with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The backends.
    #[must_use]
    pub fn agents(&self) -> &Arc<Agents> {
        &self.inner.agents
    }

    /// The repositories.
    #[must_use]
    pub fn repositories(&self) -> &Arc<Repositories> {
        &self.inner.repositories
    }

    /// The broker processes.
    #[must_use]
    pub fn brokers(&self) -> &Arc<Brokers> {
        &self.inner.brokers
    }

    /// The cluster's tables.
    #[must_use]
    pub fn catalog(&self) -> &Arc<dyn Catalog> {
        &self.inner.catalog
    }

    /// Who may do what. Whoever lets somebody in asks it; the coordinator itself does not.
    #[must_use]
    pub fn authorizer(&self) -> &Arc<dyn Authorizer> {
        &self.inner.authorizer
    }

    /// The built-in users.
    ///
    /// # Errors
    /// `Unsupported` where the embedding frontend keeps its own.
    pub fn users(&self) -> Result<&Arc<Users>, Failure> {
        let why = "users are kept by the frontend that tabvault is embedded in: change them there";
        self.inner.users.as_ref().ok_or_else(|| Failure::fatal(Kind::Unsupported, why))
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Resolves when the coordinator has stopped leading: shut down, or overtaken by another.
    pub async fn stopped(&self) {
        self.inner.stop.cancelled().await;
    }

    /// Stops leading. Jobs stay as they are stored and go on when a coordinator starts again.
    pub fn shutdown(&self) {
        self.inner.stop.cancel();
    }

    /// The jobs of a kind, of one database or of all, newest last.
    #[must_use]
    pub fn jobs(&self, kind: Option<JobKind>, database: Option<&str>) -> Vec<Arc<JobView>> {
        // Running first: a job that ends in between is seen twice rather than not at all.
        let running: Vec<_> = self.running().values().map(Running::view).collect();
        let mut all: BTreeMap<JobId, Arc<JobView>> = running.into_iter().map(|view| (view.id, view)).collect();
        all.extend(self.ended().iter().map(|(id, view)| (*id, view.clone())));
        let fits = |view: &Arc<JobView>| {
            kind.is_none_or(|kind| view.kind == kind) && database.is_none_or(|database| view.database == database)
        };
        all.into_values().filter(fits).collect()
    }

    /// A job by its number.
    #[must_use]
    pub fn job(&self, id: JobId) -> Option<Arc<JobView>> {
        let running = self.running().get(&id).map(Running::view);
        running.or_else(|| self.ended().get(&id).cloned())
    }

    /// Told whenever the job's view changes; `None` once its runner has stopped.
    #[must_use]
    pub fn watch(&self, id: JobId) -> Option<tokio::sync::watch::Receiver<Arc<JobView>>> {
        self.running().get(&id).map(Running::watch)
    }
}

fn count_running(running: &BTreeMap<JobId, Running>) {
    metrics::gauge!("tabvault_fe_jobs_running").set(u32::try_from(running.len()).unwrap_or(u32::MAX));
}

/// This cluster's identity, made at the first start.
async fn cluster(store: &dyn JobStore, epoch: Epoch) -> Result<ClusterId, Failure> {
    loop {
        if let Some(value) = store.get(CLUSTER).await? {
            let text = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
            return text
                .ok_or_else(|| Failure::fatal(Kind::Corrupt, "the record of the cluster's identity is no UUID"));
        }
        let new = ClusterId::random();
        let put = vec![(CLUSTER.to_owned(), new.to_string().into())];
        let transaction = Transaction { expect: vec![(CLUSTER.to_owned(), None)], put, delete: Vec::new() };
        if store.commit(epoch, transaction).await? == Committed::Done {
            return Ok(new);
        }
    }
}
