//! What a restore changes: hidden targets, and the one step by which they become visible or are given up.
//!
//! Every function here changes the [`Tables`] it is given, which are a copy: what it changed before it failed counts
//! for nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{Epoch, JobUuid, PartitionId, TableId, Version};
use tabvault_common::schema::{PartitionDef, TableDef, ViewDef};
use tabvault_common::task::TabletVersion;
use tabvault_fe_coordinator::catalog::ranges::{self, Span};
use tabvault_fe_coordinator::catalog::{
    Decision, PrepareRequest, PrepareTable, PreparedTablet, Result, TableState, TabletInfo,
};

use super::tables::{Partition, Table, Tables};

/// How far a restore is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Restore {
    /// Its targets are there, hidden.
    Prepared(Prepared),
    /// It has ended so.
    Decided(Decision),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Prepared {
    database: String,
    /// The database was made for it.
    made_database: bool,
    tables: Vec<PreparedTable>,
    views: Vec<ViewDef>,
    drop_tables: Vec<(String, TableId)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct PreparedTable {
    id: TableId,
    def: TableDef,
    /// It was there before.
    existing: bool,
    /// All partitions that are there go.
    whole: bool,
    drop_partitions: Vec<PartitionId>,
    partitions: Vec<PreparedPart>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct PreparedPart {
    def: PartitionDef,
    existing: Option<PartitionId>,
    version: Version,
    tablets: Vec<TabletInfo>,
    /// The same tablets as the coordinator is told of them.
    hidden: Vec<PreparedTablet>,
}

/// Refuses a coordinator that another has taken over from.
fn admit(tables: &mut Tables, epoch: Epoch) -> Result<()> {
    if epoch < tables.epoch {
        let message = format!("epoch {epoch} is over: another coordinator leads with epoch {}", tables.epoch);
        return Err(Failure::fatal(Kind::Stale, message));
    }
    tables.epoch = epoch;
    Ok(())
}

fn changed(table: &str, what: &str) -> Failure {
    let message = format!("prepare a restore of table {table}: {what} since it was checked, start the restore again");
    Failure::fatal(Kind::FailedPrecondition, message)
}

/// See [`tabvault_fe_coordinator::catalog::Catalog::prepare`].
pub(super) fn prepare(tables: &mut Tables, job: JobUuid, epoch: Epoch, request: &PrepareRequest) -> Result<()> {
    admit(tables, epoch)?;
    match tables.restores.get(&job) {
        Some(Restore::Prepared(_)) => return Ok(()),
        Some(Restore::Decided(decision)) => {
            let message = format!("prepare restore {job}: it has already ended as {decision:?}");
            return Err(Failure::fatal(Kind::FailedPrecondition, message));
        }
        None => {}
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = request.tables.iter().find(|table| !names.insert(&table.def.name)) {
        return Err(Failure::fatal(Kind::InvalidArgument, format!("Duplicated table: {}", twice.def.name)));
    }
    let database = request.database.clone();
    let made_database = !tables.databases.contains_key(&database);
    tables.databases.entry(database.clone()).or_default();
    let mut prepared = Vec::new();
    for wanted in &request.tables {
        prepared.push(prepare_table(tables, request, wanted)?);
    }
    let there = tables.database(&database)?;
    let drop_tables = request.drop_tables.iter().filter_map(|name| Some((name.clone(), there.tables.get(name)?.id)));
    let prepared = Prepared {
        drop_tables: drop_tables.collect(),
        database,
        made_database,
        tables: prepared,
        views: request.views.clone(),
    };
    tables.restores.insert(job, Restore::Prepared(prepared));
    Ok(())
}

/// See [`tabvault_fe_coordinator::catalog::Catalog::prepared`].
pub(super) fn prepared(tables: &Tables, job: JobUuid, table: u32, partition: u32) -> Result<Vec<PreparedTablet>> {
    let Some(Restore::Prepared(prepared)) = tables.restores.get(&job) else {
        let message = format!("restore {job} has prepared nothing, or has ended");
        return Err(Failure::fatal(Kind::FailedPrecondition, message));
    };
    let part = prepared.tables.get(table as usize).and_then(|table| table.partitions.get(partition as usize));
    part.map(|part| part.hidden.clone()).ok_or_else(|| {
        let message = format!("restore {job} has no partition {partition} of table {table}");
        Failure::fatal(Kind::NotFound, message)
    })
}

fn prepare_table(tables: &mut Tables, request: &PrepareRequest, wanted: &PrepareTable) -> Result<PreparedTable> {
    let name = &wanted.def.name;
    let there = tables.database(&request.database)?.tables.get(name).cloned();
    let (present, id) = match (wanted.existing, &there) {
        (None, None) => (Vec::new(), TableId(tables.new_id())),
        (Some(id), Some(table)) if table.id == id => {
            table.refuse_unless_normal()?;
            check_table(table, wanted)?;
            (table.partitions.clone(), if wanted.replace_whole { TableId(tables.new_id()) } else { id })
        }
        (None, Some(_)) => return Err(changed(name, "it has been made")),
        (Some(_), _) => return Err(changed(name, "it has been dropped")),
    };
    let mut partitions = Vec::new();
    for part in &wanted.partitions {
        let old = part.existing.and_then(|id| present.iter().find(|present| present.id == id));
        let reusable = old.map_or(&[][..], |old| &old.tablets);
        let tablets = tables.new_tablets(&wanted.def, part, &request.backends, reusable)?;
        let hidden = tablets.iter().map(|tablet| hidden(tablet, old)).collect();
        partitions.push(PreparedPart {
            def: part.def.clone(),
            existing: part.existing,
            version: part.version,
            tablets,
            hidden,
        });
    }
    let existing = there.is_some();
    let mut held = there.unwrap_or_else(|| Table {
        id,
        def: wanted.def.clone(),
        state: TableState::Restore,
        partitions: Vec::new(),
    });
    held.state = TableState::Restore;
    tables.databases.entry(request.database.clone()).or_default().tables.insert(name.clone(), held);
    let (def, drop_partitions) = (wanted.def.clone(), wanted.drop_partitions.clone());
    Ok(PreparedTable { id, def, existing, whole: wanted.replace_whole || !existing, drop_partitions, partitions })
}

/// A target as the coordinator sees it. It may use the files of the tablet that it takes the place of.
fn hidden(tablet: &TabletInfo, replaced: Option<&Partition>) -> PreparedTablet {
    let reuse = replaced.and_then(|part| {
        let old = part.tablets.iter().find(|old| (old.index, old.position) == (tablet.index, tablet.position))?;
        let at = TabletVersion { tablet: old.tablet, version: part.version, schema_hash: old.schema_hash };
        let same = old.schema_hash == tablet.schema_hash;
        same.then(|| (at, old.replicas.iter().map(|replica| replica.backend).collect()))
    });
    PreparedTablet {
        tablet: tablet.tablet,
        index: tablet.index,
        position: tablet.position,
        schema_hash: tablet.schema_hash,
        lineage: tablet.lineage,
        backends: tablet.replicas.iter().map(|replica| replica.backend).collect(),
        reuse,
    }
}

/// Refuses what is no longer as the coordinator checked it.
fn check_table(there: &Table, wanted: &PrepareTable) -> Result<()> {
    let name = &wanted.def.name;
    let hashes = |def: &TableDef| def.indexes.iter().map(|index| index.schema_hash).collect::<Vec<_>>();
    if !wanted.replace_whole && hashes(&there.def) != hashes(&wanted.def) {
        return Err(changed(name, "its schema has been altered"));
    }
    let replaced: BTreeSet<PartitionId> = wanted.partitions.iter().filter_map(|part| part.existing).collect();
    if !replaced.iter().all(|id| there.partitions.iter().any(|part| part.id == *id)) {
        return Err(changed(name, "a partition has been dropped"));
    }
    let goes = |part: &&Partition| {
        wanted.replace_whole || replaced.contains(&part.id) || wanted.drop_partitions.contains(&part.id)
    };
    let staying = there.partitions.iter().filter(|part| !goes(part)).map(|part| &part.def);
    let mut names = BTreeSet::new();
    let mut spans = Vec::new();
    for def in staying.chain(wanted.partitions.iter().map(|part| &part.def)) {
        if !names.insert(&def.name) {
            return Err(changed(name, &format!("partition {} has been made", def.name)));
        }
        spans.extend(Span::of(&wanted.def, &def.name, &def.range).ok());
    }
    let overlap = ranges::first_overlap(&spans);
    overlap.map_or(Ok(()), |_| Err(changed(name, "a partition with a conflicting range has been made")))
}

/// What a restore prepared, or how it has ended.
fn state(tables: &Tables, job: JobUuid) -> Option<std::result::Result<Prepared, Decision>> {
    tables.restores.get(&job).map(|restore| match restore {
        Restore::Prepared(prepared) => Ok(prepared.clone()),
        Restore::Decided(decision) => Err(*decision),
    })
}

/// See [`tabvault_fe_coordinator::catalog::Catalog::publish`].
pub(super) fn publish(tables: &mut Tables, job: JobUuid, epoch: Epoch, now: Time) -> Result<Decision> {
    admit(tables, epoch)?;
    let prepared = match state(tables, job) {
        Some(Ok(prepared)) => prepared,
        Some(Err(decision)) => return Ok(decision),
        None => {
            let message = format!("publish restore {job}: it has prepared nothing");
            return Err(Failure::fatal(Kind::FailedPrecondition, message));
        }
    };
    for table in prepared.tables {
        publish_table(tables, &prepared.database, table, now)?;
    }
    for (name, id) in &prepared.drop_tables {
        // Dropped and made again meanwhile, it is not the one that was meant.
        if tables.table(&prepared.database, name).is_ok_and(|table| table.id == *id) {
            tables.drop_table(&prepared.database, name);
        }
    }
    let views = &mut tables.databases.entry(prepared.database).or_default().views;
    for new in prepared.views {
        // One that is replaced keeps its place, before those that read from it.
        match views.iter_mut().find(|old| old.name == new.name) {
            Some(old) => *old = new,
            None => views.push(new),
        }
    }
    tables.restores.insert(job, Restore::Decided(Decision::Published));
    Ok(Decision::Published)
}

fn publish_table(tables: &mut Tables, database: &str, prepared: PreparedTable, now: Time) -> Result<()> {
    let mut table = tables.table(database, &prepared.def.name)?.clone();
    let mut doomed = Vec::new();
    if prepared.whole {
        doomed.append(&mut table.partitions);
        (table.id, table.def) = (prepared.id, prepared.def);
    } else {
        let goes = |part: &mut Partition| prepared.drop_partitions.contains(&part.id);
        doomed.extend(table.partitions.extract_if(.., goes));
    }
    for new in prepared.partitions {
        let there = table.partitions.iter_mut().find(|part| Some(part.id) == new.existing);
        let id = there.as_ref().map_or_else(|| PartitionId(tables.new_id()), |part| part.id);
        let part = Partition { id, def: new.def, version: new.version, since: now, tablets: new.tablets };
        match there {
            Some(there) => doomed.push(std::mem::replace(there, part)),
            None => table.partitions.push(part),
        }
    }
    table.state = TableState::Normal;
    table.sort();
    for partition in &doomed {
        tables.give_up(&partition.tablets);
    }
    tables.databases.entry(database.to_owned()).or_default().tables.insert(table.def.name.clone(), table);
    Ok(())
}

/// See [`tabvault_fe_coordinator::catalog::Catalog::discard`].
pub(super) fn discard(tables: &mut Tables, job: JobUuid, epoch: Epoch) -> Result<Decision> {
    admit(tables, epoch)?;
    match state(tables, job) {
        Some(Err(decision)) => return Ok(decision),
        Some(Ok(prepared)) => put_back(tables, prepared),
        // Nothing to give up; the decision alone refuses a prepare that comes late.
        None => {}
    }
    tables.restores.insert(job, Restore::Decided(Decision::Discarded));
    Ok(Decision::Discarded)
}

fn put_back(tables: &mut Tables, prepared: Prepared) {
    for table in prepared.tables {
        for part in &table.partitions {
            tables.give_up(&part.tablets);
        }
        let Some(database) = tables.databases.get_mut(&prepared.database) else { continue };
        if table.existing {
            if let Some(there) = database.tables.get_mut(&table.def.name) {
                there.state = TableState::Normal;
            }
        } else {
            database.tables.remove(&table.def.name);
        }
    }
    let empty = |database: &super::tables::Database| database.tables.is_empty() && database.views.is_empty();
    if prepared.made_database && tables.database(&prepared.database).is_ok_and(empty) {
        tables.databases.remove(&prepared.database);
    }
}
