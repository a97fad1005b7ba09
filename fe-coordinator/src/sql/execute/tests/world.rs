use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use tabvault_broker::open::Options;
use tabvault_broker::remote::Connection;
use tabvault_common::clock::{ManualClock, Time};
use tabvault_common::digest::Digest;
use tabvault_common::failure::Failure;
use tabvault_common::ids::{AgentUuid, BackendId, Epoch, JobId};
use tabvault_common::secret::Secret;
use tabvault_common::task::{LoadedTablet, TaskBody, TaskReport, TaskResult};
use tabvault_proto::session::{Heartbeat, Hello};
use uuid::Uuid;

use crate::agents::{Agents, Attachment, ToAgent};
use crate::auth::users::Users;
use crate::auth::{Authorizer, Identity, Open, Privilege, Proof, denied};
use crate::catalog::LocalCatalog;
use crate::coordinator::{Config, Coordinator, Parts};
use crate::sql::answer::{Answer, Cell};
use crate::sql::{Session, SqlError, parse};
use crate::store::{MemoryStore, SharedDb};

/// 2025-07-31-14-02-01-042.
pub(super) const NOW: Time = Time(1_753_970_521_042);

/// A coordinator of one backend.
pub(super) struct World {
    pub(super) coordinator: Coordinator,
    pub(super) session: Session,
    _dir: tempfile::TempDir,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::guarded(Arc::new(Open)).await
    }

    /// One whose door somebody guards; the session is that of `ann`.
    pub(super) async fn guarded(authorizer: Arc<dyn Authorizer>) -> Self {
        Self::of(Arc::new(MemoryStore::new()), authorizer, None).await
    }

    /// One with users.
    pub(super) async fn of(
        store: Arc<MemoryStore>,
        authorizer: Arc<dyn Authorizer>,
        users: Option<Arc<Users>>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(NOW));
        let catalog = LocalCatalog::open(&SharedDb::open(dir.path()).unwrap(), clock.clone()).unwrap();
        let catalog = Arc::new(catalog);
        let parts = Parts {
            store,
            catalog: catalog.clone(),
            local: Some(catalog),
            opener: Arc::new(Options { memory: true, clock: clock.clone(), ..Options::default() }),
            brokers: Connection::default(),
            clock,
            authorizer,
            users,
        };
        let config = Config { load_directories: vec!["/open".to_owned()], ..Config::default() };
        let coordinator = Coordinator::start(config, parts).await.unwrap();
        let hello = Hello {
            agent: AgentUuid::random(),
            incarnation: Uuid::new_v4(),
            cluster: None,
            highest_epoch: Epoch(0),
            backend: None,
            host: "host1".to_owned(),
            version: "1".to_owned(),
            state: Heartbeat { available_bytes: 1 << 40, ..Heartbeat::default() },
        };
        let attachment = coordinator.agents().attach(&hello).await.unwrap();
        tokio::spawn(agree(coordinator.agents().clone(), attachment));
        let session = Session::new(coordinator.clone(), Identity { user: "ann".to_owned() });
        Self { coordinator, session, _dir: dir }
    }

    /// With the database `d`, its tables `t` (partitioned, `p1` to `p3`) and `u`, and the repository `r`.
    pub(super) async fn furnished() -> Self {
        let mut world = Self::new().await;
        world.furnish().await;
        world
    }

    pub(super) async fn furnish(&mut self) {
        self.run(
            "CREATE DATABASE d; USE d;
             CREATE TABLE t (k BIGINT NOT NULL, v INT SUM) AGGREGATE KEY (k) PARTITION BY RANGE (k) (
               PARTITION p1 VALUES LESS THAN ('10'), PARTITION p2 VALUES LESS THAN ('20'),
               PARTITION p3 VALUES LESS THAN MAXVALUE)
             DISTRIBUTED BY HASH (k) BUCKETS 2 PROPERTIES ('replication_num' = '1');
             CREATE TABLE u (k INT) DISTRIBUTED BY HASH (k) BUCKETS 1 PROPERTIES ('replication_num' = '1');",
        )
        .await
        .unwrap();
        let location = format!("memory://{}", Uuid::new_v4());
        self.run(&format!("CREATE REPOSITORY r WITH BROKER ON LOCATION '{location}'")).await.unwrap();
    }

    /// A snapshot of `d` without data, and its timestamp.
    pub(super) async fn snapshot(&mut self, label: &str) -> String {
        self.run(&format!("BACKUP SNAPSHOT d.{label} TO r PROPERTIES ('content' = 'metadata_only')")).await.unwrap();
        let id = self.coordinator.jobs(None, Some("d")).last().unwrap().id;
        self.ended(id).await;
        let view = self.coordinator.job(id).unwrap();
        assert_eq!(view.state, "FINISHED", "{:?}", view.status);
        view.timestamp.clone().unwrap()
    }

    pub(super) async fn ended(&self, id: JobId) {
        let Some(mut watch) = self.coordinator.watch(id) else { return };
        while !watch.borrow_and_update().ended {
            if watch.changed().await.is_err() {
                return;
            }
        }
    }

    /// Runs statements; the answer of the last.
    pub(super) async fn run(&mut self, text: &str) -> Result<Answer, SqlError> {
        let mut last = None;
        for statement in parse(text).unwrap() {
            last = Some(self.session.run(&statement).await?);
        }
        Ok(last.unwrap())
    }

    /// The result set of a statement.
    pub(super) async fn rows(&mut self, text: &str) -> (Vec<String>, Vec<Vec<Cell>>) {
        match self.run(text).await.unwrap() {
            Answer::Rows(rows) => {
                let columns = rows.columns.into_iter().map(|column| column.name).collect();
                let pages: Vec<Vec<Vec<Cell>>> = rows.pages.try_collect().await.unwrap();
                (columns, pages.concat())
            }
            Answer::Done { .. } => panic!("{text} answered no rows"),
        }
    }

    /// The first column of a result set.
    pub(super) async fn first_column(&mut self, text: &str) -> Vec<String> {
        self.rows(text).await.1.into_iter().map(|mut row| row.swap_remove(0).unwrap()).collect()
    }

    /// What a statement wanted known.
    pub(super) async fn notices(&mut self, text: &str) -> Vec<String> {
        match self.run(text).await.unwrap() {
            Answer::Done { notices, .. } => notices,
            Answer::Rows(_) => panic!("{text} answered rows"),
        }
    }

    /// The number and message with which a statement is refused.
    pub(super) async fn refused(&mut self, text: &str) -> (u16, String) {
        let error = self.run(text).await.unwrap_err();
        (error.code, error.failure.message)
    }
}

