//! Uploads that refer to what an earlier one has stored.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tabvault_common::ids::{JobUuid, TabletId};
use tabvault_common::repo::info::ManifestRef;
use tabvault_common::repo::manifest::{ManifestFile, ManifestReader, ManifestRecord};
use tabvault_common::task::{Task, TaskBody};

use crate::cluster::{Cluster, VERSION, create, done, key, many_files, noise, snapshot, uploaded};
use crate::coordinator::Stream;

const SOURCE: TabletId = TabletId(1);
const TARGET: TabletId = TabletId(2);

/// A backup of `SOURCE` by a job of its own that has ended; its upload has this parent.
async fn backed_up(cluster: &Cluster, stream: &mut Stream, parent: Option<ManifestRef>) -> ManifestRef {
    let job = JobUuid::random();
    done(stream.run(&snapshot(key(job, 1, 1), &[SOURCE])).await);
    let manifest = uploaded(&stream.run(&with_parents(cluster, job, parent.into_iter().collect())).await);
    stream.end(job, true).await;
    manifest
}

fn with_parents(cluster: &Cluster, job: JobUuid, parents: Vec<ManifestRef>) -> Task {
    let mut task = cluster.upload(key(job, 2, 1), &[SOURCE]);
    if let TaskBody::Upload(upload) = &mut task.body {
        upload.parents = parents;
    }
    task
}

/// The files that a manifest names.
fn files(cluster: &Cluster, manifest: &ManifestRef) -> BTreeMap<String, ManifestFile> {
    let bytes = std::fs::read(cluster.repository_dir().join(manifest.path())).unwrap();
    let mut files = BTreeMap::new();
    for record in ManifestReader::verified(bytes.into(), manifest).unwrap() {
        if let ManifestRecord::File(file) = record.unwrap() {
            files.insert(file.path.clone(), file);
        }
    }
    files
}

/// Stored bytes of objects and packs.
fn stored(cluster: &Cluster) -> usize {
    let objects = cluster.objects().into_iter().filter(|(path, _)| !path.contains("/m/"));
    objects.map(|(_, bytes)| bytes.len()).sum()
}

async fn assert_restores(cluster: &Cluster, stream: &mut Stream, manifest: ManifestRef) {
    let restore = JobUuid::random();
    done(stream.run(&create(key(restore, 1, 1), TARGET, None)).await);
    done(stream.run(&cluster.download(key(restore, 2, 1), manifest, &[(SOURCE, TARGET)])).await);
}

