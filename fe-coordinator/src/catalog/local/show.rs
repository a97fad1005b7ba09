//! Looks at the catalog: for a backup's cut and for people.

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{PartitionId, ReplicaId, TabletId};
use tabvault_common::view::{PartitionView, TableView, TabletView};

use super::model::{Database, Partition, Table, Tablet};
use super::records::Records;
use super::{LocalCatalog, Result, find, keys, sets, views};
use crate::catalog::{Cut, CutTable, TabletInfo, ranges};

impl LocalCatalog {
    /// A table with its partitions, in the order of their ranges.
    ///
    /// # Errors
    /// `NotFound` "Unknown database 'd'", "Unknown table 't'".
    pub async fn table(&self, database: &str, table: &str) -> Result<CutTable> {
        let (database, table) = (database.to_owned(), table.to_owned());
        self.look(move |records| cut_table(records, find::table(records, &database, &table)?.1)).await
    }
}

/// Names of the databases, sorted.
pub(super) fn databases(records: &Records) -> Result<Vec<String>> {
    Ok(records.list::<Database>(keys::DATABASES)?.into_iter().map(|(name, _)| name).collect())
}

/// All of a database.
pub(super) fn cut(records: &Records, name: &str) -> Result<Cut> {
    let database = find::database(records, name)?;
    let tables = records.list::<Table>(&keys::tables(database.id))?;
    let tables = tables.into_iter().map(|(_, table)| cut_table(records, table)).collect::<Result<_>>()?;
    let views = views::in_order(records, &database)?;
    Ok(Cut { database: name.to_owned(), tables, views })
}

fn cut_table(records: &Records, table: Table) -> Result<CutTable> {
    let partitions = find::partitions(records, &table)?.into_iter().map(Partition::cut).collect();
    Ok(CutTable { id: table.id, def: table.def, state: table.state, partitions })
}

/// The tablets that a partition shows.
pub(super) fn tablets(records: &Records, partition: PartitionId) -> Result<Vec<TabletInfo>> {
    let Some((_, found)) = find::partition(records, partition)? else {
        let message = format!("list the tablets of partition {partition}: it was dropped");
        return Err(Failure::fatal(Kind::NotFound, message));
    };
    Ok(sets::tablets(records, found.set)?.into_iter().map(Tablet::info).collect())
}

/// See [`crate::catalog::Catalog::show_tables`].
pub(super) fn show_tables(records: &Records, database: &str) -> Result<Vec<TableView>> {
    let database = find::database(records, database)?;
    let mut views = Vec::new();
    for (name, table) in records.list::<Table>(&keys::tables(database.id))? {
        let state = table.state.as_str().to_owned();
        let mut view = TableView { name, state, partitions: 0, tablets: 0, data_size: 0, file_count: 0 };
        for partition in records.scan::<Partition>(&keys::partitions(table.id)) {
            let (_, partition) = partition?;
            view.partitions += 1;
            view.tablets += partition.tablets;
            view.data_size += partition.data_size;
            view.file_count += partition.file_count;
        }
        views.push(view);
    }
    Ok(views)
}

/// See [`crate::catalog::Catalog::show_partitions`].
pub(super) fn show_partitions(records: &Records, database: &str, table: &str) -> Result<Vec<PartitionView>> {
    let (_, table) = find::table(records, database, table)?;
    let view = |partition: Partition| PartitionView {
        id: partition.id,
        name: partition.def.name,
        visible_version: partition.version,
        visible_version_time: partition.since,
        state: table.state.as_str().to_owned(),
        partition_key: table.def.partition_columns().join(", "),
        range: ranges::text(&partition.def.range),
        distribution_key: table.def.distribution.join(", "),
        buckets: partition.def.buckets,
        tablet_count: partition.tablets,
        replication_num: partition.def.replication_num,
        data_size: partition.data_size,
        file_count: partition.file_count,
    };
    Ok(find::partitions(records, &table)?.into_iter().map(view).collect())
}

/// See [`crate::catalog::Catalog::show_tablets`].
pub(super) fn show_tablets(
    records: &Records,
    database: &str,
    table: &str,
    partition: Option<&str>,
    after: Option<(TabletId, ReplicaId)>,
    limit: usize,
) -> Result<Vec<TabletView>> {
    let (_, table) = find::table(records, database, table)?;
    let partitions = match partition {
        Some(name) => vec![find::named_partition(records, &table, name)?],
        None => find::partitions(records, &table)?,
    };
    // A set's number and those of its tablets and replicas are handed out in one go: sets in order are tablets in
    // order, and the page goes on in the last set that begins before it.
    let mut sets: Vec<u64> = partitions.iter().map(|partition| partition.set).collect();
    sets.sort_unstable();
    let start = match after {
        Some((tablet, _)) => sets.partition_point(|set| *set <= tablet.0).saturating_sub(1),
        None => 0,
    };
    let mut views = Vec::new();
    for set in sets.into_iter().skip(start) {
        for tablet in sets::tablets(records, set)? {
            for replica in tablet.replicas {
                if after.is_some_and(|after| (tablet.id, replica.id) <= after) {
                    continue;
                }
                if views.len() == limit {
                    return Ok(views);
                }
                views.push(TabletView {
                    tablet: tablet.id,
                    replica: replica.id,
                    backend: replica.backend,
                    schema_hash: tablet.schema_hash,
                    version: replica.version,
                    version_count: replica.version_count,
                    data_size: replica.data_size,
                    file_count: replica.file_count,
                    state: table.state.as_str().to_owned(),
                });
            }
        }
    }
    Ok(views)
}
