//! Labels of loads: given once per database, so that a client that did not hear the answer can ask again without
//! loading twice.
//!
//! # Crash consistency
//! A label is written in the same step as the version that its load makes visible: it is used if and only if the load
//! is visible.

use serde::{Deserialize, Serialize};
use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::JobUuid;
use tabvault_common::label::Label;

use super::records::Records;
use super::{LocalCatalog, Result, find, keys, locked};

/// Labels that are remembered of a database: those of its newest loads.
const MAX_LABELS: usize = 2000;

/// A label that was used.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Used {
    load: JobUuid,
    since: Time,
    /// Grows from one label of the database to the next, as clocks do not. Nought for those that came before there
    /// were numbers.
    #[serde(default)]
    number: u64,
}

impl LocalCatalog {
    /// Gives a load that was begun a label, which counts as used once the load is committed. The newest two thousand
    /// labels of a database are remembered.
    ///
    /// # Errors
    /// `AlreadyExists` "Label \[l\] has already been used"; `Busy` while another load has the label; `NotFound` for the
    /// database.
    pub async fn label_load(&self, load: JobUuid, database: &str, label: &Label) -> Result<()> {
        let (database, label) = (database.to_owned(), label.clone());
        let memory = std::sync::Arc::clone(&self.memory);
        self.look(move |records| {
            let id = find::database(records, &database)?.id;
            if let Some(used) = records.get::<Used>(&keys::load_label(id, label.as_str()))? {
                let message = format!("Label [{label}] has already been used, by load {} at {}", used.load, used.since);
                return Err(Failure::fatal(Kind::AlreadyExists, message));
            }
            locked(&memory).loads.label(load, (id, label.to_string()))
        })
        .await
    }
}

/// The label is used from now on, and the oldest ones beyond what is remembered are not any more.
pub(super) fn used(records: &mut Records, database: u64, label: &str, load: JobUuid, now: Time) -> Result<()> {
    let mut others = records.list::<Used>(&keys::load_labels(database))?;
    others.retain(|(other, _)| other != label);
    others.sort_by_key(|(_, used)| (used.number, used.since));
    let number = others.last().map_or(0, |(_, newest)| newest.number) + 1;
    for (old, _) in &others[..(others.len() + 1).saturating_sub(MAX_LABELS)] {
        records.delete(keys::load_label(database, old));
    }
    records.put(keys::load_label(database, label), &Used { load, since: now, number })
}

