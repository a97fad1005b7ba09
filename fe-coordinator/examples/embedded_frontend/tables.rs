//! What the frontend knows: databases, tables, partitions, tablets, and where the replicas are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, Epoch, JobUuid, Lineage, PartitionId, ReplicaId, TableId, TabletId, Version};
use tabvault_common::schema::{PartitionDef, TableDef, ViewDef};
use tabvault_fe_coordinator::catalog::ranges::Span;
use tabvault_fe_coordinator::catalog::{
    BackendRoom, CutPartition, PreparePartition, ReplicaInfo, Result, TableState, TabletInfo, TabletSize,
};

use super::restore::Restore;

/// All of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tables {
    /// The last number that was given to anything.
    last: u64,
    /// The highest leadership that was here.
    pub(super) epoch: Epoch,
    pub(super) databases: BTreeMap<String, Database>,
    /// How far each restore is; how it ended is kept for ever.
    pub(super) restores: BTreeMap<JobUuid, Restore>,
    /// Tablets that nothing refers to any more and that may still be on a backend.
    pub(super) garbage: BTreeMap<BackendId, BTreeSet<TabletId>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Database {
    pub(super) tables: BTreeMap<String, Table>,
    pub(super) views: Vec<ViewDef>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) id: TableId,
    pub(super) def: TableDef,
    pub(super) state: TableState,
    /// In the order of their ranges.
    pub(super) partitions: Vec<Partition>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Partition {
    pub(super) id: PartitionId,
    pub(super) def: PartitionDef,
    pub(super) version: Version,
    pub(super) since: Time,
    /// Ordered by index and position.
    pub(super) tablets: Vec<TabletInfo>,
}

impl Tables {
    pub(super) fn new_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn database(&self, name: &str) -> Result<&Database> {
        self.databases.get(name).ok_or_else(|| Failure::fatal(Kind::NotFound, format!("Unknown database '{name}'")))
    }

    pub(super) fn table(&self, database: &str, name: &str) -> Result<&Table> {
        let found = self.database(database)?.tables.get(name);
        found.ok_or_else(|| Failure::fatal(Kind::NotFound, format!("Unknown table '{name}'")))
    }

