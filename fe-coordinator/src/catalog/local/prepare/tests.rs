#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use tabvault_common::clock::{ManualClock, Time};
use tabvault_common::ids::{BackendId, TabletId, Version};

use super::*;
use crate::catalog::conformance::{partition, table};
use crate::catalog::local::LocalCatalog;
use crate::catalog::{BackendRoom, Catalog, Decision};
use crate::store::SharedDb;

const EPOCH: Epoch = Epoch(1);

/// Of each partition: more than half of what a step makes, with the rollup's.
const BUCKETS: u32 = 600;

fn room(number: u64) -> BackendRoom {
    BackendRoom { backend: BackendId(number), host: format!("host{number}"), available_bytes: 1 << 40 }
}

/// Three partitions: two make a step full.
fn large() -> PrepareRequest {
    let part = |n: i64| {
        let def = PartitionDef { buckets: BUCKETS, replication_num: 1, ..partition(&format!("p{n}"), n, n + 1) };
        PreparePartition { def, existing: None, version: Version(7), sizes: Vec::new() }
    };
    PrepareRequest {
        database: "d".to_owned(),
        tables: vec![PrepareTable {
            def: table("t"),
            existing: None,
            replace_whole: false,
            partitions: (0..3).map(part).collect(),
            drop_partitions: Vec::new(),
        }],
        views: Vec::new(),
        drop_tables: Vec::new(),
        allow_load: false,
        backends: vec![room(1), room(2)],
    }
}

fn open(dir: &Path) -> LocalCatalog {
    LocalCatalog::open(&SharedDb::open(dir).unwrap(), Arc::new(ManualClock::new(Time(7)))).unwrap()
}

/// A restore whose preparation ended after its first step, with its process.
async fn interrupted(dir: &Path, job: JobUuid) -> LocalCatalog {
    let catalog = open(dir);
    catalog.create_database("d", false).await.unwrap();
    let left = catalog.change(move |records| begin(records, job, EPOCH, &large())).await.unwrap();
    assert_eq!(left, Some((0, 2)));
    drop(catalog);
    open(dir)
}

#[tokio::test]
async fn what_was_interrupted_is_held_but_not_prepared_and_goes_on_where_it_was() {
    let (dir, job) = (tempfile::tempdir().unwrap(), JobUuid::random());
    let catalog = interrupted(dir.path(), job).await;
    let refusals = [
        catalog.prepared(job, 0, 0).await.unwrap_err(),
        catalog.publish(job, EPOCH).await.unwrap_err(),
        catalog.prepare(JobUuid::random(), EPOCH, &large()).await.unwrap_err(),
        // The partition to come may be placed there.
        catalog.retire(BackendId(2), &[BackendId(1)]).await.unwrap_err(),
    ];
    assert!(refusals.iter().all(|refusal| refusal.kind == Kind::FailedPrecondition), "{refusals:?}");
    let made = catalog.look(move |records| records.list::<PreparedPart>(&keys::prepared_partitions(job, 0)));
    assert_eq!(made.await.unwrap().len(), 2);

    catalog.prepare(job, EPOCH, &large()).await.unwrap();
    let mut tablets = Vec::new();
    for part in 0..3 {
        let of_part = catalog.prepared(job, 0, part).await.unwrap();
        assert_eq!(of_part.len(), 2 * BUCKETS as usize);
        tablets.extend(of_part.into_iter().map(|tablet| tablet.tablet));
    }
    catalog.publish(job, EPOCH).await.unwrap();
    let blocks = |records: &Records| records.scan::<serde_json::Value>(&keys::tablets("")).count();
    let of_index = BUCKETS.div_ceil(128) as usize;
    assert_eq!(catalog.look(move |records| Ok(blocks(records))).await.unwrap(), 3 * 2 * of_index, "none made twice");
    // In pages, as users look at them.
    let (mut shown, mut after) = (Vec::<TabletId>::new(), None);
    loop {
        let page = catalog.show_tablets("d", "t", None, after, 7_000).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.tablet, last.replica));
        shown.extend(page.iter().map(|view| view.tablet));
    }
    assert_eq!(shown, tablets);
}

#[tokio::test]
async fn what_was_interrupted_is_given_up_whole_by_a_discard() {
    let (dir, job) = (tempfile::tempdir().unwrap(), JobUuid::random());
    let catalog = interrupted(dir.path(), job).await;
    assert_eq!(catalog.discard(job, EPOCH).await.unwrap(), Decision::Discarded);
    assert!(catalog.cut("d").await.unwrap().tables.is_empty());
    let late = catalog.change(move |records| go_on(records, job, EPOCH, &large(), (0, 2))).await.unwrap_err();
    assert_eq!(late.kind, Kind::FailedPrecondition);
    let mut garbage = 0;
    for backend in [BackendId(1), BackendId(2)] {
        garbage += catalog.garbage(backend, usize::MAX).await.unwrap().len();
    }
    assert_eq!(garbage, 2 * 2 * BUCKETS as usize);
    let left = |records: &Records| Ok(records.scan::<serde_json::Value>(&keys::tablets("")).count());
    assert_eq!(catalog.look(left).await.unwrap(), 0);
}
