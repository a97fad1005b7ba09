use super::world::World;
use crate::sql::execute::definitions::{create_request, create_statement};
use crate::sql::parse;
use crate::sql::statement::Statement;

/// Tables of every kind, each without its database.
const TABLES: [&str; 7] = [
    "CREATE TABLE a (k INT) DISTRIBUTED BY HASH (k)",
    "CREATE TABLE a (k BIGINT NOT NULL COMMENT 'the \\'key\\'', `odd ``name` VARCHAR(64) DEFAULT \"a\\\\b\", d DECIMAL(10, 2) DEFAULT '0')
     ENGINE = OLAP UNIQUE KEY (k) COMMENT 'it\\'s \"quoted\"' DISTRIBUTED BY HASH (k) BUCKETS 7
     PROPERTIES ('replication_num' = '1', 'colocate_with' = 'g')",
    "CREATE TABLE a (day DATE NOT NULL, id BIGINT, total BIGINT SUM DEFAULT '0') AGGREGATE KEY (day, id)
     PARTITION BY RANGE (day) (PARTITION p1 VALUES LESS THAN ('2024-01-01'), PARTITION p2 VALUES LESS THAN ('2025-01-01'),
       PARTITION p3 VALUES LESS THAN MAXVALUE)
     DISTRIBUTED BY HASH (id) BUCKETS 4 ROLLUP (by_day (day, total))",
    "CREATE TABLE a (x INT, y INT) DUPLICATE KEY (x, y)
     PARTITION BY RANGE (x, y) (PARTITION p1 VALUES [('1', '2'), ('3', '4')), PARTITION p2 VALUES LESS THAN ('9', MAXVALUE),
       PARTITION p3 VALUES LESS THAN MAXVALUE ('replication_num' = '2'))
     DISTRIBUTED BY HASH (x, y) BUCKETS 1 PROPERTIES ('replication_num' = '1')",
    "CREATE TABLE a (c VARCHAR(2) NOT NULL, n INT) PRIMARY KEY (c) PARTITION BY LIST (c)
     (PARTITION alps VALUES IN ('at', 'ch'), PARTITION north VALUES IN ('no')) DISTRIBUTED BY HASH (c) BUCKETS 2",
    "CREATE TABLE a (c VARCHAR(2), n INT) PARTITION BY LIST (c, n)
     (PARTITION p VALUES IN (('a', '1'), ('b', '2'))) DISTRIBUTED BY HASH (c) BUCKETS 2",
    "CREATE TABLE a (k INT, total INT MAX) DISTRIBUTED BY HASH (k) BUCKETS 2",
];

#[tokio::test]
async fn what_show_create_table_prints_makes_the_same_table() {
    for (n, text) in TABLES.into_iter().enumerate() {
        let mut world = World::new().await;
        world.run("CREATE DATABASE d; USE d").await.unwrap();
        // One backend takes no three replicas.
        let text = if text.contains("replication_num") {
            text.to_owned()
        } else {
            format!("{text} PROPERTIES ('replication_num' = '1')")
        };
        let text = text.replace("'replication_num' = '2'", "'replication_num' = '1'");
        world.run(&text).await.unwrap();
        let made = world.coordinator.catalog().cut("d").await.unwrap().tables.remove(0);
        let (columns, rows) = world.rows("SHOW CREATE TABLE a").await;
        assert_eq!(columns, ["Table", "Create Table"]);
        let printed = rows[0][1].clone().unwrap();
        world.run(&format!("DROP TABLE a; {printed}")).await.unwrap();
        let again = world.coordinator.catalog().cut("d").await.unwrap().tables.remove(0);
        assert_eq!(made.def, again.def, "table {n}: {printed}");
        let defs =
            |table: &crate::catalog::CutTable| table.partitions.iter().map(|p| p.def.clone()).collect::<Vec<_>>();
        assert_eq!(defs(&made), defs(&again), "table {n}: {printed}");
    }
}

#[test]
fn a_definition_and_its_statement_are_each_others() {
    for text in TABLES {
        let Statement::CreateTable(create) = parse(text).unwrap().remove(0) else { panic!("{text}") };
        let request = create_request(&create, "d").unwrap();
        let partition = |def| crate::catalog::CutPartition {
            id: tabvault_common::ids::PartitionId(1),
            def,
            visible_version: tabvault_common::ids::Version::INITIAL,
            version_time: tabvault_common::clock::Time(0),
        };
        let table = crate::catalog::CutTable {
            id: tabvault_common::ids::TableId(1),
            def: request.table.clone(),
            state: crate::catalog::TableState::Normal,
            partitions: request.partitions.iter().cloned().map(partition).collect(),
        };
        let again = create_request(&create_statement(&table), "d").unwrap();
        assert_eq!((&request.table, &request.partitions), (&again.table, &again.partitions), "{text}");
        let printed = Statement::CreateTable(create_statement(&table)).to_string();
        assert_eq!(parse(&printed).unwrap(), [Statement::CreateTable(create_statement(&table))], "{printed}");
    }
}

