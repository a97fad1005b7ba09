//! A repository: names that can be taken once, and what lies at them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tabvault_common::digest::Digest;
use tabvault_common::ids::{BackendId, TaskId};
use tabvault_common::label::SnapshotTimestamp;
use tabvault_common::repo::info::{Info, ManifestRef, SnapshotName};
use tabvault_common::repo::meta::MetaReader;
use tabvault_common::task::{TaskKey, Upload};

use crate::job::samples;
use crate::repository::remote::{InfoWrite, TombstoneWrite};

#[derive(Debug)]
enum Stands {
    Ours,
    Tombstone,
    Another,
}

/// A manifest: who wrote it, and of which tablets at which versions.
#[derive(Debug, PartialEq, Eq)]
struct Written {
    by: (BackendId, TaskId, u32),
    tablets: Vec<(u64, u64)>,
}

/// What an intent keeps from being collected beside what its own job wrote.
#[derive(Debug, Clone, Copy)]
pub(super) struct Protects {
    /// What the job's parent reaches.
    pub(super) parent: bool,
}

#[derive(Debug)]
pub(super) struct Repository {
    names: BTreeMap<SnapshotTimestamp, Stands>,
    manifests: BTreeMap<[u8; 32], Written>,
    metas: BTreeMap<[u8; 32], Bytes>,
    pub(super) intent: Option<Protects>,
    parent_stands: bool,
}

impl Default for Repository {
    /// One with the snapshot that may be shared with.
    fn default() -> Self {
        let (info, meta) = samples::parent();
        let mut manifests = BTreeMap::new();
        for partition in &meta.tables[0].partitions {
            for tablet in &partition.indexes[0].tablets {
                let written = Written {
                    by: (BackendId(1), TaskId(1), 1),
                    tablets: vec![(tablet.tablet.0, partition.visible_version.0)],
                };
                let manifest = info.manifest(tablet.manifest.unwrap()).unwrap();
                manifests.insert(*manifest.digest.as_bytes(), written);
            }
        }
        Self { names: BTreeMap::new(), manifests, metas: BTreeMap::new(), intent: None, parent_stands: true }
    }
}

impl Repository {
    /// The snapshot that may be shared with, if it stands.
    pub(super) fn parent(&self) -> Option<SnapshotName> {
        self.parent_stands.then(|| samples::parent().0.name())
    }

    pub(super) fn drop_parent(&mut self) {
        self.parent_stands = false;
    }

    /// The manifest of an upload. Its name is that of its bytes, and those tell the attempt.
    pub(super) fn put_manifest(&mut self, backend: BackendId, key: TaskKey, task: &Upload) -> ManifestRef {
        let tablets: Vec<_> = task.tablets.iter().map(|t| (t.identity.tablet.0, t.identity.version.0)).collect();
        let digest = Digest::of(format!("{key} {tablets:?}").as_bytes());
        let by = (backend, key.task, key.attempt);
        let count = tablets.len() as u64;
        let written = Written { by, tablets };
        let before = self.manifests.get(digest.as_bytes());
        assert!(before.is_none_or(|before| *before == written), "two writers of one manifest: {before:?}, {written:?}");
        self.manifests.insert(*digest.as_bytes(), written);
        ManifestRef { digest, tablets: count, ..samples::manifest(0) }
    }

    pub(super) fn put_meta(&mut self, digest: &Digest, bytes: Bytes) {
        self.metas.insert(*digest.as_bytes(), bytes);
    }

    pub(super) fn write_info(&mut self, info: &Info) -> InfoWrite {
        match self.names.get(&info.timestamp) {
            None => {
                self.check(info);
                let intent = self.intent.expect("the intent stands when the snapshot is published");
                let shares = info.manifests.iter().any(|manifest| manifest.job != info.job.uuid);
                assert!(!shares || intent.parent, "what is shared is protected until the snapshot is published");
                assert_eq!(info.parent.is_some(), intent.parent, "the snapshot names the parent that was protected");
                assert!(!self.published(), "the job is published under two names");
                self.names.insert(info.timestamp.clone(), Stands::Ours);
                InfoWrite::Written
            }
            Some(Stands::Ours) => InfoWrite::OursAlready,
            Some(Stands::Tombstone) => InfoWrite::Tombstoned,
            Some(Stands::Another) => InfoWrite::TakenByOther,
        }
    }

    pub(super) fn write_tombstone(&mut self, at: &SnapshotTimestamp) -> TombstoneWrite {
        match self.names.get(at) {
            None => {
                self.names.insert(at.clone(), Stands::Tombstone);
                TombstoneWrite::Written
            }
            Some(Stands::Ours) => TombstoneWrite::InfoStands,
            Some(Stands::Tombstone) => TombstoneWrite::Written,
            Some(Stands::Another) => TombstoneWrite::TakenByOther,
        }
    }

    /// Another job publishes a snapshot at this very name, if it is free.
    pub(super) fn take_name(&mut self, at: &SnapshotTimestamp) {
        self.names.entry(at.clone()).or_insert(Stands::Another);
    }

    pub(super) fn published(&self) -> bool {
        self.names.values().any(|stands| matches!(stands, Stands::Ours))
    }

    pub(super) fn has_tombstone(&self) -> bool {
        self.names.values().any(|stands| matches!(stands, Stands::Tombstone))
    }

    /// A snapshot that is published is whole: each tablet once, one version in a partition, everything it names there.
    fn check(&self, info: &Info) {
        let bytes = self.metas.get(info.meta.digest.as_bytes()).expect("the meta is there").clone();
        let meta = MetaReader::verified(bytes, &info.meta).unwrap().read_whole().unwrap();
        let mut described = BTreeSet::new();
        for table in &meta.tables {
            for partition in &table.partitions {
                for tablet in partition.indexes.iter().flat_map(|index| &index.tablets) {
                    let manifest = info.manifest(tablet.manifest.unwrap()).unwrap();
                    let written = self.manifests.get(manifest.digest.as_bytes()).expect("the manifest is there");
                    let at = (tablet.tablet.0, partition.visible_version.0);
                    assert!(written.tablets.contains(&at), "{at:?} is not in {written:?}");
                    assert_eq!(partition.def.name, if tablet.tablet.0 / 10 == 601 { "p1" } else { "p2" });
                    assert!(described.insert(at), "{at:?} is there twice");
                }
            }
        }
        let partitions: usize = meta.tables.iter().map(|table| table.partitions.len()).sum();
        assert_eq!(described.len(), 2 * partitions);
        let in_manifests = info.manifests.iter().map(|m| &self.manifests[m.digest.as_bytes()].tablets);
        let mut listed: Vec<_> = in_manifests.flatten().copied().collect();
        listed.sort_unstable();
        assert_eq!(listed, described.into_iter().collect::<Vec<_>>(), "the manifests hold each tablet once");
    }
}
