//! Loads.

use tabvault_common::access::StorageAccess;
use tabvault_common::clock::{Clock, Time};
use tabvault_common::failure::{Kind, Retry};
use tabvault_common::ids::{JobUuid, Version};
use tabvault_common::request::LoadRequest;
use tabvault_fe_coordinator::catalog::Catalog;
use tabvault_fe_coordinator::catalog::conformance::{partition, table};

use super::common::{Home, backends, everywhere};

async fn home() -> Home {
    let home = Home::with_database().await;
    home.create(table("t"), &[partition("p", 0, 10), partition("q", 10, 20)]).await.unwrap();
    home
}

#[tokio::test]
async fn a_committed_load_is_the_next_version_with_its_sizes() {
    let home = home().await;
    home.make_all().await;
    let load = JobUuid::random();
    let plan = home.catalog.begin_load(load, "d", "t", Some("p")).await.unwrap();
    assert_eq!((plan.version, plan.buckets, plan.tablets.len()), (Version(2), 2, 4));
    let before = home.catalog.table("d", "t").await.unwrap();
    assert_eq!(before.partitions[0].visible_version, Version::INITIAL, "not visible before it is committed");
    home.clock.advance(std::time::Duration::from_secs(9));
    assert_eq!(home.catalog.commit_load(load, &everywhere(&plan, 50)).await.unwrap(), Version(2));

    let home = home.reopen();
    let shown = home.catalog.show_partitions("d", "t").await.unwrap();
    let p = &shown[0];
    assert_eq!((p.visible_version, p.data_size, p.file_count), (Version(2), 4 * 50, 4 * 2));
    assert_eq!(p.visible_version_time, home.clock.now());
    assert_ne!(p.visible_version_time, Time(1_753_970_521_042));
    assert_eq!(shown[1].visible_version, Version::INITIAL, "the other partition is untouched");
    for tablet in home.catalog.tablets(plan.partition).await.unwrap() {
        for replica in tablet.replicas {
            assert_eq!((replica.version, replica.data_size, replica.file_count), (Version(2), 50, 2));
        }
    }
    let views = home.catalog.show_tablets("d", "t", Some("p"), None, 99).await.unwrap();
    assert!(views.iter().all(|view| view.version_count == 2));
}

#[tokio::test]
async fn one_load_runs_on_a_partition_at_a_time() {
    let home = home().await;
    let catalog = &home.catalog;
    let (one, other) = (JobUuid::random(), JobUuid::random());
    let plan = catalog.begin_load(one, "d", "t", Some("p")).await.unwrap();
    let refusal = catalog.begin_load(other, "d", "t", Some("p")).await.unwrap_err();
    assert_eq!((refusal.kind, refusal.retry), (Kind::Busy, Retry::Safe));
    assert!(refusal.message.contains("another load"), "{refusal}");
    assert_eq!(catalog.begin_load(one, "d", "t", Some("p")).await.unwrap(), plan, "asked again, the same answer");
    assert_eq!(catalog.begin_load(one, "d", "t", Some("q")).await.unwrap_err().kind, Kind::FailedPrecondition);
    catalog.begin_load(other, "d", "t", Some("q")).await.unwrap();
    catalog.abort_load(one);
    catalog.abort_load(other);
    assert_eq!(catalog.commit_load(one, &everywhere(&plan, 1)).await.unwrap_err().kind, Kind::NotFound);
    let again = catalog.begin_load(other, "d", "t", Some("p")).await.unwrap();
    assert_eq!(again.version, Version(2), "an aborted load uses no version up");
}

#[tokio::test]
async fn nothing_is_dropped_while_files_come_into_it() {
    let home = home().await;
    let catalog = &home.catalog;
    let load = JobUuid::random();
    catalog.begin_load(load, "d", "t", Some("p")).await.unwrap();
    for refusal in [
        catalog.drop_partition("d", "t", "p").await.unwrap_err(),
        catalog.drop_table("d", "t").await.unwrap_err(),
        catalog.drop_database("d").await.unwrap_err(),
    ] {
        assert_eq!((refusal.kind, refusal.retry), (Kind::Busy, Retry::Safe));
        assert!(refusal.message.contains("table t: a load into partition p is running"), "{refusal}");
    }
    catalog.drop_partition("d", "t", "q").await.unwrap();
    catalog.abort_load(load);
    catalog.drop_partition("d", "t", "p").await.unwrap();
    catalog.drop_database("d").await.unwrap();
}

