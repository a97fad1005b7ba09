//! Loads: which run, and the one step by which a load becomes visible.
//!
//! # Overview
//! A load is begun, agents take files into tablets as the next version, and then it is committed or aborted. One load
//! at a time runs on a partition.
//!
//! # Consistency
//! [`LocalCatalog::commit_load`] makes the version visible in one step, and only if the partition still is what it was
//! when the load began.
//!
//! # Crash consistency
//! Which loads run is not durable: after a crash none runs, and the version that one was making is made again by the
//! next load, which replaces what is left of it on agents.
//!
//! # Cancellation
//! A commit whose answer was not awaited may have happened; [`LocalCatalog::table`] tells.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, JobUuid, PartitionId, TableId, TabletId, Version};
use tabvault_common::schema::Partitioning;

use super::model::{Partition, Table, Tablet};
use super::records::Records;
use super::{LocalCatalog, Result, find, keys, labels, locked, sets, show, unmade};
use crate::catalog::{TableState, TabletInfo};

/// Most loads that run at the same time.
const MAX_LOADS: usize = 1024;

/// The loads that run, by the partition they load into.
#[derive(Debug, Default)]
pub(super) struct Loads {
    running: BTreeMap<PartitionId, Running>,
    /// Database and label of those that have one.
    labels: BTreeMap<JobUuid, (u64, String)>,
}

/// A load that runs.
#[derive(Debug, Clone, Copy)]
struct Running {
    load: JobUuid,
    /// What the partition was when the load began.
    set: u64,
    version: Version,
}

/// What a load has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadPlan {
    /// The table.
    pub table: TableId,
    /// The partition.
    pub partition: PartitionId,
    /// The version that the load makes.
    pub version: Version,
    /// Tablets of each index that files are spread over.
    pub buckets: u32,
    /// The tablets of all indexes. A replica takes part if it has the version before [`LoadPlan::version`], or
    /// version 0 where that is [`Version::INITIAL`]: then the load makes it.
    pub tablets: Vec<TabletInfo>,
}

/// A replica that took part in a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadedReplica {
    /// The tablet.
    pub tablet: TabletId,
    /// Where the replica is.
    pub backend: BackendId,
    /// All files visible at the new version.
    pub files: u64,
    /// All bytes visible at the new version.
    pub bytes: u64,
}

impl Loads {
    fn begin(&mut self, partition: PartitionId, running: Running, table: &str) -> Result<()> {
        if let Some(other) = self.running.get(&partition)
            && other.load != running.load
        {
            let message = format!("load into table {table}: another load {} is running on this partition", other.load);
            return Err(Failure::transient(Kind::Busy, message));
        }
        if self.find(running.load).is_some_and(|(other, _)| other != partition) {
            let message = format!("load into table {table}: load {} is running on another partition", running.load);
            return Err(Failure::fatal(Kind::FailedPrecondition, message));
        }
        if self.running.len() >= MAX_LOADS {
            let message = format!("load into table {table}: {MAX_LOADS} loads are running, wait for one to end");
            return Err(Failure::transient(Kind::ResourceExhausted, message));
        }
        self.running.insert(partition, running);
        Ok(())
    }

    fn find(&self, load: JobUuid) -> Option<(PartitionId, Running)> {
        self.running.iter().find(|(_, running)| running.load == load).map(|(partition, running)| (*partition, *running))
    }

    /// Whether a load runs on the partition.
    pub(super) fn is_running(&self, partition: PartitionId) -> bool {
        self.running.contains_key(&partition)
    }

    /// Gives a running load a label that no other has.
    pub(super) fn label(&mut self, load: JobUuid, label: (u64, String)) -> Result<()> {
        if let Some((other, _)) = self.labels.iter().find(|(other, theirs)| **other != load && **theirs == label) {
            let message = format!("Label [{}] is being used: load {other} with it is running", label.1);
            return Err(Failure::transient(Kind::Busy, message));
        }
        if self.find(load).is_some() {
            self.labels.insert(load, label);
        }
        Ok(())
    }

    fn end(&mut self, load: JobUuid) {
        self.labels.remove(&load);
        self.running.retain(|_, running| running.load != load);
    }
}

impl LocalCatalog {
    /// Begins a load into a partition; `None` for the one of a table that is not partitioned. It runs until it is
    /// committed or aborted, or the process ends.
    ///
    /// # Errors
    /// `NotFound` for database, table or partition; `InvalidArgument` if a partition must be named and is not; `Busy`
    /// while another load runs on the partition; `FailedPrecondition` "Table T's state is not NORMAL: RESTORE" unless
    /// the restore allows loads into a table that was there before.
    pub async fn begin_load(
        &self,
        load: JobUuid,
        database: &str,
        table: &str,
        partition: Option<&str>,
    ) -> Result<LoadPlan> {
        let (database, table) = (database.to_owned(), table.to_owned());
        let partition = partition.map(str::to_owned);
        let memory = std::sync::Arc::clone(&self.memory);
        self.look(move |records| {
            let (_, table) = find::table(records, &database, &table)?;
            refuse_unless_loadable(&table)?;
            let partition = target(records, &table, partition.as_deref())?;
            let tablets = show::tablets(records, partition.id)?;
            let running = Running { load, set: partition.set, version: partition.version.next() };
            locked(&memory).loads.begin(partition.id, running, &table.def.name)?;
            Ok(LoadPlan {
                table: table.id,
                partition: partition.id,
                version: running.version,
                buckets: partition.def.buckets,
                tablets,
            })
        })
        .await
    }

