//! Databases, tables and views.

use tabvault_common::schema::{Column, KeyType, PartitionValue, Partitioning};

use super::{become_these, names, object, one, plain, s, some};
use crate::sql::statement::{
    AlterTable, CreateTable, CreateView, Distribution, KeyClause, PartitionClause, PartitionValues, Rollup, Statement,
    TableChange,
};

fn column(name: &str, data_type: &str) -> Column {
    let (name, data_type, comment) = (s(name), s(data_type), String::new());
    Column { name, data_type, nullable: true, default: None, aggregation: None, comment }
}

fn literal(text: &str) -> PartitionValue {
    PartitionValue::Literal(s(text))
}

fn partition(name: &str, values: PartitionValues) -> PartitionClause {
    PartitionClause { name: s(name), if_not_exists: false, values, properties: plain(&[]) }
}

fn hash(columns: &[&str], buckets: Option<u32>) -> Distribution {
    Distribution { columns: names(columns), buckets }
}

fn smallest() -> CreateTable {
    CreateTable {
        table: object("t"),
        if_not_exists: false,
        columns: vec![column("k", "INT")],
        key: None,
        partitioning: Partitioning::None,
        partitions: Vec::new(),
        distribution: hash(&["k"], Some(4)),
        rollups: Vec::new(),
        properties: plain(&[]),
        comment: String::new(),
    }
}

#[test]
fn create_table_with_everything() {
    let text = r#"
        CREATE TABLE IF NOT EXISTS db.t (
            `k1` date NOT NULL COMMENT "the day",
            k2 varchar( 20 ) NULL DEFAULT 'x' COMMENT '',
            v1 DECIMAL(10, 2) SUM NOT NULL DEFAULT "0",
            v2 datetime REPLACE DEFAULT CURRENT_TIMESTAMP,
            v3 bigint MAX DEFAULT NULL
        ) ENGINE=OLAP
        AGGREGATE KEY (k1, k2)
        COMMENT "sales"
        PARTITION BY RANGE (k1) (
            PARTITION p1 VALUES LESS THAN ("2025-01-01"),
            PARTITION IF NOT EXISTS p2 VALUES [("2025-01-01"), ("2025-02-01")) ("replication_num" = "1"),
            PARTITION p3 VALUES LESS THAN MAXVALUE
        )
        DISTRIBUTED BY HASH (k2) BUCKETS 8
        ROLLUP (r1 (k2, v1))
        PROPERTIES ("replication_num" = "2")"#;
    let columns = vec![
        Column { nullable: false, comment: s("the day"), ..column("k1", "DATE") },
        Column { default: some("x"), ..column("k2", "VARCHAR(20)") },
        Column { aggregation: some("SUM"), nullable: false, default: some("0"), ..column("v1", "DECIMAL(10,2)") },
        Column { aggregation: some("REPLACE"), default: some("CURRENT_TIMESTAMP"), ..column("v2", "DATETIME") },
        Column { aggregation: some("MAX"), ..column("v3", "BIGINT") },
    ];
    let bounds = |lower, upper| PartitionValues::Range { lower: vec![literal(lower)], upper: vec![literal(upper)] };
    let partitions = vec![
        partition("p1", PartitionValues::LessThan(vec![literal("2025-01-01")])),
        PartitionClause {
            if_not_exists: true,
            properties: plain(&[("replication_num", "1")]),
            ..partition("p2", bounds("2025-01-01", "2025-02-01"))
        },
        partition("p3", PartitionValues::LessThan(vec![PartitionValue::Max])),
    ];
    let expected = CreateTable {
        table: object("db.t"),
        if_not_exists: true,
        columns,
        key: Some(KeyClause { key_type: KeyType::Aggregate, columns: names(&["k1", "k2"]) }),
        partitioning: Partitioning::Range(names(&["k1"])),
        partitions,
        distribution: hash(&["k2"], Some(8)),
        rollups: vec![Rollup { name: s("r1"), columns: names(&["k2", "v1"]) }],
        properties: plain(&[("replication_num", "2")]),
        comment: s("sales"),
    };
    become_these(vec![(text, Statement::CreateTable(expected))]);
}

