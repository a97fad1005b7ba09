//! What the lines of a meta must be, one after the other: for the writer and for the reader.

use std::collections::HashSet;

use super::{MetaTotals, PartitionMeta};
use crate::schema::{TableDef, ViewDef};

/// Remembers what is needed of the lines so far.
#[derive(Debug, Default)]
pub(super) struct Rules {
    totals: MetaTotals,
    /// What an info says that they come to, where there is one: so much may be remembered.
    pub(super) most: Option<MetaTotals>,
    tables: HashSet<String>,
    views: HashSet<String>,
    /// The last table's indexes (name and schema), and its partitions so far.
    indexes: Vec<(String, crate::ids::SchemaHash)>,
    table: Option<String>,
    partitions: HashSet<String>,
}

impl Rules {
    pub(super) fn table(&mut self, table: &TableDef) -> Result<(), String> {
        if !self.views.is_empty() {
            return Err(format!("table {} comes after a view", table.name));
        }
        if !self.tables.insert(table.name.clone()) {
            return Err(format!("table {} comes twice", table.name));
        }
        self.totals.tables += 1;
        self.bounded()?;
        self.indexes = table.indexes.iter().map(|index| (index.name.clone(), index.schema_hash)).collect();
        self.table = Some(table.name.clone());
        self.partitions.clear();
        Ok(())
    }

    pub(super) fn partition(&mut self, partition: &PartitionMeta) -> Result<(), String> {
        let (table, name) = (&partition.table, &partition.def.name);
        if self.table.as_ref() != Some(table) {
            return Err(format!("partition {name} does not follow its table {table}"));
        }
        if !self.partitions.insert(name.clone()) {
            return Err(format!("partition {name} of table {table} comes twice"));
        }
        let indexes = partition.indexes.iter().map(|index| (&index.name, index.schema_hash));
        if !indexes.eq(self.indexes.iter().map(|(name, schema_hash)| (name, *schema_hash))) {
            return Err(format!("partition {name} has other indexes than its table {table}"));
        }
        for index in &partition.indexes {
            let (tablets, buckets) = (index.tablets.len(), partition.def.buckets);
            if u32::try_from(tablets) != Ok(buckets) {
                let index = &index.name;
                return Err(format!(
                    "index {index} of partition {name} of table {table} has {tablets} tablets in {buckets} buckets"
                ));
            }
            self.totals.tablets += tablets as u64;
        }
        self.totals.partitions += 1;
        self.bounded()
    }

    pub(super) fn view(&mut self, view: &ViewDef) -> Result<(), String> {
        if !self.views.insert(view.name.clone()) {
            return Err(format!("view {} comes twice", view.name));
        }
        self.table = None;
        self.totals.views += 1;
        self.bounded()
    }

    /// Refuses what the info says nothing of.
    fn bounded(&self) -> Result<(), String> {
        let Some(most) = self.most else { return Ok(()) };
        let MetaTotals { tables, partitions, tablets, views } = self.totals;
        let kinds = [
            ("tables", tables, most.tables),
            ("partitions", partitions, most.partitions),
            ("tablets", tablets, most.tablets),
            ("views", views, most.views),
        ];
        match kinds.iter().find(|(_, has, most)| has > most) {
            Some((what, _, most)) => Err(format!("it has more than the {most} {what} that its info says")),
            None => Ok(()),
        }
    }

    /// The sums over all lines.
    pub(super) fn totals(&self) -> MetaTotals {
        self.totals
    }
}