    /// All partitions of all tables.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.databases.values().flat_map(|database| database.tables.values()).flat_map(|table| &table.partitions)
    }

    pub(super) fn partition_mut(&mut self, id: PartitionId) -> Option<&mut Partition> {
        let tables = self.databases.values_mut().flat_map(|database| database.tables.values_mut());
        tables.flat_map(|table| &mut table.partitions).find(|partition| partition.id == id)
    }

    /// New tablets for a partition: for each index its buckets, each with replicas on different hosts. Those on which
    /// `preferred` (by index and position) has replicas come first.
    pub(super) fn new_tablets(
        &mut self,
        table: &TableDef,
        partition: &PreparePartition,
        backends: &[BackendRoom],
        preferred: &[TabletInfo],
    ) -> Result<Vec<TabletInfo>> {
        let PreparePartition { def: partition, version, sizes, .. } = partition;
        let wanted = partition.replication_num as usize;
        let hosts: BTreeSet<&str> = backends.iter().map(|room| room.host.as_str()).collect();
        if hosts.len() < wanted {
            let message = format!(
                "failed to find {wanted} different hosts to create table {}: set replication_num to at most {}",
                table.name,
                hosts.len()
            );
            return Err(Failure::fatal(Kind::ResourceExhausted, message));
        }
        let mut tablets = Vec::new();
        for (index, def) in (0_u32..).zip(&table.indexes) {
            for position in 0..partition.buckets {
                let tablet = TabletId(self.new_id());
                let old = preferred.iter().find(|old| (old.index, old.position) == (index, position));
                let has_old = |room: &BackendRoom| {
                    old.is_some_and(|old| old.replicas.iter().any(|replica| replica.backend == room.backend))
                };
                // In turn, so that all backends get their share.
                let turn = usize::try_from(tablet.0).unwrap_or_default() % backends.len().max(1);
                let (late, early) = backends.split_at(turn);
                let mut order: Vec<&BackendRoom> = early.iter().chain(late).collect();
                order.sort_by_key(|room| !has_old(room));
                let mut used = BTreeSet::new();
                order.retain(|room| used.insert(room.host.as_str()));
                order.truncate(wanted);
                let size = sizes.get(index as usize).and_then(|of_index| of_index.get(position as usize));
                let TabletSize { bytes: data_size, files: file_count } = size.copied().unwrap_or_default();
                let mut replicas = Vec::new();
                for room in order {
                    let (replica, backend, version) = (ReplicaId(self.new_id()), room.backend, *version);
                    replicas.push(ReplicaInfo { replica, backend, version, data_size, file_count });
                }
                let (schema_hash, lineage) = (def.schema_hash, Lineage::random());
                tablets.push(TabletInfo { tablet, index, position, schema_hash, lineage, replicas });
            }
        }
        Ok(tablets)
    }

    /// Nothing refers to these tablets any more.
    pub(super) fn give_up(&mut self, tablets: &[TabletInfo]) {
        for tablet in tablets {
            for replica in &tablet.replicas {
                self.garbage.entry(replica.backend).or_default().insert(tablet.tablet);
            }
        }
    }

    pub(super) fn drop_table(&mut self, database: &str, name: &str) {
        let dropped = self.databases.get_mut(database).and_then(|database| database.tables.remove(name));
        for partition in dropped.into_iter().flat_map(|table| table.partitions) {
            self.give_up(&partition.tablets);
        }
    }

    pub(super) fn create_table(
        &mut self,
        database: &str,
        def: &TableDef,
        partitions: &[PartitionDef],
        backends: &[BackendRoom],
        now: Time,
    ) -> Result<TableId> {
        if self.database(database)?.tables.contains_key(&def.name) {
            return Err(Failure::fatal(Kind::AlreadyExists, format!("Table '{}' already exists", def.name)));
        }
        let id = TableId(self.new_id());
        let mut table = Table { id, def: def.clone(), state: TableState::Normal, partitions: Vec::new() };
        for part in partitions {
            let (version, sizes) = (Version::INITIAL, Vec::new());
            let empty = PreparePartition { def: part.clone(), existing: None, version, sizes };
            let tablets = self.new_tablets(def, &empty, backends, &[])?;
            let id = PartitionId(self.new_id());
            table.partitions.push(Partition { id, def: part.clone(), version, since: now, tablets });
        }
        table.sort();
        self.databases.entry(database.to_owned()).or_default().tables.insert(def.name.clone(), table);
        Ok(id)
    }
}

impl Table {
    /// Puts the partitions into the order of their ranges.
    pub(super) fn sort(&mut self) {
        let def = &self.def;
        self.partitions.sort_by_cached_key(|part| (Span::of(def, &part.def.name, &part.def.range).ok(), part.id));
    }

    pub(super) fn refuse_unless_normal(&self) -> Result<()> {
        if self.state == TableState::Normal {
            return Ok(());
        }
        let message = format!("Table {}'s state is not NORMAL: {}", self.def.name, self.state.as_str());
        Err(Failure::fatal(Kind::FailedPrecondition, message))
    }
}

impl Partition {
    pub(super) fn cut(&self) -> CutPartition {
        let Self { id, def, version, since, .. } = self;
        CutPartition { id: *id, def: def.clone(), visible_version: *version, version_time: *since }
    }

    /// Bytes and files of one replica of each tablet.
    pub(super) fn sums(&self) -> (u64, u64) {
        let first = self.tablets.iter().filter_map(|tablet| tablet.replicas.first());
        first.fold((0, 0), |(bytes, files), replica| (bytes + replica.data_size, files + replica.file_count))
    }
}
