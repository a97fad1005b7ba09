//! Real processes die by SIGKILL, and are started again: jobs go on and nothing is lost.
//!
//! The test binary starts itself again as a coordinator or an agent that kills itself at a chosen moment.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tabvault_common::view::{JobKind, JobView};
use tabvault_integration_tests::checks::{self, fast_dir};
use tabvault_integration_tests::cluster::{Cluster, Setup, alias, backup_request};
use tabvault_integration_tests::crash::{Crash, Side};
use tabvault_integration_tests::tree;
use tempfile::TempDir;

const SIGKILL: i32 = 9;
/// Polls of ten milliseconds in half a minute.
const PATIENCE: usize = 3000;

/// What a child is to be and do; it travels through one environment variable.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Order {
    role: Role,
    dir: PathBuf,
    address: std::net::SocketAddr,
    /// Where and how often, and whether after it.
    dies: Option<(String, u64, bool)>,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
enum Role {
    /// A coordinator for two agents; it sees to it that this backup is made.
    Backup(String),
    /// A coordinator for two agents; it sees to it that the label is restored as `shop.<name>`.
    Restore(String, String),
    /// The agent number 0.
    Agent,
}

const ORDER: &str = "TABVAULT_TEST_CHILD";

/// Where a coordinator's child says that its job has ended, and how.
fn done_file(dir: &Path) -> PathBuf {
    dir.join("child-done")
}

/// No test by itself: this is what the other tests start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(order) = std::env::var(ORDER) else { return };
    checks::log();
    let order: Order = serde_json::from_str(&order).expect("read the order");
    let crash = Crash::never();
    let mut setup = Setup { patience: Duration::from_secs(10), address: Some(order.address), ..Setup::default() };
    let arm = || {
        if let Some((pattern, n, after)) = &order.dies {
            crash.arm_process(pattern, *n, if *after { Side::After } else { Side::Before });
        }
    };
    match &order.role {
        Role::Agent => {
            setup.be_crash = Some(crash.clone());
            setup.parallel_transfers = 1;
            arm();
            let mut cluster = Cluster::at_rest(&order.dir, 1, setup);
            cluster.start_be(0).await;
            std::future::pending::<()>().await;
        }
        Role::Backup(label) => {
            setup.crash = Some(crash.clone());
            let cluster = coordinate(&order.dir, setup).await;
            let begun = cluster.fe().jobs(Some(JobKind::Backup), None).pop().filter(|job| job.label == *label);
            arm();
            let id = match begun {
                Some(job) => job.id,
                None => cluster.fe().backup(backup_request("shop", label, "repo")).await.expect("back up").id,
            };
            finish(&order.dir, &*cluster.wait_archived(id).await).await;
        }
        Role::Restore(label, name) => {
            setup.crash = Some(crash.clone());
            let cluster = coordinate(&order.dir, setup).await;
            let named = |job: &JobView| job.objects.iter().any(|object| object.alias.as_ref() == Some(name));
            let mut request = cluster.restore_request("shop", label, "repo", 2).await;
            request.selection = alias("files", name);
            let begun = cluster.fe().jobs(Some(JobKind::Restore), None).pop();
            arm();
            let id = match begun {
                // One that has not planned yet does not show its objects.
                Some(job) if named(&job) || !job.ended => job.id,
                _ => cluster.fe().restore(request).await.expect("restore").id,
            };
            finish(&order.dir, &*cluster.wait_archived(id).await).await;
        }
    }
}

