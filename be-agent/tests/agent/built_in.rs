//! The built-in store behind the agent: a tree of files goes in by a load, through a backup and a restore, and comes
//! out by an export.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tabvault_be_agent::agent::Agent;
use tabvault_be_agent::config::AgentConfig;
use tabvault_be_agent::store::file::FileTabletStore;
use tabvault_common::access::StorageAccess;
use tabvault_common::compression::Compression;
use tabvault_common::ids::{ClusterId, JobUuid, Lineage, SchemaHash, TabletId, TabletIdentity, Version};
use tabvault_common::task::{
    Adopt, CreateTablet, CreateTablets, Download, Export, ExportStep, ExportTablet, Load, LoadTablet, MakeSnapshot,
    TabletMapping, TabletVersion, TaskBody, TaskResult, Upload, UploadTablet,
};

use crate::cluster::{EPOCH, done, key, noise, task, uploaded};
use crate::coordinator::{Answer, Coordinator, Stream, soon};

const SOURCE: TabletId = TabletId(1);
const TARGET: TabletId = TabletId(2);
const HASH: SchemaHash = SchemaHash(1);

fn write(dir: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (path, bytes) in files {
        let place = dir.join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, bytes).unwrap();
    }
}

fn read(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = walkdir::WalkDir::new(dir).into_iter().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
    let named =
        files.map(|file| (file.strip_prefix(dir).unwrap().to_str().unwrap().to_owned(), std::fs::read(file).unwrap()));
    named.collect()
}

fn access(dir: &Path) -> StorageAccess {
    StorageAccess::direct(format!("file://{}", dir.display()))
}

async fn load(stream: &mut Stream, dir: &Path, tablet: TabletId, version: u64, lineage: Lineage) {
    let job = JobUuid::random();
    let tablets = vec![LoadTablet { tablet, schema_hash: HASH, bucket: 0, lineage }];
    let load = Load { source: access(dir), version: Version(version), buckets: 1, tablets };
    done(stream.run(&task(key(job, 1, 1), TaskBody::Load(load))).await);
    stream.end(job, true).await;
}

