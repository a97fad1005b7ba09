//! Whether a snapshot's partitions fit into a table that is here, and what each of them becomes there.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::failure::Failure;
use tabvault_common::schema::{PartitionRange, PartitionValue};

use super::choose::ChosenTable;
use super::schema::{WAY_OUT, same_definition};
use super::{SnapshotPartition, Target, mismatch, replicas};
use crate::catalog::{CutPartition, CutTable, PreparePartition, PrepareTable};
use crate::check::properties::RestoreProperties;
use crate::check::ranges::{Occupied, PartitionKeys};

/// What is to be made when the table is written into. Partitions that `clean_partitions` drops are in nobody's way.
///
/// # Errors
/// `Mismatch` with the first difference.
pub(super) fn fit(table: &ChosenTable<'_>, here: &CutTable, properties: &RestoreProperties) -> Result<Target, Failure> {
    let mut target = Target {
        index_map: same_definition(&here.def, &table.table.def)?,
        // As it is: the catalog holds it against the table, to see whether that changed meanwhile.
        prepare: PrepareTable {
            def: here.def.clone(),
            existing: Some(here.id),
            replace_whole: false,
            partitions: Vec::new(),
            drop_partitions: Vec::new(),
        },
        sources: Vec::new(),
        bytes: Vec::new(),
    };
    let brought: BTreeSet<&str> =
        table.partitions.iter().map(|&at| table.table.partitions[at].def.name.as_str()).collect();
    let (stay, go): (Vec<&CutPartition>, Vec<&CutPartition>) = here.partitions.iter().partition(|p| {
        let named = brought.contains(p.def.name.as_str()) || table.spared.contains(&p.def.name);
        !properties.clean_partitions || !table.partitioned() || named
    });
    target.prepare.drop_partitions = go.iter().map(|p| p.id).collect();
    let keys = PartitionKeys::of(&here.def);
    let occupied = Occupied::new(&keys, stay.iter().map(|p| (p.def.name.as_str(), &p.def.range)));
    let by_name: BTreeMap<&str, &CutPartition> = stay.iter().map(|p| (p.def.name.as_str(), *p)).collect();
    for &at in &table.partitions {
        let partition = &table.table.partitions[at];
        // The one partition of a table that is not partitioned has that table's name, whatever it is.
        let local = if table.partitioned() {
            by_name.get(partition.def.name.as_str()).copied()
        } else {
            here.partitions.first()
        };
        let prepare = match local {
            Some(local) => replace(here, local, partition, &keys, properties)?,
            None => add(here, partition, &occupied, properties)?,
        };
        target.add((table.position, at), partition, prepare);
    }
    Ok(target)
}

fn replace(
    here: &CutTable,
    local: &CutPartition,
    partition: &SnapshotPartition,
    keys: &PartitionKeys,
    properties: &RestoreProperties,
) -> Result<PreparePartition, Failure> {
    let (table, name) = (&here.def.name, &local.def.name);
    if !keys.same(&local.def.range, &partition.def.range) {
        let (ours, theirs) = (shown(&local.def.range), shown(&partition.def.range));
        return Err(mismatch(format!(
            "Partition {name} of table {table} has different range with partition in repository: {ours} here, \
             {theirs} in the snapshot; {WAY_OUT}"
        )));
    }
    if local.def.buckets != partition.def.buckets {
        let (ours, theirs) = (local.def.buckets, partition.def.buckets);
        return Err(mismatch(format!(
            "Partition {name} of table {table} has different bucket number with partition in repository: {ours} here, \
             {theirs} in the snapshot; {WAY_OUT}"
        )));
    }
    let mut def = local.def.clone();
    def.replication_num = replicas::of_existing(table, partition, local.def.replication_num, properties)?;
    Ok(PreparePartition { def, existing: Some(local.id), version: partition.version, sizes: Vec::new() })
}

fn add(
    here: &CutTable,
    partition: &SnapshotPartition,
    occupied: &Occupied<'_>,
    properties: &RestoreProperties,
) -> Result<PreparePartition, Failure> {
    if let Some(other) = occupied.conflict(&partition.def.range) {
        let (table, name, range) = (&here.def.name, &partition.def.name, shown(&partition.def.range));
        return Err(mismatch(format!(
            "Partition {name} of table {table} has conflict range with existing ranges: {range} overlaps partition \
             {other}, so drop that first, or {WAY_OUT}"
        )));
    }
    let mut def = partition.def.clone();
    def.replication_num = replicas::of_new(partition, properties, Some(here.def.replication_num));
    Ok(PreparePartition { def, existing: None, version: partition.version, sizes: Vec::new() })
}

/// A range for a sentence; of a list the first keys.
fn shown(range: &PartitionRange) -> String {
    const SHOWN: usize = 10;
    let key = |values: &[PartitionValue]| {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        format!("({})", values.join(", "))
    };
    match range {
        PartitionRange::Whole => "everything".to_owned(),
        PartitionRange::Range { lower, upper } => format!("[{}, {})", key(lower), key(upper)),
        PartitionRange::List(keys) => {
            let shown: Vec<String> = keys.iter().take(SHOWN).map(|values| key(values)).collect();
            format!("IN ({}{})", shown.join(", "), if keys.len() > SHOWN { ", …" } else { "" })
        }
    }
}