/// An agent that says yes to everything but snapshots: it is silent about those, so that backups of data stand still.
async fn agree(agents: Arc<Agents>, mut attachment: Attachment) {
    let backend = attachment.backend;
    while let Some(message) = attachment.receiver.recv().await {
        let ToAgent::Task(task) = message else { continue };
        let result = match &task.body {
            TaskBody::MakeSnapshot(_) => continue,
            TaskBody::Load(load) => {
                let took = load.tablets.iter().map(|tablet| LoadedTablet {
                    tablet: tablet.tablet,
                    loaded_files: 3,
                    loaded_bytes: 30,
                    files: 3,
                    bytes: 30,
                    digest: Digest::of(b""),
                });
                TaskResult::Loaded { tablets: took.collect() }
            }
            TaskBody::Export(_) => TaskResult::Exported { files: 5, bytes: 50 },
            TaskBody::Download(_) => TaskResult::Downloaded { bytes: 0, reused_bytes: 0 },
            _ => TaskResult::Done,
        };
        let agents = agents.clone();
        tokio::spawn(async move { agents.reported(backend, TaskReport { key: task.key, outcome: Ok(result) }).await });
    }
}

/// Lets each user do what it was given.
#[derive(Debug, Default)]
pub(super) struct Guard {
    pub(super) admins: BTreeSet<&'static str>,
    pub(super) loaders: BTreeMap<&'static str, &'static str>,
}

#[async_trait]
impl Authorizer for Guard {
    async fn authenticate(&self, user: &str, _: &Proof) -> Result<Identity, Failure> {
        Ok(Identity { user: user.to_owned() })
    }

    async fn agent(&self, _: Option<&Secret>) -> Result<(), Failure> {
        Ok(())
    }

    async fn authorize(&self, who: &Identity, privilege: &Privilege) -> Result<(), Failure> {
        let user = who.user.as_str();
        let may = match privilege {
            Privilege::Admin => self.admins.contains(user),
            Privilege::Load(database) => {
                self.admins.contains(user) || self.loaders.get(user).is_some_and(|theirs| theirs == database)
            }
        };
        if may { Ok(()) } else { Err(denied(privilege)) }
    }
}

/// The number that the coordinator gives its first backend.
pub(super) const BACKEND: BackendId = BackendId(10_001);