async fn coordinate(dir: &Path, setup: Setup) -> Cluster {
    let cluster = Cluster::start_with(dir, 0, setup).await;
    for _ in 0..PATIENCE {
        if cluster.fe().agents().room().len() == 2 {
            return cluster;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no agents attach");
}

async fn finish(dir: &Path, job: &JobView) {
    let status = job.status.as_ref().map(ToString::to_string).unwrap_or_default();
    tree::write(&done_file(dir), format!("{}{status}", job.state).as_bytes());
    std::future::pending::<()>().await;
}

/// A child that is killed when the test is done with it, or fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(order: &Order) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
        command.args(["--exact", "child", "--nocapture", "--test-threads", "1"]);
        command.env(ORDER, serde_json::to_string(order).expect("write the order"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.spawn().expect("start a child"))
    }

    async fn ended(&mut self, what: &str) -> ExitStatus {
        for _ in 0..PATIENCE {
            if let Some(status) = self.0.try_wait().expect("look at a child") {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the child does not end: {what}");
    }

    /// Waits until the coordinator's job has ended.
    async fn done(&mut self, dir: &Path, what: &str) -> String {
        for _ in 0..PATIENCE {
            if let Ok(text) = std::fs::read_to_string(done_file(dir))
                && !text.is_empty()
            {
                return text;
            }
            if let Some(status) = self.0.try_wait().expect("look at a child") {
                panic!("the child ended with {status}: {what}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the child's job does not end: {what}");
    }
}

/// A loaded table `shop.files` with all its agents, and nobody who coordinates.
struct Bench {
    _dir: TempDir,
    source: PathBuf,
    cluster: Cluster,
}

impl Bench {
    async fn new(replicas: u32) -> Self {
        checks::log();
        let dir = fast_dir();
        let source = dir.path().join("source");
        tree::make_small(&source, 1);
        for n in 0..6_u64 {
            tree::write(&source.join(format!("large{n}")), &tree::noise(50 + n, (1 << 20) + 100));
        }
        let setup = Setup { buckets: 2, patience: Duration::from_secs(10), ..Setup::default() };
        let cluster = Cluster::start_with(&dir.path().join("cluster"), 2, setup).await;
        cluster.repository("repo").await;
        cluster.load("shop.files", &source, replicas).await.expect("load");
        Self { _dir: dir, source, cluster }
    }

    fn order(&self, role: Role, dies: Option<(String, u64, bool)>) -> Order {
        Order { role, dir: self.cluster.dir.clone(), address: self.cluster.address(), dies }
    }

    /// A coordinator that dies there, then one that lives; answers how the job ended.
    async fn coordinate(&self, role: Role, pattern: &str, after: bool) {
        let what = format!("{role:?} killed at {pattern}, after: {after}");
        let mut child = Running::start(&self.order(role.clone(), Some((pattern.to_owned(), 1, after))));
        let status = child.ended(&what).await;
        assert_eq!(status.signal(), Some(SIGKILL), "{what}: {status}");
        let mut child = Running::start(&self.order(role, None));
        let end = child.done(&self.cluster.dir, &what).await;
        assert_eq!(end, "FINISHED", "{what}");
        drop(child);
        std::fs::remove_file(done_file(&self.cluster.dir)).expect("forget what the child said");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_survives_the_kill_of_its_coordinator_in_every_state() {
    let mut bench = Bench::new(2).await;
    bench.cluster.stop_fe().await;
    let mut labels = Vec::new();
    for pattern in [
        "/head=PENDING",
        "storage put __intents/",
        "/head=SNAPSHOTING",
        "/head=UPLOAD_SNAPSHOT",
        "/head=UPLOADING",
        "storage put __data/",
        "/head=SAVE_META",
        "/head=UPLOAD_INFO",
        "storage create __ss_",
        "/head=FINISHED",
        "+history/",
    ] {
        for after in [false, true] {
            let label = format!("b{}", labels.len());
            bench.coordinate(Role::Backup(label.clone()), pattern, after).await;
            labels.push(label);
        }
    }
    bench.cluster.start_fe().await;
    bench.cluster.all_attached().await;
    let shown: Vec<String> =
        bench.cluster.fe().jobs(Some(JobKind::Backup), None).iter().map(|job| job.label.clone()).collect();
    assert_eq!(shown, labels, "every job is shown once, the newest last");
    checks::assert_swept(&bench.cluster).await;
    for label in labels {
        checks::assert_one_snapshot(&bench.cluster, "repo", &label).await;
        let mut request = bench.cluster.restore_request("shop", &label, "repo", 1).await;
        request.selection = alias("files", "copy");
        let job = bench.cluster.restore(request).await.expect("restore");
        checks::assert_finished(&job);
        checks::assert_table_is(&bench.cluster, "shop.copy", &bench.source).await;
        bench.cluster.fe().local().expect("built in").drop_table("shop", "copy").await.expect("drop");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_survives_the_kill_of_its_coordinator_in_every_state() {
    let mut bench = Bench::new(2).await;
    let job = bench.cluster.backup("shop", "base", "repo").await.expect("back up");
    checks::assert_finished(&job);
    bench.cluster.stop_fe().await;
    let mut tables = Vec::new();
    for pattern in [
        "/head=PENDING",
        "catalog prepare",
        "/head=SNAPSHOTING",
        "/head=DOWNLOAD",
        "/head=DOWNLOADING",
        "/head=COMMIT",
        "/head=COMMITTING",
        "catalog publish",
        "/head=FINISHED",
        "+history/",
    ] {
        for after in [false, true] {
            let table = format!("t{}", tables.len());
            bench.coordinate(Role::Restore("base".to_owned(), table.clone()), pattern, after).await;
            tables.push(table);
        }
    }
    bench.cluster.start_fe().await;
    bench.cluster.all_attached().await;
    let shown = bench.cluster.fe().jobs(Some(JobKind::Restore), None);
    let shown: Vec<_> = shown.iter().map(|job| job.objects[0].alias.clone().expect("restored by an alias")).collect();
    assert_eq!(shown, tables, "every job is shown once, the newest last");
    checks::assert_swept(&bench.cluster).await;
    for table in tables {
        checks::assert_table_is(&bench.cluster, &format!("shop.{table}"), &bench.source).await;
    }
}

/// Where an agent dies that takes part in a backup.
const IN_A_BACKUP: [(&str, u64, bool); 9] = [
    ("tablets pin", 1, false),
    ("tablets pin", 1, true),
    // In the middle of a file: the first of its two pieces is written.
    ("storage piece", 1, true),
    ("storage piece", 4, false),
    ("storage close", 1, false),
    ("storage close", 1, true),
    ("storage put __data/", 1, false),
    ("storage put __data/", 1, true),
    // The manifest, which is written last.
    ("/m/", 1, true),
];

/// Where an agent dies that takes part in a restore.
const IN_A_RESTORE: [(&str, u64, bool); 9] = [
    ("tablets create", 1, false),
    ("tablets create", 1, true),
    ("storage read", 1, false),
    ("storage read", 2, true),
    ("storage read", 3, true),
    ("tablets adopt", 1, false),
    ("tablets adopt", 1, true),
    ("tablets settle", 1, false),
    ("tablets settle", 1, true),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_survives_the_kill_of_an_agent() {
    let mut bench = Bench::new(1).await;
    bench.cluster.stop_be(0).await;
    for (n, (pattern, nth, after)) in IN_A_BACKUP.into_iter().enumerate() {
        let what = format!("agent killed at {pattern} {nth}, after: {after}");
        attached(&bench.cluster, 1).await;
        let mut child = Running::start(&bench.order(Role::Agent, Some((pattern.to_owned(), nth, after))));
        attached(&bench.cluster, 2).await;
        let label = format!("b{n}");
        let id = bench.cluster.fe().backup(backup_request("shop", &label, "repo")).await.expect("back up").id;
        assert_eq!(child.ended(&what).await.signal(), Some(SIGKILL), "{what}");
        attached(&bench.cluster, 1).await;
        let _child = Running::start(&bench.order(Role::Agent, None));
        let job = bench.cluster.wait(id).await;
        checks::assert_finished(&job);
        let job_dir = bench.cluster.dir.join(format!("repo/__tabvault_repository_repo/__data/{}/o", job.uuid));
        let objects = std::fs::read_dir(job_dir).expect("list the objects").count();
        // Seven files have objects of their own; the agent has one in flight at a time.
        assert!((7..=8).contains(&objects), "{what}: {objects} objects of 7 files, more was sent again than in flight");
        attached(&bench.cluster, 2).await;
        let mut request = bench.cluster.restore_request("shop", &label, "repo", 1).await;
        request.selection = alias("files", "copy");
        let job = bench.cluster.restore(request).await.expect("restore");
        checks::assert_finished(&job);
        checks::assert_table_is(&bench.cluster, "shop.copy", &bench.source).await;
        bench.cluster.fe().local().expect("built in").drop_table("shop", "copy").await.expect("drop");
        checks::assert_no_garbage(&bench.cluster).await;
    }
    attached(&bench.cluster, 1).await;
    bench.cluster.start_be(0).await;
    checks::assert_swept(&bench.cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_survives_the_kill_of_an_agent() {
    let mut bench = Bench::new(1).await;
    let job = bench.cluster.backup("shop", "base", "repo").await.expect("back up");
    checks::assert_finished(&job);
    bench.cluster.stop_be(0).await;
    for (pattern, nth, after) in IN_A_RESTORE {
        let what = format!("agent killed at {pattern} {nth}, after: {after}");
        attached(&bench.cluster, 1).await;
        let mut child = Running::start(&bench.order(Role::Agent, Some((pattern.to_owned(), nth, after))));
        attached(&bench.cluster, 2).await;
        let mut request = bench.cluster.restore_request("shop", "base", "repo", 2).await;
        request.selection = alias("files", "copy");
        let id = bench.cluster.fe().restore(request).await.expect("restore").id;
        assert_eq!(child.ended(&what).await.signal(), Some(SIGKILL), "{what}");
        attached(&bench.cluster, 1).await;
        let _child = Running::start(&bench.order(Role::Agent, None));
        let job = bench.cluster.wait(id).await;
        checks::assert_finished(&job);
        attached(&bench.cluster, 2).await;
        checks::assert_table_is(&bench.cluster, "shop.copy", &bench.source).await;
        bench.cluster.fe().local().expect("built in").drop_table("shop", "copy").await.expect("drop");
        checks::assert_no_garbage(&bench.cluster).await;
    }
    attached(&bench.cluster, 1).await;
    bench.cluster.start_be(0).await;
    checks::assert_swept(&bench.cluster).await;
}

/// Waits until so many agents are attached; the coordinator may not have noticed yet that one was killed.
async fn attached(cluster: &Cluster, agents: usize) {
    for _ in 0..PATIENCE {
        if cluster.fe().agents().room().len() == agents {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not {agents} agents are attached: {:?}", cluster.fe().agents().show());
}
