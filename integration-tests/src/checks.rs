//! What must hold after whatever a test has done to a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tabvault_common::ids::{BackendId, JobId};
use tabvault_common::view::{JobKind, JobView};
use tabvault_fe_coordinator::catalog::Catalog;
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::tree;

/// A directory in memory where there is one: tests that kill processes, not machines, need no disk, and share none with
/// whatever else is being synced.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn fast_dir() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = tempfile::Builder::new().prefix("tabvault-").tempdir_in(memory);
    made.or_else(|_| tempfile::tempdir()).expect("make a directory")
}

/// Logs as `RUST_LOG` says, where the test harness shows them.
pub fn log() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    // An error means that another test was first.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}

/// The job is FINISHED and has nothing to complain about.
///
/// # Panics
/// If not.
pub fn assert_finished(job: &JobView) {
    assert_eq!((job.state.as_str(), &job.status), ("FINISHED", &None), "job {} {:?}", job.id, job.kind);
    assert!(job.task_errors.is_empty(), "{:?}", job.task_errors);
}

/// The job is the newest of its kind, and jobs are shown in the order in which they were begun.
///
/// # Panics
/// If not.
pub fn assert_stands_last(cluster: &Cluster, kind: JobKind, id: JobId) {
    let shown: Vec<JobId> = cluster.fe().jobs(Some(kind), None).iter().map(|job| job.id).collect();
    assert_eq!(shown.last(), Some(&id), "{shown:?}");
    assert!(shown.is_sorted(), "{shown:?}");
}

/// The label has exactly one snapshot.
///
/// # Panics
/// If not.
pub async fn assert_one_snapshot(cluster: &Cluster, repository: &str, label: &str) {
    let snapshots = cluster.snapshots(repository).await;
    let of_label: Vec<_> = snapshots.iter().filter(|snapshot| snapshot.label == label).collect();
    assert_eq!(of_label.len(), 1, "snapshots of {label}: {of_label:?}");
}

/// Everything of jobs that is left on the agents: work directories, journals, and tablets that the catalog does not
/// know. A tablet that the catalog has on its list of garbage is only about to go.
///
/// # Panics
/// If the catalog cannot be read.
pub async fn leftovers(cluster: &Cluster) -> Vec<PathBuf> {
    let mut known: BTreeMap<BackendId, BTreeSet<u64>> = BTreeMap::new();
    // Past what a test does to the catalog that the coordinator sees.
    let catalog = cluster.fe().local().expect("built in");
    for database in catalog.databases().await.expect("list the databases") {
        for table in catalog.cut(&database).await.expect("take a cut").tables {
            for partition in table.partitions {
                // Gone since: its tablets are garbage.
                let Ok(tablets) = catalog.tablets(partition.id).await else { continue };
                for tablet in tablets {
                    for replica in tablet.replicas {
                        known.entry(replica.backend).or_default().insert(tablet.tablet.0);
                    }
                }
            }
        }
    }
    let mut left = Vec::new();
    for backend in cluster.fe().agents().show() {
        let root = cluster.dir.join(&backend.host);
        for dir in ["data/snapshot", "data/reuse", "data/download", "data/trash", "state/journal"] {
            left.extend(entries(&root.join(dir)));
        }
        if !backend.alive {
            continue;
        }
        let mut mine = known.remove(&backend.id).unwrap_or_default();
        mine.extend(catalog.garbage(backend.id, 10_000).await.expect("list the garbage").iter().map(|tablet| tablet.0));
        let unknown = |path: &PathBuf| {
            let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            number.is_none_or(|number| !mine.contains(&number))
        };
        left.extend(entries(&root.join("data/data")).into_iter().filter(unknown));
    }
    left
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    match std::fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| entry.expect("read a directory's entry").path()).collect(),
        Err(_) => Vec::new(),
    }
}

/// Leftovers go by themselves.
///
/// # Panics
/// If they have not gone after a while.
pub async fn assert_swept(cluster: &Cluster) {
    let mut left = Vec::new();
    for _ in 0..400 {
        left = leftovers(cluster).await;
        if left.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("left on agents: {left:#?}");
}

/// The catalog has no garbage on its list any more: agents have removed all of it.
///
/// # Panics
/// If it is not empty after a while.
pub async fn assert_no_garbage(cluster: &Cluster) {
    for _ in 0..400 {
        let mut waiting = 0;
        for backend in cluster.fe().agents().show().into_iter().filter(|backend| backend.alive) {
            waiting +=
                cluster.fe().local().expect("built in").garbage(backend.id, 10).await.expect("list the garbage").len();
        }
        if waiting == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("garbage stays");
}

/// What the table shows is the tree at `source`.
///
/// # Panics
/// If not.
pub async fn assert_table_is(cluster: &Cluster, table: &str, source: &Path) {
    let out = TempDir::new_in(&cluster.dir).expect("make a directory");
    let target = out.path().join("out");
    cluster.export(table, &target).await.expect("export");
    tree::assert_same(source, &target);
}
