//! Tablets of new partitions that agents have still to make.
//!
//! # Consistency
//! A block says of every replica what it will be once it is made, and is not written again when it is: which replicas
//! are not made yet is said here alone, in pieces by backend and set. Whoever reads a set for others asks here as well.
//!
//! # Crash consistency
//! A piece is shortened when an agent has answered. Making a tablet twice is harmless.

use std::collections::BTreeSet;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tabvault_common::ids::{BackendId, Lineage, SchemaHash, TabletId, Version};
use tabvault_common::task::CreateTablet;

use super::model::Tablet;
use super::records::Records;
use super::{Result, block, keys};

/// Tablets per record.
const PIECE: usize = 128;

/// Tablets of one index of a set that a backend has still to make, in the order of their numbers.
#[derive(Debug, Serialize, Deserialize)]
struct Piece {
    schema_hash: SchemaHash,
    /// What [`block::lineage`] makes theirs of.
    lineage: Lineage,
    tablets: Vec<TabletId>,
}

/// Queues the tablets of one index of a new set.
pub(super) fn queue(records: &mut Records, set: u64, lineage: Lineage, tablets: &[Tablet]) -> Result<()> {
    for backend in backends(tablets) {
        let here = tablets.iter().filter(|tablet| tablet.is_on(backend)).collect::<Vec<_>>();
        for piece in here.chunks(PIECE) {
            let Some(first) = piece.first() else { continue };
            let key = format!("{}{:016x}", keys::unmade_of(backend, set), first.id.0);
            let tablets = piece.iter().map(|tablet| tablet.id).collect();
            records.put(key, &Piece { schema_hash: first.schema_hash, lineage, tablets })?;
        }
    }
    Ok(())
}

/// The backends on which tablets have replicas.
pub(super) fn backends(tablets: &[Tablet]) -> BTreeSet<BackendId> {
    tablets.iter().flat_map(|tablet| &tablet.replicas).map(|replica| replica.backend).collect()
}

/// Up to `limit` tablets that a backend has still to make.
pub(super) fn first(records: &Records, backend: BackendId, limit: usize) -> Result<Vec<CreateTablet>> {
    let mut found = Vec::new();
    for piece in records.scan::<Piece>(&keys::unmade_on(backend)) {
        let (rest, piece) = piece?;
        if found.len() >= limit {
            break;
        }
        if is_dropped(records, &rest)? {
            continue;
        }
        found.extend(piece.tablets.iter().map(|tablet| CreateTablet {
            tablet: *tablet,
            schema_hash: piece.schema_hash,
            lineage: block::lineage(piece.lineage, *tablet),
            reuse_from: None,
        }));
    }
    found.truncate(limit);
    Ok(found)
}

/// Whether the set was given up whose number a key goes on with.
fn is_dropped(records: &Records, rest: &str) -> Result<bool> {
    let set = rest.split('/').next().unwrap_or_default();
    Ok(records.get::<()>(&format!("{}{set}", keys::DROPPED))?.is_some())
}

/// Shows the replicas of a set that are not made yet at version zero.
pub(super) fn show(records: &Records, set: u64, tablets: &mut [Tablet]) -> Result<()> {
    for backend in backends(tablets) {
        let mut waiting = BTreeSet::new();
        for (_, piece) in records.list::<Piece>(&keys::unmade_of(backend, set))? {
            waiting.extend(piece.tablets);
        }
        if waiting.is_empty() {
            continue;
        }
        for tablet in tablets.iter_mut().filter(|tablet| waiting.contains(&tablet.id)) {
            for replica in tablet.replicas.iter_mut().filter(|replica| replica.backend == backend) {
                replica.version = Version::default();
            }
        }
    }
    Ok(())
}

