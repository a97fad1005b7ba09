//! The coordinator dies before and after every durable write of a job: the job goes on and nothing is lost.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

use std::time::Duration;

use tabvault_integration_tests::checks::{self, fast_dir};
use tabvault_integration_tests::cluster::{Setup, backup_request};
use tabvault_integration_tests::crash::{Crash, Side};
use tabvault_integration_tests::scene::{Scene, Work};
use tabvault_integration_tests::walk::Walk;

fn setup() -> Setup {
    Setup { crash: Some(Crash::never()), buckets: 2, patience: Duration::from_secs(10), ..Setup::default() }
}

/// Does `work` again and again while the coordinator dies at one write after the other, on either side of it.
async fn walk(work: Work) {
    tokio::join!(walk_on(work, Side::Before), walk_on(work, Side::After));
}

async fn walk_on(work: Work, side: Side) {
    let dir = fast_dir();
    let (scene, mut cluster) = Scene::make(dir.path(), work, 2, 0, setup()).await;
    let mut walk = Walk::default();
    loop {
        let n = walk.life();
        scene.prepare(&cluster, n).await;
        let crash = cluster.setup.crash.clone().expect("the coordinator can die");
        crash.rest_chores();
        crash.count();
        if let Some(point) = walk.point() {
            crash.arm(point, side);
        }
        let job = tokio::select! {
            biased;
            () = crash.died() => None,
            job = async {
                let id = scene.ask(&cluster, n).await.ok()?;
                Some(scene.through(&cluster, id).await)
            } => job,
        };
        let wrote = crash.log();
        if crash.disarm() {
            scene.check(&cluster, n, &job.expect("a request to a coordinator that lives")).await;
            if walk.lived(wrote, work.coordinator_writes()) {
                return;
            }
            continue;
        }
        crash.died().await;
        walk.died();
        cluster.restart_fe().await;
        scene.clear(&cluster, n - 1).await;
        let id = scene.recover(&cluster, n).await;
        let job = scene.through(&cluster, id).await;
        scene.check(&cluster, n, &job).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_survives_death_at_every_write() {
    walk(Work::Backup).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incremental_backup_survives_death_at_every_write() {
    walk(Work::Incremental).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_of_a_new_table_survives_death_at_every_write() {
    walk(Work::RestoreNew).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_over_a_table_survives_death_at_every_write() {
    walk(Work::RestoreOver).await;
}

/// A coordinator that dies after every single write still brings jobs to their end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_never_lives_for_more_than_a_few_writes_gets_there() {
    let dir = fast_dir();
    let (_, mut cluster) = Scene::make(dir.path(), Work::Backup, 2, 0, setup()).await;
    let label = "persistent";
    // The claim itself takes three writes and a caller who asks again takes them again.
    let started = cluster.fe().backup(backup_request("shop", label, "repo")).await.expect("back up");
    let mut deaths = 0;
    loop {
        // To lead is a write. As long as there is no plan, what the last life left half-written is swept, and the intent
        // comes before the plan, which is three with its rows.
        let planned = cluster.fe().job(started.id).is_some_and(|job| job.state != "PENDING");
        cluster.stop_fe().await;
        let crash = Crash::never();
        crash.arm_after(if planned { 4 } else { 6 }, Side::After);
        cluster.setup.crash = Some(crash.clone());
        cluster.start_fe().await;
        let ended = tokio::select! {
            biased;
            () = crash.died() => None,
            job = cluster.wait_archived(started.id) => Some(job),
        };
        if let Some(job) = ended {
            checks::assert_finished(&job);
            break;
        }
        deaths += 1;
        assert!(deaths < 400, "no headway: {:#?}", cluster.fe().job(started.id));
    }
    assert!(deaths >= 4, "{deaths}");
    cluster.restart_fe().await;
    cluster.all_attached().await;
    checks::assert_one_snapshot(&cluster, "repo", label).await;
    checks::assert_swept(&cluster).await;
}
