//! Definitions of tables and partitions.

use tabvault_common::failure::Failure;
use tabvault_common::ids::SchemaHash;
use tabvault_common::schema::{
    Column, IndexDef, KeyType, PartitionDef, PartitionRange, PartitionValue, Partitioning, TableDef,
};

use super::{At, list, positive, text};
use crate::v1::{self, partition_def, partition_value, table_def};

impl From<&TableDef> for v1::TableDef {
    fn from(table: &TableDef) -> Self {
        let partitioning = match &table.partitioning {
            Partitioning::None => table_def::Partitioning::None,
            Partitioning::Range(_) => table_def::Partitioning::Range,
            Partitioning::List(_) => table_def::Partitioning::List,
        };
        let key_type = match table.key_type {
            KeyType::Duplicate => v1::KeyType::Duplicate,
            KeyType::Unique => v1::KeyType::Unique,
            KeyType::Aggregate => v1::KeyType::Aggregate,
            KeyType::Primary => v1::KeyType::Primary,
        };
        Self {
            name: table.name.clone(),
            columns: table.columns.iter().map(column_to_wire).collect(),
            key_type: key_type.into(),
            keys: table.keys.clone(),
            partitioning: partitioning.into(),
            partition_columns: table.partition_columns().to_vec(),
            distribution: table.distribution.clone(),
            buckets: table.buckets,
            replication_num: table.replication_num,
            indexes: table.indexes.iter().map(index_to_wire).collect(),
            properties: table.properties.clone(),
            comment: table.comment.clone(),
        }
    }
}

impl TryFrom<v1::TableDef> for TableDef {
    type Error = Failure;

    fn try_from(wire: v1::TableDef) -> Result<Self, Failure> {
        table_def(Some(wire), At::root("table"))
    }
}

impl From<&PartitionDef> for v1::PartitionDef {
    fn from(partition: &PartitionDef) -> Self {
        let belongs = match &partition.range {
            PartitionRange::Whole => partition_def::Belongs::Whole(partition_def::Whole {}),
            PartitionRange::Range { lower, upper } => partition_def::Belongs::Range(partition_def::Range {
                lower: Some(key_to_wire(lower)),
                upper: Some(key_to_wire(upper)),
            }),
            PartitionRange::List(keys) => partition_def::Belongs::List(partition_def::List {
                keys: keys.iter().map(|key| key_to_wire(key)).collect(),
            }),
        };
        Self {
            name: partition.name.clone(),
            belongs: Some(belongs),
            buckets: partition.buckets,
            replication_num: partition.replication_num,
        }
    }
}

impl TryFrom<v1::PartitionDef> for PartitionDef {
    type Error = Failure;

    fn try_from(wire: v1::PartitionDef) -> Result<Self, Failure> {
        partition_def(wire, At::root("partition"))
    }
}

fn column_to_wire(column: &Column) -> v1::Column {
    v1::Column {
        name: column.name.clone(),
        data_type: column.data_type.clone(),
        nullable: column.nullable,
        default: column.default.clone(),
        aggregation: column.aggregation.clone(),
        comment: column.comment.clone(),
    }
}

fn index_to_wire(index: &IndexDef) -> v1::IndexDef {
    v1::IndexDef { name: index.name.clone(), columns: index.columns.clone(), schema_hash: index.schema_hash.0 }
}

fn key_to_wire(key: &[PartitionValue]) -> v1::PartitionKey {
    let value = |value: &PartitionValue| match value {
        PartitionValue::Min => partition_value::Value::Min(true),
        PartitionValue::Max => partition_value::Value::Max(true),
        PartitionValue::Literal(text) => partition_value::Value::Literal(text.clone()),
    };
    v1::PartitionKey { values: key.iter().map(|v| v1::PartitionValue { value: Some(value(v)) }).collect() }
}

