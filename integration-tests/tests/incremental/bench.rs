//! A cluster whose one database is backed up again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tabvault_common::repo::FORMAT_VERSION;
use tabvault_common::repo::info::{Info, SnapshotObject, Tombstone};
use tabvault_common::repo::intent::Intent;
use tabvault_common::repo::manifest::ManifestReader;
use tabvault_integration_tests::checks::{self, fast_dir};
use tabvault_integration_tests::cluster::{Cluster, Setup, backup_request};
use tabvault_integration_tests::crash::Crash;
use tabvault_integration_tests::tree;
use tempfile::TempDir;

pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) cluster: Cluster,
    pub(crate) crash: Crash,
    /// What `shop.files` holds.
    pub(crate) source: PathBuf,
    /// Paths and sizes of all objects when this was last looked at.
    seen: BTreeMap<String, u64>,
}

impl Bench {
    /// `shop.files` on two backends, two replicas.
    pub(crate) async fn new() -> Self {
        checks::log();
        let dir = fast_dir();
        let crash = Crash::never();
        let setup = Setup { buckets: 3, crash: Some(crash.clone()), ..Setup::default() };
        let cluster = Cluster::start_with(&dir.path().join("cluster"), 2, setup).await;
        cluster.repository("repo").await;
        let source = dir.path().join("source");
        tree::make_small(&source, 1);
        let bench = Self { dir, cluster, crash, source, seen: BTreeMap::new() };
        bench.load().await;
        bench
    }

    /// Loads all of the source: what is in the table already is there under new names.
    pub(crate) async fn load(&self) {
        self.cluster.load("shop.files", &self.source, 2).await.expect("load");
    }

    /// Changes one file of the source and loads it alone.
    pub(crate) async fn change(&self, path: &str, bytes: &[u8]) {
        let change = TempDir::new_in(self.dir.path()).expect("make a directory");
        let (there, here) = (change.path().join("tree").join(path), self.source.join(path));
        std::fs::create_dir_all(there.parent().expect("a path in a tree")).expect("make a directory");
        tree::write(&here, bytes);
        tree::write(&there, bytes);
        let time = std::fs::metadata(&here).and_then(|meta| meta.modified()).expect("look at a file");
        let file = std::fs::File::options().write(true).open(&there).expect("open a file");
        file.set_modified(time).expect("set a time");
        self.cluster.load("shop.files", &change.path().join("tree"), 2).await.expect("load");
    }

    /// The source as it is now, kept aside.
    pub(crate) fn kept(&self, name: &str) -> PathBuf {
        let to = self.dir.path().join(name);
        let copied = std::process::Command::new("cp").arg("-a").arg(&self.source).arg(&to).status();
        assert!(copied.expect("copy a tree").success());
        to
    }

    /// A backup of `shop` that ends well; its info.
    pub(crate) async fn backup(&self, label: &str, properties: &[(&str, &str)]) -> Info {
        let mut request = backup_request("shop", label, "repo");
        request.properties = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let id = self.cluster.fe().backup(request).await.expect("back up").id;
        let job = self.cluster.wait_archived(id).await;
        checks::assert_finished(&job);
        checks::assert_swept(&self.cluster).await;
        self.info(label).await
    }

    pub(crate) async fn incremental(&self, label: &str) -> Info {
        self.backup(label, &[("type", "incremental")]).await
    }

    pub(crate) async fn info(&self, label: &str) -> Info {
        let timestamp = self.cluster.timestamp("repo", label).await;
        let repository = self.cluster.fe().repositories().open("repo").await.expect("open the repository");
        repository.read_info(&label.parse().expect("a label"), &timestamp).await.expect("read an info")
    }

    /// Puts a tombstone in the place of a snapshot, as whoever drops it does.
    pub(crate) fn drop_snapshot(&self, info: &Info) {
        let tombstone = Tombstone {
            format_version: FORMAT_VERSION,
            job: info.job.uuid,
            cluster: info.job.cluster,
            time: info.finish_time.clone(),
            reason: "it is dropped".to_owned(),
        };
        let bytes = SnapshotObject::Tombstone(tombstone).encode().expect("encode a tombstone");
        tree::write(&self.root().join(info.path()), &bytes);
    }

    pub(crate) fn intent(&self, info: &Info) -> Intent {
        let path = tabvault_common::repo::layout::intent(info.job.uuid);
        Intent::decode(&path, &std::fs::read(self.root().join(&path)).expect("read an intent")).expect("an intent")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("cluster/repo/__tabvault_repository_repo")
    }

    /// What was written into the repository since this was last asked, by path.
    pub(crate) fn written(&mut self) -> BTreeMap<String, u64> {
        let mut now = BTreeMap::new();
        for (path, entry) in tree::read(&self.root()) {
            if let tree::Entry::File(_, _, bytes) = entry {
                now.insert(path.to_str().expect("paths are text").to_owned(), bytes.len() as u64);
            }
        }
        let seen = std::mem::replace(&mut self.seen, now.clone());
        now.retain(|path, size| seen.get(path) != Some(size));
        now
    }

    /// The data objects that the snapshot reaches: manifests, packs, objects, the meta.
    pub(crate) fn reached(&self, info: &Info) -> BTreeSet<String> {
        let mut reached = BTreeSet::from([info.meta.path()]);
        for manifest in &info.manifests {
            reached.insert(manifest.path());
            let bytes = Bytes::from(std::fs::read(self.root().join(manifest.path())).expect("read a manifest"));
            for record in ManifestReader::verified(bytes, manifest).expect("a manifest") {
                reached.extend(record.expect("a record").reaches().map(str::to_owned));
            }
        }
        reached
    }

    /// As [`Bench::reached`], those that other jobs wrote.
    pub(crate) fn shared(&self, info: &Info) -> BTreeSet<String> {
        let own = format!("__data/{}/", info.job.uuid);
        self.reached(info).into_iter().filter(|path| !path.starts_with(&own)).collect()
    }

    /// A restore of the snapshot into a database of its own brings `tree`.
    pub(crate) async fn assert_restores(&self, info: &Info, tree: &Path) {
        let into = format!("of_{}", info.label);
        let mut request = self.cluster.restore_request("shop", info.label.as_str(), "repo", 2).await;
        request.into = Some(into.clone());
        checks::assert_finished(&self.cluster.restore(request).await.expect("restore"));
        checks::assert_table_is(&self.cluster, &format!("{into}.files"), tree).await;
    }
}

pub(crate) fn sum(written: &BTreeMap<String, u64>) -> u64 {
    written.values().sum()
}