#[tokio::test]
async fn a_chain_of_less_than_leaves_no_gap() {
    let mut world = World::furnished().await;
    let ranges =
        |rows: Vec<Vec<Option<String>>>| rows.into_iter().map(|row| row[6].clone().unwrap()).collect::<Vec<_>>();
    let (columns, rows) = world.rows("SHOW PARTITIONS FROM t").await;
    assert_eq!(
        columns.join(" "),
        "PartitionId PartitionName VisibleVersion VisibleVersionTime State PartitionKey Range DistributionKey Buckets \
         TabletCount ReplicationNum DataSize FileCount"
    );
    assert_eq!(ranges(rows), [r#"[(MINVALUE), ("10"))"#, r#"[("10"), ("20"))"#, r#"[("20"), (MAXVALUE))"#]);
    world
        .run("ALTER TABLE t DROP PARTITION p3; ALTER TABLE t ADD PARTITION p4 VALUES LESS THAN ('100')")
        .await
        .unwrap();
    world.run("ALTER TABLE t ADD PARTITION p5 VALUES [('200'), ('300')); ALTER TABLE t ADD PARTITION gap VALUES LESS THAN ('150')").await.unwrap();
    let expected = [
        r#"[(MINVALUE), ("10"))"#,
        r#"[("10"), ("20"))"#,
        r#"[("20"), ("100"))"#,
        r#"[("100"), ("150"))"#,
        r#"[("200"), ("300"))"#,
    ];
    assert_eq!(ranges(world.rows("SHOW PARTITIONS FROM t").await.1), expected);
    let (_, message) = world.refused("ALTER TABLE t ADD PARTITION bad VALUES LESS THAN ('15')").await;
    assert!(message.contains("has conflict range with existing ranges"), "{message}");
}

#[tokio::test]
async fn columns_are_described_in_the_words_of_doris() {
    let mut world = World::furnished().await;
    let (columns, rows) = world.rows("DESC t").await;
    assert_eq!(columns, ["Field", "Type", "Null", "Key", "Default", "Extra"]);
    let cells: Vec<Vec<Option<&str>>> = rows.iter().map(|row| row.iter().map(Option::as_deref).collect()).collect();
    assert_eq!(cells[0], [Some("k"), Some("BIGINT"), Some("No"), Some("true"), None, Some("")]);
    assert_eq!(cells[1], [Some("v"), Some("INT"), Some("Yes"), Some("false"), None, Some("SUM")]);
    let (columns, rows) = world.rows("SHOW FULL COLUMNS FROM t LIKE 'v'").await;
    assert_eq!((columns.len(), rows.len()), (9, 1));
}

#[tokio::test]
async fn tables_and_tablets_are_listed() {
    let mut world = World::furnished().await;
    let (columns, rows) = world.rows("SHOW TABLES").await;
    assert_eq!(columns.join(" "), "Table State Partitions Tablets DataSize FileCount");
    assert_eq!(
        rows[0].iter().map(|cell| cell.as_deref().unwrap()).collect::<Vec<_>>(),
        ["t", "NORMAL", "3", "6", "0", "0"]
    );
    let (columns, rows) = world.rows("SHOW FULL TABLES").await;
    assert_eq!(columns, ["Tables_in_d", "Table_type"]);
    assert_eq!(rows[0][1].as_deref(), Some("BASE TABLE"));
    assert_eq!(world.first_column("SHOW TABLE STATUS LIKE 'u'").await, ["u"]);
    let (columns, rows) = world.rows("SHOW TABLETS FROM t").await;
    assert_eq!(
        columns.join(" "),
        "TabletId ReplicaId BackendId SchemaHash Version VersionCount DataSize FileCount State"
    );
    assert_eq!(rows.len(), 6);
    assert!(world.rows("SHOW INDEX FROM t").await.1.is_empty());
    let (_, rows) = world.rows("SHOW CREATE DATABASE d").await;
    assert_eq!(rows[0][1].as_deref(), Some("CREATE DATABASE `d`"));
}

#[tokio::test]
async fn more_tablets_than_a_page_holds_are_all_listed_once() {
    let mut world = World::new().await;
    world.run("CREATE DATABASE d; USE d; CREATE TABLE big (k INT) DISTRIBUTED BY HASH (k) BUCKETS 2500 PROPERTIES ('replication_num' = '1')").await.unwrap();
    let mut tablets = world.first_column("SHOW TABLETS FROM big").await;
    assert_eq!(tablets.len(), 2500);
    tablets.dedup();
    assert_eq!(tablets.len(), 2500);
}

#[tokio::test]
async fn what_a_table_cannot_be_is_refused() {
    let mut world = World::furnished().await;
    for (text, words) in [
        ("CREATE DATABASE d", "Database d already exist"),
        ("CREATE TABLE t (k INT) DISTRIBUTED BY HASH (k)", "Table t already exist"),
        ("CREATE TABLE x (k INT) DISTRIBUTED BY HASH (k)", "failed to find 3 different hosts to create table"),
        (
            "CREATE TABLE x (k INT) DISTRIBUTED BY HASH (k) PROPERTIES ('replication_num' = 'many')",
            "Invalid property 'replication_num': many",
        ),
        (
            "CREATE TABLE x (k INT) PARTITION BY RANGE (k) (PARTITION p VALUES LESS THAN ('1') ('colour' = 'red'))
             DISTRIBUTED BY HASH (k)",
            "Unknown properties of partition p: [colour]",
        ),
        (
            "CREATE TABLE x (k INT) PARTITION BY RANGE (k) (PARTITION p VALUES LESS THAN ('9'), PARTITION q VALUES LESS THAN ('1'))
             DISTRIBUTED BY HASH (k) PROPERTIES ('replication_num' = '1')",
            "Partition q of table x: its range is empty",
        ),
        ("ALTER TABLE t ADD PARTITION p4 VALUES LESS THAN ('1') DISTRIBUTED BY HASH (v) BUCKETS 1", "Table t is distributed by k"),
        ("ALTER TABLE t DROP PARTITION x", "Unknown partition x in table t"),
        ("ALTER TABLE t SET ('default.replication_num' = 'x')", "Invalid property 'default.replication_num': x"),
    ] {
        let (code, message) = world.refused(text).await;
        assert!(code == 1105 && message.contains(words), "{text}: {code} {message}");
    }
    world.run("ALTER TABLE t SET ('dynamic_partition.enable' = 'true')").await.unwrap();
    let (_, rows) = world.rows("SHOW CREATE TABLE t").await;
    assert!(rows[0][1].as_deref().unwrap().contains("dynamic_partition.enable"));
}

#[tokio::test]
async fn views_come_and_go_beside_tables() {
    let mut world = World::furnished().await;
    world.run("CREATE VIEW top AS SELECT * FROM `base`; CREATE VIEW base AS SELECT 'a''b' FROM t").await.unwrap();
    assert_eq!(world.first_column("SHOW TABLES").await, ["base", "t", "top", "u"]);
    let shown = world.rows("SHOW CREATE VIEW base").await.1[0][1].clone().unwrap();
    let Statement::CreateView(view) = parse(&shown).unwrap().remove(0) else { panic!("{shown}") };
    assert_eq!((view.view.name.as_str(), view.text.as_str()), ("base", "SELECT 'a''b' FROM t"));
    assert_eq!(world.refused("CREATE VIEW base AS SELECT 1").await, (1105, "View base already exist".to_owned()));
    assert_eq!(world.notices("CREATE VIEW IF NOT EXISTS base AS SELECT 1").await, ["View base already exist"]);
    world.run("DROP VIEW top").await.unwrap();
    assert_eq!(world.refused("DROP VIEW top").await, (1146, "Unknown table 'top'".to_owned()));
    assert_eq!(world.notices("DROP VIEW IF EXISTS top").await, ["Unknown table 'top'"]);
    assert_eq!(world.first_column("SHOW TABLES").await, ["base", "t", "u"]);
    assert_eq!(world.refused("CREATE VIEW nowhere.v AS SELECT 1").await.0, 1049);
}

#[tokio::test]
async fn rollups_are_added_to_tables_without_data() {
    let mut world = World::furnished().await;
    world.run("ALTER TABLE t ADD ROLLUP one (k), both (k, v)").await.unwrap();
    let found = world.coordinator.local().unwrap().table("d", "t").await.unwrap();
    let names: Vec<&str> = found.def.indexes.iter().map(|index| index.name.as_str()).collect();
    assert_eq!(names, ["t", "one", "both"]);
    let shown = world.rows("SHOW CREATE TABLE t").await.1[0][1].clone().unwrap();
    assert!(shown.contains("`both`"), "{shown}");
    assert_eq!(world.rows("SHOW TABLETS FROM t").await.1.len(), 3 * 3 * 2);
    world.snapshot("with_rollups").await;
    let again = world.refused("ALTER TABLE t ADD ROLLUP one (k)").await.1;
    assert_eq!(again, "Duplicate index name 'one' in table t");
    let unknown = world.refused("ALTER TABLE t ADD ROLLUP two (w)").await.1;
    assert_eq!(unknown, "Column w of index two of table t does not exist");
    world.run("LOAD LABEL d.l (DATA INFILE('file:///x') INTO TABLE u)").await.unwrap();
    let loaded = world.refused("ALTER TABLE u ADD ROLLUP r (k)").await.1;
    assert!(
        loaded.starts_with("Table u has data in partition u: a rollup can be added to an empty table only"),
        "{loaded}"
    );
}