pub(super) fn table_def(wire: Option<v1::TableDef>, at: At<'_>) -> Result<TableDef, Failure> {
    let wire = wire.ok_or_else(|| at.missing("the definition of a table"))?;
    Ok(TableDef {
        name: text(wire.name, at.field("name"))?,
        columns: list(wire.columns, at, "columns", column)?,
        key_type: key_type(wire.key_type, at.field("key_type"))?,
        keys: list(wire.keys, at, "keys", text)?,
        partitioning: partitioning(wire.partitioning, wire.partition_columns, at)?,
        distribution: list(wire.distribution, at, "distribution", text)?,
        buckets: positive(wire.buckets, at.field("buckets"))?,
        replication_num: positive(wire.replication_num, at.field("replication_num"))?,
        indexes: list(wire.indexes, at, "indexes", index_def)?,
        properties: wire.properties,
        comment: wire.comment,
    })
}

fn key_type(wire: i32, at: At<'_>) -> Result<KeyType, Failure> {
    match v1::KeyType::try_from(wire) {
        Ok(v1::KeyType::Duplicate) => Ok(KeyType::Duplicate),
        Ok(v1::KeyType::Unique) => Ok(KeyType::Unique),
        Ok(v1::KeyType::Aggregate) => Ok(KeyType::Aggregate),
        Ok(v1::KeyType::Primary) => Ok(KeyType::Primary),
        Ok(v1::KeyType::Unspecified) | Err(_) => {
            let expected = "KEY_TYPE_DUPLICATE, KEY_TYPE_UNIQUE, KEY_TYPE_AGGREGATE or KEY_TYPE_PRIMARY";
            Err(at.refuse(format_args!("is {wire}: expected {expected}")))
        }
    }
}

fn partitioning(wire: i32, columns: Vec<String>, at: At<'_>) -> Result<Partitioning, Failure> {
    let count = columns.len();
    let columns = list(columns, at, "partition_columns", text)?;
    match (table_def::Partitioning::try_from(wire), count) {
        (Ok(table_def::Partitioning::None), 0) => Ok(Partitioning::None),
        (Ok(table_def::Partitioning::Range), 1..) => Ok(Partitioning::Range(columns)),
        (Ok(table_def::Partitioning::List), 1..) => Ok(Partitioning::List(columns)),
        (Ok(table_def::Partitioning::None), 1..) => Err(at
            .field("partition_columns")
            .refuse(format_args!("has {count} items: expected none, the table is not partitioned"))),
        (Ok(table_def::Partitioning::Range | table_def::Partitioning::List), 0) => {
            Err(at.field("partition_columns").missing("at least one column, the table is partitioned"))
        }
        (Ok(table_def::Partitioning::Unspecified) | Err(_), _) => {
            let expected = "PARTITIONING_NONE, PARTITIONING_RANGE or PARTITIONING_LIST";
            Err(at.field("partitioning").refuse(format_args!("is {wire}: expected {expected}")))
        }
    }
}

fn column(wire: v1::Column, at: At<'_>) -> Result<Column, Failure> {
    Ok(Column {
        name: text(wire.name, at.field("name"))?,
        data_type: text(wire.data_type, at.field("data_type"))?,
        nullable: wire.nullable,
        default: wire.default,
        aggregation: wire.aggregation,
        comment: wire.comment,
    })
}

fn index_def(wire: v1::IndexDef, at: At<'_>) -> Result<IndexDef, Failure> {
    Ok(IndexDef {
        name: text(wire.name, at.field("name"))?,
        columns: list(wire.columns, at, "columns", text)?,
        schema_hash: SchemaHash(wire.schema_hash),
    })
}

pub(super) fn partition_def(wire: v1::PartitionDef, at: At<'_>) -> Result<PartitionDef, Failure> {
    let range = match wire.belongs {
        Some(partition_def::Belongs::Whole(partition_def::Whole {})) => PartitionRange::Whole,
        Some(partition_def::Belongs::Range(range)) => {
            let at = at.field("range");
            PartitionRange::Range {
                lower: bound(range.lower, at.field("lower"))?,
                upper: bound(range.upper, at.field("upper"))?,
            }
        }
        Some(partition_def::Belongs::List(keys)) => {
            PartitionRange::List(list(keys.keys, at.field("list"), "keys", partition_key)?)
        }
        None => return Err(at.field("belongs").missing("one of whole, range and list")),
    };
    Ok(PartitionDef {
        name: text(wire.name, at.field("name"))?,
        range,
        buckets: positive(wire.buckets, at.field("buckets"))?,
        replication_num: positive(wire.replication_num, at.field("replication_num"))?,
    })
}

