//! Taking a backend out.

use std::collections::BTreeSet;

use tabvault_common::failure::Kind;
use tabvault_common::ids::Version;
use tabvault_common::ids::{BackendId, Epoch, JobUuid, TabletId};
use tabvault_fe_coordinator::catalog::conformance::{partition, table};
use tabvault_fe_coordinator::catalog::{Catalog, PreparePartition, PrepareRequest, PrepareTable, Retired};

use super::common::{Home, backends};

const OUT: BackendId = BackendId(1);
const OTHERS: [BackendId; 2] = [BackendId(2), BackendId(3)];

/// The table `t` of 40 buckets: its blocks are more than one.
async fn home(replicas: u32) -> Home {
    let home = Home::with_database().await;
    let mut part = partition("p", 0, 10);
    (part.buckets, part.replication_num) = (40, replicas);
    home.create(table("t"), &[part]).await.unwrap();
    home.make_all().await;
    home
}

/// The tablets that have a replica on it.
async fn on(home: &Home, backend: BackendId) -> BTreeSet<TabletId> {
    let views = home.catalog.show_tablets("d", "t", None, None, 999).await.unwrap();
    views.iter().filter(|view| view.backend == backend).map(|view| view.tablet).collect()
}

#[tokio::test]
async fn replicas_leave_where_others_have_what_readers_see() {
    let home = home(2).await;
    home.load("t", Some("p"), 5).await;
    let there = on(&home, OUT).await;
    assert!(there.len() > 40, "{}", there.len());
    let retired = home.catalog.retire(OUT, &OTHERS).await.unwrap();
    assert_eq!(retired, Retired { replicas: there.len() as u64, tables: BTreeSet::from(["d.t".to_owned()]) });
    let home = home.reopen();
    assert_eq!(on(&home, OUT).await, BTreeSet::new());
    let garbage: BTreeSet<TabletId> = home.catalog.garbage(OUT, 999).await.unwrap().into_iter().collect();
    assert_eq!(garbage, there, "its agent removes them");
    assert_eq!(home.catalog.retire(OUT, &OTHERS).await.unwrap(), Retired::default(), "asked again");
    home.load("t", Some("p"), 6).await;
    home.catalog.forget(OUT).await.unwrap();
    assert!(home.catalog.garbage(OUT, 999).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_only_complete_replica_stays_and_nothing_has_changed() {
    for loaded in [false, true] {
        let home = home(1).await;
        if loaded {
            home.load("t", Some("p"), 5).await;
        }
        let there = on(&home, OUT).await;
        let refused = home.catalog.retire(OUT, &OTHERS).await.unwrap_err();
        assert_eq!(refused.kind, Kind::FailedPrecondition);
        for words in
            [format!("complete replica of {} tablets, the first of table d.t", there.len()), "back such".into()]
        {
            assert!(refused.message.contains(&words), "{refused}");
        }
        assert_eq!(on(&home, OUT).await, there);
    }
    // The other replica is on a backend that does not answer.
    let home = home(2).await;
    home.load("t", Some("p"), 5).await;
    let there = on(&home, OUT).await;
    home.catalog.retire(OUT, &[BackendId(2)]).await.unwrap_err();
    assert_eq!(on(&home, OUT).await, there);
}

#[tokio::test]
async fn what_a_restore_writes_to_is_not_taken_from_it() {
    let home = home(2).await;
    let new = |def| PreparePartition { def, existing: None, version: Version(7), sizes: Vec::new() };
    let table = PrepareTable {
        def: table("new"),
        existing: None,
        replace_whole: false,
        partitions: vec![new(partition("p", 0, 10))],
        drop_partitions: Vec::new(),
    };
    let request = PrepareRequest {
        database: "d".to_owned(),
        tables: vec![table],
        views: Vec::new(),
        drop_tables: Vec::new(),
        allow_load: false,
        backends: backends(2),
    };
    let job = JobUuid::random();
    home.catalog.prepare(job, Epoch(1), &request).await.unwrap();
    let refused = home.catalog.retire(OUT, &OTHERS).await.unwrap_err();
    assert!(refused.message.contains(&format!("restore {job} writes to it")), "{refused}");
    home.catalog.discard(job, Epoch(1)).await.unwrap();
    home.catalog.retire(OUT, &OTHERS).await.unwrap();
    let garbage = home.catalog.garbage(OUT, 999).await.unwrap();
    assert!(garbage.len() > 40, "also what the restore had hidden goes");
}
