//! A job asked for again and again while something dies, and what must hold after each death.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tabvault_common::failure::Failure;
use tabvault_common::ids::JobId;
use tabvault_common::view::{JobKind, JobView};
use tempfile::TempDir;

use crate::checks;
use crate::cluster::{Cluster, Setup, backup_request};
use crate::tree;

/// Backends of the cluster.
const BACKENDS: usize = 2;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Work {
    /// A backup of the table `shop.files`.
    Backup,
    /// The same, with the one before as its parent; a file was loaded in between.
    Incremental,
    /// A restore of it into a database where it is not.
    RestoreNew,
    /// A restore of it into a database where it is, with other data.
    RestoreOver,
}

/// A cluster's directory with the trees that it holds. The `n`th job has a label or a database of its own, so that any
/// process can find it again.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Scene {
    dir: PathBuf,
    work: Work,
    replicas: u32,
}

impl Scene {
    /// A new cluster in `dir` with all its agents and what the jobs need.
    ///
    /// # Panics
    /// If it cannot be made.
    pub async fn make(dir: &Path, work: Work, replicas: u32, large: u64, setup: Setup) -> (Self, Cluster) {
        checks::log();
        let scene = Self { dir: dir.to_owned(), work, replicas };
        tree::make_small(&scene.source(), 1);
        for n in 0..large {
            tree::write(&scene.source().join(format!("large{n}")), &tree::noise(50 + n, (1 << 20) + 100));
        }
        tree::make_small(&scene.old(), 2);
        let cluster = Cluster::start_with(&scene.cluster_dir(), BACKENDS, setup).await;
        cluster.repository("repo").await;
        cluster.load("shop.files", &scene.source(), replicas).await.expect("load");
        if work != Work::Backup {
            let id = cluster.fe().backup(backup_request("shop", "base", "repo")).await.expect("back up").id;
            checks::assert_finished(&*scene.through(&cluster, id).await);
        }
        (scene, cluster)
    }

    /// Where the cluster is.
    #[must_use]
    pub fn cluster_dir(&self) -> PathBuf {
        self.dir.join("cluster")
    }

    /// A file beside the cluster, for processes to talk by.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What `shop.files` holds.
    fn source(&self) -> PathBuf {
        self.dir.join("source")
    }

    /// What tables hold that are restored over.
    fn old(&self) -> PathBuf {
        self.dir.join("old")
    }

    fn name(n: usize) -> String {
        format!("job{n}")
    }

    /// Makes what the `n`th job needs.
    ///
    /// # Panics
    /// If it cannot be made.
    pub async fn prepare(&self, cluster: &Cluster, n: usize) {
        let (table, tree) = match self.work {
            Work::RestoreOver => (format!("{}.files", Self::name(n)), self.old()),
            Work::Incremental => {
                tree::write(&self.source().join("d/changed"), &tree::noise(n as u64, 3000));
                ("shop.files".to_owned(), self.source())
            }
            Work::Backup | Work::RestoreNew => return,
        };
        cluster.load(&table, &tree, self.replicas).await.expect("load");
    }

    /// Removes the table that the `n`th job and its check have made. The agents' tablets go when an agent attaches next,
    /// so this is for the time after a death.
    ///
    /// # Panics
    /// If that fails.
    pub async fn clear(&self, cluster: &Cluster, n: usize) {
        if n > 0 {
            let local = cluster.fe().local().expect("built in");
            local.drop_table(&self.restored_into(n), "files").await.expect("drop");
        }
    }

    /// The database into which the `n`th job or its check restores.
    fn restored_into(&self, n: usize) -> String {
        if self.work.is_backup() { format!("copy{n}") } else { Self::name(n) }
    }

    /// Asks for the `n`th job.
    ///
    /// # Errors
    /// As BACKUP and RESTORE.
    pub async fn ask(&self, cluster: &Cluster, n: usize) -> Result<JobId, Failure> {
        if self.work.is_backup() {
            let mut request = backup_request("shop", &Self::name(n), "repo");
            if self.work == Work::Incremental {
                request.properties.insert("type".to_owned(), "incremental".to_owned());
            }
            return Ok(cluster.fe().backup(request).await?.id);
        }
        let mut request = cluster.restore_request("shop", "base", "repo", self.replicas).await;
        request.into = Some(Self::name(n));
        Ok(cluster.fe().restore(request).await?.id)
    }

    /// The `n`th job, if the coordinator knows of it.
    ///
    /// # Panics
    /// If there are two.
    #[must_use]
    pub fn begun(&self, cluster: &Cluster, n: usize) -> Option<JobId> {
        let mut jobs = cluster.fe().jobs(Some(self.kind()), None);
        let name = Self::name(n);
        jobs.retain(|job| if self.work.is_backup() { job.label == name } else { job.database == name });
        assert!(jobs.len() <= 1, "one request made two jobs: {jobs:#?}");
        jobs.pop().map(|job| job.id)
    }

