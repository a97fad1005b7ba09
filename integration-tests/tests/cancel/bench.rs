//! Where jobs are cancelled.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tabvault_broker::faults::Faults;
use tabvault_broker::open::Options;
use tabvault_common::ids::JobId;
use tabvault_common::request::{CancelRequest, RestoreRequest};
use tabvault_common::view::{JobKind, JobView};
use tabvault_integration_tests::checks::{self, fast_dir};
use tabvault_integration_tests::cluster::{Cluster, Setup, backup_request};
use tabvault_integration_tests::crash::Crash;
use tabvault_integration_tests::tree;
use tempfile::TempDir;

/// A cluster with a loaded table `shop.files`, whose writes can be held and whose storage can be made to fail.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    /// What `shop.files` holds.
    pub(crate) source: PathBuf,
    pub(crate) cluster: Cluster,
    pub(crate) crash: Crash,
    pub(crate) fe_faults: Faults,
    pub(crate) be_faults: Faults,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        checks::log();
        let dir = fast_dir();
        let source = dir.path().join("source");
        tree::make_small(&source, 1);
        let (crash, fe_faults, be_faults) = (Crash::never(), Faults::new(1), Faults::new(2));
        let setup = Setup {
            buckets: 2,
            crash: Some(crash.clone()),
            fe_storage: Options { faults: Some(fe_faults.clone()), ..Options::default() },
            be_storage: Options { faults: Some(be_faults.clone()), ..Options::default() },
            ..Setup::default()
        };
        let cluster = Cluster::start_with(&dir.path().join("cluster"), 2, setup).await;
        cluster.repository("repo").await;
        cluster.load("shop.files", &source, 2).await.expect("load");
        Self { dir, source, cluster, crash, fe_faults, be_faults }
    }

    pub(crate) async fn begin_backup(&self, label: &str) -> JobId {
        self.cluster.fe().backup(backup_request("shop", label, "repo")).await.expect("the backup is accepted").id
    }

    pub(crate) async fn begin_restore(&self, request: &RestoreRequest) -> JobId {
        self.cluster.fe().restore(request.clone()).await.expect("the restore is accepted").id
    }

    pub(crate) async fn cancel(&self, kind: JobKind) {
        let request = CancelRequest { kind, database: "shop".to_owned(), label: None };
        self.cluster.fe().cancel(&request, "a test").await.expect("there is a job to cancel");
    }

    pub(crate) async fn wait_state(&self, id: JobId, state: &str) {
        for _ in 0..3000 {
            if self.state(id) == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not {state}: {:#?}", self.cluster.fe().job(id));
    }

    pub(crate) fn state(&self, id: JobId) -> String {
        self.cluster.fe().job(id).expect("the job is known").state.clone()
    }

    pub(crate) async fn ended(&self, id: JobId) -> Arc<JobView> {
        self.cluster.wait(id).await
    }

    /// The job ended CANCELLED in that state, and no trace of the backup is left but what the repository may keep.
    pub(crate) async fn check_backup_cancelled(&self, id: JobId, label: &str, state: &str) {
        let job = self.ended(id).await;
        let status = job.status.as_ref().expect("a cancelled job says why").to_string();
        assert_eq!(job.state, "CANCELLED");
        assert!(status.contains(&format!("cancelled by 'a test' in state {state}")), "{status}");
        assert_eq!(self.visible(label).await, 0);
        checks::assert_table_is(&self.cluster, "shop.files", &self.source).await;
        checks::assert_swept(&self.cluster).await;
        // Label and database can be used again.
        checks::assert_finished(&self.cluster.backup("shop", label, "repo").await.expect("the label is free"));
        assert_eq!(self.visible(label).await, 1);
    }

    pub(crate) async fn wait_visible(&self, label: &str) {
        for _ in 0..3000 {
            if self.visible(label).await == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no snapshot {label}: {:#?}", self.cluster.fe().jobs(None, None));
    }

    pub(crate) async fn visible(&self, label: &str) -> usize {
        self.cluster.snapshots("repo").await.iter().filter(|snapshot| snapshot.label == label).count()
    }
}
