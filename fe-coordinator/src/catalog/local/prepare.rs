//! The hidden targets of a restore.
//!
//! # Crash consistency
//! The first step holds the tables; targets of many tablets are made in several, each of which writes down the sets that
//! it made. What a crash interrupts goes on where it was when it is asked again, or is given up by a discard.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{Epoch, JobUuid, PartitionId, TableId};
use tabvault_common::schema::{PartitionDef, TableDef, ViewDef};

use super::model::{Database, Partition, PreparedPart, PreparedTable, Restore, Restoring, Table, Tablet};
use super::records::Records;
use super::sets::{self, Purpose};
use super::{Result, find, keys, place, validate, views};
use crate::catalog::ranges::{self, Span};
use crate::catalog::{PreparePartition, PrepareRequest, PrepareTable, PreparedTablet, TableState};

#[cfg(test)]
mod tests;

/// Tablets that one step makes, and those of the partition that it ends with: what is kept until a change is committed,
/// and how long others wait for it, does not grow with the restore.
const TABLETS_PER_STEP: u64 = 2048;

/// The next partition to prepare: positions in [`PrepareRequest::tables`] and [`PrepareTable::partitions`].
pub(super) type Place = (u32, u32);

/// The step of [`crate::catalog::Catalog::prepare`] that begins it: checks everything that can be refused, holds the
/// tables, and makes the first targets. Answers with the place to go on from with [`go_on`], if not all are made.
pub(super) fn begin(
    records: &mut Records,
    job: JobUuid,
    epoch: Epoch,
    request: &PrepareRequest,
) -> Result<Option<Place>> {
    find::admit(records, epoch)?;
    if records.get::<Restore>(&keys::restore(job))?.is_none() {
        hold(records, job, request)?;
    }
    go_on(records, job, epoch, request, (0, 0))
}

/// Makes targets from a place on, but those that are there already. Answers with where to go on; once all are made the
/// restore is prepared.
pub(super) fn go_on(
    records: &mut Records,
    job: JobUuid,
    epoch: Epoch,
    request: &PrepareRequest,
    from: Place,
) -> Result<Option<Place>> {
    find::admit(records, epoch)?;
    let (database, made_database) = match records.get::<Restore>(&keys::restore(job))? {
        Some(Restore::Preparing { database, made_database, .. }) => (database, made_database),
        Some(Restore::Prepared { .. }) => return Ok(None),
        Some(Restore::Decided(decision)) => {
            let message = format!("prepare restore {job}: it has already ended as {decision:?}");
            return Err(Failure::fatal(Kind::FailedPrecondition, message));
        }
        None => return Err(Failure::fatal(Kind::Internal, format!("prepare restore {job}: it was not begun"))),
    };
    let mut made = 0;
    for (at, wanted) in (0_u32..).zip(&request.tables).skip(from.0 as usize) {
        let first = if at == from.0 { from.1 as usize } else { 0 };
        for (number, part) in (0_u32..).zip(&wanted.partitions).skip(first) {
            if made >= TABLETS_PER_STEP {
                return Ok(Some((at, number)));
            }
            let key = keys::prepared_partition(job, at, number);
            if records.get::<PreparedPart>(&key)?.is_none() {
                made += prepare_partition(records, key, request, wanted, part)?;
            }
        }
    }
    records.put(keys::restore(job), &Restore::Prepared { database, made_database })?;
    Ok(None)
}

/// Everything but the targets: from here on the tables are in the state RESTORE.
fn hold(records: &mut Records, job: JobUuid, request: &PrepareRequest) -> Result<()> {
    refuse_duplicates(request)?;
    let (database, made_database) = open_database(records, job, &request.database)?;
    for (what, name) in request.new_names(made_database) {
        validate::name(what, name)?;
    }
    for (at, table) in (0_u32..).zip(&request.tables) {
        prepare_table(records, job, &database, request, at, table)?;
    }
    prepare_drops(records, job, &database, request)?;
    prepare_views(records, job, &database, request)?;
    let backends = request.backends.iter().map(|room| room.backend).collect();
    let state = Restore::Preparing { database: request.database.clone(), made_database, backends };
    records.put(keys::restore(job), &state)
}

