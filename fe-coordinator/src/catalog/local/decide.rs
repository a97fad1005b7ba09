//! How a restore ends. The first of publish and discard that is durable decides; both answer with that from then on.

use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{Epoch, JobUuid, TableId};
use tabvault_common::schema::ViewDef;

use super::model::{Database, Partition, PreparedPart, PreparedTable, Restore, Table};
use super::records::Records;
use super::sets::{self, TabletSet};
use super::{Result, find, keys, make};
use crate::catalog::{Decision, TableState};

/// See [`crate::catalog::Catalog::publish`].
pub(super) fn publish(records: &mut Records, job: JobUuid, epoch: Epoch, now: Time) -> Result<Decision> {
    find::admit(records, epoch)?;
    let database = match records.get::<Restore>(&keys::restore(job))? {
        Some(Restore::Decided(decision)) => return Ok(decision),
        Some(Restore::Prepared { database, .. }) => database,
        Some(Restore::Preparing { .. }) | None => {
            let message = format!("publish restore {job}: it has not prepared all that it is to publish");
            return Err(Failure::fatal(Kind::FailedPrecondition, message));
        }
    };
    let record = release(records, job, &database)?;
    for (rest, table) in records.list::<PreparedTable>(&keys::prepared_tables(job))? {
        publish_table(records, job, &record, &rest, table, now)?;
    }
    for (_, (name, id)) in records.list::<(String, TableId)>(&keys::prepared_drops(job))? {
        let there = records.get::<Table>(&keys::table(record.id, &name))?;
        // Dropped and made again meanwhile, it is not the one that was meant; and another restore has it in hand now.
        if let Some(table) = there.filter(|table| table.id == id && table.restore.is_none()) {
            make::drop_table(records, &record, &table)?;
        }
    }
    publish_views(records, job, &record)?;
    decide(records, job, Decision::Published)
}

/// See [`crate::catalog::Catalog::discard`].
pub(super) fn discard(records: &mut Records, job: JobUuid, epoch: Epoch) -> Result<Decision> {
    find::admit(records, epoch)?;
    let (database, made_database) = match records.get::<Restore>(&keys::restore(job))? {
        Some(Restore::Decided(decision)) => return Ok(decision),
        Some(Restore::Preparing { database, made_database, .. } | Restore::Prepared { database, made_database }) => {
            (database, made_database)
        }
        // Nothing to give up; the decision alone refuses a prepare that comes late.
        None => return decide(records, job, Decision::Discarded),
    };
    let record = release(records, job, &database)?;
    for (rest, prepared) in records.list::<PreparedTable>(&keys::prepared_tables(job))? {
        for (_, part) in records.list::<PreparedPart>(&parts_of(job, &rest))? {
            sets::drop(records, part.set)?;
        }
        let key = keys::table(record.id, &prepared.def.name);
        let mut table = held(records, job, &key)?;
        if prepared.existing.is_some() {
            table.state = TableState::Normal;
            table.restore = None;
            records.put(key, &table)?;
        } else {
            records.delete(key);
        }
    }
    let empty = records.list::<Table>(&keys::tables(record.id))?.is_empty()
        && records.list::<ViewDef>(&keys::views(record.id))?.is_empty();
    if made_database && empty && record.restores.is_empty() {
        records.delete(keys::database(&database));
    }
    decide(records, job, Decision::Discarded)
}

/// Writes down the outcome and forgets the rest.
fn decide(records: &mut Records, job: JobUuid, decision: Decision) -> Result<Decision> {
    let prefix = keys::prepared(job);
    for (rest, _) in records.list::<serde_json::Value>(&prefix)? {
        records.delete(format!("{prefix}{rest}"));
    }
    records.put(keys::restore(job), &Restore::Decided(decision))?;
    Ok(decision)
}

/// Lets go of the database.
fn release(records: &mut Records, job: JobUuid, name: &str) -> Result<Database> {
    let key = keys::database(name);
    let mut database: Database = records.require(&key)?;
    database.restores.retain(|other| *other != job);
    records.put(key, &database)?;
    Ok(database)
}

/// The table at `key`, which the restore has held since it was prepared.
fn held(records: &Records, job: JobUuid, key: &str) -> Result<Table> {
    let table: Table = records.require(key)?;
    if table.restore.is_some_and(|restore| restore.job == job) {
        return Ok(table);
    }
    let message = format!("end restore {job}: table {} is not held by it", table.def.name);
    Err(Failure::fatal(Kind::Corrupt, message))
}

/// Where the prepared partitions stand of the table whose key ends in `rest`.
fn parts_of(job: JobUuid, rest: &str) -> String {
    format!("{}partition/{rest}/", keys::prepared(job))
}

fn publish_table(
    records: &mut Records,
    job: JobUuid,
    database: &Database,
    rest: &str,
    prepared: PreparedTable,
    now: Time,
) -> Result<()> {
    let key = keys::table(database.id, &prepared.def.name);
    let mut table = held(records, job, &key)?;
    if prepared.replace_whole {
        make::drop_partitions(records, table.id)?;
        table.id = prepared.id;
        table.def = prepared.def;
    }
    for id in prepared.drop_partitions {
        if let Some(partition) = records.get::<Partition>(&keys::partition(table.id, id))? {
            make::drop_partition(records, table.id, &partition)?;
        }
    }
    for (_, part) in records.list::<PreparedPart>(&parts_of(job, rest))? {
        let set = TabletSet { number: part.set, tablets: part.tablets, size: part.size };
        match part.existing.filter(|_| !prepared.replace_whole) {
            None => make::add_partition(records, table.id, part.def, &set, part.version, now)?,
            Some(id) => {
                let key = keys::partition(table.id, id);
                let mut partition: Partition = records.require(&key)?;
                sets::drop(records, partition.set)?;
                partition = Partition {
                    def: part.def,
                    version: part.version,
                    since: now,
                    set: set.number,
                    tablets: set.tablets,
                    data_size: set.size.bytes,
                    file_count: set.size.files,
                    ..partition
                };
                records.put(key, &partition)?;
            }
        }
    }
    table.state = TableState::Normal;
    table.restore = None;
    records.put(key, &table)
}

/// Makes the views, in their order and after those that stay; one of the same name is replaced.
fn publish_views(records: &mut Records, job: JobUuid, database: &Database) -> Result<()> {
    let brought = records.list::<ViewDef>(&keys::prepared_views(job))?;
    let present = records.list::<ViewDef>(&keys::views(database.id))?;
    for (number, view) in present {
        if brought.iter().any(|(_, new)| new.name == view.name) {
            records.delete(format!("{}{number}", keys::views(database.id)));
        }
    }
    for (_, view) in brought {
        let number = records.new_id()?;
        records.put(keys::view(database.id, number), &view)?;
    }
    Ok(())
}
