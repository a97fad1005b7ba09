//! What a load makes where a name is new.

use tabvault_common::access::StorageAccess;
use tabvault_common::failure::Kind;
use tabvault_common::ids::JobUuid;
use tabvault_common::request::LoadRequest;
use tabvault_common::schema::{KeyType, Partitioning};
use tabvault_fe_coordinator::catalog::Catalog;
use tabvault_fe_coordinator::catalog::conformance::{partition, table};

use super::common::{Home, backends};

fn request(table: &str, partition: Option<&str>) -> LoadRequest {
    LoadRequest {
        database: "d".to_owned(),
        table: table.to_owned(),
        partition: partition.map(str::to_owned),
        source: StorageAccess::direct("file:///data"),
        create: true,
        buckets: None,
        replication_num: None,
    }
}

#[tokio::test]
async fn a_load_makes_database_and_table() {
    let home = Home::new();
    home.catalog.ensure_load_target(&request("t", None), &backends(2)).await.unwrap();
    let made = home.catalog.table("d", "t").await.unwrap();
    assert_eq!(made.def.columns.iter().map(|c| c.data_type.as_str()).collect::<Vec<_>>(), ["VARCHAR(65533)", "STRING"]);
    assert_eq!((made.def.key_type, made.def.keys), (KeyType::Unique, vec!["path".to_owned()]));
    let part = &made.partitions[0].def;
    assert_eq!((made.partitions.len(), part.name.as_str()), (1, "t"));
    assert_eq!((part.buckets, part.replication_num), (4, 2), "as many replicas as there are hosts, up to 3");
    home.catalog.ensure_load_target(&request("t", None), &backends(2)).await.unwrap();
    home.catalog.begin_load(JobUuid::random(), "d", "t", None).await.unwrap();
}

#[tokio::test]
async fn a_load_makes_partitions_as_they_come() {
    let home = Home::new();
    let mut first = request("t", Some("p1"));
    (first.buckets, first.replication_num) = (Some(7), Some(1));
    home.catalog.ensure_load_target(&first, &backends(5)).await.unwrap();
    home.catalog.ensure_load_target(&request("t", Some("p2")), &backends(5)).await.unwrap();
    let made = home.catalog.table("d", "t").await.unwrap();
    assert_eq!(made.def.partitioning, Partitioning::List(vec!["part".to_owned()]));
    assert_eq!(made.def.keys, ["part", "path"]);
    let partitions: Vec<_> =
        made.partitions.iter().map(|p| (p.def.name.as_str(), p.def.buckets, p.def.replication_num)).collect();
    assert_eq!(partitions, [("p1", 7, 1), ("p2", 7, 1)], "a partition follows its table where nothing is said");
    let shown = home.catalog.show_partitions("d", "t").await.unwrap();
    assert_eq!(shown[1].range, "(\"p2\")");
    home.catalog.begin_load(JobUuid::random(), "d", "t", Some("p2")).await.unwrap();
}

#[tokio::test]
async fn three_replicas_are_made_where_there_are_enough_hosts() {
    let home = Home::new();
    home.catalog.ensure_load_target(&request("t", None), &backends(5)).await.unwrap();
    assert_eq!(home.catalog.table("d", "t").await.unwrap().def.replication_num, 3);
    let refusal = home.catalog.ensure_load_target(&request("u", None), &[]).await.unwrap_err();
    assert!(refusal.message.starts_with("failed to find 3 different hosts to create table u"), "{refusal}");
}

#[tokio::test]
async fn partition_and_table_must_fit() {
    let home = Home::new();
    home.catalog.ensure_load_target(&request("whole", None), &backends(3)).await.unwrap();
    home.catalog.ensure_load_target(&request("parts", Some("p")), &backends(3)).await.unwrap();
    home.create(table("ranges"), &[partition("p", 0, 10)]).await.unwrap();
    for (target, kind, words) in [
        (
            request("whole", Some("p")),
            Kind::NotFound,
            "Unknown partition p in table whole: the table is not partitioned, leave the partition out",
        ),
        (
            request("parts", None),
            Kind::InvalidArgument,
            "load into table parts: it is partitioned, name the partition as parts/PARTITION",
        ),
        (
            request("ranges", Some("q")),
            Kind::FailedPrecondition,
            "Unknown partition q in table ranges: a load makes partitions only of a table PARTITION BY LIST(part), \
             add it by ALTER TABLE",
        ),
    ] {
        let refusal = home.catalog.ensure_load_target(&target, &backends(3)).await.unwrap_err();
        assert_eq!((refusal.kind, refusal.message.as_str()), (kind, words));
    }
    home.catalog.ensure_load_target(&request("ranges", Some("p")), &backends(3)).await.unwrap();
    home.catalog.ensure_load_target(&request("whole", Some("whole")), &backends(3)).await.unwrap();
}

#[tokio::test]
async fn nothing_is_made_unasked() {
    let home = Home::new();
    let ask = async |home: &Home, table: &str, partition: Option<&str>| {
        let request = LoadRequest { create: false, ..request(table, partition) };
        home.catalog.ensure_load_target(&request, &backends(3)).await.unwrap_err().message
    };
    assert_eq!(ask(&home, "t", None).await, "Unknown database 'd'");
    home.catalog.ensure_load_target(&request("parts", Some("p")), &backends(3)).await.unwrap();
    assert_eq!(ask(&home, "t", None).await, "Unknown table 't'");
    assert_eq!(ask(&home, "parts", Some("q")).await, "Unknown partition q in table parts");
    let bad = home.catalog.ensure_load_target(&request("a/b", None), &backends(3)).await.unwrap_err();
    assert_eq!(bad.kind, Kind::InvalidArgument);
    assert_eq!(home.catalog.cut("d").await.unwrap().tables.len(), 1);
}