/// Makes the hidden tablets of a partition; how many.
fn prepare_partition(
    records: &mut Records,
    key: String,
    request: &PrepareRequest,
    table: &PrepareTable,
    part: &PreparePartition,
) -> Result<u64> {
    let replaced = table.existing.zip(part.existing).map(|(table, part)| keys::partition(table, part));
    let replaced = replaced.map(|key| records.get::<Partition>(&key)).transpose()?.flatten();
    let purpose = Purpose::Restore { version: part.version, replaces: replaced.as_ref(), sizes: &part.sizes };
    let set = sets::make(records, &table.def, &part.def, &request.backends, &purpose)?;
    let record = PreparedPart {
        def: part.def.clone(),
        existing: part.existing,
        version: part.version,
        set: set.number,
        tablets: set.tablets,
        size: set.size,
    };
    records.put(key, &record)?;
    Ok(set.tablets)
}

/// See [`crate::catalog::Catalog::prepared`].
pub(super) fn prepared(records: &Records, job: JobUuid, table: u32, partition: u32) -> Result<Vec<PreparedTablet>> {
    if !matches!(records.get::<Restore>(&keys::restore(job))?, Some(Restore::Prepared { .. })) {
        let message = format!("read what restore {job} prepared: it has prepared nothing, or has ended");
        return Err(Failure::fatal(Kind::FailedPrecondition, message));
    }
    let part = records.get::<PreparedPart>(&keys::prepared_partition(job, table, partition))?.ok_or_else(|| {
        let message =
            format!("read what restore {job} prepared: partition {partition} of table {table} was not asked for");
        Failure::fatal(Kind::NotFound, message)
    })?;
    Ok(sets::tablets(records, part.set)?.into_iter().map(Tablet::prepared).collect())
}

fn refuse_duplicates(request: &PrepareRequest) -> Result<()> {
    let mut names = BTreeSet::new();
    for table in &request.tables {
        let name = &table.def.name;
        if !names.insert(name) {
            return Err(Failure::fatal(Kind::InvalidArgument, format!("Duplicated table: {name}")));
        }
        let mut partitions = BTreeSet::new();
        for partition in &table.partitions {
            if !partitions.insert(&partition.def.name) {
                let message = format!("Duplicated partition: {} of table {name}", partition.def.name);
                return Err(Failure::fatal(Kind::InvalidArgument, message));
            }
        }
    }
    for name in &request.drop_tables {
        if names.contains(name) {
            let message = format!("prepare a restore: table {name} is to be restored and dropped, one is right");
            return Err(Failure::fatal(Kind::InvalidArgument, message));
        }
    }
    Ok(())
}

/// The database, held until the restore is decided, and whether it had to be made.
fn open_database(records: &mut Records, job: JobUuid, name: &str) -> Result<(Database, bool)> {
    let key = keys::database(name);
    let (mut database, made) = match records.get::<Database>(&key)? {
        Some(database) => (database, false),
        None => (Database { id: records.new_id()?, restores: Vec::new() }, true),
    };
    database.restores.push(job);
    records.put(key, &database)?;
    Ok((database, made))
}

fn prepare_table(
    records: &mut Records,
    job: JobUuid,
    database: &Database,
    request: &PrepareRequest,
    at: u32,
    wanted: &PrepareTable,
) -> Result<()> {
    let key = keys::table(database.id, &wanted.def.name);
    let there = records.get::<Table>(&key)?;
    let restore = Some(Restoring { job, new: wanted.existing.is_none(), allow_load: request.allow_load });
    let (mut table, present) = match (wanted.existing, there) {
        (None, None) => {
            // Of another restore: this one's views come after its tables.
            views::refuse_brought(records, database, &wanted.def.name, "Table")?;
            let id = TableId(records.new_id()?);
            (Table { id, def: wanted.def.clone(), state: TableState::Restore, restore: None }, Vec::new())
        }
        (Some(id), Some(table)) if table.id == id => {
            find::refuse_unless_normal(&table)?;
            let present = find::partitions(records, &table)?;
            (table, present)
        }
        (None, Some(_)) => return Err(changed(&wanted.def, "it has been made")),
        (Some(_), Some(_)) => return Err(changed(&wanted.def, "it has been dropped and made again")),
        (Some(_), None) => return Err(changed(&wanted.def, "it has been dropped")),
    };
    let whole = wanted.existing.is_none() || wanted.replace_whole;
    if !whole {
        check_schema(&table.def, &wanted.def)?;
    }
    check_partitions(&table.def, wanted, &present, whole)?;
    for part in &wanted.partitions {
        place::check(&wanted.def.name, &request.backends, part.def.replication_num)?;
    }
    let id = if wanted.existing.is_some() && whole { TableId(records.new_id()?) } else { table.id };
    let record = PreparedTable {
        id,
        def: wanted.def.clone(),
        existing: wanted.existing,
        replace_whole: whole,
        drop_partitions: wanted.drop_partitions.clone(),
    };
    records.put(keys::prepared_table(job, at), &record)?;
    table.state = TableState::Restore;
    table.restore = restore;
    records.put(key, &table)
}

