//! CREATE, ALTER and DROP.

use std::collections::{BTreeMap, BTreeSet};

use tabvault_common::failure::Kind;
use tabvault_common::ids::{Epoch, JobUuid, SchemaHash, TabletId, Version};
use tabvault_common::schema::{KeyType, PartitionDef, PartitionRange, Partitioning, TableDef, ViewDef};
use tabvault_fe_coordinator::catalog::conformance::{partition, table};
use tabvault_fe_coordinator::catalog::{Catalog, PreparePartition, PrepareRequest, PrepareTable};

use super::common::{Home, backends, create, room};

fn whole(name: &str) -> (TableDef, Vec<PartitionDef>) {
    let mut def = table(name);
    def.partitioning = Partitioning::None;
    let range = PartitionRange::Whole;
    (def, vec![PartitionDef { name: name.to_owned(), range, buckets: 2, replication_num: 1 }])
}

#[tokio::test]
async fn databases_are_made_once_and_dropped_with_their_tables() {
    let home = Home::with_database().await;
    let catalog = &home.catalog;
    let refusal = catalog.create_database("d", false).await.unwrap_err();
    assert_eq!((refusal.kind, refusal.message.as_str()), (Kind::AlreadyExists, "Database d already exist"));
    catalog.create_database("d", true).await.unwrap();
    for bad in ["", "1st", "a/b", "a b", &"x".repeat(65)] {
        assert_eq!(catalog.create_database(bad, true).await.unwrap_err().kind, Kind::InvalidArgument, "{bad}");
    }
    home.create(table("t"), &[partition("p", 0, 10)]).await.unwrap();
    let tablets: BTreeSet<TabletId> =
        catalog.show_tablets("d", "t", None, None, 99).await.unwrap().iter().map(|view| view.tablet).collect();
    catalog.drop_database("d").await.unwrap();
    assert_eq!(catalog.drop_database("d").await.unwrap_err().message, "Unknown database 'd'");
    let home = home.reopen();
    let mut garbage = BTreeSet::new();
    for room in backends(3) {
        garbage.extend(home.catalog.garbage(room.backend, 99).await.unwrap());
        assert!(home.catalog.unmade_tablets(room.backend, 99).await.unwrap().is_empty());
    }
    assert_eq!(garbage, tablets);
    assert!(home.catalog.databases().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_new_table_waits_for_its_tablets_to_be_made() {
    let home = Home::with_database().await;
    let mut def = table("t");
    for index in &mut def.indexes {
        index.schema_hash = SchemaHash::default();
    }
    home.create(def, &[partition("p", 0, 10)]).await.unwrap();
    assert_eq!(home.catalog.table("d", "t").await.unwrap().def, table("t"), "fingerprints are filled in");
    let part = home.catalog.table("d", "t").await.unwrap().partitions[0].clone();
    assert_eq!(part.visible_version, Version::INITIAL);

    let home = home.reopen();
    let mut wanted = 0;
    for room in backends(3) {
        let tablets = home.catalog.unmade_tablets(room.backend, 99).await.unwrap();
        assert_eq!(home.catalog.unmade_tablets(room.backend, 1).await.unwrap(), tablets[..1]);
        wanted += tablets.len();
        for tablet in home.catalog.tablets(part.id).await.unwrap() {
            let on_it = tablet.replicas.iter().filter(|replica| replica.backend == room.backend);
            assert!(on_it.clone().all(|replica| replica.version == Version(0)), "not to be read yet");
            let asked = tablets.iter().find(|asked| asked.tablet == tablet.tablet);
            assert_eq!(asked.is_some(), on_it.count() == 1);
            assert!(asked.is_none_or(|asked| asked.lineage == tablet.lineage && asked.reuse_from.is_none()));
        }
    }
    assert_eq!(wanted, 4 * 2);
    home.make_all().await;
    let home = home.reopen();
    for room in backends(3) {
        assert!(home.catalog.unmade_tablets(room.backend, 99).await.unwrap().is_empty());
    }
    let made = home.catalog.tablets(part.id).await.unwrap();
    assert!(made.iter().flat_map(|tablet| &tablet.replicas).all(|replica| replica.version == Version::INITIAL));
}

#[tokio::test]
async fn a_definition_that_is_wrong_is_refused_with_what_is_wrong() {
    let home = Home::with_database().await;
    type Spoil = fn(&mut TableDef, &mut Vec<PartitionDef>);
    let cases: &[(&str, Spoil)] = &[
        ("has no columns", |def, _| def.columns.clear()),
        ("Duplicate column name 'K'", |def, _| def.columns[1].name = "K".to_owned()),
        ("Key column x of table t does not exist", |def, _| def.keys = vec!["x".to_owned()]),
        ("must be its first columns", |def, _| def.keys = vec!["v".to_owned()]),
        ("UNIQUE KEY of table t names no column", |def, _| {
            def.key_type = KeyType::Unique;
            def.keys.clear();
        }),
        ("Distribution column x of table t does not exist", |def, _| def.distribution = vec!["x".to_owned()]),
        ("Distribution column v of table t is not a key column", |def, _| {
            def.key_type = KeyType::Unique;
            def.distribution = vec!["v".to_owned()];
        }),
        ("Partition column v of table t is not a key column", |def, _| {
            def.key_type = KeyType::Primary;
            def.partitioning = Partitioning::List(vec!["v".to_owned()]);
        }),
        ("needs DISTRIBUTED BY HASH", |def, _| def.distribution.clear()),
        ("Value column v of table t needs an aggregation", |def, _| def.key_type = KeyType::Aggregate),
        ("Column v of table t cannot be aggregated by SUM", |def, _| {
            def.columns[1].aggregation = Some("SUM".to_owned())
        }),
        ("Partition column k of table t has type DOUBLE", |def, _| def.columns[0].data_type = "DOUBLE".to_owned()),
        ("Column x of index r of table t does not exist", |def, _| def.indexes[1].columns = vec!["x".to_owned()]),
        ("Duplicate index name 't'", |def, _| def.indexes[1].name = "t".to_owned()),
        ("0 buckets, 1 to 65536 are right", |_, parts| parts[0].buckets = 0),
        ("65537 buckets", |_, parts| parts[0].buckets = 65_537),
        ("replication_num is 0", |_, parts| parts[0].replication_num = 0),
        ("262404 tablets at once", |def, parts| {
            def.indexes.truncate(1);
            *parts =
                (0..6).map(|n| PartitionDef { buckets: 43_734, ..partition(&format!("p{n}"), n, n + 1) }).collect();
        }),
        ("Partition b of table t has conflict range with existing ranges: it overlaps partition a", |_, parts| {
            *parts = vec![partition("a", 9, 11), partition("b", 10, 100)];
        }),
        ("Partition a of table t already exist", |_, parts| *parts = vec![partition("a", 0, 1), partition("a", 1, 2)]),
        ("its range is empty", |_, parts| *parts = vec![partition("a", 9, -10)]),
        ("the table is partitioned by range", |_, parts| parts[0].range = PartitionRange::Whole),
        ("exactly one is right", |def, parts| {
            def.partitioning = Partitioning::None;
            parts.clear();
        }),
        ("Incorrect table name 'a.b'", |def, _| def.name = "a.b".to_owned()),
        ("Incorrect partition name ''", |_, parts| parts[0].name.clear()),
    ];
    for (words, spoil) in cases {
        let (mut def, mut parts) = (table("t"), vec![partition("p", 0, 10)]);
        spoil(&mut def, &mut parts);
        let refusal = home.create(def, &parts).await.unwrap_err();
        assert!(refusal.message.contains(words), "expected `{words}`, got `{refusal}`");
    }
    assert!(home.catalog.cut("d").await.unwrap().tables.is_empty());
    for room in backends(3) {
        assert!(home.catalog.unmade_tablets(room.backend, 9).await.unwrap().is_empty(), "nothing is left of a refusal");
    }
}

#[tokio::test]
async fn a_table_is_made_once() {
    let home = Home::with_database().await;
    let (def, parts) = whole("t");
    home.create(def.clone(), &parts).await.unwrap();
    let refusal = home.create(def.clone(), &parts).await.unwrap_err();
    assert_eq!((refusal.kind, refusal.message.as_str()), (Kind::AlreadyExists, "Table t already exist"));
    let mut again = create(def, &parts);
    again.if_not_exists = true;
    home.catalog.create_table(&again, &backends(3)).await.unwrap();
    again.database = "none".to_owned();
    let refusal = home.catalog.create_table(&again, &backends(3)).await.unwrap_err();
    assert_eq!(refusal.message, "Unknown database 'none'");
}

#[tokio::test]
async fn too_few_hosts_are_refused_with_how_many_there_are_and_what_to_set() {
    let home = Home::with_database().await;
    let request = create(table("t"), &[PartitionDef { replication_num: 3, ..partition("p", 0, 10) }]);
    let shared = vec![room(1, "a", 1), room(2, "a", 1), room(3, "b", 1)];
    for (backends, words) in [
        (Vec::new(), "no backend is alive; start one"),
        (backends(1), "only 1 backend is alive; set replication_num to 1"),
        (backends(2), "only 2 backends are alive; set replication_num to at most 2"),
        (shared, "only 3 backends on 2 hosts are alive; set replication_num to at most 2"),
    ] {
        let refusal = home.catalog.create_table(&request, &backends).await.unwrap_err();
        assert_eq!(refusal.kind, Kind::ResourceExhausted);
        assert_eq!(refusal.message, format!("failed to find 3 different hosts to create table t: {words}"));
    }
}

#[tokio::test]
async fn replicas_go_where_the_most_room_is_per_replica_also_after_a_restart() {
    let home = Home::with_database().await;
    let rooms = vec![room(1, "a", 300), room(2, "b", 100), room(3, "c", 200)];
    let count = async |home: &Home, name: &str, rooms| {
        let (def, mut parts) = whole(name);
        parts[0].buckets = 30;
        home.catalog.create_table(&create(def, &parts), rooms).await.unwrap();
        let mut counts = BTreeMap::<u64, usize>::new();
        for view in home.catalog.show_tablets("d", name, None, None, 999).await.unwrap() {
            *counts.entry(view.backend.0).or_default() += 1;
        }
        counts
    };
    assert_eq!(count(&home, "t", &rooms).await, BTreeMap::from([(1, 30), (2, 10), (3, 20)]));
    let home = home.reopen();
    // Thirty of sixty are on backend 1: with equal room the others get what they lack.
    let even = vec![room(1, "a", 100), room(2, "b", 100), room(3, "c", 100)];
    assert_eq!(count(&home, "u", &even).await, BTreeMap::from([(1, 10), (2, 30), (3, 20)]));
}

#[tokio::test]
async fn partitions_are_added_and_dropped() {
    let home = Home::with_database().await;
    home.create(table("t"), &[partition("p", 0, 10)]).await.unwrap();
    let catalog = &home.catalog;
    catalog.add_partition("d", "t", &partition("q", 10, 20), &backends(3)).await.unwrap();
    let refusal = catalog.add_partition("d", "t", &partition("r", 19, 30), &backends(3)).await.unwrap_err();
    assert!(refusal.message.contains("it overlaps partition q"), "{refusal}");
    let refusal = catalog.drop_partition("d", "t", "r").await.unwrap_err();
    assert_eq!(refusal.message, "Unknown partition r in table t");
    let dropped = catalog.table("d", "t").await.unwrap().partitions[0].id;
    catalog.drop_partition("d", "t", "p").await.unwrap();
    let home = home.reopen();
    let left = home.catalog.table("d", "t").await.unwrap();
    assert_eq!(left.partitions.iter().map(|part| part.def.name.as_str()).collect::<Vec<_>>(), ["q"]);
    assert_eq!(home.catalog.partition(dropped).await.unwrap(), None);

    let (def, parts) = whole("w");
    home.create(def, &parts).await.unwrap();
    let refusal = home.catalog.drop_partition("d", "w", "w").await.unwrap_err();
    assert_eq!(refusal.kind, Kind::FailedPrecondition);
    home.catalog.drop_table("d", "w").await.unwrap();
    assert_eq!(home.catalog.drop_table("d", "w").await.unwrap_err().message, "Unknown table 'w'");
}

#[tokio::test]
async fn properties_are_kept_and_replication_is_set_for_partitions_to_come() {
    let home = Home::with_database().await;
    home.create(table("t"), &[partition("p", 0, 10)]).await.unwrap();
    let one = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let set = async |name, value| home.catalog.set_table_properties("d", "t", &one(name, value)).await;
    set("dynamic_partition.enable", "true").await.unwrap();
    set("default.replication_num", "1").await.unwrap();
    for (name, value) in [("default.replication_num", "0"), ("default.replication_num", "x"), ("replication_num", "1")]
    {
        let refusal = set(name, value).await.unwrap_err();
        assert!(refusal.message.contains("replication_num"), "{refusal}");
    }
    let def = home.reopen().catalog.table("d", "t").await.unwrap().def;
    assert_eq!(def.properties, one("dynamic_partition.enable", "true"));
    assert_eq!(def.replication_num, 1);
}

#[tokio::test]
async fn tablets_of_a_dropped_table_are_collected_piece_by_piece_each_once() {
    let home = Home::with_database().await;
    let (def, mut parts) = whole("t");
    parts[0].buckets = 150;
    home.create(def, &parts).await.unwrap();
    let views = home.catalog.show_tablets("d", "t", None, None, 999).await.unwrap();
    home.catalog.drop_table("d", "t").await.unwrap();
    let mut home = home;
    for room in backends(3) {
        let mut collected = Vec::new();
        loop {
            home = home.reopen();
            let some = home.catalog.garbage(room.backend, 17).await.unwrap();
            assert_eq!(some, home.catalog.garbage(room.backend, 17).await.unwrap(), "listed until it is collected");
            home.catalog.collected(room.backend, &some).await.unwrap();
            collected.extend(some.iter().copied());
            if some.len() < 17 {
                break;
            }
        }
        collected.sort_unstable();
        let on_it = views.iter().filter(|view| view.backend == room.backend);
        assert_eq!(collected, on_it.map(|view| view.tablet).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn tablets_are_made_in_pieces_of_any_size_and_in_any_order() {
    let home = Home::with_database().await;
    let (def, mut parts) = whole("t");
    parts[0].buckets = 100;
    home.create(def, &parts).await.unwrap();
    let backend = backends(1)[0].backend;
    let mut all = home.catalog.unmade_tablets(backend, 999).await.unwrap();
    assert!(all.len() > 40);
    while let Some(one) = all.pop() {
        let before = home.catalog.unmade_tablets(backend, 999).await.unwrap();
        assert_eq!(before.last(), Some(&one));
        let mut made = vec![one.tablet, TabletId(u64::MAX)];
        made.extend(all.first().map(|tablet| tablet.tablet));
        home.catalog.made(backend, &made).await.unwrap();
        if !all.is_empty() {
            all.remove(0);
        }
        assert_eq!(home.catalog.unmade_tablets(backend, 999).await.unwrap(), all);
    }
}

#[tokio::test]
async fn a_restore_makes_nothing_under_a_name_that_ddl_refuses() {
    let home = Home::with_database().await;
    let good = PrepareRequest {
        database: "new".to_owned(),
        tables: vec![PrepareTable {
            def: table("t"),
            existing: None,
            replace_whole: false,
            partitions: vec![PreparePartition {
                def: partition("p", 0, 10),
                existing: None,
                version: Version(2),
                sizes: Vec::new(),
            }],
            drop_partitions: Vec::new(),
        }],
        views: vec![ViewDef { name: "w".to_owned(), text: "SELECT 1".to_owned() }],
        drop_tables: Vec::new(),
        allow_load: false,
        backends: backends(3),
    };
    type Change = fn(&mut PrepareRequest);
    let bad: [(&str, Change); 5] = [
        ("Incorrect database name 'a/b'", |request| request.database = "a/b".to_owned()),
        ("Incorrect table name 'a/b'", |request| request.tables[0].def.name = "a/b".to_owned()),
        ("Incorrect rollup name 'a/b'", |request| request.tables[0].def.indexes[1].name = "a/b".to_owned()),
        ("Incorrect partition name '../p'", |request| request.tables[0].partitions[0].def.name = "../p".to_owned()),
        ("Incorrect view name 'a/b'", |request| request.views[0].name = "a/b".to_owned()),
    ];
    for (words, change) in bad {
        let mut request = good.clone();
        change(&mut request);
        let refused = home.catalog.prepare(JobUuid::random(), Epoch(1), &request).await.unwrap_err();
        assert!(refused.message.starts_with(words), "{refused}");
    }
    assert_eq!(home.catalog.databases().await.unwrap(), ["d"]);
    home.catalog.prepare(JobUuid::random(), Epoch(1), &good).await.unwrap();
}
