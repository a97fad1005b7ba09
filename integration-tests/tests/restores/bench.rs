//! A cluster with a snapshot of a few tables.

use std::path::{Path, PathBuf};

use tabvault_common::request::{ObjectSelection, RestoreRequest, Selection};
use tabvault_integration_tests::checks::{self, fast_dir};
use tabvault_integration_tests::cluster::{Cluster, Setup};
use tabvault_integration_tests::crash::Crash;
use tabvault_integration_tests::tree;
use tempfile::TempDir;

/// What is loaded: each with the seed of its tree.
pub(crate) const LOADED: [(&str, u64); 4] =
    [("shop.sales/east", 1), ("shop.sales/north", 2), ("shop.sales/west", 3), ("shop.items", 4)];

pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) cluster: Cluster,
    pub(crate) crash: Crash,
    /// The request to restore everything.
    pub(crate) request: RestoreRequest,
    /// [`Bench::sizes`] before the tables were dropped.
    pub(crate) shown: Vec<String>,
}

impl Bench {
    /// A snapshot of two tables, one of them of three partitions; two backends, two replicas.
    pub(crate) async fn new() -> Self {
        Self::with(2, Setup::default()).await
    }

    /// As [`Bench::new`], of so many backends and other parts.
    pub(crate) async fn with(backends: usize, setup: Setup) -> Self {
        checks::log();
        let dir = fast_dir();
        let crash = Crash::never();
        let setup = Setup { buckets: 2, crash: Some(crash.clone()), ..setup };
        let cluster = Cluster::start_with(&dir.path().join("cluster"), backends, setup).await;
        cluster.repository("repo").await;
        for (target, seed) in LOADED {
            let source = tree_of(dir.path(), seed);
            tree::make_small(&source, seed);
            cluster.load(target, &source, 2).await.expect("load");
        }
        checks::assert_finished(&cluster.backup("shop", "base", "repo").await.expect("back up"));
        let request = cluster.restore_request("shop", "base", "repo", 2).await;
        let mut bench = Self { dir, cluster, crash, request, shown: Vec::new() };
        bench.shown = bench.sizes().await;
        bench
    }

    /// As [`Bench::new`], and the tables gone.
    pub(crate) async fn dropped() -> Self {
        let bench = Self::new().await;
        bench.drop_tables().await;
        bench
    }

    /// Files and bytes of all tables of `shop`, their partitions and their replicas, as people are shown them.
    pub(crate) async fn sizes(&self) -> Vec<String> {
        let (catalog, mut sizes) = (self.cluster.fe().catalog(), Vec::new());
        for table in catalog.show_tables("shop").await.expect("show the tables") {
            let name = &table.name;
            sizes.push(format!("{name} {} {} of {}", table.file_count, table.data_size, table.tablets));
            for partition in catalog.show_partitions("shop", name).await.expect("show the partitions") {
                sizes.push(format!("{name}/{} {} {}", partition.name, partition.file_count, partition.data_size));
                let replicas = catalog.show_tablets("shop", name, Some(&partition.name), None, 100).await;
                let replicas = replicas.expect("show the tablets");
                sizes.extend(replicas.iter().map(|replica| format!("  {} {}", replica.file_count, replica.data_size)));
            }
        }
        sizes
    }

    pub(crate) async fn drop_tables(&self) {
        for table in self.tables("shop").await {
            self.cluster.fe().local().expect("built in").drop_table("shop", &table).await.expect("drop");
        }
    }

    /// The tree that was loaded first with this seed.
    pub(crate) fn tree(&self, seed: u64) -> PathBuf {
        tree_of(self.dir.path(), seed)
    }

    /// A new tree of another seed.
    pub(crate) fn new_tree(&self, seed: u64) -> PathBuf {
        let tree = self.tree(seed);
        tree::make_small(&tree, seed);
        tree
    }

    pub(crate) async fn restore(&self, selection: Selection) {
        self.finish(RestoreRequest { selection, ..self.request.clone() }).await;
    }

    pub(crate) async fn finish(&self, request: RestoreRequest) {
        checks::assert_finished(&self.cluster.restore(request).await.expect("restore"));
    }

    pub(crate) async fn tables(&self, database: &str) -> Vec<String> {
        let tables = self.cluster.fe().catalog().show_tables(database).await.expect("show the tables");
        tables.into_iter().map(|table| table.name).collect()
    }

    pub(crate) async fn partitions(&self, table: &str) -> Vec<String> {
        let (database, table) = table.split_once('.').expect("database.table");
        let partitions = self.cluster.fe().catalog().show_partitions(database, table).await.expect("show partitions");
        let mut names: Vec<_> = partitions.into_iter().map(|partition| partition.name).collect();
        names.sort();
        names
    }

    /// The table or partition is the tree of this seed.
    pub(crate) async fn check(&self, table: &str, seed: u64) {
        checks::assert_table_is(&self.cluster, table, &self.tree(seed)).await;
    }

    /// The request is refused with these words, and nothing has changed.
    pub(crate) async fn refused(&self, request: RestoreRequest, words: &[&str]) {
        // What earlier jobs have left is on its way out.
        checks::assert_no_garbage(&self.cluster).await;
        checks::assert_swept(&self.cluster).await;
        let before = self.everything().await;
        let refusal = match self.cluster.restore(request).await {
            Err(refusal) => refusal.to_string(),
            Ok(job) => panic!("it was not refused: {job:#?}"),
        };
        for word in words {
            assert!(refusal.contains(word), "{word}: {refusal}");
        }
        assert_eq!(self.everything().await, before, "{refusal}");
    }

    /// Jobs, tables with their partitions, tablets and replicas, and whatever jobs leave on agents.
    pub(crate) async fn everything(&self) -> String {
        let (fe, mut all) = (self.cluster.fe(), Vec::new());
        all.push(format!("{:?}", fe.jobs(None, None)));
        for database in fe.catalog().databases().await.expect("list the databases") {
            let cut = fe.catalog().cut(&database).await.expect("take a cut");
            for table in &cut.tables {
                let tablets = fe.catalog().show_tablets(&database, &table.def.name, None, None, 10_000).await;
                all.push(format!("{:?}", tablets.expect("show the tablets")));
            }
            all.push(format!("{cut:?}"));
        }
        all.push(format!("{:?}", checks::leftovers(&self.cluster).await));
        all.join("\n")
    }
}

fn tree_of(dir: &Path, seed: u64) -> PathBuf {
    dir.join(format!("tree{seed}"))
}

pub(crate) fn some(table: &str, partitions: &[&str]) -> Vec<ObjectSelection> {
    let partitions = partitions.iter().map(|name| (*name).to_owned()).collect();
    vec![ObjectSelection { table: table.to_owned(), partitions, alias: None }]
}

pub(crate) fn with(request: &RestoreRequest, name: &str, value: &str) -> RestoreRequest {
    let mut request = request.clone();
    request.properties.insert(name.to_owned(), value.to_owned());
    request
}
