//! The coordinator dies; the agents, in the test's own process, live.

use std::time::Duration;

use tabvault_integration_tests::checks::fast_dir;
use tabvault_integration_tests::cluster::Setup;
use tabvault_integration_tests::crash::Side;
use tabvault_integration_tests::scene::{Scene, Work};
use tabvault_integration_tests::walk::Walk;

use crate::child::{Ended, Order, Role, Running};

async fn walk(work: Work) {
    tokio::join!(walk_on(work, Side::Before), walk_on(work, Side::After));
}

/// Each child sees to the end what the one before left, and dies in a job of its own.
async fn walk_on(work: Work, side: Side) {
    let dir = fast_dir();
    let setup = Setup { buckets: 2, patience: Duration::from_secs(10), ..Setup::default() };
    let (scene, mut cluster) = Scene::make(dir.path(), work, 2, 0, setup).await;
    cluster.stop_fe().await;
    let mut walk = Walk::default();
    loop {
        let dies = walk.point().map(|point| (point, side));
        let role = Role::Coordinator { job: walk.life(), dies };
        let mut child = Running::start(&Order { scene: scene.clone(), address: cluster.address(), role });
        match child.ended().await {
            Ended::Killed => walk.died(),
            Ended::Lived(wrote) => {
                if walk.lived(wrote, work.coordinator_writes()) {
                    return;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_survives_the_kill_of_its_coordinator_at_every_write() {
    walk(Work::Backup).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_of_a_new_table_survives_the_kill_of_its_coordinator_at_every_write() {
    walk(Work::RestoreNew).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_over_a_table_survives_the_kill_of_its_coordinator_at_every_write() {
    walk(Work::RestoreOver).await;
}
