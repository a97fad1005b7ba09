//! An agent attached to a coordinator, a repository beside it, and the tasks of a backup and a restore.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tabvault_be_agent::agent::{Agent, AgentHandle};
use tabvault_be_agent::config::{AgentConfig, StorageOpener};
use tabvault_be_agent::load::LoadStore;
use tabvault_broker::faults::Faults;
use tabvault_broker::open::Options;
use tabvault_common::access::StorageAccess;
use tabvault_common::compression::Compression;
use tabvault_common::ids::{ClusterId, Epoch, JobUuid, Lineage, SchemaHash, TabletId, TabletIdentity, TaskId, Version};
use tabvault_common::repo::info::ManifestRef;
use tabvault_common::task::{
    Adopt, CreateTablet, CreateTablets, Download, MakeSnapshot, TabletMapping, TabletVersion, Task, TaskBody, TaskKey,
    TaskReport, TaskResult, Upload, UploadTablet,
};
use tempfile::TempDir;

use crate::coordinator::{Answer, Coordinator, Stream, soon};
use crate::store::DirStore;

pub const EPOCH: Epoch = Epoch(5);
pub const VERSION: Version = Version(7);

pub struct Cluster {
    pub dir: TempDir,
    pub id: ClusterId,
    pub coordinator: Coordinator,
    pub store: Arc<DirStore>,
    pub loads: Option<Arc<dyn LoadStore>>,
    pub agent: Option<AgentHandle>,
    pub faults: Faults,
    pub config: AgentConfig,
}

impl Cluster {
    /// An agent that is attached, and its stream.
    pub async fn start() -> (Self, Stream) {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut AgentConfig)) -> (Self, Stream) {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        Self::at(dir, work, change).await
    }

    pub async fn at(dir: TempDir, work: PathBuf, change: impl FnOnce(&mut AgentConfig)) -> (Self, Stream) {
        let id = ClusterId::random();
        let coordinator = Coordinator::start(Answer { cluster: id, epoch: EPOCH, backend: 3 }).await;
        let store = DirStore::new(&dir.path().join("data"), &work);
        let faults = Faults::new(1);
        let mut config = AgentConfig {
            fe: vec![coordinator.address.clone()],
            state_dir: dir.path().join("state"),
            storage: opener(&faults),
            free_space_watermark: 0,
            ..AgentConfig::default()
        };
        change(&mut config);
        let mut cluster = Self { dir, id, coordinator, store, loads: None, agent: None, faults, config };
        let stream = cluster.start_agent().await;
        // The stream is there when Hello was heard; the agent is attached when it has heard the answer.
        soon("the attachment", cluster.agent().wait_attached()).await.unwrap();
        (cluster, stream)
    }

    /// Starts the agent, which must not run.
    pub async fn start_agent(&mut self) -> Stream {
        let agent = Agent::start(self.config.clone(), Arc::clone(&self.store) as _, self.loads.clone()).await.unwrap();
        self.agent = Some(agent);
        self.coordinator.stream().await
    }

    pub async fn stop_agent(&mut self) {
        soon("the agent's end", self.agent.take().unwrap().shutdown()).await;
    }

    pub fn agent(&self) -> &AgentHandle {
        self.agent.as_ref().unwrap()
    }

    pub fn repository(&self) -> StorageAccess {
        StorageAccess::direct(format!("file://{}", self.repository_dir().display()))
    }

    pub fn repository_dir(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    /// All objects in the repository with their bytes.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let root = self.repository_dir();
        let files = walkdir::WalkDir::new(root.join("__data")).into_iter().filter_map(Result::ok);
        let files = files.filter(|entry| entry.file_type().is_file());
        let named = files.map(|entry| {
            let path = entry.path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            (path, std::fs::read(entry.path()).unwrap())
        });
        named.collect()
    }

    pub fn identity(&self, tablet: TabletId) -> TabletIdentity {
        TabletIdentity { cluster: self.id, tablet, lineage: Lineage(uuid::Uuid::nil()), version: VERSION }
    }

    pub fn upload(&self, key: TaskKey, tablets: &[TabletId]) -> Task {
        let tablets = tablets.iter().zip(0..).map(|(tablet, position)| UploadTablet {
            identity: self.identity(*tablet),
            index: "t".into(),
            position,
            schema_hash: SchemaHash(1),
        });
        let upload = Upload {
            repository: self.repository(),
            table: "t".into(),
            partition: "p".into(),
            compression: Compression::Balanced,
            max_pack: 64 << 20,
            tablets: tablets.collect(),
            parents: Vec::new(),
        };
        task(key, TaskBody::Upload(upload))
    }

    pub fn mapping(&self, source: TabletId, target: TabletId) -> TabletMapping {
        TabletMapping { source: self.identity(source), target, schema_hash: SchemaHash(1) }
    }

    pub fn download(&self, key: TaskKey, manifest: ManifestRef, mappings: &[(TabletId, TabletId)]) -> Task {
        let tablets = mappings.iter().map(|(source, target)| self.mapping(*source, *target)).collect();
        task(key, TaskBody::Download(Download { repository: self.repository(), manifest, tablets }))
    }

    pub fn adopt(&self, key: TaskKey, mappings: &[(TabletId, TabletId)]) -> Task {
        let tablets = mappings.iter().map(|(source, target)| self.mapping(*source, *target)).collect();
        task(key, TaskBody::Adopt(Adopt { tablets }))
    }

    /// Snapshots and uploads tablets as tasks 1 and 2 of `job`.
    pub async fn back_up(&self, stream: &mut Stream, job: JobUuid, tablets: &[TabletId]) -> ManifestRef {
        done(stream.run(&snapshot(key(job, 1, 1), tablets)).await);
        uploaded(&stream.run(&self.upload(key(job, 2, 1), tablets)).await)
    }
}

