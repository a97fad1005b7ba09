//! An agent dies; the coordinator and the other agent, in the test's own process, live.

use std::time::Duration;

use tabvault_common::view::JobView;
use tabvault_integration_tests::checks::fast_dir;
use tabvault_integration_tests::cluster::{Cluster, Setup};
use tabvault_integration_tests::crash::{Crash, Side};
use tabvault_integration_tests::scene::{Scene, Work};
use tabvault_integration_tests::walk::Walk;

use crate::child::{Ended, Order, Role, Running, Word};

/// Large files in the table, beside the one that is always there.
const LARGE: u64 = 4;

async fn walk(work: Work, replicas: u32) {
    tokio::join!(walk_on(work, replicas, Side::Before), walk_on(work, replicas, Side::After));
}

/// Each child ends what the one before left, and dies in the next job.
async fn walk_on(work: Work, replicas: u32, side: Side) {
    let dir = fast_dir();
    let chores = Crash::never();
    let setup =
        Setup { crash: Some(chores.clone()), buckets: 2, patience: Duration::from_secs(10), ..Setup::default() };
    let (scene, mut cluster) = Scene::make(dir.path(), work, replicas, LARGE, setup).await;
    cluster.stop_be(0).await;
    let mut walk = Walk::default();
    let mut left = None;
    loop {
        let n = walk.life();
        cluster.attached(1).await;
        scene.clear(&cluster, n.saturating_sub(2)).await;
        chores.let_chores();
        let mut child = Running::start(&Order { scene: scene.clone(), address: cluster.address(), role: Role::Agent });
        cluster.attached(2).await;
        if let Some(id) = left {
            let job = scene.through(&cluster, id).await;
            check_objects(&cluster, work, &job);
            scene.check(&cluster, n - 1, &job).await;
        }
        chores.rest_chores();
        scene.prepare(&cluster, n).await;
        child.tell(&Word::Begin(walk.point().map(|point| (point, side)))).await;
        let id = scene.ask(&cluster, n).await.expect("ask for a job");
        let ended = tokio::select! {
            biased;
            ended = child.ended() => ended,
            _ = scene.through(&cluster, id) => {
                child.tell(&Word::End).await;
                child.ended().await
            }
        };
        match ended {
            Ended::Killed => walk.died(),
            Ended::Lived(wrote) => {
                if walk.lived(wrote, work.agent_writes()) {
                    return;
                }
            }
        }
        left = Some(id);
    }
}

/// At most what was in flight is sent again.
fn check_objects(cluster: &Cluster, work: Work, job: &JobView) {
    if work != Work::Backup {
        return;
    }
    let dir = cluster.dir.join(format!("repo/__tabvault_repository_repo/__data/{}/o", job.uuid));
    let objects = std::fs::read_dir(dir).expect("list the objects").count() as u64;
    // Each large file has an object of its own; the agent has one in flight at a time.
    let files = LARGE + 1;
    assert!((files..=files + 1).contains(&objects), "{objects} objects of {files} files: too much was sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_survives_the_kill_of_an_agent_at_every_write() {
    walk(Work::Backup, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_of_a_new_table_survives_the_kill_of_an_agent_at_every_write() {
    walk(Work::RestoreNew, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_over_a_table_survives_the_kill_of_an_agent_at_every_write() {
    walk(Work::RestoreOver, 2).await;
}
