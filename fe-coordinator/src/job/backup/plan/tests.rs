#![allow(clippy::unwrap_used)]

use tabvault_common::ids::{Lineage, PartitionId, SchemaHash, TabletId, Version};
use uuid::Uuid;

use super::*;
use crate::job::samples::{orders, rows, tablet};

const P1: PartitionId = PartitionId(601);

fn backends(ids: &[u64]) -> BTreeSet<BackendId> {
    ids.iter().copied().map(BackendId).collect()
}

fn infos(count: u32, bytes: impl Fn(u32) -> u64, on: &[u64]) -> Vec<TabletInfo> {
    let one = |bucket: u32| {
        let mut info = tablet(&orders(), P1, 0, on);
        info.tablet = TabletId(10_000 + u64::from(bucket));
        info.position = bucket;
        info.replicas.iter_mut().for_each(|replica| replica.data_size = bytes(bucket));
        info
    };
    (0..count).map(one).collect()
}

fn planned(tablets: &[TabletInfo], alive: &[u64], content: Content) -> Vec<Row> {
    let alive = backends(alive);
    let mut planner = Planner::new(&alive, content);
    planner.partition("orders", &orders().partitions[0], tablets).unwrap();
    planner.finish()
}

#[test]
fn bytes_are_spread_over_the_backends() {
    let rows = planned(&infos(300, |bucket| u64::from(bucket % 7 + 1) << 20, &[1, 2, 3]), &[1, 2, 3], Content::All);
    let mut load: BTreeMap<BackendId, u64> = BTreeMap::new();
    for row in &rows {
        *load.entry(row.backend).or_default() += row.bytes();
    }
    let (least, most) = (load.values().min().unwrap(), load.values().max().unwrap());
    assert_eq!(load.len(), 3);
    assert!(most - least <= 7 << 20, "{load:?}");
}

#[test]
fn partitions_share_one_balance() {
    let alive = backends(&[1, 2]);
    let mut planner = Planner::new(&alive, Content::All);
    let table = orders();
    for partition in &table.partitions {
        planner.partition("orders", partition, &[tablet(&table, partition.id, 0, &[1, 2])]).unwrap();
    }
    let rows = planner.finish();
    assert_eq!(rows.iter().map(|row| (row.task.0, row.backend.0)).collect::<Vec<_>>(), [(1, 1), (2, 2)]);
}

#[test]
fn a_replica_on_a_backend_that_is_away_is_the_last_choice() {
    let rows = planned(&infos(8, |_| 100, &[1, 2, 3]), &[2], Content::All);
    assert!(rows.iter().all(|row| row.backend == BackendId(2)));
    assert!(rows.iter().flat_map(|row| &row.tablets).all(|tablet| tablet.others.len() == 2));
    let only = planned(&infos(1, |_| 100, &[1]), &[2], Content::All);
    assert_eq!(only[0].backend, BackendId(1), "where there is no other, it waits for this one");
}

#[test]
fn a_task_has_a_bounded_number_of_tablets_bytes_and_files() {
    let rows = planned(&infos(300, |_| 1, &[1]), &[1], Content::All);
    assert_eq!(rows.iter().map(|row| row.tablets.len()).collect::<Vec<_>>(), [128, 128, 44]);
    let rows = planned(&infos(5, |_| MAX_BYTES_PER_TASK / 2, &[1]), &[1], Content::All);
    assert_eq!(rows.iter().map(|row| row.tablets.len()).collect::<Vec<_>>(), [2, 2, 1]);
    let rows = planned(&infos(2, |_| 3 * MAX_BYTES_PER_TASK, &[1]), &[1], Content::All);
    assert_eq!(rows.len(), 2, "one alone may have more");
    let mut many = infos(5, |_| 1, &[1]);
    many.iter_mut().for_each(|info| info.replicas[0].file_count = MAX_FILES_PER_TASK / 2);
    let by_files = planned(&many, &[1], Content::All);
    assert_eq!(by_files.iter().map(|row| row.tablets.len()).collect::<Vec<_>>(), [2, 2, 1]);
    let all: Vec<u64> = rows.iter().map(|row| row.task.0).collect();
    assert_eq!(all, [1, 2]);
}

