//! What every [`Catalog`] promises a coordinator, as a suite to run over each. A catalog passes if [`all`] returns
//! `Ok`; a broken promise is an assertion that fails.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{Epoch, JobUuid, SchemaHash, TabletId, Version};
use tabvault_common::schema::{
    Column, IndexDef, KeyType, PartitionDef, PartitionRange, PartitionValue, Partitioning, TableDef, ViewDef,
};

use super::{
    BackendRoom, Catalog, CutTable, PreparePartition, PrepareRequest, PrepareTable, PreparedTablet, Result, TabletSize,
};

mod look;
mod restore;

pub use look::{
    a_cut_shows_tables_partitions_and_tablets_in_order, names_that_nothing_can_have_are_refused,
    tablets_are_shown_page_by_page, what_does_not_exist_is_refused_in_the_words_of_users,
};
pub use restore::{
    a_late_prepare_is_refused_after_discard, a_stale_coordinator_is_refused, a_table_that_changed_is_refused,
    discard_leaves_nothing, of_publish_and_discard_one_wins, prepare_hides_its_targets_and_repeats_its_answer,
    publish_drops_and_replaces_what_was_asked, publish_shows_the_targets_in_one_step, too_few_hosts_are_refused,
};

/// The leadership under which the suite works, above zero so that there is a lower one.
pub const EPOCH: Epoch = Epoch(1_000);

/// A catalog under test and a way to make tables in it. Databases whose names start with `conformance_` must not be
/// there.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The catalog.
    fn catalog(&self) -> &dyn Catalog;

    /// At least three backends on different hosts.
    fn backends(&self) -> Vec<BackendRoom>;

    /// Makes a database.
    async fn create_database(&self, name: &str) -> Result<()>;

    /// Makes a table with empty partitions.
    async fn create_table(&self, database: &str, table: &TableDef, partitions: &[PartitionDef]) -> Result<()>;
}

/// Runs the whole suite.
///
/// # Errors
/// What the catalog answers where it should not fail.
pub async fn all(fixture: &dyn Fixture) -> Result<()> {
    what_does_not_exist_is_refused_in_the_words_of_users(fixture).await?;
    names_that_nothing_can_have_are_refused(fixture).await?;
    a_cut_shows_tables_partitions_and_tablets_in_order(fixture).await?;
    tablets_are_shown_page_by_page(fixture).await?;
    prepare_hides_its_targets_and_repeats_its_answer(fixture).await?;
    publish_shows_the_targets_in_one_step(fixture).await?;
    publish_drops_and_replaces_what_was_asked(fixture).await?;
    discard_leaves_nothing(fixture).await?;
    of_publish_and_discard_one_wins(fixture).await?;
    a_late_prepare_is_refused_after_discard(fixture).await?;
    a_table_that_changed_is_refused(fixture).await?;
    too_few_hosts_are_refused(fixture).await?;
    a_stale_coordinator_is_refused(fixture).await
}

/// A table partitioned by ranges of its first column, with a rollup.
#[must_use]
pub fn table(name: &str) -> TableDef {
    let column = |name: &str, data_type: &str| Column {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        nullable: false,
        default: None,
        aggregation: None,
        comment: String::new(),
    };
    let columns = vec![column("k", "INT"), column("v", "VARCHAR(10)")];
    let index = |name: &str, of: &[&Column]| IndexDef {
        name: name.to_owned(),
        columns: of.iter().map(|column| column.name.clone()).collect(),
        schema_hash: tabvault_common::schema::schema_hash(of, KeyType::Duplicate),
    };
    let all: Vec<&Column> = columns.iter().collect();
    let indexes = vec![index(name, &all), index("r", all.get(..1).unwrap_or_default())];
    TableDef {
        name: name.to_owned(),
        key_type: KeyType::Duplicate,
        keys: vec!["k".to_owned()],
        partitioning: Partitioning::Range(vec!["k".to_owned()]),
        distribution: vec!["k".to_owned()],
        buckets: 2,
        replication_num: 2,
        indexes,
        properties: BTreeMap::new(),
        comment: String::new(),
        columns,
    }
}

/// A partition of such a table.
#[must_use]
pub fn partition(name: &str, lower: i64, upper: i64) -> PartitionDef {
    let key = |number: i64| vec![PartitionValue::Literal(number.to_string())];
    let range = PartitionRange::Range { lower: key(lower), upper: key(upper) };
    PartitionDef { name: name.to_owned(), range, buckets: 2, replication_num: 2 }
}

