//! Making and unmaking tables and partitions.

use tabvault_common::clock::Time;
use tabvault_common::ids::{PartitionId, TableId, Version};
use tabvault_common::schema::PartitionDef;

use super::model::{Database, Partition, Table};
use super::records::Records;
use super::sets::{self, TabletSet};
use super::{Result, keys};

/// Adds a partition that shows `set` at `version`.
pub(super) fn add_partition(
    records: &mut Records,
    table: TableId,
    def: PartitionDef,
    set: &TabletSet,
    version: Version,
    now: Time,
) -> Result<()> {
    let id = PartitionId(records.new_id()?);
    let (data_size, file_count) = (set.size.bytes, set.size.files);
    let partition =
        Partition { id, def, version, since: now, set: set.number, tablets: set.tablets, data_size, file_count };
    records.put(keys::partition_table(id), &table)?;
    records.put(keys::partition(table, id), &partition)
}

/// Removes a partition with its tablets.
pub(super) fn drop_partition(records: &mut Records, table: TableId, partition: &Partition) -> Result<()> {
    sets::drop(records, partition.set)?;
    records.delete(keys::partition(table, partition.id));
    records.delete(keys::partition_table(partition.id));
    Ok(())
}

/// Removes all partitions of a table with their tablets.
pub(super) fn drop_partitions(records: &mut Records, table: TableId) -> Result<()> {
    for (_, partition) in records.list::<Partition>(&keys::partitions(table))? {
        drop_partition(records, table, &partition)?;
    }
    Ok(())
}

/// Removes a table with all that is in it.
pub(super) fn drop_table(records: &mut Records, database: &Database, table: &Table) -> Result<()> {
    drop_partitions(records, table.id)?;
    records.delete(keys::table(database.id, &table.def.name));
    Ok(())
}
