//! What comes back with a table: definitions, properties, rollups and the views beside it.

use std::collections::BTreeMap;

use tabvault_common::access::StorageAccess;
use tabvault_common::ids::{SchemaHash, Version};
use tabvault_common::request::{CreateTableRequest, LoadRequest, RestoreRequest, Selection};
use tabvault_common::schema::{
    Column, IndexDef, KeyType, PartitionDef, PartitionRange, PartitionValue, Partitioning, TableDef, ViewDef,
};
use tabvault_integration_tests::checks;
use tabvault_integration_tests::cluster::backup_request;

use crate::bench::{Bench, some, with};

const DYNAMIC: &str = "dynamic_partition.enable";

fn column(name: &str, data_type: &str, aggregation: Option<&str>) -> Column {
    Column {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        nullable: false,
        default: None,
        aggregation: aggregation.map(str::to_owned),
        comment: String::new(),
    }
}

fn key(text: &str) -> Vec<PartitionValue> {
    vec![PartitionValue::Literal(text.to_owned())]
}

/// A table with a rollup, of two partitions.
fn table(name: &str, key_type: KeyType, by_range: bool) -> (TableDef, Vec<PartitionDef>) {
    let sum = (key_type == KeyType::Aggregate).then_some("SUM");
    let columns = vec![column("k", "INT", None), column("v", "BIGINT", sum)];
    let index = |name: &str, columns: &[&str]| {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        IndexDef { name: name.to_owned(), columns, schema_hash: SchemaHash::default() }
    };
    let partitions = |ranges: [PartitionRange; 2]| {
        let part = |(name, range): (&str, PartitionRange)| PartitionDef {
            name: name.to_owned(),
            range,
            buckets: 2,
            replication_num: 2,
        };
        ["low", "high"].into_iter().zip(ranges).map(part).collect()
    };
    let by = vec!["k".to_owned()];
    let (partitioning, parts) = if by_range {
        let range = |lower, upper| PartitionRange::Range { lower, upper };
        let ranges = [range(vec![PartitionValue::Min], key("10")), range(key("10"), vec![PartitionValue::Max])];
        (Partitioning::Range(by), partitions(ranges))
    } else {
        let lists = [PartitionRange::List(vec![key("1"), key("2")]), PartitionRange::List(vec![key("3")])];
        (Partitioning::List(by), partitions(lists))
    };
    let def = TableDef {
        name: name.to_owned(),
        columns,
        key_type,
        keys: vec!["k".to_owned()],
        partitioning,
        distribution: vec!["k".to_owned()],
        buckets: 2,
        replication_num: 2,
        indexes: vec![index(name, &["k", "v"]), index("by_v", &["v", "k"])],
        properties: BTreeMap::new(),
        comment: "a table".to_owned(),
    };
    (def, parts)
}

impl Bench {
    async fn create(&self, (table, partitions): (TableDef, Vec<PartitionDef>)) {
        let request = CreateTableRequest { database: "shop".to_owned(), table, partitions, if_not_exists: false };
        self.cluster.fe().create_table(&request).await.expect("create the table");
    }

    async fn load_there(&self, table: &str, partition: &str, seed: u64) {
        let source = if self.tree(seed).exists() { self.tree(seed) } else { self.new_tree(seed) };
        let request = LoadRequest {
            database: "shop".to_owned(),
            table: table.to_owned(),
            partition: Some(partition.to_owned()),
            source: StorageAccess::direct(format!("file://{}", source.display())),
            create: false,
            buckets: None,
            replication_num: None,
        };
        self.cluster.fe().load(request).await.expect("load");
    }

    async fn back_up(&self, label: &str, selection: Selection, content: &str) -> RestoreRequest {
        let mut request = backup_request("shop", label, "repo");
        request.selection = selection;
        request.properties.insert("content".to_owned(), content.to_owned());
        let id = self.cluster.fe().backup(request).await.expect("back up").id;
        checks::assert_finished(&*self.cluster.wait(id).await);
        let request = self.cluster.restore_request("shop", label, "repo", 2).await;
        with(&request, "reserve_replica", "false")
    }

