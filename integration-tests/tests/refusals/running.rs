//! What cannot be done because of the jobs that run, or because none does.

use tabvault_integration_tests::crash::Side;

use crate::provoked::{ITEMS, Provoked, Scene};

pub(crate) async fn scene() -> Provoked {
    let mut scene = Scene::new().await;
    beside_a_restore(&mut scene).await;
    beside_a_backup(&mut scene).await;
    scene.provoked()
}

async fn beside_a_restore(scene: &mut Scene) {
    scene.refuse("No restore job is currently running", &[], "CANCEL RESTORE FROM shop").await;
    let restore = "RESTORE SNAPSHOT shop.base FROM repo ON (items) PROPERTIES ('backup_timestamp' = '$base')";
    let hold = scene.crash.hold("catalog publish", Side::Before);
    let (id, _) = scene.begin(restore).await;
    hold.reached().await;
    let busy = "Can only run one backup or restore job of a database at same time";
    scene.refuse(busy, &[], "BACKUP SNAPSHOT shop.more TO repo").await;
    let other = "RESTORE SNAPSHOT shop.base FROM repo ON (sales) PROPERTIES ('backup_timestamp' = '$base')";
    scene.refuse(busy, &[], other).await;
    let used = "Backup or restore job is running on this repository. Can not drop it";
    scene.refuse(used, &[], "DROP REPOSITORY repo").await;
    scene.refuse("No backup job is currently running", &[], "CANCEL BACKUP FROM shop").await;
    let load = scene.load_statement("items", 7);
    for statement in [&load, "DROP TABLE items", "ALTER TABLE items SET ('a' = 'b')"] {
        scene.refuse("Table {}'s state is not NORMAL: {}", &["items", "RESTORE"], statement).await;
    }
    hold.release();
    scene.ended(id, restore).await;
    let over = "Job with label {} can not be cancelled. state: {}";
    scene.refuse(over, &["base", "FINISHED"], "CANCEL RESTORE FROM shop WHERE LABEL = 'base'").await;
    scene.refuse(over, &["base", "FINISHED"], "CANCEL BACKUP WHERE LABEL = 'base'").await;
}

async fn beside_a_backup(scene: &mut Scene) {
    let label = "Snapshot with name '{}' already exist in repository";
    scene.refuse(label, &["base"], "BACKUP SNAPSHOT shop.base TO repo").await;
    scene.run(&format!("CREATE DATABASE other; USE other; {ITEMS}; USE shop")).await;
    let hold = scene.crash.hold("__ss_slow", Side::Before);
    let backup = "BACKUP SNAPSHOT shop.slow TO repo";
    let (id, _) = scene.begin(backup).await;
    hold.reached().await;
    scene.refuse(label, &["slow"], "BACKUP SNAPSHOT other.slow TO repo").await;
    scene.run("CANCEL BACKUP").await;
    scene.ended(id, backup).await;
    hold.release();
    let over = "Job with label {} can not be cancelled. state: {}";
    scene.refuse(over, &["slow", "CANCELLED"], "CANCEL BACKUP WHERE LABEL = 'slow'").await;
}
