//! What becomes of one table: a new one, an existing one that is written into, or one that is replaced as a whole.

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::repo::info::Content;
use tabvault_common::schema::TableDef;

use super::choose::ChosenTable;
use super::fit::fit;
use super::{SnapshotPartition, SnapshotTables, Target, check_state, replicas, some_of};
use crate::catalog::{CutTable, PreparePartition, PrepareTable};
use crate::check::invalid;
use crate::check::properties::RestoreProperties;

const DYNAMIC_PARTITION: &str = "dynamic_partition.enable";
const COLOCATE: &str = "colocate_with";

pub(super) fn target(
    snapshot: &SnapshotTables,
    table: &ChosenTable<'_>,
    here: Option<&CutTable>,
    properties: &RestoreProperties,
    notices: &mut Vec<String>,
) -> Result<Target, Failure> {
    check_snapshot(snapshot, table)?;
    let Some(here) = here else {
        return Ok(new_table(table, None, properties, notices));
    };
    check_state(here, "leave it out of the restore")?;
    if snapshot.content == Content::MetadataOnly {
        let (label, name) = (&snapshot.label, &table.name);
        return Err(Failure::fatal(
            Kind::FailedPrecondition,
            format!(
                "Table {name} already exist, and snapshot {label} holds definitions only: it would be emptied; restore \
                 it under another name with AS, or drop it first"
            ),
        ));
    }
    let fitted = fit(table, here, properties);
    if !properties.atomic_restore {
        let target = fitted?;
        notice_dropped(&target, here, notices);
        return Ok(target);
    }
    let fitted = match fitted {
        // What differs goes with the table.
        Err(difference) if difference.kind == Kind::Mismatch && properties.force_replace => None,
        fitted => Some(fitted?),
    };
    if table.in_part {
        return Err(invalid(format!(
            "atomic_restore replaces table {} as a whole: restore all of its partitions, or leave atomic_restore out",
            table.name
        )));
    }
    let mut target = new_table(table, Some(here), properties, notices);
    // Where the contents may be equal, the files that are here are used again.
    for (new, old) in target.prepare.partitions.iter_mut().zip(fitted.iter().flat_map(|old| &old.prepare.partitions)) {
        new.existing = old.existing;
    }
    notice_lost(&target, here, notices);
    Ok(target)
}

/// The table as in the snapshot, under its new name; in place of `replaced` if that is given.
fn new_table(
    table: &ChosenTable<'_>,
    replaced: Option<&CutTable>,
    properties: &RestoreProperties,
    notices: &mut Vec<String>,
) -> Target {
    let otherwise = replaced.map(|here| here.def.replication_num);
    let mut target = Target {
        prepare: PrepareTable {
            def: new_definition(table, otherwise, properties, notices),
            existing: replaced.map(|here| here.id),
            replace_whole: replaced.is_some(),
            partitions: Vec::new(),
            drop_partitions: Vec::new(),
        },
        sources: Vec::new(),
        index_map: (0..table.table.def.indexes.len()).collect(),
        bytes: Vec::new(),
    };
    for &at in &table.partitions {
        let partition = &table.table.partitions[at];
        let mut def = partition.def.clone();
        def.replication_num = replicas::of_new(partition, properties, otherwise);
        if !table.partitioned() {
            // The one partition of such a table is named as the table.
            def.name.clone_from(&table.name);
        }
        let prepare = PreparePartition { def, existing: None, version: partition.version, sizes: Vec::new() };
        target.add((table.position, at), partition, prepare);
    }
    target
}

impl Target {
    pub(super) fn add(&mut self, source: (usize, usize), partition: &SnapshotPartition, prepare: PreparePartition) {
        self.prepare.partitions.push(prepare);
        self.sources.push(source);
        self.bytes.push(partition.bytes);
    }
}

fn new_definition(
    table: &ChosenTable<'_>,
    otherwise: Option<u32>,
    properties: &RestoreProperties,
    notices: &mut Vec<String>,
) -> TableDef {
    let mut def = table.table.def.clone();
    let name = &table.name;
    def.name.clone_from(name);
    if let Some(base) = def.indexes.first_mut() {
        base.name.clone_from(name);
    }
    if !properties.reserve_replica {
        def.replication_num = properties.replication_num.or(otherwise).unwrap_or_else(|| replicas::asked(properties));
    }
    if let Some(enable) = def.properties.get_mut(DYNAMIC_PARTITION)
        && enable.eq_ignore_ascii_case("true")
        && !properties.reserve_dynamic_partition_enable
    {
        "false".clone_into(enable);
        notices.push(format!(
            "table {name}: dynamic partitioning is off; ALTER TABLE {name} SET (\"{DYNAMIC_PARTITION}\"=\"true\") turns \
             it on"
        ));
    }
    if let Some(group) = def.properties.remove(COLOCATE) {
        notices.push(format!(
            "table {name}: it is in no colocate group, since groups are not restored; it was in {group}"
        ));
    }
    def
}

/// The format promises this; a plan made of anything else would mix tablets up.
fn check_snapshot(snapshot: &SnapshotTables, table: &ChosenTable<'_>) -> Result<(), Failure> {
    let def = &table.table.def;
    for &at in &table.partitions {
        let partition = &table.table.partitions[at];
        let indexes = partition.indexes.iter().map(|index| (index.name.as_str(), index.schema_hash));
        let buckets = partition.def.buckets;
        if !indexes.eq(def.indexes.iter().map(|index| (index.name.as_str(), index.schema_hash)))
            || partition.indexes.iter().any(|index| index.tablets != buckets)
        {
            let (label, timestamp, name) = (&snapshot.label, &snapshot.timestamp, &partition.def.name);
            return Err(Failure::fatal(
                Kind::Corrupt,
                format!(
                    "snapshot {label} {timestamp} contradicts itself: partition {name} of table {} has other indexes \
                     or tablets than its definition says",
                    def.name
                ),
            ));
        }
    }
    Ok(())
}

fn notice_dropped(target: &Target, here: &CutTable, notices: &mut Vec<String>) {
    let dropped = here.partitions.iter().filter(|p| target.prepare.drop_partitions.contains(&p.id));
    let dropped: Vec<&str> = dropped.map(|p| p.def.name.as_str()).collect();
    if !dropped.is_empty() {
        notices.push(format!("clean_partitions drops from table {}: {}", here.def.name, some_of(&dropped)));
    }
}

fn notice_lost(target: &Target, here: &CutTable, notices: &mut Vec<String>) {
    let brought = |name: &str| target.prepare.partitions.iter().any(|p| p.def.name == name);
    let lost: Vec<&str> = here.partitions.iter().map(|p| p.def.name.as_str()).filter(|name| !brought(name)).collect();
    if !lost.is_empty() {
        notices.push(format!(
            "atomic_restore replaces table {} as a whole and so drops partitions that the snapshot lacks: {}",
            here.def.name,
            some_of(&lost)
        ));
    }
}
