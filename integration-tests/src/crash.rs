//! Deaths of a coordinator, before or after one of its durable writes.
//!
//! Counted are the commits of the job store, the changes of the catalog that jobs make, and what the coordinator writes
//! to repositories. At the chosen one the coordinator dies: the write happens or it does not, nobody hears of it, and
//! nothing is written afterwards. Writes can also be held, to look at a job where it stands.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tabvault_be_agent::config::StorageOpener;
use tabvault_be_agent::store::TabletStore;
use tabvault_broker::open::Options;
use tabvault_broker::storage::Storage;
use tabvault_common::access::StorageAccess;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::Epoch;
use tabvault_fe_coordinator::catalog::Catalog;
use tabvault_fe_coordinator::repository::registry::OpenStorage;
use tabvault_fe_coordinator::store::{Committed, JobStore, Transaction};
use tokio::sync::watch;

mod catalog;
mod point;
mod storage;
mod tablets;

pub use point::Point;

/// On which side of the write death comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Side {
    /// The write does not happen.
    Before,
    /// The write happens and nobody hears of it.
    After,
}

#[derive(Debug)]
enum At {
    Point(Point),
    /// After so many writes of any kind.
    Number(usize),
}

/// What dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// The coordinator, as far as a test can do it.
    Coordinator,
    /// This very process, by SIGKILL.
    Process,
}

/// When the coordinator dies: a handle, whose clones are the same.
#[derive(Debug, Clone)]
pub struct Crash {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    died: watch::Sender<bool>,
}

/// Where a write is held: for the test that it was reached, for the write that it may go on.
#[derive(Debug, Clone)]
pub struct Hold {
    pattern: String,
    side: Side,
    reached: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

impl Hold {
    /// Returns when a write is held.
    ///
    /// # Panics
    /// If none comes within half a minute.
    pub async fn reached(&self) {
        let mut reached = self.reached.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(30), reached.wait_for(|reached| *reached)).await;
        assert!(waited.is_ok(), "no write of `{}` comes", self.pattern);
    }

    /// Lets it go on.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    async fn pass(&self) {
        self.reached.send_replace(true);
        // The sender is this very handle, so waiting cannot fail.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}

#[derive(Debug)]
struct State {
    /// Each holds one write.
    holds: Vec<Hold>,
    /// What was written since the counting began.
    log: Vec<Point>,
    at: Option<(At, Side)>,
    death: Death,
    dead: bool,
    /// Whether the catalog shows no garbage.
    chores_rest: bool,
}

impl Crash {
    /// A life without an end.
    #[must_use]
    pub fn never() -> Self {
        let state = State {
            holds: Vec::new(),
            log: Vec::new(),
            at: None,
            death: Death::Coordinator,
            dead: false,
            chores_rest: false,
        };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), died: watch::Sender::new(false) }) }
    }

    /// Begins to count anew.
    pub fn count(&self) {
        self.state(|state| state.log.clear());
    }

    /// Counts anew; the write there is the last.
    pub fn arm(&self, point: Point, side: Side) {
        self.arm_at(At::Point(point), side, Death::Coordinator);
    }

    /// As [`Crash::arm`], but the whole process is killed, by SIGKILL.
    pub fn arm_process(&self, point: Point, side: Side) {
        self.arm_at(At::Point(point), side, Death::Process);
    }

    /// As [`Crash::arm`], at the `n`th write of any kind.
    pub fn arm_after(&self, n: usize, side: Side) {
        self.arm_at(At::Number(n), side, Death::Coordinator);
    }

    fn arm_at(&self, at: At, side: Side, death: Death) {
        self.state(|state| {
            state.log.clear();
            state.at = Some((at, side));
            state.death = death;
        });
    }

    /// No garbage is collected until [`Crash::let_chores`]. Chores keep their own time: their writes would come now before
    /// and now after a job's, which then were not counted alike from one life to the next.
    pub fn rest_chores(&self) {
        self.state(|state| state.chores_rest = true);
    }

    /// Ends [`Crash::rest_chores`].
    pub fn let_chores(&self) {
        self.state(|state| state.chores_rest = false);
    }

    fn chores_rest(&self) -> bool {
        self.state(|state| state.chores_rest)
    }

    /// It lives on for ever; answers false if it is too late for that.
    #[must_use]
    pub fn disarm(&self) -> bool {
        self.state(|state| {
            state.at = None;
            !state.dead
        })
    }

    /// Holds the next write whose description contains `pattern`, before or after it happens.
    #[must_use]
    pub fn hold(&self, pattern: &str, side: Side) -> Hold {
        let (reached, open) = (watch::Sender::new(false), watch::Sender::new(false));
        let hold = Hold { pattern: pattern.to_owned(), side, reached, open };
        self.state(|state| state.holds.push(hold.clone()));
        hold
    }

    /// Returns when it has died.
    pub async fn died(&self) {
        // The sender is this very handle, so waiting cannot fail.
        let _ = self.inner.died.subscribe().wait_for(|died| *died).await;
    }

    /// What was written since the counting began.
    #[must_use]
    pub fn log(&self) -> Vec<Point> {
        self.state(|state| state.log.clone())
    }

    /// `store`, whose commits count.
    #[must_use]
    pub fn store(&self, store: Arc<dyn JobStore>) -> Arc<dyn JobStore> {
        Arc::new(CrashStore { store, crash: self.clone() })
    }

    /// `catalog`, whose changes by jobs count.
    #[must_use]
    pub fn catalog(&self, catalog: Arc<dyn Catalog>) -> Arc<dyn Catalog> {
        Arc::new(catalog::CrashCatalog { catalog, crash: self.clone() })
    }

    /// `opener`, of whose storages the writes count.
    #[must_use]
    pub fn opener(&self, opener: Arc<dyn OpenStorage>) -> Arc<dyn OpenStorage> {
        Arc::new(CrashOpener { opener, crash: self.clone() })
    }

    /// How an agent opens storage if it is to die at a write or a read.
    #[must_use]
    pub fn agent_opener(&self, options: Options) -> StorageOpener {
        let (options, crash) = (Arc::new(options), self.clone());
        StorageOpener::new(move |access| {
            let (options, crash) = (Arc::clone(&options), crash.clone());
            Box::pin(async move {
                let storage = options.open(&access).await?;
                Ok(Arc::new(storage::CrashStorage { storage, crash, reads: true }) as Arc<dyn Storage>)
            })
        })
    }

    /// `store`, whose changes count.
    #[must_use]
    pub fn tablets(&self, store: Arc<dyn TabletStore>) -> Arc<dyn TabletStore> {
        Arc::new(tablets::CrashTablets { store, crash: self.clone() })
    }

    /// Counts a write and lets it happen or not; `None` once dead.
    async fn write<T>(&self, what: String, write: impl Future<Output = T>) -> Option<T> {
        let taken = self.state(|state| {
            if state.dead {
                return None;
            }
            let hold = state.holds.iter().position(|hold| what.contains(&hold.pattern));
            let hold = hold.map(|n| state.holds.remove(n));
            let kind = point::kind(&what);
            let n = state.log.iter().filter(|point| point.kind == kind).count() + 1;
            let point = Point { kind, n };
            let reached = |at: &At| match at {
                At::Point(at) => *at == point,
                At::Number(n) => *n == state.log.len() + 1,
            };
            let now = state.at.as_ref().filter(|(at, _)| reached(at)).map(|(_, side)| *side);
            state.log.push(point);
            // From here on nothing else is written, not even by another task while this one is being done.
            state.dead = now.is_some();
            Some((now, hold))
        });
        let (now, hold) = taken?;
        if let Some(side) = now {
            // Also when the write is dropped while it is under way.
            let _dies = Dying(self);
            if side == Side::After {
                let _ = write.await;
            }
            return None;
        }
        match hold {
            None => Some(write.await),
            Some(hold) if hold.side == Side::Before => {
                hold.pass().await;
                Some(write.await)
            }
            Some(hold) => {
                let answer = write.await;
                hold.pass().await;
                Some(answer)
            }
        }
    }

    fn state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.inner.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Dies when dropped.