/// A request that restores into new or existing tables of a database.
fn request(fixture: &dyn Fixture, database: &str, tables: Vec<PrepareTable>) -> PrepareRequest {
    PrepareRequest {
        database: database.to_owned(),
        tables,
        views: Vec::new(),
        drop_tables: Vec::new(),
        allow_load: false,
        backends: fixture.backends(),
    }
}

/// The table `def` as a restore makes it, with these partitions at version 7.
fn new_table(def: TableDef, partitions: Vec<PartitionDef>) -> PrepareTable {
    let new = |def| PreparePartition { def, existing: None, version: Version(7), sizes: Vec::new() };
    PrepareTable {
        def,
        existing: None,
        replace_whole: false,
        partitions: partitions.into_iter().map(new).collect(),
        drop_partitions: Vec::new(),
    }
}

/// A restore over the table as it stands: the partitions named `replaced` at version 7.
fn over(there: &CutTable, replaced: &[&str]) -> PrepareTable {
    let chosen = there.partitions.iter().filter(|part| replaced.contains(&part.def.name.as_str()));
    let part = |part: &super::CutPartition| PreparePartition {
        def: part.def.clone(),
        existing: Some(part.id),
        version: Version(7),
        sizes: vec![vec![TabletSize { files: 2, bytes: 5 }; 3]; 2],
    };
    PrepareTable {
        def: there.def.clone(),
        existing: Some(there.id),
        replace_whole: false,
        partitions: chosen.map(part).collect(),
        drop_partitions: Vec::new(),
    }
}

async fn cut_table(fixture: &dyn Fixture, database: &str, name: &str) -> Result<CutTable> {
    let cut = fixture.catalog().cut(database).await?;
    let found = cut.tables.into_iter().find(|table| table.def.name == name);
    found.ok_or_else(|| Failure::fatal(Kind::NotFound, format!("the cut of {database} lacks table {name}")))
}

async fn table_names(fixture: &dyn Fixture, database: &str) -> Result<Vec<String>> {
    Ok(fixture.catalog().cut(database).await?.tables.into_iter().map(|table| table.def.name).collect())
}

/// The tablets that a table's partitions show.
async fn shown(fixture: &dyn Fixture, table: &CutTable) -> Result<BTreeSet<TabletId>> {
    let mut found = BTreeSet::new();
    for partition in &table.partitions {
        let tablets = fixture.catalog().tablets(partition.id).await?;
        found.extend(tablets.iter().map(|tablet| tablet.tablet));
    }
    Ok(found)
}

/// Prepares a restore; the hidden tablets of each partition, in the order of the request.
async fn prepare(fixture: &dyn Fixture, job: JobUuid, wanted: &PrepareRequest) -> Result<Vec<Vec<PreparedTablet>>> {
    fixture.catalog().prepare(job, EPOCH, wanted).await?;
    let mut prepared = Vec::new();
    for (at, table) in (0_u32..).zip(&wanted.tables) {
        for (part, _) in (0_u32..).zip(&table.partitions) {
            prepared.push(fixture.catalog().prepared(job, at, part).await?);
        }
    }
    Ok(prepared)
}

fn tablet_ids(prepared: &[Vec<PreparedTablet>]) -> BTreeSet<TabletId> {
    prepared.iter().flatten().map(|tablet| tablet.tablet).collect()
}

/// The tablets that are garbage on some backend.
async fn garbage(fixture: &dyn Fixture) -> Result<BTreeSet<TabletId>> {
    let mut found = BTreeSet::new();
    for room in fixture.backends() {
        found.extend(fixture.catalog().garbage(room.backend, usize::MAX).await?);
    }
    Ok(found)
}

fn view(name: &str, text: &str) -> ViewDef {
    ViewDef { name: name.to_owned(), text: text.to_owned() }
}

fn job() -> JobUuid {
    JobUuid::random()
}

fn hash(def: &TableDef, index: u32) -> Option<SchemaHash> {
    def.indexes.get(index as usize).map(|index| index.schema_hash)
}

fn refused<T: std::fmt::Debug>(outcome: Result<T>) -> Failure {
    assert!(outcome.is_err(), "must be refused, was answered: {outcome:?}");
    outcome.err().unwrap_or_else(|| Failure::fatal(Kind::Internal, "not refused"))
}
