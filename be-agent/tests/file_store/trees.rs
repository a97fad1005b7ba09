//! Helpers for tests of the built-in store: trees of files, tasks, snapshots as the agent makes them.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use tabvault_be_agent::load::LoadStore;
use tabvault_be_agent::memory::Memory;
use tabvault_be_agent::store::file::FileTabletStore;
use tabvault_be_agent::store::{PinnedContent, TabletStore};
use tabvault_common::access::StorageAccess;
use tabvault_common::durable;
use tabvault_common::failure::Failure;
use tabvault_common::ids::{ClusterId, JobUuid, Lineage, SchemaHash, TabletId, TabletIdentity, Version};
use tabvault_common::task::{
    CreateTablet, Export, ExportStep, ExportTablet, JobEnd, Load, LoadTablet, LoadedTablet, TabletMapping,
    TabletVersion,
};

pub const SCHEMA: SchemaHash = SchemaHash(7);

pub async fn open(dir: &Path) -> FileTabletStore {
    FileTabletStore::open(vec![dir.to_owned()]).await.unwrap()
}

/// What an agent has unless told otherwise.
pub fn memory() -> Memory {
    Memory::new(256 << 20)
}

pub fn at(tablet: u64, version: u64) -> TabletVersion {
    TabletVersion { tablet: TabletId(tablet), version: Version(version), schema_hash: SCHEMA }
}

/// A load into as many buckets as there are tablets.
pub fn load_task(source: &Path, version: u64, tablets: &[u64]) -> Load {
    let buckets = u32::try_from(tablets.len()).unwrap();
    let load_tablet = |(bucket, tablet): (u32, &u64)| LoadTablet {
        tablet: TabletId(*tablet),
        schema_hash: SCHEMA,
        bucket,
        lineage: Lineage(uuid::Uuid::from_u64_pair(1, *tablet)),
    };
    Load {
        source: StorageAccess::direct(source.to_str().unwrap()),
        version: Version(version),
        buckets,
        tablets: (0..).zip(tablets).map(load_tablet).collect(),
    }
}

pub async fn load(
    store: &FileTabletStore,
    source: &Path,
    version: u64,
    tablets: &[u64],
) -> Result<Vec<LoadedTablet>, Failure> {
    store.load(JobUuid::random(), &load_task(source, version, tablets), &Arc::default(), &memory()).await
}

pub async fn create(store: &FileTabletStore, job: JobUuid, tablet: u64) {
    let tablet =
        CreateTablet { tablet: TabletId(tablet), schema_hash: SCHEMA, lineage: Lineage::random(), reuse_from: None };
    store.create(job, &tablet).await.unwrap();
}

/// The names and bytes of a tablet's files, sorted by name.
pub async fn pinned(store: &FileTabletStore, tablet: u64, version: u64) -> Vec<(String, Vec<u8>)> {
    let pinned = store.pin(at(tablet, version)).await.unwrap();
    let files = pinned.files.map(|file| {
        let file = file.unwrap();
        let PinnedContent::File(path) = file.content else { panic!("{} is no file", file.path) };
        (file.path, fs::read(path).unwrap())
    });
    let mut files: Vec<_> = files.collect();
    files.sort_unstable();
    files
}