/// Refuses a table whose indexes or buckets' columns are not those that the coordinator saw.
fn check_schema(there: &TableDef, wanted: &TableDef) -> Result<()> {
    let hashes = |def: &TableDef| def.indexes.iter().map(|index| index.schema_hash).collect::<Vec<_>>();
    let rollups = |def: &TableDef| def.indexes.iter().skip(1).map(|index| index.name.clone()).collect::<Vec<_>>();
    let same = hashes(there) == hashes(wanted)
        && rollups(there) == rollups(wanted)
        && there.key_type == wanted.key_type
        && there.partitioning == wanted.partitioning
        && there.distribution == wanted.distribution;
    if same { Ok(()) } else { Err(changed(wanted, "its schema has been altered")) }
}

/// Refuses partitions that do not go together with those that stay.
fn check_partitions(there: &TableDef, wanted: &PrepareTable, present: &[Partition], whole: bool) -> Result<()> {
    let gone: BTreeSet<PartitionId> = wanted.drop_partitions.iter().copied().collect();
    let mut staying: BTreeMap<PartitionId, &PartitionDef> =
        present.iter().filter(|part| !gone.contains(&part.id)).map(|part| (part.id, &part.def)).collect();
    for part in &wanted.partitions {
        if let Some(id) = part.existing
            && staying.remove(&id).is_none()
        {
            return Err(changed(there, &format!("partition {} has been dropped", part.def.name)));
        }
    }
    if whole {
        staying.clear();
    }
    let names: BTreeSet<&str> = staying.values().map(|def| def.name.as_str()).collect();
    let mut spans = Vec::new();
    for def in staying.values().copied().chain(wanted.partitions.iter().map(|part| &part.def)) {
        // What cannot be compared was checked where the snapshot comes from, or stands in this table already.
        spans.extend(Span::of(&wanted.def, &def.name, &def.range).ok());
    }
    if let Some(taken) = wanted.partitions.iter().find(|part| names.contains(part.def.name.as_str())) {
        return Err(changed(there, &format!("partition {} has been made", taken.def.name)));
    }
    if ranges::first_overlap(&spans).is_some() {
        return Err(changed(there, "a partition that has conflict range with the snapshot's has been made"));
    }
    Ok(())
}

fn prepare_drops(records: &mut Records, job: JobUuid, database: &Database, request: &PrepareRequest) -> Result<()> {
    for (at, name) in (0_u32..).zip(&request.drop_tables) {
        // One that is gone already needs no dropping.
        if let Some(table) = records.get::<Table>(&keys::table(database.id, name))? {
            records.put(format!("{}{at:08x}", keys::prepared_drops(job)), &(name, table.id))?;
        }
    }
    Ok(())
}

fn prepare_views(records: &mut Records, job: JobUuid, database: &Database, request: &PrepareRequest) -> Result<()> {
    for (at, view) in (0_u32..).zip(&request.views) {
        let taken = records.get::<Table>(&keys::table(database.id, &view.name))?.is_some();
        if taken && !request.drop_tables.contains(&view.name) {
            let message = format!("prepare a restore: view {} cannot be made, a table has that name", view.name);
            return Err(Failure::fatal(Kind::FailedPrecondition, message));
        }
        records.put(format!("{}{at:08x}", keys::prepared_views(job)), view)?;
    }
    let brought: BTreeSet<&str> = request.views.iter().map(|view| view.name.as_str()).collect();
    for (_, view) in records.list::<ViewDef>(&keys::views(database.id))? {
        let taken = request.tables.iter().any(|table| table.def.name == view.name);
        if taken && !brought.contains(view.name.as_str()) {
            let message = format!("prepare a restore: table {} cannot be made, a view has that name", view.name);
            return Err(Failure::fatal(Kind::FailedPrecondition, message));
        }
    }
    Ok(())
}

fn changed(table: &TableDef, what: &str) -> Failure {
    let name = &table.name;
    let message = format!("prepare a restore of table {name}: {what} since it was checked, start the restore again");
    Failure::fatal(Kind::FailedPrecondition, message)
}