    async fn tables_of(&self, database: &str) -> Vec<(TableDef, Vec<(PartitionDef, Version)>)> {
        let cut = self.cluster.fe().catalog().cut(database).await.expect("take a cut");
        let table = |table: tabvault_fe_coordinator::catalog::CutTable| {
            (table.def, table.partitions.into_iter().map(|part| (part.def, part.visible_version)).collect())
        };
        cut.tables.into_iter().map(table).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_every_key_type_by_range_and_by_list_come_back_with_their_rollups() {
    let bench = Bench::new().await;
    bench.drop_tables().await;
    let kinds = [
        ("duplicates", KeyType::Duplicate, true),
        ("uniques", KeyType::Unique, false),
        ("aggregates", KeyType::Aggregate, true),
        ("primaries", KeyType::Primary, false),
    ];
    for (seed, (name, key_type, by_range)) in (20..).zip(kinds) {
        bench.create(table(name, key_type, by_range)).await;
        let more = IndexDef { name: "only_k".into(), columns: vec!["k".into()], schema_hash: SchemaHash::default() };
        bench.cluster.fe().add_rollups("shop", name, &[more]).await.expect("add a rollup");
        bench.load_there(name, "low", seed).await;
    }
    let before = bench.tables_of("shop").await;
    assert!(before.iter().all(|(def, _)| def.indexes.len() == 3), "{before:?}");
    let sizes = bench.sizes().await;
    let request = bench.back_up("kinds", Selection::All, "all").await;
    bench.drop_tables().await;
    bench.finish(request).await;
    assert_eq!(bench.tables_of("shop").await, before);
    assert_eq!(bench.sizes().await, sizes);
    for (seed, (name, ..)) in (20..).zip(kinds) {
        bench.check(&format!("shop.{name}/low"), seed).await;
        // What is loaded on top finds the rollups' tablets where the restore left them.
        bench.load_there(name, "high", seed + 100).await;
        bench.load_there(name, "low", seed).await;
        bench.check(&format!("shop.{name}/high"), seed + 100).await;
    }
    checks::assert_swept(&bench.cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_definitions_alone_comes_back_as_empty_tables_and_empties_none() {
    let bench = Bench::new().await;
    let request = bench.back_up("definitions", Selection::All, "metadata_only").await;
    bench.refused(request.clone(), &["Table items already exist", "definitions only"]).await;
    let before = bench.tables_of("shop").await;
    bench.drop_tables().await;
    bench.finish(request).await;
    let after = bench.tables_of("shop").await;
    for ((was, parts), (is, now)) in before.iter().zip(&after) {
        assert_eq!(was, is);
        assert_eq!(parts.iter().map(|part| &part.0).collect::<Vec<_>>(), now.iter().map(|p| &p.0).collect::<Vec<_>>());
        assert!(now.iter().all(|part| part.1 == Version::INITIAL), "{now:?}");
    }
    bench.cluster.load("shop.items", &bench.new_tree(9), 2).await.expect("load");
    bench.check("shop.items", 9).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dynamic_partitioning_is_off_after_a_restore_unless_it_is_reserved_and_colocate_groups_are_dropped() {
    let bench = Bench::new().await;
    let local = bench.cluster.fe().local().expect("built in").clone();
    let given = [(DYNAMIC, "true"), ("colocate_with", "group1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    local.set_table_properties("shop", "sales", &BTreeMap::from(given)).await.expect("set the properties");
    let request = bench.back_up("dynamic", Selection::Only(some("sales", &[])), "all").await;
    for (reserved, expected) in [("false", "false"), ("true", "true")] {
        bench.drop_tables().await;
        let request = with(&request, "reserve_dynamic_partition_enable", reserved);
        let started = bench.cluster.fe().restore(request).await.expect("the restore is accepted");
        checks::assert_finished(&*bench.cluster.wait(started.id).await);
        let told = |word: &str| started.notices.iter().any(|notice| notice.contains(word));
        assert!(told("colocate group") && told("group1"), "{:?}", started.notices);
        assert_eq!(told("dynamic partitioning is off"), reserved == "false", "{:?}", started.notices);
        let properties = local.table("shop", "sales").await.expect("the table is there").def.properties;
        assert_eq!(properties.get(DYNAMIC).map(String::as_str), Some(expected));
        assert!(!properties.contains_key("colocate_with"), "{properties:?}");
    }
    local
        .set_table_properties("shop", "sales", &BTreeMap::from([(DYNAMIC.to_owned(), "false".to_owned())]))
        .await
        .expect("off");
    let on = BTreeMap::from([(DYNAMIC.to_owned(), "true".to_owned())]);
    local.set_table_properties("shop", "sales", &on).await.expect("ALTER TABLE SET");
    assert_eq!(local.table("shop", "sales").await.expect("it is there").def.properties[DYNAMIC], "true");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_travel_with_a_whole_database_and_not_with_tables_that_are_named() {
    let bench = Bench::new().await;
    let local = bench.cluster.fe().local().expect("built in").clone();
    let view = |name: &str, text: &str| ViewDef { name: name.to_owned(), text: text.to_owned() };
    for view in [view("top", "SELECT * FROM `base`"), view("base", "SELECT path FROM items")] {
        local.create_view("shop", &view, false).await.expect("create the view");
    }
    let whole = bench.back_up("whole", Selection::All, "all").await;
    let but = bench.back_up("but", Selection::Except(some("top", &[])), "all").await;
    let named = bench.back_up("named", Selection::Only(some("items", &[])), "all").await;
    for (request, into, expected) in [(whole, "a", vec!["base", "top"]), (but, "b", vec!["base"]), (named, "c", vec![])]
    {
        bench.finish(RestoreRequest { into: Some(into.to_owned()), ..request }).await;
        let views = bench.cluster.fe().catalog().cut(into).await.expect("take a cut").views;
        assert_eq!(views.iter().map(|view| view.name.as_str()).collect::<Vec<_>>(), expected, "{into}");
        bench.check(&format!("{into}.items"), 4).await;
    }
    let restored = bench.cluster.fe().catalog().cut("a").await.expect("take a cut").views;
    assert_eq!(restored[1].text, "SELECT * FROM `base`", "as it was");
}
