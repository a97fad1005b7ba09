#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Duration;

use tabvault_common::ids::BackendId;
use tabvault_common::request::{ObjectSelection, Selection};

use super::*;
use crate::check::samples;

mod existing;
mod new;
mod refused;
mod room;

/// A snapshot `nightly` of the database `shop`: `items`, not partitioned, and `orders` of p1, p2, p3. Every partition
/// has 1000 bytes.
fn snapshot() -> SnapshotTables {
    let cut = samples::cut("shop", vec![samples::table("items", &[]), samples::table("orders", &["p1", "p2", "p3"])]);
    SnapshotTables {
        database: "shop".into(),
        label: "nightly".into(),
        timestamp: "2025-07-31-14-02-01-042".into(),
        format_version: 3,
        content: Content::All,
        tables: cut.tables.into_iter().map(taken).collect(),
        views: Vec::new(),
    }
}

fn taken(table: CutTable) -> SnapshotTable {
    let mut taken = SnapshotTable { def: table.def, partitions: Vec::new() };
    for partition in table.partitions {
        taken.partitions.push(SnapshotPartition {
            version: Version(40),
            bytes: 1000,
            indexes: Vec::new(),
            def: partition.def,
        });
    }
    settle(&mut taken);
    taken
}

/// Gives the partitions of a table that was changed the indexes that its definition says.
fn settle(table: &mut SnapshotTable) {
    for partition in &mut table.partitions {
        let tablets = partition.def.buckets;
        let index = |def: &tabvault_common::schema::IndexDef| SnapshotIndex {
            name: def.name.clone(),
            schema_hash: def.schema_hash,
            tablets,
            sizes: Vec::new(),
        };
        partition.indexes = table.def.indexes.iter().map(index).collect();
    }
}

/// The database `shop` as it was when the snapshot was taken.
fn shop() -> Cut {
    samples::cut("shop", vec![samples::table("items", &[]), samples::table("orders", &["p1", "p2", "p3"])])
}

fn request(selection: Selection) -> RestoreRequest {
    RestoreRequest {
        database: "shop".into(),
        into: None,
        label: "nightly".into(),
        repository: "r".into(),
        selection,
        properties: BTreeMap::new(),
    }
}

fn only(objects: &[ObjectSelection]) -> Selection {
    Selection::Only(objects.to_vec())
}

fn except(objects: &[ObjectSelection]) -> Selection {
    Selection::Except(objects.to_vec())
}

fn properties() -> RestoreProperties {
    RestoreProperties {
        backup_timestamp: "2025-07-31-14-02-01-042".into(),
        replication_num: None,
        reserve_replica: false,
        reserve_dynamic_partition_enable: false,
        allow_load: false,
        timeout: Duration::from_secs(600),
        meta_version: None,
        clean_tables: false,
        clean_partitions: false,
        atomic_restore: false,
        force_replace: false,
    }
}

/// As many backends as there are numbers, on hosts of their own, with that many bytes free.
fn backends(available: &[u64]) -> Vec<BackendRoom> {
    let room = |(n, &available_bytes): (u64, &u64)| BackendRoom {
        backend: BackendId(n),
        host: format!("host{n}"),
        available_bytes,
    };
    (1..).zip(available).map(room).collect()
}

fn plenty() -> Vec<BackendRoom> {
    backends(&[1 << 40; 3])
}

/// Restores the snapshot into `local`.
fn map(local: Option<&Cut>, selection: Selection, properties: &RestoreProperties) -> Result<RestorePlan, Failure> {
    map_restore(&snapshot(), local, &request(selection), properties, &plenty())
}

/// `name(partition,…) …`: what the catalog is to make; `=` before what is there already, `!` before what is replaced.
fn made(plan: &RestorePlan) -> String {
    let partition =
        |p: &crate::catalog::PreparePartition| format!("{}{}", if p.existing.is_some() { "=" } else { "" }, p.def.name);
    let table = |table: &PrepareTable| {
        let sign = match (table.existing.is_some(), table.replace_whole) {
            (false, false) => "",
            (true, false) => "=",
            (true, true) => "!",
            (false, true) => panic!("a new table replaces nothing"),
        };
        let partitions: Vec<String> = table.partitions.iter().map(partition).collect();
        format!("{sign}{}({})", table.def.name, partitions.join(","))
    };
    plan.prepare.tables.iter().map(table).collect::<Vec<_>>().join(" ")
}