/// Forgets the labels of a database that goes.
pub(super) fn forget(records: &mut Records, database: u64) -> Result<()> {
    for (label, _) in records.list::<Used>(&keys::load_labels(database))? {
        records.delete(keys::load_label(database, &label));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use tabvault_common::clock::ManualClock;
    use tabvault_common::ids::{BackendId, SchemaHash};
    use tabvault_common::request::CreateTableRequest;
    use tabvault_common::schema::{
        Column, IndexDef, KeyType, PartitionDef, PartitionRange, Partitioning, TableDef, schema_hash,
    };

    use super::*;
    use crate::catalog::BackendRoom;
    use crate::catalog::local::LoadedReplica;
    use crate::store::SharedDb;

    fn open(dir: &Path) -> LocalCatalog {
        LocalCatalog::open(&SharedDb::open(dir).unwrap(), Arc::new(ManualClock::new(Time(7)))).unwrap()
    }

    async fn with_table(dir: &Path) -> LocalCatalog {
        let catalog = open(dir);
        let column = Column {
            name: "k".to_owned(),
            data_type: "INT".to_owned(),
            nullable: true,
            default: None,
            aggregation: None,
            comment: String::new(),
        };
        let hash: SchemaHash = schema_hash(&[&column], KeyType::Duplicate);
        let table = TableDef {
            name: "t".to_owned(),
            key_type: KeyType::Duplicate,
            keys: Vec::new(),
            partitioning: Partitioning::None,
            distribution: vec!["k".to_owned()],
            buckets: 1,
            replication_num: 1,
            indexes: vec![IndexDef { name: "t".to_owned(), columns: vec!["k".to_owned()], schema_hash: hash }],
            columns: vec![column],
            properties: std::collections::BTreeMap::new(),
            comment: String::new(),
        };
        let whole = PartitionDef { name: "t".to_owned(), range: PartitionRange::Whole, buckets: 1, replication_num: 1 };
        let room = BackendRoom { backend: BackendId(1), host: "h".to_owned(), available_bytes: 1 << 40 };
        catalog.create_database("d", false).await.unwrap();
        let database = "d".to_owned();
        let request = CreateTableRequest { database, table, partitions: vec![whole], if_not_exists: false };
        catalog.create_table(&request, &[room]).await.unwrap();
        catalog
    }

    async fn begin(catalog: &LocalCatalog, label: &str) -> (JobUuid, Result<()>) {
        let load = JobUuid::random();
        let plan = catalog.begin_load(load, "d", "t", None).await.unwrap();
        assert_eq!(plan.tablets.len(), 1);
        let labelled = catalog.label_load(load, "d", &label.parse().unwrap()).await;
        if labelled.is_err() {
            catalog.abort_load(load);
        }
        (load, labelled)
    }

    async fn commit(catalog: &LocalCatalog, load: JobUuid) {
        let tablet = catalog.table("d", "t").await.unwrap().partitions[0].id;
        let tablet = crate::catalog::Catalog::tablets(catalog, tablet).await.unwrap()[0].tablet;
        let took = LoadedReplica { tablet, backend: BackendId(1), files: 1, bytes: 1 };
        catalog.commit_load(load, &[took]).await.unwrap();
    }

    #[tokio::test]
    async fn a_label_is_used_if_and_only_if_its_load_is_visible_also_after_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = with_table(dir.path()).await;
        begin(&catalog, "l").await.1.unwrap();
        drop(catalog);
        let catalog = open(dir.path());
        let (load, labelled) = begin(&catalog, "l").await;
        labelled.unwrap();
        commit(&catalog, load).await;
        drop(catalog);
        let catalog = open(dir.path());
        let refusal = begin(&catalog, "l").await.1.unwrap_err();
        assert_eq!(refusal.kind, Kind::AlreadyExists);
        assert!(refusal.message.starts_with("Label [l] has already been used, by load"), "{refusal}");
        begin(&catalog, "other").await.1.unwrap();
    }

    #[tokio::test]
    async fn an_aborted_load_gives_its_label_back_and_a_running_one_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = with_table(dir.path()).await;
        let (load, labelled) = begin(&catalog, "l").await;
        labelled.unwrap();
        let id = catalog.look(|records| Ok(find::database(records, "d")?.id)).await.unwrap();
        let other = catalog.memory().loads.label(JobUuid::random(), (id, "l".to_owned()));
        assert_eq!(other.map_err(|failure| failure.kind), Err(Kind::Busy));
        catalog.abort_load(load);
        begin(&catalog, "l").await.1.unwrap();
    }

    #[tokio::test]
    async fn the_newest_labels_of_a_database_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = with_table(dir.path()).await;
        let id = catalog.look(|records| Ok(find::database(records, "d")?.id)).await.unwrap();
        catalog
            .change(move |records| {
                for n in 0..MAX_LABELS {
                    let since = Time(n as u64);
                    let used = Used { load: JobUuid::random(), since, number: 0 };
                    records.put(keys::load_label(id, &format!("l{n}")), &used)?;
                }
                used(records, id, "newest", JobUuid::random(), Time(u64::from(u32::MAX)))
            })
            .await
            .unwrap();
        begin(&catalog, "l0").await.1.unwrap();
        catalog.memory().loads = crate::catalog::local::load::Loads::default();
        for label in ["l1", "newest"] {
            assert_eq!(begin(&catalog, label).await.1.unwrap_err().kind, Kind::AlreadyExists, "{label}");
        }
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_makes_no_label_old() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = with_table(dir.path()).await;
        let id = catalog.look(|records| Ok(find::database(records, "d")?.id)).await.unwrap();
        let kept = catalog
            .change(move |records| {
                for n in 0..MAX_LABELS {
                    let used = Used { load: JobUuid::random(), since: Time(1000), number: 0 };
                    records.put(keys::load_label(id, &format!("l{n:04}")), &used)?;
                }
                for (at, label) in [(3, "z"), (2, "y"), (1, "x")] {
                    used(records, id, label, JobUuid::random(), Time(at))?;
                }
                records.list::<Used>(&keys::load_labels(id))
            })
            .await
            .unwrap();
        let names: Vec<&str> = kept.iter().map(|(label, _)| label.as_str()).collect();
        assert_eq!((names.len(), names[0]), (MAX_LABELS, "l0003"));
        assert_eq!(names[MAX_LABELS - 3..], ["x", "y", "z"]);
    }
}
