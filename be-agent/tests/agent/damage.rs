//! Every damaged or missing object is found and named, and nothing of it is adopted.

use std::collections::BTreeMap;

use tabvault_common::failure::{Kind, Retry};
use tabvault_common::ids::{JobUuid, TabletId};
use tabvault_common::repo::info::ManifestRef;

use crate::cluster::{Cluster, VERSION, create, done, key, noise};
use crate::coordinator::Stream;

const SOURCE: TabletId = TabletId(1);
const TARGET: TabletId = TabletId(2);

struct Backed {
    cluster: Cluster,
    stream: Stream,
    restore: JobUuid,
    manifest: ManifestRef,
    attempt: u32,
}

impl Backed {
    /// A snapshot of one pack, a verbatim object and a compressed one.
    async fn new() -> Self {
        let (cluster, mut stream) = Cluster::start().await;
        let mut files: BTreeMap<String, Vec<u8>> =
            (0..30).map(|n| (format!("small/{n}"), noise(n, 40 * usize::try_from(n).unwrap()))).collect();
        files.insert("small/text".into(), b"compressible ".repeat(300));
        files.insert("verbatim".into(), noise(99, (1 << 20) + 77));
        files.insert("compressed".into(), b"0123456789abcdef".repeat(70_000));
        cluster.store.fill(SOURCE, VERSION, &files);
        let manifest = cluster.back_up(&mut stream, JobUuid::random(), &[SOURCE]).await;
        let restore = JobUuid::random();
        done(stream.run(&create(key(restore, 1, 1), TARGET, None)).await);
        Self { cluster, stream, restore, manifest, attempt: 0 }
    }

    /// Damages `path` by `damage`, expects the restore to name it, and mends it.
    async fn expect_found(&mut self, path: &str, what: &str, damage: impl FnOnce(&mut Vec<u8>)) {
        let file = self.cluster.repository_dir().join(path);
        let good = std::fs::read(&file).unwrap();
        let mut bad = good.clone();
        damage(&mut bad);
        std::fs::write(&file, bad).unwrap();
        // Nothing that an earlier attempt fetched may hide the damage.
        let _ = std::fs::remove_dir_all(self.cluster.store.work().join("download"));
        self.attempt += 1;
        let (key, mapping) = (key(self.restore, 2, self.attempt), [(SOURCE, TARGET)]);
        let report = self.stream.run(&self.cluster.download(key, self.manifest, &mapping)).await;
        std::fs::write(&file, good).unwrap();
        let failure = match report.outcome {
            Err(failure) => failure,
            Ok(_) => panic!("{path}: {what} was not found"),
        };
        assert_eq!((failure.kind, failure.retry), (Kind::Corrupt, Retry::Never), "{path}, {what}: {failure}");
        assert!(failure.message.contains(path), "{path}, {what}: {failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_anywhere_in_any_object_is_found_and_named() {
    let mut backed = Backed::new().await;
    let objects = backed.cluster.objects();
    assert_eq!(objects.len(), 4, "{:?}", objects.keys());
    for (path, bytes) in &objects {
        let length = bytes.len();
        // All of the metadata at the ends, and a walk with a prime stride through the middle.
        let ends = (0..12).chain(length.saturating_sub(60)..length);
        let positions: Vec<usize> = ends.chain((0..length).step_by((length / 25).max(1) | 1)).collect();
        for position in positions {
            let bit = 1 << (position % 8);
            backed
                .expect_found(path, &format!("a bit at {position} of {length}"), |bytes| bytes[position] ^= bit)
                .await;
        }
    }
    let (key, mapping) = (key(backed.restore, 2, backed.attempt + 1), [(SOURCE, TARGET)]);
    done(backed.stream.run(&backed.cluster.download(key, backed.manifest, &mapping)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_too_short_or_too_long_is_found_and_named() {
    let mut backed = Backed::new().await;
    for path in backed.cluster.objects().into_keys() {
        backed.expect_found(&path, "a missing byte", |bytes| bytes.truncate(bytes.len() - 1)).await;
        backed.expect_found(&path, "an added byte", |bytes| bytes.push(0)).await;
        backed.expect_found(&path, "an empty object", Vec::clear).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_object_is_named() {
    let mut backed = Backed::new().await;
    for (path, bytes) in backed.cluster.objects() {
        let file = backed.cluster.repository_dir().join(&path);
        std::fs::remove_file(&file).unwrap();
        let _ = std::fs::remove_dir_all(backed.cluster.store.work().join("download"));
        backed.attempt += 1;
        let (key, mapping) = (key(backed.restore, 2, backed.attempt), [(SOURCE, TARGET)]);
        let report = backed.stream.run(&backed.cluster.download(key, backed.manifest, &mapping)).await;
        std::fs::write(&file, bytes).unwrap();
        let failure = report.outcome.unwrap_err();
        assert_eq!((failure.kind, failure.retry), (Kind::NotFound, Retry::Never), "{failure}");
        assert!(failure.message.contains(&path), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tablet_that_the_manifest_does_not_hold_is_refused() {
    let mut backed = Backed::new().await;
    let mapping = [(TabletId(77), TARGET)];
    let download = backed.cluster.download(key(backed.restore, 2, 1), backed.manifest, &mapping);
    let failure = backed.stream.run(&download).await.outcome.unwrap_err();
    assert_eq!(failure.kind, Kind::NotFound);
    assert!(failure.message.contains("tablet 77") && failure.message.contains(&backed.manifest.path()), "{failure}");
}