#[tokio::test]
async fn a_load_that_ran_at_a_crash_is_forgotten() {
    let home = home().await;
    let load = JobUuid::random();
    let plan = home.catalog.begin_load(load, "d", "t", Some("p")).await.unwrap();
    let home = home.reopen();
    assert_eq!(home.catalog.commit_load(load, &everywhere(&plan, 1)).await.unwrap_err().kind, Kind::NotFound);
    let again = home.catalog.begin_load(JobUuid::random(), "d", "t", Some("p")).await.unwrap();
    assert_eq!(again.version, plan.version);
}

#[tokio::test]
async fn a_replica_that_took_no_part_stays_behind_and_a_tablet_without_any_refuses_the_load() {
    let home = home().await;
    home.make_all().await;
    let load = JobUuid::random();
    let plan = home.catalog.begin_load(load, "d", "t", Some("p")).await.unwrap();
    let first = plan.tablets[0].tablet;
    let mut took = everywhere(&plan, 1);
    took.retain(|replica| replica.tablet != first);
    let refusal = home.catalog.commit_load(load, &took).await.unwrap_err();
    assert!(refusal.message.contains(&format!("no replica of tablet {first} took part")), "{refusal}");
    assert_eq!(home.catalog.table("d", "t").await.unwrap().partitions[0].visible_version, Version::INITIAL);

    home.catalog.begin_load(load, "d", "t", Some("p")).await.unwrap();
    let behind = plan.tablets[0].replicas[0].backend;
    let mut took = everywhere(&plan, 1);
    took.retain(|replica| replica.tablet != first || replica.backend != behind);
    home.catalog.commit_load(load, &took).await.unwrap();
    let tablets = home.catalog.tablets(plan.partition).await.unwrap();
    let versions: Vec<_> = tablets[0].replicas.iter().map(|replica| replica.version).collect();
    assert_eq!(versions, [Version::INITIAL, Version(2)]);
}

#[tokio::test]
async fn a_load_makes_tablets_that_were_not_made_yet() {
    let home = home().await;
    home.load("t", Some("p"), 1).await;
    home.load("t", Some("q"), 1).await;
    for room in backends(3) {
        assert!(home.catalog.unmade_tablets(room.backend, 9).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn tablets_made_after_a_load_keep_its_version() {
    let home = home().await;
    let backend = backends(1)[0].backend;
    let asked = home.catalog.unmade_tablets(backend, 99).await.unwrap();
    home.load("t", Some("p"), 1).await;
    home.catalog.made(backend, &asked.iter().map(|tablet| tablet.tablet).collect::<Vec<_>>()).await.unwrap();
    let views = home.catalog.show_tablets("d", "t", Some("p"), None, 99).await.unwrap();
    assert!(views.iter().all(|view| view.version == Version(2)));
}

#[tokio::test]
async fn what_was_made_for_a_load_that_failed_goes_again_and_what_was_there_stays() {
    let home = home().await;
    let room = backends(3);
    let new = |database: &str, table: &str| LoadRequest {
        database: database.to_owned(),
        table: table.to_owned(),
        partition: None,
        source: StorageAccess::direct("file:///nowhere"),
        create: true,
        buckets: Some(2),
        replication_num: Some(1),
    };
    let request = new("fresh", "t");
    let made = home.catalog.ensure_load_target(&request, &room).await.unwrap();
    home.catalog.undo_load_target(&request, made).await.unwrap();
    assert_eq!(home.catalog.databases().await.unwrap(), ["d"]);

    let request = new("d", "other");
    let made = home.catalog.ensure_load_target(&request, &room).await.unwrap();
    let again = home.catalog.ensure_load_target(&request, &room).await.unwrap();
    home.catalog.undo_load_target(&request, again).await.unwrap();
    assert!(home.catalog.table("d", "other").await.is_ok(), "the second load had not made it");
    let load = JobUuid::random();
    home.catalog.begin_load(load, "d", "other", None).await.unwrap();
    home.catalog.undo_load_target(&request, made).await.unwrap();
    assert!(home.catalog.table("d", "other").await.is_ok(), "somebody loads into it");
    home.catalog.abort_load(load);
    home.catalog.undo_load_target(&request, made).await.unwrap();
    assert!(home.catalog.table("d", "other").await.is_err());
}