#[test]
fn create_table_without_what_may_lack() {
    let key = |key_type, columns: &[&str]| Some(KeyClause { key_type, columns: names(columns) });
    let sum = Column { aggregation: some("SUM"), ..column("v", "INT") };
    let list = |columns: &[&str], partitions| CreateTable {
        partitioning: Partitioning::List(names(columns)),
        partitions,
        ..smallest()
    };
    let one_each = PartitionValues::In(vec![vec![literal("a")], vec![literal("b")]]);
    let pairs = PartitionValues::In(vec![vec![literal("a"), literal("1")], vec![literal("b"), PartitionValue::Min]]);
    let auto = CreateTable { distribution: hash(&["k"], None), ..smallest() };
    let table: Vec<(&str, CreateTable)> = vec![
        ("CREATE TABLE t (k INT) DISTRIBUTED BY HASH(k) BUCKETS 4", smallest()),
        ("CREATE TABLE t (k INT) DISTRIBUTED BY HASH(k)", auto.clone()),
        ("CREATE TABLE t (k INT) ENGINE = 'olap' DISTRIBUTED BY HASH(k) BUCKETS AUTO", auto),
        (
            "CREATE TABLE t (k INT) PRIMARY KEY (k) DISTRIBUTED BY HASH(k) BUCKETS 4",
            CreateTable { key: key(KeyType::Primary, &["k"]), ..smallest() },
        ),
        (
            "CREATE TABLE t (k INT KEY) DISTRIBUTED BY HASH(k) BUCKETS 4",
            CreateTable { key: key(KeyType::Duplicate, &["k"]), ..smallest() },
        ),
        (
            "CREATE TABLE t (k INT KEY, v INT SUM) DISTRIBUTED BY HASH(k) BUCKETS 4",
            CreateTable { key: key(KeyType::Aggregate, &["k"]), columns: vec![column("k", "INT"), sum], ..smallest() },
        ),
        (
            "CREATE TABLE t (k INT) PARTITION BY LIST (k) (PARTITION p VALUES IN (\"a\", (\"b\"))) DISTRIBUTED BY \
             HASH(k) BUCKETS 4",
            list(&["k"], vec![partition("p", one_each)]),
        ),
        (
            "CREATE TABLE t (k INT) PARTITION BY LIST (k, l) (PARTITION p VALUES IN ((\"a\", 1), ('b', MINVALUE))) \
             DISTRIBUTED BY HASH(k) BUCKETS 4",
            list(&["k", "l"], vec![partition("p", pairs)]),
        ),
        (
            "CREATE TABLE t (k INT) PARTITION BY RANGE (k) () DISTRIBUTED BY HASH(k) BUCKETS 4",
            CreateTable { partitioning: Partitioning::Range(names(&["k"])), ..smallest() },
        ),
    ];
    become_these(table.into_iter().map(|(text, create)| (text, Statement::CreateTable(create))).collect());
}

#[test]
fn types_are_upper_case_without_blanks() {
    for (typed, expected) in [
        ("int", "INT"),
        ("varchar ( * )", "VARCHAR(*)"),
        ("array<int>", "ARRAY<INT>"),
        ("Map< string , array<decimal( 10 , 2 )>>", "MAP<STRING,ARRAY<DECIMAL(10,2)>>"),
        ("STRUCT<Name : string, b array<array<int>>>", "STRUCT<name:STRING,b:ARRAY<ARRAY<INT>>>"),
    ] {
        let text = format!("CREATE TABLE t (c {typed}) DISTRIBUTED BY HASH (c)");
        let Statement::CreateTable(create) = one(&text) else { panic!("{text}") };
        assert_eq!(create.columns, [column("c", expected)], "{typed}");
        let create = Statement::CreateTable(create);
        assert_eq!(one(&create.to_sql()), create);
        assert_eq!(one(&create.to_lines()), create);
    }
}

#[test]
fn databases_views_and_changes_of_tables() {
    let alter = |change| Statement::AlterTable(AlterTable { table: object("db.t"), change });
    let view = |text: &str| CreateView { view: object("db.v"), if_not_exists: false, text: s(text) };
    let more = partition("p", PartitionValues::LessThan(vec![literal("9"), PartitionValue::Max]));
    let rollup = |name: &str| Rollup { name: s(name), columns: names(&["a", "b"]) };
    become_these(vec![
        ("CREATE DATABASE IF NOT EXISTS db", Statement::CreateDatabase { name: s("db"), if_not_exists: true }),
        ("CREATE SCHEMA db", Statement::CreateDatabase { name: s("db"), if_not_exists: false }),
        ("DROP DATABASE IF EXISTS db FORCE", Statement::DropDatabase { name: s("db"), if_exists: true }),
        ("DROP TABLE IF EXISTS db.t", Statement::DropTable { table: object("db.t"), if_exists: true }),
        ("DROP TABLE t FORCE", Statement::DropTable { table: object("t"), if_exists: false }),
        (
            "CREATE VIEW db.v AS SELECT a, 'x;y'  -- one\n FROM t # two\n;",
            Statement::CreateView(view("SELECT a, 'x;y'  -- one\n FROM t")),
        ),
        (
            "/*!50001 CREATE VIEW IF NOT EXISTS db.v AS (SELECT 1) */",
            Statement::CreateView(CreateView { if_not_exists: true, ..view("(SELECT 1)") }),
        ),
        ("DROP VIEW IF EXISTS db.v", Statement::DropView { view: object("db.v"), if_exists: true }),
        (
            "ALTER TABLE db.t SET (\"dynamic_partition.enable\"=\"true\")",
            alter(TableChange::Set(plain(&[("dynamic_partition.enable", "true")]))),
        ),
        (
            "ALTER TABLE db.t ADD PARTITION p VALUES LESS THAN ('9', MAXVALUE)",
            alter(TableChange::AddPartition { partition: more.clone(), distribution: None }),
        ),
        (
            "ALTER TABLE db.t ADD PARTITION IF NOT EXISTS p VALUES LESS THAN (9, MAXVALUE) (a = b) DISTRIBUTED BY \
             HASH (k) BUCKETS 2",
            alter(TableChange::AddPartition {
                partition: PartitionClause { if_not_exists: true, properties: plain(&[("a", "b")]), ..more },
                distribution: Some(hash(&["k"], Some(2))),
            }),
        ),
        (
            "ALTER TABLE db.t DROP PARTITION IF EXISTS p FORCE",
            alter(TableChange::DropPartition { name: s("p"), if_exists: true }),
        ),
        (
            "ALTER TABLE db.t ADD ROLLUP r (a, b), r2 (a, b)",
            alter(TableChange::AddRollups(vec![rollup("r"), rollup("r2")])),
        ),
    ]);
}
