//! A disk is really full: one clear sentence, nothing half-made, and everything else goes on.
//!
//! Small disks are file systems in memory, mounted in a namespace of this test's own, so that none outlives it. That
//! takes root, or a kernel that lets everybody have such namespaces; where neither is so, the tests fail and say it.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tabvault_broker::open::Options;
use tabvault_broker::retry::Policy;
use tabvault_common::clock::{Clock, SystemClock, Time};
use tabvault_common::durable;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::view::JobView;
use tabvault_integration_tests::checks::{self, fast_dir};
use tabvault_integration_tests::cluster::{Cluster, Setup, alias, backup_request};
use tabvault_integration_tests::crash::{Crash, Side};
use tabvault_integration_tests::tree;

const MIB: usize = 1 << 20;
/// The directory of the test that runs in a namespace of its own.
const INSIDE: &str = "TABVAULT_TEST_MOUNTS";

/// Runs the test `name` once more, in a namespace of mounts; in that run answers with its directory.
fn inside(name: &str) -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os(INSIDE) {
        return Some(PathBuf::from(dir));
    }
    // Root in a container may lack the one right or the other.
    let flags = ["-m", "-rm"].into_iter().find(|flags| {
        let tried = Command::new("unshare").args([flags, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    });
    let flags = flags.unwrap_or_else(|| {
        panic!("this machine lets nobody mount a small disk: run as root, or allow user namespaces to others")
    });
    // Removed here, where nothing is mounted in it.
    let dir = fast_dir();
    let mut command = Command::new("unshare");
    command.arg(flags).arg(std::env::current_exe().expect("the path of this program"));
    let status = command.args(["--exact", name, "--nocapture"]).env(INSIDE, dir.path()).status();
    assert!(status.expect("run unshare").success(), "{name} fails in its namespace");
    None
}

/// A file system of so many MiB at `dir`.
fn mount(dir: &Path, mib: usize) {
    std::fs::create_dir_all(dir).expect("make a directory");
    let size = format!("size={mib}m");
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir).status();
    assert!(status.expect("run mount").success(), "mount a file system at {}", dir.display());
}

fn free(dir: &Path) -> u64 {
    durable::free_space(dir).expect("ask for free space").available
}

/// A directory whose files take so many MiB, none of which compresses.
fn big(dir: &Path, mib: usize) {
    std::fs::create_dir_all(dir).expect("make a directory");
    for n in 0..mib / 2 {
        tree::write(&dir.join(format!("f{n}")), &tree::noise(1000 + n as u64, 2 * MIB));
    }
}

/// A clock of which a minute is a second: the coordinator waits for minutes that a disk be given room.
#[derive(Debug)]
struct Hurried;

const HURRY: u32 = 60;

#[async_trait]
impl Clock for Hurried {
    fn now(&self) -> Time {
        static START: OnceLock<(Time, Instant)> = OnceLock::new();
        let (time, instant) = START.get_or_init(|| (SystemClock.now(), Instant::now()));
        time.after(instant.elapsed() * HURRY)
    }

    async fn sleep(&self, span: Duration) {
        SystemClock.sleep(span / HURRY).await;
    }
}

/// Two backends, of which number 0 has a small disk; `shop.files` and `other.files` on both.
struct Bench {
    dir: PathBuf,
    source: PathBuf,
    crash: Crash,
    cluster: Cluster,
}

impl Bench {
    async fn new(dir: PathBuf, be_mib: usize, repo_mib: usize) -> Self {
        checks::log();
        let source = dir.join("source");
        tree::make_small(&source, 1);
        let crash = Crash::never();
        // Each call of storage is tried once: it is the job that tries again.
        let once = Options { retry: Policy { attempts: 1, ..Policy::default() }, ..Options::default() };
        let setup = Setup {
            buckets: 2,
            watermark: 0,
            crash: Some(crash.clone()),
            clock: Arc::new(Hurried),
            patience: Duration::from_secs(600),
            fe_storage: once.clone(),
            be_storage: once,
            ..Setup::default()
        };
        let cluster_dir = dir.join("cluster");
        mount(&cluster_dir.join("be0"), be_mib);
        mount(&cluster_dir.join("repo"), repo_mib);
        let cluster = Cluster::start_with(&cluster_dir, 2, setup).await;
        cluster.repository("repo").await;
        for table in ["shop.files", "other.files"] {
            cluster.load(table, &source, 2).await.expect("load");
        }
        Self { dir, source, crash, cluster }
    }

    fn small_disk(&self) -> PathBuf {
        self.cluster.dir.join("be0")
    }

    /// The table is as it was, and the other database can still be written, backed up and restored.
    async fn check_others(&self, label: &str) {
        checks::assert_table_is(&self.cluster, "shop.files", &self.source).await;
        checks::assert_swept(&self.cluster).await;
        checks::assert_finished(&self.cluster.backup("other", label, "repo").await.expect("back up"));
        checks::assert_table_is(&self.cluster, "other.files", &self.source).await;
    }
}

