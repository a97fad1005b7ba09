//! The processes that die.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tabvault_common::durable;
use tabvault_integration_tests::checks;
use tabvault_integration_tests::cluster::{Cluster, Setup};
use tabvault_integration_tests::crash::{Crash, Point, Side};
use tabvault_integration_tests::scene::Scene;
use tabvault_integration_tests::tree;

const SIGKILL: i32 = 9;
const ORDER: &str = "TABVAULT_TEST_CHILD";
/// Polls of [`PAUSE`] in a minute.
const PATIENCE: usize = 12_000;
const PAUSE: Duration = Duration::from_millis(5);

/// What a child is to be and do; it travels through one environment variable.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Order {
    pub(crate) scene: Scene,
    pub(crate) address: SocketAddr,
    pub(crate) role: Role,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Role {
    /// The coordinator: sees the job before this one to its end, and dies in this one.
    Coordinator { job: usize, dies: Option<(Point, Side)> },
    /// The agent number 0: does as it is told by [`Running::tell`].
    Agent,
}

/// What an agent is told.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Word {
    /// A job comes: count its writes, and die there.
    Begin(Option<(Point, Side)>),
    /// Say what was written since then, and end.
    End,
}

/// How a child ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By SIGKILL.
    Killed,
    /// By itself, having written this.
    Lived(Vec<Point>),
}

/// No test by itself: this is what the other tests start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run() {
    let Ok(order) = std::env::var(ORDER) else { return };
    checks::log();
    let order: Order = serde_json::from_str(&order).expect("read the order");
    let scene = &order.scene;
    let crash = Crash::never();
    let setup = Setup {
        patience: Duration::from_secs(10),
        address: Some(order.address),
        crash: Some(crash.clone()),
        be_crash: Some(crash.clone()),
        buckets: 2,
        parallel_transfers: 1,
        ..Setup::default()
    };
    let wrote = match order.role {
        Role::Coordinator { job, dies } => coordinate(scene, setup, &crash, job, dies).await,
        Role::Agent => {
            let mut cluster = Cluster::at_rest(&scene.cluster_dir(), 1, setup);
            cluster.start_be(0).await;
            obey(scene, &cluster, &crash).await
        }
    };
    let wrote = serde_json::to_vec(&wrote).expect("write what was written");
    tree::write(&scene.file("wrote"), &wrote);
}

fn begin(crash: &Crash, dies: Option<(Point, Side)>) {
    match dies {
        Some((point, side)) => crash.arm_process(point, side),
        None => crash.count(),
    }
}

async fn coordinate(scene: &Scene, setup: Setup, crash: &Crash, job: usize, dies: Option<(Point, Side)>) -> Vec<Point> {
    let cluster = Cluster::start_with(&scene.cluster_dir(), 0, setup).await;
    let before = job - 1;
    if before > 0 {
        scene.clear(&cluster, before - 1).await;
        let id = scene.recover(&cluster, before).await;
        let ended = scene.through(&cluster, id).await;
        scene.check(&cluster, before, &ended).await;
    } else {
        cluster.attached(2).await;
    }
    scene.prepare(&cluster, job).await;
    crash.rest_chores();
    begin(crash, dies);
    let id = scene.ask(&cluster, job).await.expect("ask for a job");
    let ended = scene.through(&cluster, id).await;
    let wrote = crash.log();
    assert!(crash.disarm(), "it lives");
    scene.check(&cluster, job, &ended).await;
    wrote
}

async fn obey(scene: &Scene, cluster: &Cluster, crash: &Crash) -> Vec<Point> {
    loop {
        if let Ok(word) = std::fs::read(scene.file("word")) {
            let word = serde_json::from_slice(&word).expect("read what is told");
            match word {
                Word::Begin(dies) => {
                    // What is left to do of earlier jobs does not count.
                    cluster.settled(0).await;
                    begin(crash, dies);
                }
                Word::End => {
                    let wrote = crash.log();
                    assert!(crash.disarm(), "it lives");
                    durable::remove_file(&scene.file("word")).expect("say that it was heard");
                    return wrote;
                }
            }
            durable::remove_file(&scene.file("word")).expect("say that it was heard");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A child that is killed when the test fails.
pub(crate) struct Running {
    child: Child,
    scene: Scene,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub(crate) fn start(order: &Order) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
        command.args(["--exact", "child::run", "--nocapture", "--test-threads", "1"]);
        command.env(ORDER, serde_json::to_string(order).expect("write the order"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self { child: command.spawn().expect("start a child"), scene: order.scene.clone() }
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> Ended {
        for _ in 0..PATIENCE {
            if let Some(status) = self.child.try_wait().expect("look at a child") {
                if status.signal() == Some(SIGKILL) {
                    return Ended::Killed;
                }
                assert!(status.success(), "a child fails: {status}");
                let wrote = std::fs::read(self.scene.file("wrote")).expect("read what was written");
                return Ended::Lived(serde_json::from_slice(&wrote).expect("read what was written"));
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("a child does not end");
    }

    /// Tells an agent something; returns when it has heard, or is dead.
    pub(crate) async fn tell(&mut self, word: &Word) {
        let (file, word) = (self.scene.file("word"), serde_json::to_vec(word).expect("write a word"));
        durable::write_file(&file, &word).expect("tell a child");
        for _ in 0..PATIENCE {
            if !file.exists() {
                return;
            }
            if self.child.try_wait().expect("look at a child").is_some() {
                return durable::remove_file(&file).expect("tell nobody else");
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("a child does not listen");
    }
}