    /// Makes a load visible: the partition shows its version, and the replicas that took part have it. The load ends,
    /// whether this succeeds or is refused. Answers with the version.
    ///
    /// # Errors
    /// `NotFound` for a load that does not run; `FailedPrecondition` if the partition was dropped or replaced meanwhile,
    /// or if a tablet has no replica that took part.
    pub async fn commit_load(&self, load: JobUuid, replicas: &[LoadedReplica]) -> Result<Version> {
        let (now, replicas) = (self.now(), replicas.to_vec());
        let memory = std::sync::Arc::clone(&self.memory);
        self.change(move |records| {
            let (running, label) = {
                let loads = &locked(&memory).loads;
                (loads.find(load), loads.labels.get(&load).cloned())
            };
            let Some((partition, running)) = running else {
                let message = format!("commit load {load}: it is not running, begin it again");
                return Err(Failure::fatal(Kind::NotFound, message));
            };
            locked(&memory).loads.end(load);
            commit(records, partition, running, &replicas, now)?;
            if let Some((database, label)) = label {
                labels::used(records, database, &label, load, now)?;
            }
            Ok(running.version)
        })
        .await
    }

    /// Ends a load of which nothing becomes visible. One that does not run is no error.
    pub fn abort_load(&self, load: JobUuid) {
        self.memory().loads.end(load);
    }
}

fn refuse_unless_loadable(table: &Table) -> Result<()> {
    match (table.state, table.restore) {
        (TableState::Restore, Some(restore)) if restore.allow_load && !restore.new => Ok(()),
        _ => find::refuse_unless_normal(table),
    }
}

/// The partition that a load goes into.
pub(super) fn target(records: &Records, table: &Table, partition: Option<&str>) -> Result<Partition> {
    if table.restore.is_some_and(|restore| restore.new) {
        // Its partitions come with the restore's end.
        find::refuse_unless_normal(table)?;
    }
    match partition {
        Some(name) => find::named_partition(records, table, name),
        None if table.def.partitioning == Partitioning::None => {
            find::partitions(records, table)?.pop().ok_or_else(|| {
                let message = format!("load into table {}: it has no partition", table.def.name);
                Failure::fatal(Kind::Corrupt, message)
            })
        }
        None => {
            let name = &table.def.name;
            let message = format!("load into table {name}: it is partitioned, name the partition as {name}/PARTITION");
            Err(Failure::fatal(Kind::InvalidArgument, message))
        }
    }
}

fn commit(
    records: &mut Records,
    id: PartitionId,
    running: Running,
    replicas: &[LoadedReplica],
    now: Time,
) -> Result<()> {
    let load = running.load;
    let refused = |why: &str| Failure::fatal(Kind::FailedPrecondition, format!("commit load {load}: {why}"));
    let Some((table, mut partition)) = find::partition(records, id)? else {
        return Err(refused("its partition was dropped meanwhile"));
    };
    if partition.set != running.set || partition.version.next() != running.version {
        return Err(refused("a restore or a new rollup replaced its partition meanwhile, load again"));
    }
    let mut loaded: BTreeMap<TabletId, BTreeMap<BackendId, LoadedReplica>> = BTreeMap::new();
    let mut made: BTreeMap<BackendId, BTreeSet<TabletId>> = BTreeMap::new();
    for replica in replicas {
        made.entry(replica.backend).or_default().insert(replica.tablet);
        loaded.entry(replica.tablet).or_default().insert(replica.backend, *replica);
    }
    (partition.data_size, partition.file_count) = (0, 0);
    for (block, mut tablets) in sets::blocks(records, partition.set)? {
        for tablet in &mut tablets {
            let largest = take_part(tablet, running.version, loaded.get(&tablet.id))
                .ok_or_else(|| refused(&format!("no replica of tablet {} took part", tablet.id)))?;
            partition.data_size += largest.bytes;
            partition.file_count += largest.files;
        }
        sets::put_block(records, &block, &tablets)?;
    }
    // What the load has made, should nobody have done so before, is not waited for any more.
    for (backend, tablets) in made {
        unmade::finish(records, backend, Some(partition.set), tablets)?;
    }
    partition.version = running.version;
    partition.since = now;
    records.put(keys::partition(table, id), &partition)
}

/// Gives the replicas that took part their new version, and answers with the largest of them, if there are any.
fn take_part(
    tablet: &mut Tablet,
    version: Version,
    loaded: Option<&BTreeMap<BackendId, LoadedReplica>>,
) -> Option<LoadedReplica> {
    let mut largest: Option<LoadedReplica> = None;
    for replica in &mut tablet.replicas {
        let Some(taken) = loaded.and_then(|backends| backends.get(&replica.backend)) else { continue };
        replica.version = version;
        replica.version_count += 1;
        replica.data_size = taken.bytes;
        replica.file_count = taken.files;
        if largest.is_none_or(|largest| largest.bytes < taken.bytes) {
            largest = Some(*taken);
        }
    }
    largest
}
