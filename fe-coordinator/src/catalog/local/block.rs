//! How tablets are stored: those of one index of a set that follow one another, in one record. What they have in common
//! is written once, and what is left of a tablet in a cluster of a million is some 40 bytes: all of it is in memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tabvault_common::ids::{BackendId, Lineage, ReplicaId, SchemaHash, TabletId, Version};
use uuid::Uuid;

use super::model::{Replica, Reuse, Tablet};

/// Replicas in a record, some 50 bytes each.
const REPLICAS: usize = 128;

/// Tablets per record, each with so many replicas.
pub(super) fn tablets(replication_num: u32) -> usize {
    (REPLICAS / replication_num.max(1) as usize).max(1)
}

/// Tablets of one index of a set, in the order of their buckets, of which none is left out.
#[derive(Debug, Deserialize)]
#[serde(from = "Stored")]
pub(super) struct Block(pub(super) Vec<Tablet>);

#[derive(Serialize, Deserialize)]
struct Stored {
    index: u32,
    /// The bucket of the first tablet.
    first: u32,
    schema_hash: SchemaHash,
    /// What [`lineage`] makes theirs of.
    lineage: Lineage,
    tablets: Vec<(TabletId, Vec<StoredReplica>)>,
    /// Of hidden tablets, by their place in the block: whose files they may take over.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    reuse: BTreeMap<usize, Reuse>,
}

/// Its number, backend, version, count of versions, bytes, files.
type StoredReplica = (ReplicaId, BackendId, Version, u64, u64, u64);

/// The backends of a stored block alone, once for each replica.
#[derive(Debug, Deserialize)]
pub(super) struct Placed {
    tablets: Vec<(serde::de::IgnoredAny, Vec<PlacedReplica>)>,
}

type Skip = serde::de::IgnoredAny;
type PlacedReplica = (Skip, BackendId, Skip, Skip, Skip, Skip);

impl Placed {
    pub(super) fn backends(&self) -> impl Iterator<Item = BackendId> {
        self.tablets.iter().flat_map(|(_, replicas)| replicas).map(|replica| replica.1)
    }
}

/// The history that a tablet of a set starts, of its own among those of `set`. Doing it again gives back `set`'s.
pub(super) fn lineage(set: Lineage, tablet: TabletId) -> Lineage {
    Lineage(Uuid::from_u128(set.0.as_u128() ^ u128::from(tablet.0)))
}

impl From<Stored> for Block {
    fn from(mut stored: Stored) -> Self {
        let replica = |(id, backend, version, version_count, data_size, file_count): StoredReplica| Replica {
            id,
            backend,
            version,
            version_count,
            data_size,
            file_count,
        };
        let tablets = stored.tablets.into_iter().zip(stored.first..).enumerate();
        let tablets = tablets.map(|(at, ((id, replicas), position))| Tablet {
            id,
            index: stored.index,
            position,
            schema_hash: stored.schema_hash,
            lineage: lineage(stored.lineage, id),
            reuse: stored.reuse.remove(&at),
            replicas: replicas.into_iter().map(replica).collect(),
        });
        Self(tablets.collect())
    }
}

/// What is stored of a block's tablets.
pub(super) fn record(tablets: &[Tablet]) -> impl Serialize {
    let first = tablets.first();
    let mut stored = Stored {
        index: first.map_or(0, |first| first.index),
        first: first.map_or(0, |first| first.position),
        schema_hash: first.map_or_else(SchemaHash::default, |first| first.schema_hash),
        lineage: first.map_or(Lineage(Uuid::nil()), |first| lineage(first.lineage, first.id)),
        tablets: Vec::with_capacity(tablets.len()),
        reuse: BTreeMap::new(),
    };
    for (at, tablet) in tablets.iter().enumerate() {
        debug_assert_eq!(tablet.position as usize, stored.first as usize + at, "a block leaves no bucket out");
        debug_assert_eq!(lineage(tablet.lineage, tablet.id), stored.lineage, "a set has one lineage");
        let replica = |r: &Replica| (r.id, r.backend, r.version, r.version_count, r.data_size, r.file_count);
        stored.tablets.push((tablet.id, tablet.replicas.iter().map(replica).collect()));
        stored.reuse.extend(tablet.reuse.clone().map(|reuse| (at, reuse)));
    }
    stored
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tabvault_common::task::TabletVersion;

    use super::*;

    fn samples(set: Lineage) -> Vec<Tablet> {
        let tablet = |position: u32| {
            let id = TabletId(20_000_000 + 2 * u64::from(position));
            let replica = Replica {
                id: ReplicaId(id.0 + 1),
                backend: BackendId(10_000 + u64::from(position)),
                version: Version(1),
                version_count: 1,
                data_size: 0,
                file_count: 0,
            };
            let (index, schema_hash, lineage) = (1, SchemaHash(3_000_000_000), lineage(set, id));
            Tablet { id, index, position, schema_hash, lineage, reuse: None, replicas: vec![replica] }
        };
        (64..64 + 32).map(tablet).collect()
    }

    #[test]
    fn a_block_is_read_as_it_was_written() {
        let mut tablets = samples(Lineage::random());
        let old = TabletVersion { tablet: TabletId(7), version: Version(3), schema_hash: SchemaHash(1) };
        tablets[5].reuse = Some((old, vec![BackendId(2)]));
        tablets[6].replicas.clear();
        let stored = serde_json::to_vec(&record(&tablets)).unwrap();
        let Block(read) = serde_json::from_slice(&stored).unwrap();
        assert_eq!(format!("{read:?}"), format!("{tablets:?}"));
        let placed: Placed = serde_json::from_slice(&stored).unwrap();
        let backends = tablets.iter().flat_map(|tablet| &tablet.replicas).map(|replica| replica.backend);
        assert_eq!(placed.backends().collect::<Vec<_>>(), backends.collect::<Vec<_>>());
    }

    #[test]
    fn tablets_of_a_set_have_histories_of_their_own() {
        let set = Lineage::random();
        let lineages: std::collections::BTreeSet<_> = samples(set).iter().map(|tablet| tablet.lineage).collect();
        assert_eq!(lineages.len(), 32);
        assert!(samples(set).iter().all(|tablet| lineage(tablet.lineage, tablet.id) == set));
    }

    #[test]
    fn an_empty_tablet_takes_less_than_fifty_bytes() {
        let stored = serde_json::to_vec(&record(&samples(Lineage::random()))).unwrap();
        assert!(stored.len() < 50 * 32, "{} bytes for 32 tablets", stored.len());
    }
}