#[test]
fn every_tablet_is_in_exactly_one_task() {
    let rows = planned(&infos(1000, u64::from, &[1, 2, 3]), &[1, 3], Content::All);
    let mut ids: Vec<u64> = rows.iter().flat_map(|row| &row.tablets).map(|tablet| tablet.tablet.0).collect();
    ids.sort_unstable();
    assert_eq!(ids, (10_000..11_000).collect::<Vec<_>>());
}

#[test]
fn a_replica_that_lacks_the_version_is_no_choice() {
    let mut info = tablet(&orders(), P1, 0, &[1, 2, 3]);
    info.replicas[0].version = Version(6);
    info.replicas[2].version = Version(9);
    let rows = planned(&[info.clone()], &[1, 2, 3], Content::All);
    assert_eq!((rows[0].backend, &rows[0].tablets[0].others), (BackendId(2), &[BackendId(3)].into()));
    info.replicas.truncate(1);
    let alive = backends(&[1, 2, 3]);
    let mut planner = Planner::new(&alive, Content::All);
    let refusal = planner.partition("orders", &orders().partitions[0], &[info]).unwrap_err();
    let words = ["tablet 6010", "partition p1", "table orders", "no replica with version 7", "EXCLUDE (orders)"];
    assert!(words.iter().all(|word| refusal.message.contains(word)), "{}", refusal.message);
}

#[test]
fn a_backup_of_definitions_has_tablets_without_files() {
    let rows = planned(&infos(3, |_| 100, &[1]), &[1], Content::MetadataOnly);
    assert!(rows.iter().all(|row| row.stage == Stage::Described && row.bytes() == 0));
}

#[test]
fn rows_hold_just_the_tablets_that_the_definition_speaks_of() {
    let table = orders();
    let check = |rows: &[Row]| check_unaltered(&table, &table.partitions[0], rows.iter().filter(|r| r.partition == P1));
    assert!(check(&rows()).is_ok());
    let mut other_index = rows();
    other_index[0].tablets[0].index = 1;
    let mut other_bucket = rows();
    other_bucket[0].tablets[0].position = 2;
    let mut twice = rows();
    let copy = twice[0].tablets[0].clone();
    twice[1].tablets.push(copy);
    for rows in [other_index, other_bucket, twice, Vec::new()] {
        assert!(check(&rows).is_err());
    }
}

#[test]
fn what_is_shown_of_a_tablet_is_kept_if_it_is_shown_of_the_version_that_is_taken() {
    let mut tablets = infos(2, |_| 100, &[1]);
    tablets[1].replicas[0].version = tablets[0].replicas[0].version.next();
    let shown = |content| -> Vec<Option<Shown>> {
        planned(&tablets, &[1], content)[0].tablets.iter().map(|tablet| tablet.shown).collect()
    };
    assert_eq!(shown(Content::All), [Some(Shown { files: 2, bytes: 100 }), None]);
    assert_eq!(shown(Content::MetadataOnly), [None, None]);
}

#[test]
fn the_largest_row_fits_into_a_record() {
    let tablet = RowTablet {
        tablet: TabletId(u64::MAX),
        index: u32::MAX,
        position: u32::MAX,
        schema_hash: SchemaHash(u32::MAX),
        lineage: Lineage(Uuid::max()),
        files: u64::MAX,
        bytes: u64::MAX,
        shown: Some(Shown { files: u64::MAX, bytes: u64::MAX }),
        others: [BackendId(u64::MAX); 6].into(),
    };
    let mut row = rows().remove(0);
    row.tablets = vec![tablet; MAX_TABLETS_PER_TASK];
    row.error = Some(crate::job::kept(&"\u{1}".repeat(1 << 20)));
    for bytes in crate::records::row_sizes(&row) {
        assert!(bytes <= crate::store::MAX_VALUE, "{bytes}");
    }
}