    /// After a death: the `n`th job goes on by itself. A caller who got no answer asks again if there is no such job.
    ///
    /// # Panics
    /// If something does not hold.
    pub async fn recover(&self, cluster: &Cluster, n: usize) -> JobId {
        let id = match self.begun(cluster, n) {
            Some(id) => id,
            None => {
                cluster.attached(BACKENDS).await;
                self.ask(cluster, n).await.unwrap_or_else(|error| panic!("ask for job {n} again: {error}"))
            }
        };
        if self.work == Work::RestoreOver {
            self.check_old_or_new(cluster, n).await;
        }
        id
    }

    /// Waits until the job has ended and nothing is left to do for it.
    pub async fn through(&self, cluster: &Cluster, id: JobId) -> Arc<JobView> {
        let job = cluster.wait_archived(id).await;
        cluster.attached(BACKENDS).await;
        checks::assert_swept(cluster).await;
        if let Some(crash) = &cluster.setup.crash {
            crash.let_chores();
        }
        checks::assert_no_garbage(cluster).await;
        job
    }

    /// The `n`th job is FINISHED and the newest, nothing is lost and nothing stays.
    ///
    /// # Panics
    /// If something does not hold.
    pub async fn check(&self, cluster: &Cluster, n: usize, job: &JobView) {
        checks::assert_finished(job);
        checks::assert_stands_last(cluster, self.kind(), job.id);
        assert_eq!(self.begun(cluster, n), Some(job.id));
        let base = usize::from(self.work == Work::Incremental);
        assert_eq!(cluster.fe().jobs(Some(self.kind()), None).len(), base + n, "every job is shown");
        if self.work.is_backup() {
            let label = Self::name(n);
            checks::assert_one_snapshot(cluster, "repo", &label).await;
            // The database is free again, and the snapshot is whole.
            let mut request = cluster.restore_request("shop", &label, "repo", 1).await;
            request.into = Some(self.restored_into(n));
            let id = cluster.fe().restore(request).await.expect("the database's slot is free").id;
            checks::assert_finished(&*self.through(cluster, id).await);
        }
        checks::assert_table_is(cluster, &format!("{}.files", self.restored_into(n)), &self.source()).await;
    }

    fn kind(&self) -> JobKind {
        if self.work.is_backup() { JobKind::Backup } else { JobKind::Restore }
    }

    /// A table that is being restored over shows its old data or its new data, all of it.
    async fn check_old_or_new(&self, cluster: &Cluster, n: usize) {
        cluster.attached(BACKENDS).await;
        for _ in 0..5 {
            let out = TempDir::new_in(&self.dir).expect("make a directory");
            let target = out.path().join("out");
            // Between the look at the catalog and the copying the table may be published, and the old tablets go.
            if cluster.export(&format!("{}.files", Self::name(n)), &target).await.is_ok() {
                let shown = tree::read(&target);
                let whole = shown == tree::read(&self.old()) || shown == tree::read(&self.source());
                assert!(whole, "half of a restore is visible");
                return;
            }
        }
        panic!("the table is not readable while it is restored");
    }
}

impl Work {
    fn is_backup(self) -> bool {
        matches!(self, Self::Backup | Self::Incremental)
    }

    /// What a coordinator writes for it, at least.
    #[must_use]
    pub fn coordinator_writes(self) -> &'static [&'static str] {
        match self {
            Self::Backup | Self::Incremental => &[
                "/request",
                "+slot/",
                "/plan",
                "/head=PENDING",
                "storage put __intents/",
                "/head=SNAPSHOTING",
                "/row/",
                "/head=UPLOAD_SNAPSHOT",
                "/head=UPLOADING",
                "/head=SAVE_META",
                "storage put __data/",
                "/head=UPLOAD_INFO",
                "storage create __ss_",
                "/head=FINISHED",
                "+history/",
                "-job/",
            ],
            Self::RestoreNew | Self::RestoreOver => &[
                "/request",
                "+slot/",
                "/plan",
                "/head=PENDING",
                "catalog prepare",
                "/head=SNAPSHOTING",
                "/row/",
                "/head=DOWNLOAD",
                "/head=DOWNLOADING",
                "/head=COMMIT",
                "/head=COMMITTING",
                "catalog publish",
                "/head=FINISHED",
                "+history/",
                "-job/",
            ],
        }
    }

    /// What an agent writes for it, at least, and what it reads.
    #[must_use]
    pub fn agent_writes(self) -> &'static [&'static str] {
        match self {
            Self::Backup | Self::Incremental => &["tablets pin", "storage piece", "storage close", "/p/", "/m/"],
            Self::RestoreNew => &["tablets create", "storage read", "tablets adopt", "tablets settle"],
            Self::RestoreOver => &["tablets create", "storage read", "tablets adopt", "tablets settle", "tablets drop"],
        }
    }
}