fn bound(wire: Option<v1::PartitionKey>, at: At<'_>) -> Result<Vec<PartitionValue>, Failure> {
    partition_key(wire.ok_or_else(|| at.missing("one value per partition column"))?, at)
}

fn partition_key(wire: v1::PartitionKey, at: At<'_>) -> Result<Vec<PartitionValue>, Failure> {
    list(wire.values, at, "values", |wire, at| match wire.value {
        Some(partition_value::Value::Min(true)) => Ok(PartitionValue::Min),
        Some(partition_value::Value::Max(true)) => Ok(PartitionValue::Max),
        Some(partition_value::Value::Literal(text)) => Ok(PartitionValue::Literal(text)),
        Some(partition_value::Value::Min(false) | partition_value::Value::Max(false)) => {
            Err(at.refuse("is false: expected true, or another of min, max and literal"))
        }
        None => Err(at.missing("one of min, max and literal")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::samples::{self, refuses, survives};

    #[test]
    fn definitions_survive_the_wire() {
        for table in samples::tables() {
            survives(&table, v1::TableDef::from(&table));
        }
        for partition in samples::partitions() {
            survives(&partition, v1::PartitionDef::from(&partition));
        }
    }

    #[test]
    fn wrong_definitions_of_tables_are_refused() {
        refuses::<TableDef, _>(
            &v1::TableDef::from(&samples::table(Partitioning::Range(vec!["day".to_owned()]))),
            &[
                ("table.name", |wire| wire.name.clear()),
                ("table.columns[1].name", |wire| wire.columns[1].name.clear()),
                ("table.columns[0].data_type", |wire| wire.columns[0].data_type.clear()),
                ("table.key_type", |wire| wire.key_type = 0),
                ("table.key_type", |wire| wire.key_type = 5),
                ("table.keys[0]", |wire| wire.keys[0].clear()),
                ("table.partitioning", |wire| wire.partitioning = 0),
                ("table.partitioning", |wire| wire.partitioning = -1),
                ("table.partition_columns", |wire| wire.partition_columns.clear()),
                ("table.partition_columns", |wire| wire.partitioning = table_def::Partitioning::None.into()),
                ("table.partition_columns[0]", |wire| wire.partition_columns[0].clear()),
                ("table.distribution[0]", |wire| wire.distribution[0].clear()),
                ("table.buckets", |wire| wire.buckets = 0),
                ("table.replication_num", |wire| wire.replication_num = 0),
                ("table.indexes[1].name", |wire| wire.indexes[1].name.clear()),
                ("table.indexes[0].columns[0]", |wire| wire.indexes[0].columns[0].clear()),
            ],
        );
    }

    #[test]
    fn wrong_definitions_of_partitions_are_refused() {
        refuses::<PartitionDef, _>(
            &v1::PartitionDef::from(&samples::partition(PartitionRange::Whole)),
            &[
                ("partition.name", |wire| wire.name.clear()),
                ("partition.belongs", |wire| wire.belongs = None),
                ("partition.buckets", |wire| wire.buckets = 0),
                ("partition.replication_num", |wire| wire.replication_num = 0),
                ("partition.range.lower", |wire| {
                    wire.belongs = Some(partition_def::Belongs::Range(partition_def::Range::default()));
                }),
                ("partition.list.keys[0].values[1]", |wire| {
                    let values = vec![value(partition_value::Value::Max(true)), v1::PartitionValue::default()];
                    wire.belongs = Some(one_key(values));
                }),
                ("partition.list.keys[0].values[0]", |wire| {
                    wire.belongs = Some(one_key(vec![value(partition_value::Value::Min(false))]));
                }),
            ],
        );
    }

    fn value(value: partition_value::Value) -> v1::PartitionValue {
        v1::PartitionValue { value: Some(value) }
    }

    fn one_key(values: Vec<v1::PartitionValue>) -> partition_def::Belongs {
        partition_def::Belongs::List(partition_def::List { keys: vec![v1::PartitionKey { values }] })
    }
}