/// A backend has not to make these tablets any more, of the set or of any. To be called once for a backend in a change.
pub(super) fn finish(
    records: &mut Records,
    backend: BackendId,
    set: Option<u64>,
    mut tablets: BTreeSet<TabletId>,
) -> Result<()> {
    let prefix = set.map_or_else(|| keys::unmade_on(backend), |set| keys::unmade_of(backend, set));
    let mut changed = Vec::new();
    for piece in records.scan::<Piece>(&prefix) {
        if tablets.is_empty() {
            break;
        }
        let (rest, mut piece) = piece?;
        let before = piece.tablets.len();
        piece.tablets.retain(|tablet| !tablets.remove(tablet));
        if piece.tablets.len() < before {
            changed.push((format!("{prefix}{rest}"), piece));
        }
    }
    for (key, piece) in changed {
        if piece.tablets.is_empty() {
            records.delete(key);
        } else {
            records.put(key, &piece)?;
        }
    }
    Ok(())
}

/// Nothing of a set is to be made any more by a backend.
pub(super) fn forget(records: &mut Records, backend: BackendId, set: u64) -> Result<()> {
    let prefix = keys::unmade_of(backend, set);
    for (rest, IgnoredAny) in records.list(&prefix)? {
        records.delete(format!("{prefix}{rest}"));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use tabvault_common::clock::{ManualClock, Time};
    use tabvault_common::request::CreateTableRequest;

    use super::super::LocalCatalog;
    use super::*;
    use crate::catalog::conformance::{partition, table};
    use crate::catalog::{BackendRoom, Catalog};
    use crate::store::SharedDb;

    fn stored(catalog: &LocalCatalog, prefix: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let records = catalog.tree.scan_prefix(prefix);
        records.map(|record| record.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
    }

    async fn versions(catalog: &LocalCatalog) -> Vec<(u64, u64)> {
        let views = catalog.show_tablets("d", "t", None, None, usize::MAX).await.unwrap();
        views.iter().map(|view| (view.backend.0, view.version.0)).collect()
    }

    #[tokio::test]
    async fn what_is_made_is_written_down_without_writing_blocks_again() {
        let dir = tempfile::tempdir().unwrap();
        let db = SharedDb::open(dir.path()).unwrap();
        let catalog = LocalCatalog::open(&db, Arc::new(ManualClock::new(Time(7)))).unwrap();
        catalog.create_database("d", false).await.unwrap();
        let room = |n| BackendRoom { backend: BackendId(n), host: format!("host{n}"), available_bytes: 1 << 40 };
        let mut one = partition("p", 0, 1);
        (one.buckets, one.replication_num) = (300, 2);
        let partitions = vec![one];
        let request =
            CreateTableRequest { database: "d".to_owned(), table: table("t"), partitions, if_not_exists: false };
        catalog.create_table(&request, &[room(1), room(2)]).await.unwrap();
        let blocks = stored(&catalog, "tablet/");
        // Two indexes of 300 tablets each, in pieces of 128.
        assert_eq!(stored(&catalog, &keys::unmade_on(BackendId(1))).len(), 6);
        assert!(versions(&catalog).await.iter().all(|(_, version)| *version == 0));

        let mut first: Vec<TabletId> =
            catalog.unmade_tablets(BackendId(1), 200).await.unwrap().iter().map(|tablet| tablet.tablet).collect();
        catalog.made(BackendId(1), &first).await.unwrap();
        let shown = versions(&catalog).await;
        assert_eq!(shown.iter().filter(|(backend, version)| (*backend, *version) == (1, 1)).count(), 200);
        assert_eq!(shown.iter().map(|(_, version)| version).sum::<u64>(), 200);
        let rest = catalog.unmade_tablets(BackendId(1), usize::MAX).await.unwrap();
        assert_eq!(rest.len(), 400);
        first.extend(rest.iter().map(|tablet| tablet.tablet));
        // A late second answer to what was made before is of no consequence.
        catalog.made(BackendId(1), &first).await.unwrap();
        assert!(versions(&catalog).await.iter().all(|(backend, version)| (*backend == 1) == (*version == 1)));
        assert!(stored(&catalog, &keys::unmade_on(BackendId(1))).is_empty());
        assert_eq!(stored(&catalog, "tablet/"), blocks);
    }
}
