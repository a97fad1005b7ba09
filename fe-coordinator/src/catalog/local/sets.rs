//! Sets of tablets: what a partition shows, or what a restore hides until publish.
//!
//! A set's tablets are kept in blocks ([`super::block`]), so that a change of many costs few records. A set that nobody
//! wants any more is only marked; [`super::queues`] turns it into garbage block by block, so that the step which gives
//! it up stays small.

use std::collections::BTreeMap;

use tabvault_common::ids::{BackendId, Lineage, ReplicaId, SchemaHash, TabletId, Version};
use tabvault_common::schema::{PartitionDef, TableDef};
use tabvault_common::task::TabletVersion;

use super::block::{self, Block, Placed};
use super::model::{Partition, Replica, Reuse, Tablet};
use super::records::Records;
use super::{Result, keys, place, unmade};
use crate::catalog::{BackendRoom, TabletSize};

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
        Purpose::Empty => (Version::INITIAL, BTreeMap::new(), &[][..]),
        Purpose::Restore { version, replaces, sizes } => (*version, reusable(records, *replaces)?, *sizes),
    };
    let mut whole = TabletSize::default();
    let (number, lineage) = (records.new_id()?, Lineage::random());
    for (index, def) in (0_u32..).zip(&table.indexes) {
        let mut tablets = Vec::with_capacity(partition.buckets as usize);
        for position in 0..partition.buckets {
            let reuse = replaced.get(&(index, position)).filter(|(old, _)| old.schema_hash == def.schema_hash);
            let preferred = reuse.map_or(&[][..], |(_, backends)| backends.as_slice());
            let chosen = place::choose(backends, partition.replication_num, preferred, &mut records.placed);
            let mut tablet = tablet(records, (index, position), (def.schema_hash, lineage), version, &chosen)?;
            let size = sizes.get(index as usize).and_then(|index| index.get(position as usize));
            let size = size.copied().unwrap_or_default();
            for replica in &mut tablet.replicas {
                (replica.data_size, replica.file_count) = (size.bytes, size.files);
            }
            whole = TabletSize { files: whole.files + size.files, bytes: whole.bytes + size.bytes };
            tablets.push(Tablet { reuse: reuse.cloned(), ..tablet });
        }
        for (at, tablets) in (0_u32..).zip(tablets.chunks(block::tablets(partition.replication_num))) {
            put_block(records, &keys::block(number, index, at), tablets)?;
        }
        if matches!(purpose, Purpose::Empty) {
            unmade::queue(records, number, lineage, &tablets)?;
        }
    }
    let tablets = u64::from(partition.buckets) * table.indexes.len() as u64;
    Ok(TabletSet { number, tablets, size: whole })
}

fn tablet(
    records: &mut Records,
    (index, position): (u32, u32),
    (schema_hash, lineage): (SchemaHash, Lineage),
    version: Version,
    backends: &[BackendId],
) -> Result<Tablet> {
    let id = TabletId(records.new_id()?);
    let mut replicas = Vec::with_capacity(backends.len());
    for backend in backends {
        let id = ReplicaId(records.new_id()?);
        replicas.push(Replica { id, backend: *backend, version, version_count: 1, data_size: 0, file_count: 0 });
    }
    Ok(Tablet { id, index, position, schema_hash, lineage: block::lineage(lineage, id), reuse: None, replicas })
}

/// Writes a block.
pub(super) fn put_block(records: &mut Records, block: &str, tablets: &[Tablet]) -> Result<()> {
    records.put(keys::tablets(block), &block::record(tablets))
}

/// The blocks of a set with their names, in the order of index and position, with replicas as if all were made.
pub(super) fn blocks(records: &Records, set: u64) -> Result<Vec<(String, Vec<Tablet>)>> {
    let prefix = keys::blocks(set);
    let listed = records.list::<Block>(&keys::tablets(&prefix))?;
    Ok(listed.into_iter().map(|(rest, Block(tablets))| (format!("{prefix}{rest}"), tablets)).collect())
}

/// The tablets of a set in the order of index and position.
pub(super) fn tablets(records: &Records, set: u64) -> Result<Vec<Tablet>> {
    let mut tablets = blocks(records, set)?.into_iter().flat_map(|(_, tablets)| tablets).collect::<Vec<_>>();
    unmade::show(records, set, &mut tablets)?;
    Ok(tablets)
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
    let mut placed = BTreeMap::new();
    for block in records.scan::<Placed>(&keys::tablets("")) {
        for backend in block?.1.backends() {
            *placed.entry(backend).or_default() += 1;
        }
    }
    Ok(placed)
}
