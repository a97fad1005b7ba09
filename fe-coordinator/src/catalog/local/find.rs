//! Finding what a name or number means, with the words in which users are refused.

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{Epoch, PartitionId, TableId};
use tabvault_common::schema::Partitioning;

use super::model::{Database, Partition, Table};
use super::records::Records;
use super::{Result, keys};
use crate::catalog::TableState;
use crate::catalog::ranges::Span;

/// The database named `name`.
pub(super) fn database(records: &Records, name: &str) -> Result<Database> {
    records
        .get(&keys::database(name))?
        .ok_or_else(|| Failure::fatal(Kind::NotFound, format!("Unknown database '{name}'")))
}

/// The table named `name`, with its database.
pub(super) fn table(records: &Records, database_name: &str, name: &str) -> Result<(Database, Table)> {
    let database = database(records, database_name)?;
    let table = records
        .get(&keys::table(database.id, name))?
        .ok_or_else(|| Failure::fatal(Kind::NotFound, format!("Unknown table '{name}'")))?;
    Ok((database, table))
}

/// The table named `name` if it may be changed.
pub(super) fn changeable(records: &Records, database: &str, name: &str) -> Result<(Database, Table)> {
    let (database, table) = self::table(records, database, name)?;
    refuse_unless_normal(&table)?;
    Ok((database, table))
}

/// Refuses to change a table that a restore or a schema change holds.
pub(super) fn refuse_unless_normal(table: &Table) -> Result<()> {
    if table.state == TableState::Normal {
        return Ok(());
    }
    let message = format!("Table {}'s state is not NORMAL: {}", table.def.name, table.state.as_str());
    Err(Failure::fatal(Kind::FailedPrecondition, message))
}

/// The partitions of a table in the order of their ranges.
pub(super) fn partitions(records: &Records, table: &Table) -> Result<Vec<Partition>> {
    let listed = records.list::<Partition>(&keys::partitions(table.id))?;
    let mut partitions: Vec<Partition> = listed.into_iter().map(|(_, partition)| partition).collect();
    // A restored table may be cut by a type that this catalog cannot compare: then by age.
    partitions.sort_by_cached_key(|part| (Span::of(&table.def, &part.def.name, &part.def.range).ok(), part.id));
    Ok(partitions)
}

/// The partition numbered `id`, with its table, if it still exists.
pub(super) fn partition(records: &Records, id: PartitionId) -> Result<Option<(TableId, Partition)>> {
    let Some(table) = records.get::<TableId>(&keys::partition_table(id))? else { return Ok(None) };
    Ok(Some((table, records.require(&keys::partition(table, id))?)))
}

/// The partition of `table` named `name`.
pub(super) fn named_partition(records: &Records, table: &Table, name: &str) -> Result<Partition> {
    let all = partitions(records, table)?;
    all.into_iter().find(|partition| partition.def.name == name).ok_or_else(|| {
        let hint = match table.def.partitioning {
            Partitioning::None => ": the table is not partitioned, leave the partition out",
            Partitioning::Range(_) | Partitioning::List(_) => "",
        };
        let message = format!("Unknown partition {name} in table {}{hint}", table.def.name);
        Failure::fatal(Kind::NotFound, message)
    })
}

/// Takes note of the leadership that changes the catalog.
///
/// # Errors
/// `Stale` if a later one has been here.
pub(super) fn admit(records: &mut Records, epoch: Epoch) -> Result<()> {
    let newest = records.get::<Epoch>(keys::EPOCH)?.unwrap_or_default();
    if epoch < newest {
        let message = format!("change the catalog with epoch {epoch}: another coordinator leads with epoch {newest}");
        return Err(Failure::fatal(Kind::Stale, message));
    }
    if epoch > newest {
        records.put(keys::EPOCH.to_owned(), &epoch)?;
    }
    Ok(())
}