/// Brings a tablet's files into `directory` as a backup and a download would.
pub async fn snapshot(
    store: &FileTabletStore,
    tablet: u64,
    version: u64,
    target: u64,
    directory: &Path,
) -> TabletMapping {
    let pinned = store.pin(at(tablet, version)).await.unwrap();
    for file in pinned.files {
        let file = file.unwrap();
        let to = directory.join(&file.path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        match &file.content {
            PinnedContent::File(from) => durable::hard_link(from, &to).unwrap(),
            PinnedContent::Generated(bytes) => durable::write_file(&to, bytes).unwrap(),
        }
    }
    TabletMapping {
        source: TabletIdentity {
            cluster: ClusterId(uuid::Uuid::nil()),
            tablet: TabletId(tablet),
            lineage: pinned.lineage,
            version: Version(version),
        },
        target: TabletId(target),
        schema_hash: SCHEMA,
    }
}

/// Backs up `tablets` of one store at `version` and restores them into another, under numbers 1000 higher.
pub async fn restore(from: &FileTabletStore, to: &FileTabletStore, version: u64, tablets: &[u64]) -> Vec<u64> {
    let job = JobUuid::random();
    for tablet in tablets {
        let target = tablet + 1000;
        create(to, job, target).await;
        let download = to.roots()[0].work.join(format!("download/{target}"));
        let mapping = snapshot(from, *tablet, version, target, &download).await;
        to.adopt(job, &mapping, &download).await.unwrap();
    }
    to.settle(job, JobEnd::Published).await.unwrap();
    tablets.iter().map(|tablet| tablet + 1000).collect()
}

pub fn export_task(target: &Path, step: ExportStep, version: u64, tablets: &[u64]) -> Export {
    let part = |tablet: &u64| ExportTablet { at: at(*tablet, version), directory: String::new() };
    Export {
        target: StorageAccess::direct(target.to_str().unwrap()),
        step,
        tablets: tablets.iter().map(part).collect(),
    }
}

pub async fn export(
    store: &FileTabletStore,
    target: &Path,
    version: u64,
    tablets: &[u64],
) -> Result<(u64, u64), Failure> {
    let job = JobUuid::random();
    let write = export_task(target, ExportStep::Write, version, tablets);
    let counted = store.export(job, &write, &Arc::default(), &memory()).await?;
    let publish = export_task(target, ExportStep::Publish, version, tablets);
    store.export(job, &publish, &Arc::default(), &memory()).await?;
    Ok(counted)
}

/// All that must survive of a tree, the tree's own attributes excepted.
pub fn read_tree(dir: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut tree = BTreeMap::new();
    for found in walkdir::WalkDir::new(dir).min_depth(1) {
        let found = found.unwrap();
        let metadata = found.metadata().unwrap();
        let content = if metadata.is_symlink() {
            fs::read_link(found.path()).unwrap().as_os_str().as_bytes().to_vec()
        } else if metadata.is_dir() {
            Vec::new()
        } else {
            fs::read(found.path()).unwrap()
        };
        let description = format!(
            "{:o} {}.{:09} {}",
            metadata.mode(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            blake3::hash(&content).to_hex()
        );
        let path = found.path().strip_prefix(dir).unwrap().as_os_str().as_bytes().to_vec();
        assert!(tree.insert(path, description).is_none());
    }
    tree
}

/// A tree with one of everything.
pub fn make_odd_tree(dir: &Path) {
    let write = |path: &[u8], content: &[u8]| {
        let path = dir.join(OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    write(b"plain", b"content");
    write(b"empty", b"");
    write(b"-rf", b"leading dash");
    write(b"new\nline", b"a");
    write(b"not\xFFutf8\xC3", b"b");
    write(b"100%25\\x", b"c");
    write(" sp ace\t".as_bytes(), b"d");
    write("größe/日本/🎈".as_bytes(), b"e");
    write(b"deep/er/and/deeper/file", &vec![7; 700_000]);
    write(b"deep-sibling", b"f");
    write(b"...", b"g");
    fs::create_dir_all(dir.join("empty dir/inner")).unwrap();
    for (link, target) in [("dangling", "no/where"), ("absolute", "/etc/passwd"), ("up", "../.."), ("to-dir", "deep")] {
        std::os::unix::fs::symlink(target, dir.join(link)).unwrap();
    }
    let odd_target = OsStr::from_bytes(b"t\xFEx\n");
    std::os::unix::fs::symlink(odd_target, dir.join("odd target")).unwrap();
    for (path, mode) in [("plain", 0o4755), ("empty", 0o600), ("deep/er", 0o2770), ("-rf", 0o444), ("empty dir", 0o555)]
    {
        fs::set_permissions(dir.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    set_times(dir);
}

/// Gives everything a time of its own, before 1970 for some.
pub fn set_times(dir: &Path) {
    let found: Vec<_> = walkdir::WalkDir::new(dir).contents_first(true).sort_by_file_name().into_iter().collect();
    for (number, found) in found.into_iter().enumerate() {
        let number = i64::try_from(number).unwrap();
        let time = rustix::fs::Timespec { tv_sec: (number - 3) * 86_400, tv_nsec: 1 + number * 1000 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        let path = found.unwrap().into_path();
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}
