//! Clusters, storages with faults, and snapshots to write.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use tabvault_broker::faults::{Act, Faults, Op, Rule};
use tabvault_broker::open::Options;
use tabvault_broker::remote::Connection;
use tabvault_broker::storage::Storage;
use tabvault_common::access::StorageAccess;
use tabvault_common::clock::{ManualClock, Time};
use tabvault_common::compression::Compression;
use tabvault_common::digest::Digest;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::{ClusterId, Epoch, JobId, JobUuid, Lineage, SchemaHash, TabletId, Version};
use tabvault_common::label::{Label, SnapshotTimestamp};
use tabvault_common::repo::FORMAT_VERSION;
use tabvault_common::repo::info::{BackupType, Content, Info, InfoTable, JobIdentity, ManifestRef, Totals};
use tabvault_common::repo::intent::Intent;
use tabvault_common::repo::layout;
use tabvault_common::repo::meta::{EncodedMeta, IndexMeta, MetaHeader, MetaWriter, PartitionMeta, TabletMeta};
use tabvault_common::repo::repo_info::RepoInfo;
use tabvault_common::request::CreateRepositoryRequest;
use tabvault_common::schema::{
    Column, IndexDef, KeyType, PartitionDef, PartitionRange, Partitioning, TableDef, ViewDef,
};
use tabvault_fe_coordinator::brokers::Brokers;
use tabvault_fe_coordinator::repository::{OpenStorage, Repositories, Repository, RepositoryRecord};
use tabvault_fe_coordinator::store::JobStore;
use tabvault_fe_coordinator::store::MemoryStore;

/// 2025-07-31-14-02-01-042.
pub(crate) const NOW: Time = Time(1_753_970_521_042);

/// Opens storages in memory and in files, with faults; takes any properties.
#[derive(Debug)]
pub(crate) struct Opener {
    pub(crate) faults: Faults,
    pub(crate) opened: Mutex<Vec<StorageAccess>>,
}

#[async_trait]
impl OpenStorage for Opener {
    async fn open(&self, access: &StorageAccess) -> Result<Arc<dyn Storage>, Failure> {
        self.opened.lock().unwrap().push(access.clone());
        let storage = storage(&access.location).await;
        Ok(self.faults.wrap(storage))
    }
}

pub(crate) async fn storage(location: &str) -> Arc<dyn Storage> {
    let options = Options { memory: true, ..Options::default() };
    options.open(&StorageAccess::direct(location)).await.unwrap()
}

/// A place in memory that no other test has.
pub(crate) fn somewhere() -> String {
    format!("memory://{}", uuid::Uuid::new_v4())
}

/// One cluster's coordinator.
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) epoch: Epoch,
    pub(crate) clock: ManualClock,
    pub(crate) faults: Faults,
    pub(crate) opener: Arc<Opener>,
    pub(crate) brokers: Arc<Brokers>,
    pub(crate) repositories: Arc<Repositories>,
}

impl Cluster {
    pub(crate) async fn new() -> Self {
        let (id, store) = (ClusterId::random(), Arc::new(MemoryStore::new()));
        let epoch = store.lead().await.unwrap();
        let clock = ManualClock::new(NOW);
        let faults = Faults::new(7);
        let opener = Arc::new(Opener { faults: faults.clone(), opened: Mutex::default() });
        let brokers = Arc::new(Brokers::new(store.clone(), epoch, Connection::default(), Arc::new(clock.clone())));
        let repositories = Arc::new(Repositories::new(
            store.clone(),
            epoch,
            id,
            brokers.clone(),
            opener.clone(),
            Arc::new(clock.clone()),
        ));
        Self { id, store, epoch, clock, faults, opener, brokers, repositories }
    }

    /// From now on its storages cannot create-if-absent.
    pub(crate) fn without_conditional_writes(&self) {
        let refusal = Failure::fatal(Kind::Unsupported, "this storage cannot create-if-absent");
        self.faults.rule(Rule::always(Op::Create, "", Act::Refuse(refusal)));
    }
}

