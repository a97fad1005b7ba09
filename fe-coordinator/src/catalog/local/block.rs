//! How tablets are stored: those of one index of a set that follow one another, in one record. What they have in common
//! is written once, and what is left of a tablet in a cluster of a million is some 40 bytes: all of it is in memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tabvault_common::ids::{BackendId, Lineage, ReplicaId, SchemaHash, TabletId, Version};
use uuid::Uuid;

use super::model::{Replica, Reuse, Tablet};

/// Tablets per record. Even with dozens of replicas each, a block stays below the largest record.
pub(super) const BLOCK: usize = 32;

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