fn at(tablet: TabletId, version: u64) -> TabletVersion {
    TabletVersion { tablet, version: Version(version), schema_hash: HASH }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_of_files_survives_backup_and_restore() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = ClusterId::random();
    let mut coordinator = Coordinator::start(Answer { cluster, epoch: EPOCH, backend: 1 }).await;
    let store = Arc::new(FileTabletStore::open(vec![dir.path().join("root")]).await.unwrap());
    let config = AgentConfig {
        fe: vec![coordinator.address.clone()],
        state_dir: dir.path().join("state"),
        free_space_watermark: 0,
        ..AgentConfig::default()
    };
    let agent = Agent::start(config, store.clone(), Some(store)).await.unwrap();
    let mut stream = coordinator.stream().await;

    let mut files: BTreeMap<String, Vec<u8>> =
        (0..200).map(|n| (format!("a/{}/{n}", n % 7), noise(n, 50 * usize::try_from(n).unwrap()))).collect();
    files.insert("large".into(), noise(1, 3 << 20));
    write(&dir.path().join("in"), &files);
    let lineage = Lineage::random();
    load(&mut stream, &dir.path().join("in"), SOURCE, 2, lineage).await;

    let (backup, restore) = (JobUuid::random(), JobUuid::random());
    let identity = TabletIdentity { cluster, tablet: SOURCE, lineage, version: Version(2) };
    let snapshot = TaskBody::MakeSnapshot(MakeSnapshot { tablets: vec![at(SOURCE, 2)] });
    done(stream.run(&task(key(backup, 1, 1), snapshot)).await);
    let tablet = UploadTablet { identity: identity.clone(), index: "t".into(), position: 0, schema_hash: HASH };
    let upload = Upload {
        repository: access(&dir.path().join("repository")),
        table: "t".into(),
        partition: "t".into(),
        compression: Compression::Fastest,
        max_pack: 32 << 20,
        tablets: vec![tablet],
        parents: Vec::new(),
    };
    let manifest = uploaded(&stream.run(&task(key(backup, 2, 1), TaskBody::Upload(upload))).await);
    stream.end(backup, true).await;

    // A later load changes one file; what it left alone is linked into the restored tablet.
    write(&dir.path().join("later"), &BTreeMap::from([("a/0/0".into(), noise(77, 4000))]));
    load(&mut stream, &dir.path().join("later"), SOURCE, 3, lineage).await;
    let target =
        CreateTablet { tablet: TARGET, schema_hash: HASH, lineage: Lineage::random(), reuse_from: Some(at(SOURCE, 3)) };
    let create = TaskBody::CreateTablets(CreateTablets { tablets: vec![target] });
    done(stream.run(&task(key(restore, 1, 1), create)).await);
    let mapping = TabletMapping { source: identity, target: TARGET, schema_hash: HASH };
    let repository = access(&dir.path().join("repository"));
    let download = Download { repository, manifest, tablets: vec![mapping.clone()] };
    let downloaded = done(stream.run(&task(key(restore, 2, 1), TaskBody::Download(download))).await);
    let TaskResult::Downloaded { bytes, reused_bytes } = downloaded else { panic!("{downloaded:?}") };
    assert!(reused_bytes > 3 << 20 && reused_bytes < bytes, "{reused_bytes} of {bytes} bytes were reused");
    let adopt = Adopt { tablets: vec![mapping] };
    done(stream.run(&task(key(restore, 3, 1), TaskBody::Adopt(adopt))).await);
    stream.end(restore, true).await;
    stream.leftovers(&[]).await;

    let export = JobUuid::random();
    for (number, step) in [(1, ExportStep::Write), (2, ExportStep::Publish)] {
        let tablets = vec![ExportTablet { at: at(TARGET, 2), directory: String::new() }];
        let body = TaskBody::Export(Export { target: access(&dir.path().join("out")), step, tablets });
        done(stream.run(&task(key(export, number, 1), body)).await);
    }
    assert!(read(&dir.path().join("out")) == files);
    soon("the agent's end", agent.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_coordinator_hears_of_an_export_that_it_has_forgotten_and_the_agent_sweeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = ClusterId::random();
    let mut coordinator = Coordinator::start(Answer { cluster, epoch: EPOCH, backend: 1 }).await;
    let config = AgentConfig {
        fe: vec![coordinator.address.clone()],
        state_dir: dir.path().join("state"),
        free_space_watermark: 0,
        ..AgentConfig::default()
    };
    let start = async || {
        let store = Arc::new(FileTabletStore::open(vec![dir.path().join("data")]).await.unwrap());
        Agent::start(config.clone(), Arc::clone(&store) as _, Some(store)).await.unwrap()
    };
    let agent = start().await;
    let mut stream = coordinator.stream().await;
    write(&dir.path().join("in"), &BTreeMap::from([("a".to_owned(), b"1".to_vec())]));
    load(&mut stream, &dir.path().join("in"), SOURCE, 2, Lineage::random()).await;
    let (export, out) = (JobUuid::random(), dir.path().join("out"));
    let tablets = vec![ExportTablet { at: at(SOURCE, 2), directory: String::new() }];
    let body = TaskBody::Export(Export { target: access(&out), step: ExportStep::Write, tablets });
    done(stream.run(&task(key(export, 1, 1), body)).await);
    let staging = dir.path().join(format!(".out.tabvault-{export}"));
    assert!(staging.exists());

    soon("the agent's end", agent.shutdown()).await;
    let agent = start().await;
    let mut stream = coordinator.stream().await;
    stream.leftovers(&[export]).await;
    assert!(staging.exists(), "the coordinator may want it to go on");
    stream.end(export, false).await;
    stream.leftovers(&[]).await;
    assert!(!staging.exists() && !out.exists());
    soon("the agent's end", agent.shutdown()).await;
}
