#![allow(clippy::unwrap_used)]

use tabvault_common::ids::{ClusterId, Lineage, SchemaHash, TabletId, Version};
use tabvault_common::repo::info::Content;
use tabvault_common::task::TabletVersion;
use uuid::Uuid;

use super::*;
use crate::job::samples::{self, manifest, prepared, restore_rows, snapshot};

#[test]
fn every_replica_is_in_exactly_one_row_with_the_manifest_of_its_source() {
    let rows = restore_rows(Content::All);
    let mut replicas: Vec<(u64, u64)> = Vec::new();
    for row in &rows {
        for tablet in &row.tablets {
            replicas.push((tablet.target.0, row.backend.0));
            // Manifest n belongs to backup task n; see the samples for what those are.
            let task = match tablet.source.tablet.0 {
                6010 => 1,
                6011 => 2,
                6021 => 3,
                _ => 4,
            };
            assert_eq!(row.manifest, Some(manifest(task)));
            assert_eq!((tablet.source.version, tablet.bytes), (Version(7), 100));
        }
    }
    replicas.sort_unstable();
    let mut asked: Vec<(u64, u64)> = prepared()
        .iter()
        .flatten()
        .flat_map(|tablet| tablet.backends.iter().map(|backend| (tablet.tablet.0, backend.0)))
        .collect();
    asked.sort_unstable();
    assert_eq!(replicas, asked);
    assert_eq!(rows.iter().map(|row| row.task.0).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
}

#[test]
fn tablets_are_mapped_by_position() {
    let sources: BTreeMap<u64, u64> = restore_rows(Content::All)
        .iter()
        .flat_map(|row| row.tablets.iter().map(|tablet| (tablet.target.0, tablet.source.tablet.0)))
        .collect();
    assert_eq!(sources, BTreeMap::from([(9000, 6010), (9001, 6011), (9002, 6020), (9003, 6021)]));
}

#[test]
fn without_data_there_is_nothing_to_fetch() {
    let rows = restore_rows(Content::MetadataOnly);
    assert!(rows.iter().all(|row| row.manifest.is_none() && row.bytes() == 0));
    assert_eq!(rows.len(), 3, "one for each backend");
}

#[test]
fn files_are_reused_where_the_old_tablet_is() {
    let mut targets = prepared();
    let old = TabletVersion { tablet: TabletId(1), version: Version(3), schema_hash: SchemaHash(1) };
    targets[0][0].reuse = Some((old, vec![BackendId(2)]));
    let (info, meta) = snapshot(Content::All);
    let rows = samples::planned(&info, &meta, &targets).unwrap();
    let reusing: Vec<_> = rows.iter().filter(|row| row.tablets.iter().any(|t| t.reuse == Some(old))).collect();
    assert_eq!(reusing.iter().map(|row| row.backend.0).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_catalog_that_prepares_something_else_is_refused() {
    let (info, meta) = snapshot(Content::All);
    let mut wrong = Vec::new();
    let mut missing_tablet = prepared();
    missing_tablet[1].pop();
    wrong.push(missing_tablet);
    let mut no_replica = prepared();
    no_replica[0][1].backends.clear();
    wrong.push(no_replica);
    let mut position = prepared();
    position[0][1].position = 0;
    wrong.push(position);
    let mut index = prepared();
    index[0][1].index = 1;
    wrong.push(index);
    let mut stranger = prepared();
    stranger.push(stranger[0].clone());
    wrong.push(stranger);
    for targets in wrong {
        let refusal = samples::planned(&info, &meta, &targets).unwrap_err();
        assert_eq!(refusal.kind, Kind::Internal);
    }
}

#[test]
fn a_meta_that_is_another_than_the_plan_was_made_from_is_damage() {
    let (info, mut meta) = snapshot(Content::All);
    meta.tables[0].partitions.pop();
    let refusal = samples::planned(&info, &meta, &prepared()).unwrap_err();
    assert_eq!(refusal.kind, Kind::Corrupt);
}

#[test]
fn tasks_are_bounded_in_tablets_and_bytes() {
    let tablet = |bytes| RowTablet {
        source: TabletIdentity {
            cluster: ClusterId(Uuid::max()),
            tablet: TabletId(u64::MAX),
            lineage: Lineage(Uuid::max()),
            version: Version(u64::MAX),
        },
        target: TabletId(u64::MAX),
        schema_hash: SchemaHash(u32::MAX),
        lineage: Lineage(Uuid::max()),
        reuse: Some(TabletVersion {
            tablet: TabletId(u64::MAX),
            version: Version(u64::MAX),
            schema_hash: SchemaHash(u32::MAX),
        }),
        bytes,
    };
    let counts = |tablets: Vec<RowTablet>| {
        let mut group = Group::default();
        tablets.into_iter().for_each(|tablet| group.add(tablet));
        group.tasks.iter().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!(counts(vec![tablet(1); 300]), [128, 128, 44]);
    assert_eq!(counts(vec![tablet(MAX_BYTES_PER_TASK / 2); 5]), [2, 2, 1]);
    assert_eq!(counts(vec![tablet(2 * MAX_BYTES_PER_TASK); 2]), [1, 1]);
    let mut largest = restore_rows(Content::All).remove(0);
    (largest.task, largest.backend) = (TaskId(u64::MAX), BackendId(u64::MAX));
    largest.tablets = vec![tablet(u64::MAX); MAX_TABLETS_PER_TASK];
    largest.error = Some(crate::job::kept(&"\u{1}".repeat(1 << 20)));
    for bytes in crate::records::row_sizes(&largest) {
        assert!(bytes <= crate::store::MAX_VALUE, "{bytes}");
    }
}
