#![allow(clippy::unwrap_used, clippy::panic)]

use tabvault_common::ids::{Lineage, SchemaHash};
use uuid::Uuid;

use super::*;
use crate::job::samples;

fn shared_with(parent: &(Info, WholeMeta), rows: Vec<Row>) -> Vec<Row> {
    share(&samples::plan().cut, samples::cluster(), rows, &parent.0, &parent.1)
}

/// Each tablet: `=` with the manifest it is shared in, or its backend and the manifests in which its files may be.
fn words(parent: &(Info, WholeMeta), rows: &[Row]) -> Vec<String> {
    let number = |manifest: &ManifestRef| parent.0.manifests.iter().position(|known| known == manifest).unwrap();
    let mut words = Vec::new();
    for (row, task) in rows.iter().zip(1..) {
        assert_eq!(row.task, TaskId(task));
        assert!(!row.tablets.is_empty());
        for tablet in &row.tablets {
            words.push(match &row.stage {
                Stage::Uploaded(manifest) => format!("{} = {}", tablet.tablet, number(manifest)),
                Stage::Snapshot => {
                    let parents: Vec<usize> = row.parents.iter().map(number).collect();
                    format!("{} on {} by {parents:?}", tablet.tablet, row.backend)
                }
                Stage::Snapshotted | Stage::Described => panic!("no plan has this"),
            });
        }
    }
    words.sort();
    words
}

/// The parent with both tablets of each partition in one manifest.
fn pairs() -> (Info, WholeMeta) {
    let (mut info, mut meta) = samples::parent();
    info.manifests.truncate(2);
    for manifest in &mut info.manifests {
        manifest.tablets = 2;
    }
    for (partition, n) in meta.tables[0].partitions.iter_mut().zip(0..) {
        for tablet in &mut partition.indexes[0].tablets {
            tablet.manifest = Some(n);
        }
    }
    (info, meta)
}

#[test]
fn what_is_unchanged_is_shared_by_its_manifests_and_no_backend_hears_of_it() {
    let mut parent = samples::parent();
    parent.1.tables[0].partitions[0].indexes[0].tablets[0].files = 77;
    let rows = shared_with(&parent, samples::rows());
    assert_eq!(words(&parent, &rows), ["6010 = 0", "6011 = 1", "6020 = 3", "6021 = 2"]);
    assert!(rows.iter().all(|row| row.is_done() && row.parents.is_empty()));
    // Files and bytes are those that the parent counted, generated ones included.
    let counted = rows.iter().flat_map(|row| &row.tablets).find(|tablet| tablet.tablet == TabletId(6010)).unwrap();
    assert_eq!(counted.files, 77);
}

#[test]
fn a_partition_that_was_loaded_is_uploaded_with_its_manifests_at_hand() {
    let parent = pairs();
    let mut rows = samples::rows();
    for row in rows.iter_mut().filter(|row| row.partition == PartitionId(601)) {
        row.version = row.version.next();
    }
    let rows = shared_with(&parent, rows);
    assert_eq!(words(&parent, &rows), ["6010 on 1 by [0]", "6011 on 1 by [0]", "6020 = 1", "6021 = 1"]);
    // What was moved can still be taken from where it was.
    let moved = rows.iter().flat_map(|row| &row.tablets).find(|tablet| tablet.tablet == TabletId(6011)).unwrap();
    assert!(moved.others.contains(&BackendId(2)) && !moved.others.contains(&BackendId(1)));
}

#[test]
fn a_manifest_is_shared_only_if_every_tablet_in_it_is_what_it_was() {
    let parent = pairs();
    let mut rows = samples::rows();
    rows[1].tablets[0].lineage = Lineage(Uuid::nil());
    let rows = shared_with(&parent, rows);
    // The other tablet is another history's: it has no parent, but may travel with the one that has.
    assert_eq!(words(&parent, &rows), ["6010 on 1 by [0]", "6011 on 2 by []", "6020 = 1", "6021 = 1"]);
}

#[test]
fn names_and_places_that_a_manifest_carries_must_be_the_same() {
    type Change = fn(&mut WholeMeta);
    let changes: [Change; 5] = [
        |meta| meta.tables[0].partitions[0].table = "renamed".into(),
        |meta| meta.tables[0].partitions[0].def.name = "renamed".into(),
        |meta| meta.tables[0].partitions[0].indexes[0].name = "renamed".into(),
        |meta| meta.tables[0].partitions[0].indexes[0].schema_hash = SchemaHash(0),
        |meta| meta.tables[0].partitions[0].indexes[0].tablets.swap(0, 1),
    ];
    for change in changes {
        let mut parent = pairs();
        change(&mut parent.1);
        let rows = shared_with(&parent, samples::rows());
        assert_eq!(words(&parent, &rows), ["6010 on 1 by [0]", "6011 on 1 by [0]", "6020 = 1", "6021 = 1"]);
    }
}

#[test]
fn another_clusters_snapshot_and_one_without_data_share_nothing() {
    let mut foreign = samples::parent();
    foreign.0.job.cluster = ClusterId(Uuid::nil());
    let mut bare = samples::parent();
    bare.0.content = Content::MetadataOnly;
    for parent in [foreign, bare] {
        assert_eq!(shared_with(&parent, samples::rows()), samples::rows());
    }
}

#[test]
fn tablets_of_one_manifest_stay_apart_where_replicas_are_apart() {
    let parent = pairs();
    let mut rows = samples::rows();
    rows.retain(|row| row.partition == PartitionId(601));
    for row in &mut rows {
        row.version = row.version.next();
        row.tablets[0].others = Box::default();
    }
    assert_eq!(words(&parent, &shared_with(&parent, rows)), ["6010 on 1 by [0]", "6011 on 2 by [0]"]);
}

#[test]
fn tasks_keep_their_bounds() {
    let (mut info, mut meta) = samples::parent();
    let (template, manifest) = (samples::rows()[0].clone(), info.manifests[0]);
    let known = meta.tables[0].partitions[0].indexes[0].tablets[0];
    info.manifests = vec![manifest; 300];
    let tablets: Vec<RowTablet> =
        (0..300).map(|n| RowTablet { tablet: TabletId(n), position: 0, ..template.tablets[0].clone() }).collect();
    meta.tables[0].partitions[0].indexes[0].tablets =
        (0_u32..300).map(|n| TabletMeta { tablet: TabletId(n.into()), manifest: Some(n), ..known }).collect();
    let version = template.version.next();
    let parent = (info, meta);
    let rows = shared_with(&parent, vec![Row { version, tablets: tablets.clone(), ..template.clone() }]);
    let sizes: Vec<(usize, usize)> = rows.iter().map(|row| (row.tablets.len(), row.parents.len())).collect();
    assert_eq!(sizes, [(128, MAX_PARENTS), (128, MAX_PARENTS), (44, MAX_PARENTS)]);

    // What is in one manifest is cut only if it is too much for one task.
    let mut parent = parent;
    for (tablet, n) in parent.1.tables[0].partitions[0].indexes[0].tablets.iter_mut().zip(0_u32..) {
        tablet.manifest = Some(n / 100);
    }
    let rows = shared_with(&parent, vec![Row { version, tablets, ..template }]);
    let sizes: Vec<(usize, usize)> = rows.iter().map(|row| (row.tablets.len(), row.parents.len())).collect();
    assert_eq!(sizes, [(100, 1), (100, 1), (100, 1)]);
}
