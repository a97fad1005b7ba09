//! A tree of real files through every kind of storage that a repository can be on, and back.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use tabvault_fe_coordinator::brokers::BrokerAddress;
use tabvault_integration_tests::checks::{self, fast_dir};
use tabvault_integration_tests::cluster::{Cluster, alias, backup_request, free_address};
use tabvault_integration_tests::processes::{Moto, SECRET, Server};
use tabvault_integration_tests::tree;
use tempfile::TempDir;

struct Bench {
    dir: TempDir,
    source: PathBuf,
    cluster: Cluster,
}

impl Bench {
    /// Three backends and a tree loaded as `shop.files`, two replicas of each tablet.
    async fn new(seed: u64, small: usize) -> Self {
        checks::log();
        let dir = fast_dir();
        let source = dir.path().join("source");
        tree::make(&source, seed, small);
        let cluster = Cluster::start(&dir.path().join("cluster"), 3).await;
        cluster.load("shop.files", &source, 2).await.expect("load");
        Self { dir, source, cluster }
    }

    async fn repository(&self, name: &str, location: &str, properties: BTreeMap<String, String>, broker: Option<&str>) {
        let made = self.cluster.repository_at(name, location, properties, broker).await;
        made.unwrap_or_else(|refusal| panic!("{name} at {location}: {refusal}"));
    }

    fn location(&self) -> String {
        format!("file://{}", self.dir.path().join("repo").display())
    }

    async fn back_up(&self, repository: &str) {
        checks::assert_finished(&self.cluster.backup("shop", "label", repository).await.expect("back up"));
    }

    /// Restores the dropped table with another number of replicas.
    async fn bring_back(&self, repository: &str) {
        self.cluster.fe().local().expect("built in").drop_table("shop", "files").await.expect("drop");
        let request = self.cluster.restore_request("shop", "label", repository, 3).await;
        checks::assert_finished(&self.cluster.restore(request).await.expect("restore"));
        let partitions = self.cluster.fe().catalog().show_partitions("shop", "files").await.expect("show partitions");
        assert_eq!(partitions.iter().map(|partition| partition.replication_num).collect::<Vec<_>>(), [3]);
        checks::assert_table_is(&self.cluster, "shop.files", &self.source).await;
        checks::assert_swept(&self.cluster).await;
    }

    async fn add_broker(&self, name: &str, address: &str) {
        let (host, port) = address.rsplit_once(':').expect("host:port");
        let address = BrokerAddress { host: host.to_owned(), port: port.parse().expect("a port") };
        self.cluster.fe().brokers().add(name, &[address]).await.expect("add a broker");
    }
}

fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// As users of Doris name them.
fn s3(moto: &Moto) -> BTreeMap<String, String> {
    properties(&[
        ("s3.endpoint", &moto.endpoint),
        ("s3.region", "us-east-1"),
        ("s3.access_key", "key"),
        ("s3.secret_key", SECRET),
        ("use_path_style", "true"),
    ])
}