struct Dying<'a>(&'a Crash);

impl Drop for Dying<'_> {
    fn drop(&mut self) {
        if self.0.state(|state| state.death) == Death::Process {
            // It ends here; that it is asked for by a call which could fail makes no difference.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
        self.0.inner.died.send_replace(true);
    }
}

/// What a dead coordinator's tasks hear, if anything: they stop.
fn dead() -> Failure {
    Failure::fatal(Kind::Stale, "this coordinator is dead")
}

#[derive(Debug)]
struct CrashStore {
    store: Arc<dyn JobStore>,
    crash: Crash,
}

#[async_trait]
impl JobStore for CrashStore {
    async fn lead(&self) -> Result<Epoch, Failure> {
        self.crash.write("lead".to_owned(), self.store.lead()).await.unwrap_or_else(|| Err(dead()))
    }

    async fn get(&self, key: &str) -> Result<Option<bytes::Bytes>, Failure> {
        self.store.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, bytes::Bytes)>, Failure> {
        self.store.scan(prefix, after, limit).await
    }

    async fn commit(&self, epoch: Epoch, transaction: Transaction) -> Result<Committed, Failure> {
        let put = transaction.put.iter().map(|(key, value)| format!("+{key}{}", state(key, value)));
        let delete = transaction.delete.iter().map(|key| format!("-{key}"));
        let what = format!("store {}", put.chain(delete).collect::<Vec<_>>().join(" "));
        self.crash.write(what, self.store.commit(epoch, transaction)).await.unwrap_or_else(|| Err(dead()))
    }
}

/// The job's state that a head speaks of.
fn state(key: &str, value: &[u8]) -> String {
    if !key.ends_with("/head") {
        return String::new();
    }
    let head: serde_json::Value = serde_json::from_slice(value).unwrap_or_default();
    let state = ["backup", "restore"].iter().find_map(|kind| head[kind]["state"].as_str());
    state.map_or_else(String::new, |state| format!("={state}"))
}

#[derive(Debug)]
struct CrashOpener {
    opener: Arc<dyn OpenStorage>,
    crash: Crash,
}

#[async_trait]
impl OpenStorage for CrashOpener {
    async fn open(&self, access: &StorageAccess) -> Result<Arc<dyn Storage>, Failure> {
        let storage = self.opener.open(access).await?;
        Ok(Arc::new(storage::CrashStorage { storage, crash: self.crash.clone(), reads: false }))
    }
}