/// The file of the tablet's own directory that has these bytes.
fn place_of(cluster: &Cluster, bytes: &[u8]) -> PathBuf {
    let entries = walkdir::WalkDir::new(cluster.dir.path().join("data")).into_iter().map(Result::unwrap);
    let mut files = entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
    files.find(|path| std::fs::read(path).unwrap() == bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_parent_has_is_not_stored_again() {
    let (cluster, mut stream) = Cluster::start().await;
    let mut content = many_files(1, 300);
    cluster.store.fill(SOURCE, VERSION, &content);
    let first = backed_up(&cluster, &mut stream, None).await;
    let before = stored(&cluster);

    content.insert("seg/00007.dat".into(), noise(4000, 500));
    content.insert("large/new".into(), noise(5000, 2 << 20));
    cluster.store.fill(SOURCE, VERSION, &content);
    let second = backed_up(&cluster, &mut stream, Some(first)).await;
    let added = stored(&cluster) - before;
    assert!((500 + (2 << 20)..2000 + (2 << 20)).contains(&added), "{added} bytes were added");
    let (old, new) = (files(&cluster, &first), files(&cluster, &second));
    let moved = new.iter().filter(|(path, file)| old.get(*path).is_none_or(|old| old.at != file.at));
    let moved: Vec<&str> = moved.map(|(path, _)| path.as_str()).collect();
    assert!(moved.contains(&"large/new") && moved.contains(&"seg/00007.dat") && moved.len() <= 3, "{moved:?}");
    assert_restores(&cluster, &mut stream, second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_known_is_not_read() {
    let (mut cluster, mut stream) = Cluster::start().await;
    let content = BTreeMap::from([("a".to_owned(), noise(1, 3 << 20)), ("b".to_owned(), noise(2, 5000))]);
    cluster.store.fill(SOURCE, VERSION, &content);
    let first = backed_up(&cluster, &mut stream, None).await;
    // Only who reads it finds that an engine has broken its word: bytes are others, size and time are not.
    for bytes in content.values() {
        let place = place_of(&cluster, bytes);
        let file = std::fs::File::options().write(true).open(&place).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        std::os::unix::fs::FileExt::write_at(&file, &[!bytes[0]], 0).unwrap();
        file.set_modified(modified).unwrap();
    }
    let before = stored(&cluster);
    let second = backed_up(&cluster, &mut stream, Some(first)).await;
    assert_eq!((files(&cluster, &second), stored(&cluster)), (files(&cluster, &first), before));

    // Another process of the agent knows as much; without its memory it has to look.
    cluster.stop_agent().await;
    let mut stream = cluster.start_agent().await;
    let third = backed_up(&cluster, &mut stream, Some(first)).await;
    assert_eq!(files(&cluster, &third), files(&cluster, &first));
    cluster.stop_agent().await;
    std::fs::remove_file(cluster.dir.path().join("state/digests")).unwrap();
    let mut stream = cluster.start_agent().await;
    let fourth = backed_up(&cluster, &mut stream, Some(first)).await;
    let (old, new) = (files(&cluster, &first), files(&cluster, &fourth));
    assert!(["a", "b"].iter().all(|path| old[*path].digest != new[*path].digest && old[*path].at != new[*path].at));
    assert_restores(&cluster, &mut stream, fourth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_of_which_little_is_wanted_is_not_kept() {
    let (cluster, mut stream) = Cluster::start().await;
    let mut content: BTreeMap<String, Vec<u8>> = (0..20).map(|n| (format!("{n:02}"), noise(n, 4000))).collect();
    cluster.store.fill(SOURCE, VERSION, &content);
    let first = backed_up(&cluster, &mut stream, None).await;
    for n in 0..6 {
        content.insert(format!("{n:02}"), noise(100 + n, 4000));
    }
    cluster.store.fill(SOURCE, VERSION, &content);
    let second = backed_up(&cluster, &mut stream, Some(first)).await;
    let paths = |manifest| files(&cluster, &manifest).into_values().map(|file| file.at.path().to_owned());
    let packs = |manifest| paths(manifest).collect::<std::collections::BTreeSet<_>>();
    assert_eq!((packs(second).len(), packs(second).is_superset(&packs(first))), (2, true));
    for n in 6..12 {
        content.insert(format!("{n:02}"), noise(100 + n, 4000));
    }
    cluster.store.fill(SOURCE, VERSION, &content);
    let third = backed_up(&cluster, &mut stream, Some(first)).await;
    assert!(packs(third).is_disjoint(&packs(first)), "eight of twenty are less than half");
    assert_restores(&cluster, &mut stream, third).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_is_damaged_or_gone_costs_bytes_and_no_upload() {
    let (cluster, mut stream) = Cluster::start().await;
    cluster.store.fill(SOURCE, VERSION, &many_files(1, 30));
    let first = backed_up(&cluster, &mut stream, None).await;
    let place = cluster.repository_dir().join(first.path());
    let whole = std::fs::read(&place).unwrap();
    std::fs::write(&place, &whole[..whole.len() - 1]).unwrap();
    let own = |manifest: ManifestRef| {
        let own = format!("__data/{}/", manifest.job);
        files(&cluster, &manifest).into_values().all(|file| file.at.path().starts_with(&own))
    };
    let second = backed_up(&cluster, &mut stream, Some(first)).await;
    assert!(own(second));
    std::fs::remove_file(&place).unwrap();
    let third = backed_up(&cluster, &mut stream, Some(first)).await;
    assert!(own(third));
    assert_restores(&cluster, &mut stream, third).await;
}