pub fn opener(faults: &Faults) -> StorageOpener {
    let faults = faults.clone();
    StorageOpener::new(move |access| {
        let faults = faults.clone();
        Box::pin(async move { Ok(faults.wrap(Options::default().open(&access).await?)) })
    })
}

pub fn key(job: JobUuid, task: u64, attempt: u32) -> TaskKey {
    TaskKey { job, task: TaskId(task), attempt }
}

pub fn task(key: TaskKey, body: TaskBody) -> Task {
    Task { key, epoch: EPOCH, body }
}

pub fn at(tablet: TabletId) -> TabletVersion {
    TabletVersion { tablet, version: VERSION, schema_hash: SchemaHash(1) }
}

pub fn snapshot(key: TaskKey, tablets: &[TabletId]) -> Task {
    let tablets = tablets.iter().map(|tablet| at(*tablet)).collect();
    task(key, TaskBody::MakeSnapshot(MakeSnapshot { tablets }))
}

pub fn create(key: TaskKey, tablet: TabletId, reuse_from: Option<TabletId>) -> Task {
    let reuse_from = reuse_from.map(at);
    let tablet = CreateTablet { tablet, schema_hash: SchemaHash(1), lineage: Lineage::random(), reuse_from };
    task(key, TaskBody::CreateTablets(CreateTablets { tablets: vec![tablet] }))
}

pub fn done(report: TaskReport) -> TaskResult {
    report.outcome.unwrap_or_else(|failure| panic!("task {} failed: {failure}", report.key))
}

pub fn uploaded(report: &TaskReport) -> ManifestRef {
    match done(report.clone()) {
        TaskResult::Uploaded { manifest } => manifest,
        other => panic!("not uploaded: {other:?}"),
    }
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// Many small files, and a few large ones of which some compress.
pub fn many_files(seed: u64, small: usize) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> =
        (0..small).map(|n| (format!("seg/{n:05}.dat"), noise(seed + n as u64, n % 700))).collect();
    files.insert("large/noise".into(), noise(seed, 5 << 20));
    files.insert("large/zeros".into(), vec![0; 9 << 20]);
    files.insert("large/text".into(), b"one line like any other\n".repeat(60_000));
    files.insert("just-packed".into(), noise(seed + 1, 1 << 20));
    files.insert("just-alone".into(), noise(seed + 2, (1 << 20) + 1));
    files
}
