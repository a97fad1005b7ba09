//! Requests and definitions.

use tabvault_common::ids::SchemaHash;
use tabvault_common::request::{
    BackupRequest, CreateRepositoryRequest, CreateTableRequest, ExportRequest, LoadRequest, ObjectSelection,
    RestoreRequest, Selection,
};
use tabvault_common::schema::{
    Column, IndexDef, KeyType, PartitionDef, PartitionRange, PartitionValue, Partitioning, TableDef,
};

use super::{access, properties, secrets};

/// Tables of every key type and every partitioning.
pub(crate) fn tables() -> Vec<TableDef> {
    let columns = || vec!["day".to_owned(), "region".to_owned()];
    let mut tables: Vec<TableDef> =
        [Partitioning::None, Partitioning::Range(columns()), Partitioning::List(columns())].map(table).into();
    for key_type in [KeyType::Duplicate, KeyType::Unique, KeyType::Aggregate, KeyType::Primary] {
        tables.push(TableDef { key_type, indexes: Vec::new(), ..table(Partitioning::None) });
    }
    tables
}

pub(crate) fn table(partitioning: Partitioning) -> TableDef {
    let day = Column {
        name: "day".to_owned(),
        data_type: "DATE".to_owned(),
        nullable: true,
        default: Some(String::new()),
        aggregation: None,
        comment: "when it was".to_owned(),
    };
    let amount = Column {
        name: "amount".to_owned(),
        data_type: "DECIMAL(18, 2)".to_owned(),
        nullable: false,
        default: None,
        aggregation: Some("SUM".to_owned()),
        comment: String::new(),
    };
    let index = |name: &str, hash| IndexDef {
        name: name.to_owned(),
        columns: vec!["day".to_owned(), "amount".to_owned()],
        schema_hash: SchemaHash(hash),
    };
    TableDef {
        name: "orders".to_owned(),
        columns: vec![day, amount],
        key_type: KeyType::Aggregate,
        keys: vec!["day".to_owned()],
        partitioning,
        distribution: vec!["day".to_owned()],
        buckets: 16,
        replication_num: 3,
        indexes: vec![index("orders", 1), index("by_day", 2)],
        properties: properties(),
        comment: "all orders".to_owned(),
    }
}

/// Partitions of every kind.
pub(crate) fn partitions() -> Vec<PartitionDef> {
    let literal = |text: &str| PartitionValue::Literal(text.to_owned());
    let range = PartitionRange::Range {
        lower: vec![literal("2024-01-01"), PartitionValue::Min],
        upper: vec![literal(""), PartitionValue::Max],
    };
    let list = PartitionRange::List(vec![vec![literal("a"), literal("b")], vec![literal("c"), literal("d")]]);
    [PartitionRange::Whole, range, list].map(partition).into()
}

pub(crate) fn partition(range: PartitionRange) -> PartitionDef {
    PartitionDef { name: "p20240101".to_owned(), range, buckets: 8, replication_num: 2 }
}

/// Selections of every mode.
pub(crate) fn selections() -> [Selection; 3] {
    let whole = ObjectSelection { table: "customers".to_owned(), partitions: Vec::new(), alias: None };
    let some = ObjectSelection {
        table: "orders".to_owned(),
        partitions: vec!["p1".to_owned(), "p2".to_owned()],
        alias: Some("old_orders".to_owned()),
    };
    [Selection::All, Selection::Only(vec![some, whole.clone()]), Selection::Except(vec![whole])]
}

pub(crate) fn backup(selection: Selection) -> BackupRequest {
    BackupRequest {
        database: "shop".to_owned(),
        label: "nightly".to_owned(),
        repository: "depot".to_owned(),
        selection,
        properties: properties(),
    }
}

pub(crate) fn restore(selection: Selection) -> RestoreRequest {
    RestoreRequest {
        database: "shop".to_owned(),
        into: Some("shop_copy".to_owned()),
        label: "nightly".to_owned(),
        repository: "depot".to_owned(),
        selection,
        properties: properties(),
    }
}

pub(crate) fn create_repository() -> CreateRepositoryRequest {
    CreateRepositoryRequest {
        name: "depot".to_owned(),
        location: "s3://bucket/prefix".to_owned(),
        properties: secrets(),
        broker: Some("brokers".to_owned()),
        read_only: true,
    }
}

pub(crate) fn create_table(table: TableDef) -> CreateTableRequest {
    CreateTableRequest { database: "shop".to_owned(), table, partitions: partitions(), if_not_exists: true }
}

pub(crate) fn load_request() -> LoadRequest {
    LoadRequest {
        database: "shop".to_owned(),
        table: "orders".to_owned(),
        partition: Some("p20240101".to_owned()),
        source: access(),
        create: true,
        buckets: Some(8),
        replication_num: Some(2),
    }
}

pub(crate) fn export_request() -> ExportRequest {
    ExportRequest {
        database: "shop".to_owned(),
        table: "orders".to_owned(),
        partition: Some("p20240101".to_owned()),
        target: access(),
    }
}