pub(crate) fn request(name: &str, location: &str) -> CreateRepositoryRequest {
    CreateRepositoryRequest {
        name: name.to_owned(),
        location: location.to_owned(),
        properties: std::collections::BTreeMap::new(),
        broker: None,
        read_only: false,
    }
}

/// A repository `r` of a cluster of its own, its storage as the repository sees it and as it is, and the faults between.
pub(crate) struct Opened {
    pub(crate) cluster: Cluster,
    pub(crate) repository: Arc<Repository>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) faults: Faults,
}

pub(crate) async fn opened() -> Opened {
    opened_by(Cluster::new().await).await
}

pub(crate) async fn opened_by(cluster: Cluster) -> Opened {
    opened_at(cluster, &somewhere()).await
}

pub(crate) async fn opened_at(cluster: Cluster, location: &str) -> Opened {
    cluster.repositories.create(request("r", location)).await.unwrap();
    let repository = cluster.repositories.open("r").await.unwrap();
    let storage = storage(&format!("{location}/__tabvault_repository_r")).await;
    let faults = cluster.faults.clone();
    Opened { cluster, repository, storage, faults }
}

/// A record as the registry keeps it.
pub(crate) async fn record(cluster: &Cluster, name: &str) -> RepositoryRecord {
    let bytes = cluster.store.get(&format!("repository/{name}")).await.unwrap().unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

pub(crate) fn label(text: &str) -> Label {
    text.parse().unwrap()
}

pub(crate) fn timestamp(text: &str) -> SnapshotTimestamp {
    text.parse().unwrap()
}

/// A failure of which nobody knows whether it was one.
pub(crate) fn unknown() -> Failure {
    Failure { kind: Kind::TimedOut, retry: Retry::OutcomeUnknown, message: "no answer".to_owned() }
}

pub(crate) fn intent(job: JobUuid, label: &str) -> Intent {
    Intent {
        format_version: FORMAT_VERSION,
        job,
        cluster: ClusterId::random(),
        epoch: Epoch(1),
        label: self::label(label),
        repository: "r".to_owned(),
        time: NOW.into(),
        parent: None,
    }
}

/// A snapshot of `buckets` tablets per partition in two partitions of one table, and a view.
pub(crate) struct Snapshot {
    pub(crate) info: Info,
    pub(crate) meta: EncodedMeta,
}

impl Snapshot {
    pub(crate) fn new(label: &str, at: &str) -> Self {
        Self::with_buckets(label, at, 2)
    }

    pub(crate) fn with_buckets(label: &str, at: &str, buckets: u32) -> Self {
        let (label, job) = (self::label(label), JobUuid::random());
        let header =
            MetaHeader { format_version: FORMAT_VERSION, job, label: label.clone(), database: "shop".to_owned() };
        let mut writer = MetaWriter::new(&header).unwrap();
        writer.push_table(&table(buckets)).unwrap();
        for (n, name) in ["p1", "p2"].into_iter().enumerate() {
            writer.push_partition(&partition(name, u32::try_from(n).unwrap(), buckets)).unwrap();
        }
        writer.push_view(&ViewDef { name: "v".to_owned(), text: "select 1".to_owned() }).unwrap();
        let meta = writer.finish().unwrap();
        let per = u64::from(buckets);
        let manifest = ManifestRef {
            job,
            digest: Digest::of(b"a manifest"),
            size: 100,
            tablets: per,
            files: 3 * per,
            bytes: 30 * per,
            stored_bytes: 20 * per,
            objects: 1,
            packs: 1,
        };
        let info = Info {
            format_version: FORMAT_VERSION,
            job: JobIdentity { uuid: job, id: JobId(1), cluster: ClusterId::random(), epoch: Epoch(1) },
            label,
            timestamp: timestamp(at),
            database: "shop".to_owned(),
            backup_type: BackupType::Full,
            content: Content::All,
            compression: Compression::Balanced,
            parent: None,
            create_time: NOW.into(),
            snapshot_time: NOW.into(),
            finish_time: NOW.into(),
            objects: vec![InfoTable { table: "t".to_owned(), partitions: vec!["p1".to_owned(), "p2".to_owned()] }],
            views: vec!["v".to_owned()],
            totals: Totals {
                tables: 1,
                partitions: 2,
                tablets: 2 * per,
                files: 6 * per,
                bytes: 60 * per,
                stored_bytes: 40 * per,
                packs: 2,
                objects: 2,
            },
            meta: meta.reference(),
            manifests: vec![manifest, manifest],
        };
        Self { info, meta }
    }

    /// As a backup ends.
    pub(crate) async fn publish(&self, repository: &Repository) {
        let stored = repository.put_by_digest(self.info.job.uuid, self.meta.bytes.clone()).await.unwrap();
        assert_eq!(stored, self.info.meta);
        let written = repository.write_info(self.info.clone()).await.unwrap();
        assert_eq!(written, tabvault_fe_coordinator::repository::InfoWrite::Written);
    }
}

fn table(buckets: u32) -> TableDef {
    let column = Column {
        name: "k".to_owned(),
        data_type: "INT".to_owned(),
        nullable: false,
        default: None,
        aggregation: None,
        comment: String::new(),
    };
    TableDef {
        name: "t".to_owned(),
        columns: vec![column],
        key_type: KeyType::Duplicate,
        keys: vec!["k".to_owned()],
        partitioning: Partitioning::Range(vec!["k".to_owned()]),
        distribution: vec!["k".to_owned()],
        buckets,
        replication_num: 3,
        indexes: vec![IndexDef { name: "t".to_owned(), columns: vec!["k".to_owned()], schema_hash: SchemaHash(5) }],
        properties: std::collections::BTreeMap::new(),
        comment: String::new(),
    }
}

fn partition(name: &str, n: u32, buckets: u32) -> PartitionMeta {
    let tablet = |bucket: u32| TabletMeta {
        tablet: TabletId(u64::from(n * 1000 + bucket)),
        lineage: Lineage::random(),
        manifest: Some(n),
        files: 3,
        bytes: 30,
        shown: None,
    };
    PartitionMeta {
        table: "t".to_owned(),
        def: PartitionDef { name: name.to_owned(), range: PartitionRange::Whole, buckets, replication_num: 3 },
        visible_version: Version(7),
        version_time: NOW,
        indexes: vec![IndexMeta {
            name: "t".to_owned(),
            schema_hash: SchemaHash(5),
            tablets: (0..buckets).map(tablet).collect(),
        }],
    }
}

/// Turns one bit of a stored object over.
pub(crate) async fn damage(storage: &dyn Storage, path: &str) {
    let mut bytes = storage.get(path, 1 << 30).await.unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    storage.put(path, Bytes::from(bytes)).await.unwrap();
}

/// Every object there is, sorted.
pub(crate) async fn objects(storage: &dyn Storage) -> Vec<String> {
    use futures::TryStreamExt;
    let listed: Vec<_> = storage.list("").await.unwrap().map_ok(|object| object.path).try_collect().await.unwrap();
    let mut listed: Vec<String> = listed;
    listed.sort();
    listed
}

pub(crate) fn read_only(name: &str, location: &str) -> CreateRepositoryRequest {
    CreateRepositoryRequest { read_only: true, ..request(name, location) }
}

pub(crate) async fn repo_info(location: &str) -> RepoInfo {
    let storage = storage(&format!("{location}/__tabvault_repository_r")).await;
    let bytes = storage.get(layout::repo_info(), 1 << 20).await.unwrap();
    RepoInfo::decode(layout::repo_info(), &bytes).unwrap()
}

pub(crate) async fn left_at(location: &str) -> Vec<String> {
    objects(storage(&format!("{location}/__tabvault_repository_r")).await.as_ref()).await
}