/// As users of StarRocks name them.
fn aws_s3(moto: &Moto) -> BTreeMap<String, String> {
    properties(&[
        ("aws.s3.endpoint", &moto.endpoint),
        ("aws.s3.region", "us-east-1"),
        ("aws.s3.access_key", "key"),
        ("aws.s3.secret_key", SECRET),
        ("aws.s3.enable_path_style_access", "true"),
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_comes_back_from_a_directory() {
    let bench = Bench::new(1, 300).await;
    bench.repository("repo", &bench.location(), BTreeMap::new(), None).await;
    bench.back_up("repo").await;
    bench.bring_back("repo").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_comes_back_from_s3_whichever_way_its_properties_are_named() {
    let moto = Moto::start();
    let bench = Bench::new(2, 200).await;
    for (name, properties) in [("doris", s3(&moto)), ("starrocks", aws_s3(&moto))] {
        bench.repository(name, "s3://bucket/some/prefix", properties, None).await;
        bench.back_up(name).await;
        bench.bring_back(name).await;
    }
    let shown = format!("{:?}", bench.cluster.fe().repositories().list().await.expect("list the repositories"));
    assert!(!shown.contains(SECRET), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_comes_back_through_a_broker() {
    let (moto, mut broker) = (Moto::start(), Server::broker());
    let bench = Bench::new(3, 150).await;
    bench.add_broker("hands", &broker.address).await;
    bench.repository("files", &bench.location(), BTreeMap::new(), Some("hands")).await;
    bench.repository("objects", "s3://bucket/x", s3(&moto), Some("hands")).await;
    for name in ["files", "objects"] {
        bench.back_up(name).await;
        bench.bring_back(name).await;
    }
    // Nobody goes past the broker.
    broker.kill();
    let refused = bench.cluster.fe().backup(backup_request("shop", "later", "files")).await;
    let refused = refused.expect_err("the only broker is gone");
    assert!(refused.message.contains(&broker.address), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_brokers_is_enough() {
    let bench = Bench::new(4, 100).await;
    let (mut first, second) = (Server::broker(), Server::broker());
    // One that never was, one that goes, one that stays.
    for address in [&free_address().to_string(), &first.address, &second.address] {
        bench.add_broker("hands", address).await;
    }
    bench.repository("repo", &bench.location(), BTreeMap::new(), Some("hands")).await;
    bench.back_up("repo").await;
    first.kill();
    bench.bring_back("repo").await;
    // The other one carries a whole job as well.
    let request = backup_request("shop", "second", "repo");
    let id = bench.cluster.fe().backup(request).await.expect("back up").id;
    checks::assert_finished(&*bench.cluster.wait(id).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_broker_that_answers_there_is_no_repository() {
    let bench = Bench::new(5, 1).await;
    let dead = free_address().to_string();
    bench.add_broker("hands", &dead).await;
    let (location, none) = (bench.location(), BTreeMap::new());
    let refused = bench.cluster.repository_at("repo", &location, none.clone(), Some("hands")).await;
    let refused = refused.expect_err("nobody answers");
    assert!(refused.message.contains(&dead), "{refused}");
    let refused = bench.cluster.repository_at("repo", &location, none, Some("feet")).await.expect_err("unknown");
    assert!(refused.message.contains("broker does not exist: feet"), "{refused}");
    assert_eq!(bench.cluster.fe().repositories().list().await.expect("list"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_compression_brings_the_same_back_and_none_takes_the_most_room() {
    let bench = Bench::new(6, 150).await;
    bench.repository("repo", &bench.location(), BTreeMap::new(), None).await;
    let mut stored = BTreeMap::new();
    for compression in ["fastest", "balanced", "best", "none"] {
        let before = data_bytes(&bench);
        let mut request = backup_request("shop", compression, "repo");
        request.properties.insert("compression".to_owned(), compression.to_owned());
        let id = bench.cluster.fe().backup(request).await.expect("back up").id;
        checks::assert_finished(&*bench.cluster.wait(id).await);
        stored.insert(compression, data_bytes(&bench) - before);

        let mut request = bench.cluster.restore_request("shop", compression, "repo", 1).await;
        request.selection = alias("files", compression);
        checks::assert_finished(&bench.cluster.restore(request).await.expect("restore"));
        checks::assert_table_is(&bench.cluster, &format!("shop.{compression}"), &bench.source).await;
        // The next snapshot is of the same tables.
        bench.cluster.fe().local().expect("built in").drop_table("shop", compression).await.expect("drop");
    }
    let none = stored["none"];
    assert!(none >= 8 << 20, "all bytes are stored: {stored:?}");
    for compression in ["fastest", "balanced", "best"] {
        assert!(stored[compression] < none * 3 / 4, "half of the tree compresses well: {stored:?}");
    }
}

/// Bytes of all data objects in the repository.
fn data_bytes(bench: &Bench) -> usize {
    let root = bench.dir.path().join("repo/__tabvault_repository_repo/__data");
    if !root.exists() {
        return 0;
    }
    let sizes = tree::read(&root).into_values().map(|entry| match entry {
        tree::Entry::File(_, _, bytes) => bytes.len(),
        _ => 0,
    });
    sizes.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_alone_come_back_as_an_empty_table() {
    let bench = Bench::new(7, 20).await;
    bench.repository("repo", &bench.location(), BTreeMap::new(), None).await;
    let mut request = backup_request("shop", "bare", "repo");
    request.properties.insert("content".to_owned(), "metadata_only".to_owned());
    let id = bench.cluster.fe().backup(request).await.expect("back up").id;
    checks::assert_finished(&*bench.cluster.wait(id).await);
    assert!(data_bytes(&bench) < 100_000, "no file is in the repository: {}", data_bytes(&bench));

    // It would empty the table that is there.
    let request = bench.cluster.restore_request("shop", "bare", "repo", 2).await;
    let refused = bench.cluster.restore(request.clone()).await.expect_err("the table has data");
    assert!(refused.message.contains("holds definitions only"), "{refused}");
    checks::assert_table_is(&bench.cluster, "shop.files", &bench.source).await;

    let local = bench.cluster.fe().local().expect("built in").clone();
    let before = local.table("shop", "files").await.expect("the table is there").def;
    local.drop_table("shop", "files").await.expect("drop");
    checks::assert_finished(&bench.cluster.restore(request).await.expect("restore"));
    assert_eq!(local.table("shop", "files").await.expect("the table is there").def, before);
    let empty = bench.dir.path().join("nothing");
    std::fs::create_dir(&empty).expect("make a directory");
    checks::assert_table_is(&bench.cluster, "shop.files", &empty).await;
    bench.cluster.load("shop.files", &bench.source, 2).await.expect("an empty table can be loaded");
    checks::assert_table_is(&bench.cluster, "shop.files", &bench.source).await;
}
