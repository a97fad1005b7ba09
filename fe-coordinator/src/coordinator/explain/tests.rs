use tabvault_common::clock::Time;
use tabvault_common::ids::{BackendId, Lineage, PartitionId, SchemaHash, TabletId, TaskId, Version};
use tabvault_common::repo::info::BackupType;

use super::*;
use crate::job::backup::RowTablet;

const MIB: u64 = 1 << 20;

fn row(tablets: &[(u64, u64)]) -> Row {
    let tablet = |(files, bytes): &(u64, u64)| RowTablet {
        tablet: TabletId(1),
        index: 0,
        position: 0,
        schema_hash: SchemaHash(1),
        lineage: Lineage(uuid::Uuid::nil()),
        files: *files,
        bytes: *bytes,
        shown: None,
        others: Box::default(),
    };
    Row {
        parents: Vec::new(),
        task: TaskId(1),
        partition: PartitionId(1),
        version: Version(1),
        version_time: Time(0),
        backend: BackendId(1),
        attempt: 1,
        failures: 0,
        not_before: None,
        error: None,
        stage: Stage::Snapshot,
        tablets: tablets.iter().map(tablet).collect(),
    }
}

#[test]
fn large_objects_cost_a_request_per_part() {
    assert_eq!(put_requests(0), 1);
    assert_eq!(put_requests(32 * MIB), 1);
    assert_eq!(put_requests(33 * MIB), 2 + 3);
    // Parts grow where there would be more than nine thousand.
    assert_eq!(put_requests(9000 * 32 * MIB), 2 + 9000);
}

#[test]
fn small_files_travel_together_and_large_ones_alone() {
    let properties = BackupProperties::default();
    // A task of many small files and one of few large ones.
    let work = uploads(&[row(&[(1000, 100 * MIB), (1000, 28 * MIB)]), row(&[(10, 400 * MIB), (0, 0)])], &properties);
    assert_eq!((work.files, work.bytes), (2010, 528 * MIB));
    assert_eq!((work.packed_files, work.packs, work.objects), (2000, 4, 10));
    // The five beside, a manifest for each task, four packs, and ten objects of 40 MiB in three parts each.
    assert_eq!(work.requests, 5 + 2 + 4 + 10 * (2 + 3));
}

#[test]
fn definitions_alone_cost_what_every_backup_costs() {
    let described = Row { stage: Stage::Described, ..row(&[(0, 0)]) };
    assert_eq!(uploads(&[described], &BackupProperties::default()).requests, BACKUP_REQUESTS);
}

#[test]
fn an_incremental_backup_also_asks_for_its_parent() {
    let properties = BackupProperties { backup_type: BackupType::Incremental, ..BackupProperties::default() };
    assert_eq!(uploads(&[], &properties).requests, BACKUP_REQUESTS + PARENT_REQUESTS);
}

#[test]
fn smaller_packs_are_more_and_so_many_files_fill_one() {
    let properties = BackupProperties { max_file_size: MIB, ..BackupProperties::default() };
    assert_eq!(uploads(&[row(&[(100, 10 * MIB)])], &properties).packs, 10);
    assert_eq!(uploads(&[row(&[(100_000, 100_000)])], &BackupProperties::default()).packs, 4);
}
