//! Tables to check against.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use tabvault_common::clock::Time;
use tabvault_common::ids::{PartitionId, TableId, Version};
use tabvault_common::request::ObjectSelection;
use tabvault_common::schema::{
    Column, IndexDef, KeyType, PartitionDef, PartitionRange, PartitionValue, Partitioning, TableDef, ViewDef,
    schema_hash,
};

use crate::catalog::{Cut, CutPartition, CutTable, TableState};

pub(crate) fn object(table: &str, partitions: &[&str], alias: Option<&str>) -> ObjectSelection {
    let partitions = partitions.iter().map(|&name| name.to_owned()).collect();
    ObjectSelection { table: table.into(), partitions, alias: alias.map(Into::into) }
}

pub(crate) fn view(name: &str) -> ViewDef {
    ViewDef { name: name.into(), text: "SELECT 1".into() }
}

pub(crate) fn column(name: &str, data_type: &str) -> Column {
    Column {
        name: name.into(),
        data_type: data_type.into(),
        nullable: false,
        default: None,
        aggregation: None,
        comment: String::new(),
    }
}

pub(crate) fn index(def: &TableDef, name: &str, columns: &[&str]) -> IndexDef {
    let defs: Vec<&Column> = columns.iter().map(|name| def.column(name).unwrap()).collect();
    let schema_hash = schema_hash(&defs, def.key_type);
    IndexDef { name: name.into(), columns: columns.iter().map(|&c| c.into()).collect(), schema_hash }
}

/// A table of (id BIGINT, day DATE, v INT), by range of `day` if it has partitions.
pub(crate) fn def(name: &str, partitioned: bool) -> TableDef {
    let mut def = TableDef {
        name: name.into(),
        columns: vec![column("id", "BIGINT"), column("day", "DATE"), column("v", "INT")],
        key_type: KeyType::Duplicate,
        keys: vec!["id".into(), "day".into()],
        partitioning: if partitioned { Partitioning::Range(vec!["day".into()]) } else { Partitioning::None },
        distribution: vec!["id".into()],
        buckets: 4,
        replication_num: 1,
        indexes: Vec::new(),
        properties: BTreeMap::new(),
        comment: String::new(),
    };
    def.indexes = vec![index(&def, name, &["id", "day", "v"])];
    def
}

/// The partition `p<n>` is day n of January 2024; any other name stands for everything.
pub(crate) fn partition(name: &str) -> PartitionDef {
    let day = |n: u32| vec![PartitionValue::Literal(format!("2024-01-{n:02}"))];
    let range = match name.strip_prefix('p').and_then(|n| n.parse::<u32>().ok()) {
        Some(n) => PartitionRange::Range { lower: day(n), upper: day(n + 1) },
        None => PartitionRange::Whole,
    };
    PartitionDef { name: name.into(), range, buckets: 4, replication_num: 1 }
}

/// A local table; without partitions named it is not partitioned. Ids are made of the name's length.
pub(crate) fn table(name: &str, partitions: &[&str]) -> CutTable {
    let id = 100 * name.len() as u64;
    let names = if partitions.is_empty() { &[name][..] } else { partitions };
    let made = names.iter().zip(1..).map(|(partition_name, n)| CutPartition {
        id: PartitionId(id + n),
        def: partition(partition_name),
        visible_version: Version(7),
        version_time: Time(1000),
    });
    CutTable {
        id: TableId(id),
        def: def(name, !partitions.is_empty()),
        state: TableState::Normal,
        partitions: made.collect(),
    }
}

pub(crate) fn cut(database: &str, tables: Vec<CutTable>) -> Cut {
    Cut { database: database.into(), tables, views: Vec::new() }
}

/// `table(partition,…) …`.
pub(crate) fn names(cut: &Cut) -> String {
    let table = |table: &CutTable| {
        let partitions: Vec<&str> = table.partitions.iter().map(|p| p.def.name.as_str()).collect();
        format!("{}({})", table.def.name, partitions.join(","))
    };
    cut.tables.iter().map(table).collect::<Vec<_>>().join(" ")
}
