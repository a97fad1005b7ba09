//! Tables and views.

use tabvault_common::schema::{Column, PartitionValue, Partitioning};

use super::Printer;
use crate::sql::statement::{
    AlterTable, CreateTable, CreateView, Distribution, PartitionClause, PartitionValues, Rollup, TableChange,
};

impl Printer {
    pub(super) fn create_table(&mut self, create: &CreateTable) {
        self.put("CREATE TABLE ");
        self.if_not_exists(create.if_not_exists);
        self.object(&create.table);
        self.put(" ");
        self.rows(&create.columns, Self::column);
        if let Some(key) = &create.key {
            self.part();
            self.put(&format!("{} ", key.key_type));
            self.names(&key.columns);
        }
        if !create.comment.is_empty() {
            self.part();
            self.put("COMMENT ");
            self.text(&create.comment);
        }
        match &create.partitioning {
            Partitioning::None => {}
            Partitioning::Range(columns) => self.partitioning("PARTITION BY RANGE ", columns, &create.partitions),
            Partitioning::List(columns) => self.partitioning("PARTITION BY LIST ", columns, &create.partitions),
        }
        self.distribution(&create.distribution);
        if !create.rollups.is_empty() {
            self.part();
            self.put("ROLLUP ");
            self.rows(&create.rollups, Self::rollup);
        }
        self.properties(&create.properties);
    }

    fn column(&mut self, column: &Column) {
        self.name(&column.name);
        self.put(" ");
        self.put(&column.data_type);
        if let Some(aggregation) = &column.aggregation {
            self.put(" ");
            self.put(aggregation);
        }
        if !column.nullable {
            self.put(" NOT NULL");
        }
        if let Some(default) = &column.default {
            self.put(" DEFAULT ");
            self.text(default);
        }
        self.comment(&column.comment);
    }

    fn comment(&mut self, comment: &str) {
        if !comment.is_empty() {
            self.put(" COMMENT ");
            self.text(comment);
        }
    }

    fn partitioning(&mut self, words: &str, columns: &[String], partitions: &[PartitionClause]) {
        self.part();
        self.put(words);
        self.names(columns);
        self.put(" ");
        self.rows(partitions, Self::partition);
    }

    fn partition(&mut self, partition: &PartitionClause) {
        self.put("PARTITION ");
        self.if_not_exists(partition.if_not_exists);
        self.name(&partition.name);
        self.put(" VALUES ");
        match &partition.values {
            PartitionValues::LessThan(values) => {
                self.put("LESS THAN ");
                self.values(values);
            }
            PartitionValues::Range { lower, upper } => {
                self.put("[");
                self.values(lower);
                self.put(", ");
                self.values(upper);
                self.put(")");
            }
            PartitionValues::In(keys) => {
                self.put("IN ");
                self.list(keys, |printer, key| match key.as_slice() {
                    [value] => printer.value(value),
                    values => printer.values(values),
                });
            }
        }
        if !partition.properties.is_empty() {
            self.put(" ");
            self.pairs(&partition.properties);
        }
    }

    fn values(&mut self, values: &[PartitionValue]) {
        self.list(values, Self::value);
    }

    fn value(&mut self, value: &PartitionValue) {
        match value {
            PartitionValue::Min => self.put("MINVALUE"),
            PartitionValue::Max => self.put("MAXVALUE"),
            PartitionValue::Literal(text) => self.text(text),
        }
    }

    fn distribution(&mut self, distribution: &Distribution) {
        self.part();
        self.put("DISTRIBUTED BY HASH ");
        self.names(&distribution.columns);
        if let Some(buckets) = distribution.buckets {
            self.put(&format!(" BUCKETS {buckets}"));
        }
    }

    fn rollup(&mut self, rollup: &Rollup) {
        self.name(&rollup.name);
        self.put(" ");
        self.names(&rollup.columns);
    }

    pub(super) fn alter_table(&mut self, alter: &AlterTable) {
        self.put("ALTER TABLE ");
        self.object(&alter.table);
        match &alter.change {
            TableChange::Set(properties) => {
                self.put(" SET ");
                self.pairs(properties);
            }
            TableChange::AddPartition { partition, distribution } => {
                self.put(" ADD ");
                self.partition(partition);
                if let Some(distribution) = distribution {
                    self.distribution(distribution);
                }
            }
            TableChange::DropPartition { name, if_exists } => {
                self.put(" DROP PARTITION ");
                self.if_exists(*if_exists);
                self.name(name);
            }
            TableChange::AddRollups(rollups) => {
                self.put(" ADD ROLLUP ");
                self.commas(rollups, Self::rollup);
            }
        }
    }

    pub(super) fn create_view(&mut self, create: &CreateView) {
        self.put("CREATE VIEW ");
        self.if_not_exists(create.if_not_exists);
        self.object(&create.view);
        self.put(" AS ");
        self.put(&create.text);
    }
}
