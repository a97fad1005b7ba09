//! Sets of tablets: what a partition shows, or what a restore hides until publish.
//!
//! A set's tablets are kept in blocks of up to [`BLOCK`], so that a change of many costs few records. A set that nobody
//! wants any more is only marked; [`super::queues`] turns it into garbage block by block, so that the step which gives
//! it up stays small.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::ids::{BackendId, Lineage, ReplicaId, SchemaHash, TabletId, Version};
use tabvault_common::schema::{PartitionDef, TableDef};
use tabvault_common::task::TabletVersion;

use super::model::{Partition, Replica, Reuse, Tablet, Unmade};
use super::records::Records;
use super::{Result, keys, place};
use crate::catalog::{BackendRoom, TabletSize};

/// Tablets per record. Even with dozens of replicas each, a block stays below the largest record.
const BLOCK: usize = 32;

/// A new set of tablets.
pub(super) struct TabletSet {
    pub(super) number: u64,
    pub(super) tablets: u64,
    /// What one replica of each tablet holds.
    pub(super) size: TabletSize,
}

/// What a new set of tablets is for.
pub(super) enum Purpose<'a> {
    /// An empty partition: the tablets are queued for the agents to make.
    Empty,
    /// A restore, which has the tablets made itself and gives them this version. They may take over files of the
    /// partition whose place they take.
    Restore { version: Version, replaces: Option<&'a Partition>, sizes: &'a [Vec<TabletSize>] },
}

/// Makes the tablets of a partition: for each index its buckets, each with replicas on different hosts.
pub(super) fn make(
    records: &mut Records,
    table: &TableDef,
    partition: &PartitionDef,
    backends: &[BackendRoom],
    purpose: &Purpose<'_>,
) -> Result<TabletSet> {
    place::check(&table.name, backends, partition.replication_num)?;
    let (version, replaced, sizes) = match purpose {
        Purpose::Empty => (Version::default(), BTreeMap::new(), &[][..]),
        Purpose::Restore { version, replaces, sizes } => (*version, reusable(records, *replaces)?, *sizes),
    };
    let mut whole = TabletSize::default();
    let number = records.new_id()?;
    for (index, def) in (0_u32..).zip(&table.indexes) {
        let mut tablets = Vec::with_capacity(partition.buckets as usize);
        for position in 0..partition.buckets {
            let reuse = replaced.get(&(index, position)).filter(|(old, _)| old.schema_hash == def.schema_hash);
            let preferred = reuse.map_or(&[][..], |(_, backends)| backends.as_slice());
            let chosen = place::choose(backends, partition.replication_num, preferred, &mut records.placed);
            let mut tablet = tablet(records, (index, position), def.schema_hash, version, &chosen)?;
            let size = sizes.get(index as usize).and_then(|index| index.get(position as usize));
            let size = size.copied().unwrap_or_default();
            for replica in &mut tablet.replicas {
                (replica.data_size, replica.file_count) = (size.bytes, size.files);
            }
            whole = TabletSize { files: whole.files + size.files, bytes: whole.bytes + size.bytes };
            tablets.push(Tablet { reuse: reuse.cloned(), ..tablet });
        }
        for (at, block) in (0_u32..).zip(tablets.chunks(BLOCK)) {
            put_block(records, &keys::block(number, index, at), block, matches!(purpose, Purpose::Empty))?;
        }
    }
    let tablets = u64::from(partition.buckets) * table.indexes.len() as u64;
    Ok(TabletSet { number, tablets, size: whole })
}

fn tablet(
    records: &mut Records,
    (index, position): (u32, u32),
    schema_hash: SchemaHash,
    version: Version,
    backends: &[BackendId],
) -> Result<Tablet> {
    let id = TabletId(records.new_id()?);
    let mut replicas = Vec::with_capacity(backends.len());
    for backend in backends {
        let id = ReplicaId(records.new_id()?);
        replicas.push(Replica { id, backend: *backend, version, version_count: 1, data_size: 0, file_count: 0 });
    }
    Ok(Tablet { id, index, position, schema_hash, lineage: Lineage::random(), reuse: None, replicas })
}

fn put_block(records: &mut Records, block: &str, tablets: &[Tablet], unmade: bool) -> Result<()> {
    if let (true, Some(first), Some(last)) = (unmade, tablets.first(), tablets.last()) {
        for backend in backends(tablets) {
            records.put(keys::unmade(backend, block), &Unmade { first: first.id, last: last.id })?;
        }
    }
    records.put(keys::tablets(block), &tablets)
}

/// The backends on which tablets of a block have replicas.
pub(super) fn backends(tablets: &[Tablet]) -> BTreeSet<BackendId> {
    tablets.iter().flat_map(|tablet| &tablet.replicas).map(|replica| replica.backend).collect()
}

/// The blocks of a set with their names, in the order of index and position.
pub(super) fn blocks(records: &Records, set: u64) -> Result<Vec<(String, Vec<Tablet>)>> {
    let prefix = keys::blocks(set);
    let listed = records.list::<Vec<Tablet>>(&keys::tablets(&prefix))?;
    Ok(listed.into_iter().map(|(rest, tablets)| (format!("{prefix}{rest}"), tablets)).collect())
}

/// The tablets of a set in the order of index and position.
pub(super) fn tablets(records: &Records, set: u64) -> Result<Vec<Tablet>> {
    Ok(blocks(records, set)?.into_iter().flat_map(|(_, tablets)| tablets).collect())
}

/// Writes a block whose replicas have changed. Backends that have made all their replicas in it are done with it.
pub(super) fn update(records: &mut Records, block: &str, tablets: &[Tablet]) -> Result<()> {
    records.put(keys::tablets(block), &tablets)?;
    for backend in backends(tablets) {
        let waiting = keys::unmade(backend, block);
        if !tablets.iter().any(|tablet| tablet.waits_for(backend)) && records.get::<Unmade>(&waiting)?.is_some() {
            records.delete(waiting);
        }
    }
    Ok(())
}

/// Gives a set up: all its tablets become garbage by and by.
pub(super) fn drop(records: &mut Records, set: u64) -> Result<()> {
    records.put(keys::dropped(set), &())
}

/// By index and position: the tablets of a partition at its visible version, and which backends have them so.
fn reusable(records: &Records, partition: Option<&Partition>) -> Result<BTreeMap<(u32, u32), Reuse>> {
    let mut found = BTreeMap::new();
    let Some(partition) = partition else { return Ok(found) };
    for tablet in tablets(records, partition.set)? {
        let current = tablet.replicas.iter().filter(|replica| replica.version == partition.version);
        let backends: Vec<BackendId> = current.map(|replica| replica.backend).collect();
        if !backends.is_empty() {
            let at = TabletVersion { tablet: tablet.id, version: partition.version, schema_hash: tablet.schema_hash };
            found.insert((tablet.index, tablet.position), (at, backends));
        }
    }
    Ok(found)
}

/// How many replicas each backend has.
pub(super) fn count_placed(records: &Records) -> Result<BTreeMap<BackendId, u64>> {
    // Of all tablets there are, only what is counted is taken out of the records.
    #[derive(serde::Deserialize)]
    struct Placed {
        replicas: Vec<Replica>,
    }
    #[derive(serde::Deserialize)]
    struct Replica {
        backend: BackendId,
    }
    let mut placed = BTreeMap::new();
    for block in records.scan::<Vec<Placed>>(&keys::tablets("")) {
        for replica in block?.1.iter().flat_map(|tablet| &tablet.replicas) {
            *placed.entry(replica.backend).or_default() += 1;
        }
    }
    Ok(placed)
}