/// One sentence that says what is full and where.
fn check_sentence(failure: &Failure, says: &[&str]) {
    let text = failure.to_string();
    assert_eq!(failure.kind, Kind::NoSpace, "{text}");
    for part in says {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert!(!text.contains('\n') && text.len() < 400, "{text}");
}

fn cancelled(job: &JobView) -> Failure {
    assert_eq!(job.state, "CANCELLED", "{job:#?}");
    job.status.clone().expect("a cancelled job says why")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_does_not_fit_changes_nothing() {
    let Some(dir) = inside("a_load_that_does_not_fit_changes_nothing") else { return };
    let bench = Bench::new(dir, 8, 64).await;
    let source = bench.dir.join("big");
    big(&source, 24);
    let before = free(&bench.small_disk());
    for table in ["shop.files", "shop.new"] {
        let refused = bench.cluster.load(table, &source, 2).await.expect_err("it does not fit");
        check_sentence(&refused, &["be0", "No space left on device"]);
        bench.check_others(&table.replace('.', "_")).await;
        checks::assert_no_garbage(&bench.cluster).await;
    }
    let tables = bench.cluster.fe().catalog().cut("shop").await.expect("the database is there").tables;
    assert_eq!(tables.len(), 1, "the table that the load made is gone");
    assert!(free(&bench.small_disk()).abs_diff(before) < MIB as u64 / 4, "what the load brought is gone");
    bench.cluster.load("shop.files", &bench.source, 2).await.expect("what fits is loaded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_does_not_fit_changes_nothing() {
    let Some(dir) = inside("a_restore_that_does_not_fit_changes_nothing") else { return };
    let bench = Bench::new(dir, 40, 64).await;
    let source = bench.dir.join("big");
    big(&source, 12);
    bench.cluster.load("large.files", &source, 2).await.expect("load");
    checks::assert_finished(&bench.cluster.backup("large", "base", "repo").await.expect("back up"));
    let mut request = bench.cluster.restore_request("large", "base", "repo", 2).await;
    request.into = Some("shop".to_owned());
    request.selection = alias("files", "copy");

    // The disk fills up after the job was accepted.
    let hold = bench.crash.hold("catalog prepare", Side::Before);
    let id = bench.cluster.fe().restore(request.clone()).await.expect("there is room").id;
    hold.reached().await;
    let ballast = bench.small_disk().join("ballast");
    let rest = usize::try_from(free(&bench.small_disk())).expect("small");
    tree::write(&ballast, &vec![0; rest - 4 * MIB]);
    let before = free(&bench.small_disk());
    hold.release();
    // While the job waits for room, others do not.
    checks::assert_finished(&bench.cluster.backup("other", "meanwhile", "repo").await.expect("back up"));
    assert!(!bench.cluster.fe().job(id).expect("it is shown").ended, "the job was over before others were tried");
    let job = bench.cluster.wait(id).await;
    check_sentence(&cancelled(&job), &["be0"]);
    bench.check_others("full").await;
    checks::assert_no_garbage(&bench.cluster).await;
    assert!(free(&bench.small_disk()).abs_diff(before) < MIB as u64 / 4, "what the restore brought is gone");

    // Now that it is known to be full the answer is no at once.
    let refused = loop {
        match bench.cluster.fe().restore(request.clone()).await {
            Err(refused) => break refused,
            // The room is known by heartbeats.
            Ok(started) => drop(bench.cluster.wait(started.id).await),
        }
    };
    check_sentence(&refused, &["not enough disk space"]);

    durable::remove_file(&ballast).expect("make room");
    let job = loop {
        // As above.
        if let Ok(job) = bench.cluster.restore(request.clone()).await {
            break job;
        }
        tokio::task::yield_now().await;
    };
    checks::assert_finished(&job);
    checks::assert_table_is(&bench.cluster, "shop.copy", &source).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_does_not_fit_into_its_repository_leaves_nothing() {
    let Some(dir) = inside("a_backup_that_does_not_fit_into_its_repository_leaves_nothing") else { return };
    let bench = Bench::new(dir, 40, 8).await;
    let source = bench.dir.join("big");
    big(&source, 12);
    bench.cluster.load("large.files", &source, 2).await.expect("load");
    let id = bench.cluster.fe().backup(backup_request("large", "full", "repo")).await.expect("it is accepted").id;
    let job = bench.cluster.wait(id).await;
    check_sentence(&cancelled(&job), &["repo", "full"]);
    assert_eq!(bench.cluster.snapshots("repo").await, []);
    checks::assert_swept(&bench.cluster).await;
    // Whole objects of a job without an info are garbage; of anything else nothing stays.
    for (path, entry) in tree::read(&bench.cluster.dir.join("repo/__tabvault_repository_repo")) {
        let kept = path.starts_with("__data") || path.starts_with("__repo_info");
        assert!(kept || matches!(entry, tree::Entry::Directory(_)), "{} stays", path.display());
    }
    checks::assert_table_is(&bench.cluster, "large.files", &source).await;
    bench.check_others("after").await;
}
