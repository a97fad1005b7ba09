//! Damage in any object that a restore needs ends the restore, names the object, and leaves tables as they were.

#![allow(clippy::panic, reason = "a test that cannot go on panics")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tabvault_common::request::RestoreRequest;
use tabvault_integration_tests::checks::{self, fast_dir};
use tabvault_integration_tests::cluster::{Cluster, Setup};
use tabvault_integration_tests::tree;
use tempfile::TempDir;

/// What is done to an object.
#[derive(Debug, Clone, Copy)]
enum Harm {
    /// One byte is another, this far through the object, in thousandths.
    Flip(u64),
    /// The second half is gone.
    Truncate,
    /// Bytes follow that do not belong to it.
    Lengthen,
    /// It is not there.
    Remove,
}

const HARMS: [Harm; 7] =
    [Harm::Flip(0), Harm::Flip(250), Harm::Flip(500), Harm::Flip(1000), Harm::Truncate, Harm::Lengthen, Harm::Remove];

impl Harm {
    fn to(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = bytes.to_vec();
        match self {
            Self::Flip(thousandths) => {
                let last = bytes.len() - 1;
                let place = last * usize::try_from(thousandths).expect("small") / 1000;
                bytes[place] ^= 0x20;
            }
            Self::Truncate => bytes.truncate(bytes.len() / 2),
            Self::Lengthen => bytes.extend_from_slice(b"more"),
            Self::Remove => return None,
        }
        Some(bytes)
    }
}

struct Bench {
    dir: TempDir,
    source: PathBuf,
    cluster: Cluster,
    request: RestoreRequest,
}

impl Bench {
    /// A snapshot of `shop.files`, and that table gone.
    async fn new() -> Self {
        checks::log();
        let dir = fast_dir();
        let source = dir.path().join("source");
        tree::make_small(&source, 1);
        let setup = Setup { buckets: 2, ..Setup::default() };
        let cluster = Cluster::start_with(&dir.path().join("cluster"), 2, setup).await;
        cluster.repository("repo").await;
        cluster.load("shop.files", &source, 1).await.expect("load");
        checks::assert_finished(&cluster.backup("shop", "base", "repo").await.expect("back up"));
        cluster.fe().local().expect("built in").drop_table("shop", "files").await.expect("drop");
        let request = cluster.restore_request("shop", "base", "repo", 1).await;
        Self { dir, source, cluster, request }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("cluster/repo/__tabvault_repository_repo")
    }

    /// The objects that a restore needs, by their path in the repository.
    fn needed(&self) -> Vec<String> {
        let entries = tree::read(&self.root());
        let files = entries.into_iter().filter(|(_, entry)| matches!(entry, tree::Entry::File(..)));
        let paths = files.map(|(path, _)| path.to_str().expect("paths are text").to_owned());
        let paths: Vec<String> = paths.filter(|p| p.starts_with("__data/") || p.starts_with("__ss_")).collect();
        let kinds: BTreeSet<&str> = paths.iter().map(|path| path.split('/').rev().nth(1).unwrap_or("")).collect();
        assert_eq!(kinds, BTreeSet::from(["__ss_base", "m", "o", "p"]), "every kind of object is there");
        paths
    }

    /// Does every harm to every object and sees what a restore says; `check` sees that the tables are as they were.
    async fn harm_everything(&self, check: impl AsyncFn(&Cluster)) {
        for path in self.needed() {
            let place = self.root().join(&path);
            let whole = std::fs::read(&place).expect("read an object");
            for harm in HARMS {
                match harm.to(&whole) {
                    Some(bytes) => tree::write(&place, &bytes),
                    None => std::fs::remove_file(&place).expect("remove an object"),
                }
                let said = self.refusal(&path, harm).await;
                tracing::info!(path, ?harm, said, "refused");
                // Without its info there is no snapshot.
                let gone = matches!(harm, Harm::Remove) && path.starts_with("__ss_");
                let named =
                    if gone { said.contains("Failed to get info of snapshot 'base'") } else { said.contains(&path) };
                assert!(named, "{harm:?} {path}: {said}");
                check(&self.cluster).await;
                tree::write(&place, &whole);
            }
        }
        checks::assert_swept(&self.cluster).await;
        let job = self.cluster.restore(self.request.clone()).await.expect("restore what is whole again");
        checks::assert_finished(&job);
        checks::assert_table_is(&self.cluster, "shop.files", &self.source).await;
    }

    /// Why the restore was refused or cancelled.
    async fn refusal(&self, path: &str, harm: Harm) -> String {
        match self.cluster.restore(self.request.clone()).await {
            Err(failure) => failure.to_string(),
            Ok(job) => {
                assert_eq!(job.state, "CANCELLED", "{harm:?} in {path} was not noticed");
                job.status.as_ref().expect("a cancelled job says why").to_string()
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_named_and_makes_no_table() {
    let bench = Bench::new().await;
    let check = async |cluster: &Cluster| {
        let cut = cluster.fe().catalog().cut("shop").await.expect("the database was there before");
        assert_eq!(cut.tables, [], "there was no table before");
    };
    bench.harm_everything(check).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_named_and_leaves_the_present_data() {
    let bench = Bench::new().await;
    let old = bench.dir.path().join("old");
    tree::make_small(&old, 2);
    bench.cluster.load("shop.files", &old, 1).await.expect("load");
    let check = async |cluster: &Cluster| check_is(cluster, &old).await;
    bench.harm_everything(check).await;
}

async fn check_is(cluster: &Cluster, source: &Path) {
    checks::assert_table_is(cluster, "shop.files", source).await;
}
