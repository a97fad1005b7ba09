//! What a coordinator asks of an agent, and what the agent answers.
//!
//! Every task is idempotent under its key: doing it again gives the same answer and harms nothing. A higher attempt of
//! the same task takes the place of a lower one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::access::StorageAccess;
use crate::compression::Compression;
use crate::digest::Digest;
use crate::failure::Failure;
use crate::ids::{Epoch, JobUuid, Lineage, SchemaHash, TabletId, TabletIdentity, TaskId, Version};
use crate::repo::info::ManifestRef;

/// The name of one attempt of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskKey {
    /// The job, load or export it belongs to.
    pub job: JobUuid,
    /// Its number within the job.
    pub task: TaskId,
    /// Counted from 1.
    pub attempt: u32,
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{}", self.job, self.task, self.attempt)
    }
}

/// A task as it is sent to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its name.
    pub key: TaskKey,
    /// The leadership that sends it; agents refuse a lower one than they have seen.
    pub epoch: Epoch,
    /// What to do.
    pub body: TaskBody,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskBody {
    /// Pin versions and hard-link their files into the job's snapshot directory.
    MakeSnapshot(MakeSnapshot),
    /// Stream snapshots into the repository.
    Upload(Upload),
    /// Let go of snapshots.
    Release(Release),
    /// Make hidden, empty tablets; link the files of the tablets they replace for reuse.
    CreateTablets(CreateTablets),
    /// Bring files into the job's download directory of each tablet, verified and durable.
    Download(Download),
    /// Turn downloaded files into the tablets' contents.
    Adopt(Adopt),
    /// Remove tablets with all their files.
    DropTablets(DropTablets),
    /// Bring a directory's files into tablets as a new version.
    Load(Load),
    /// Write tablets' visible files out as the tree they came from.
    Export(Export),
}

impl TaskBody {
    /// The kind's name for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::MakeSnapshot(_) => "make_snapshot",
            Self::Upload(_) => "upload",
            Self::Release(_) => "release",
            Self::CreateTablets(_) => "create_tablets",
            Self::Download(_) => "download",
            Self::Adopt(_) => "adopt",
            Self::DropTablets(_) => "drop_tablets",
            Self::Load(_) => "load",
            Self::Export(_) => "export",
        }
    }
}

/// A tablet at a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TabletVersion {
    /// The tablet.
    pub tablet: TabletId,
    /// The version that must be visible in it.
    pub version: Version,
    /// The schema it must have.
    pub schema_hash: SchemaHash,
}

/// See [`TaskBody::MakeSnapshot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeSnapshot {
    /// What to pin. Each succeeds or fails for itself.
    pub tablets: Vec<TabletVersion>,
}

/// See [`TaskBody::Upload`]. All tablets are of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The repository's directory.
    pub repository: StorageAccess,
    /// For the manifest's header.
    pub table: String,
    /// For the manifest's header.
    pub partition: String,
    /// How hard to compress.
    pub compression: Compression,
    /// Largest pack in bytes.
    pub max_pack: u64,
    /// What to upload, in the order it stands in the manifest.
    pub tablets: Vec<UploadTablet>,
    /// Manifests of an earlier snapshot in whose objects files may be found that need not be stored again. Whoever
    /// sends the task sees to it that those objects stay.
    pub parents: Vec<ManifestRef>,
}

/// A snapshot to upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadTablet {
    /// The tablet and version, as the manifest names it.
    pub identity: TabletIdentity,
    /// Index within the table.
    pub index: String,
    /// Bucket within the index, from 0.
    pub position: u32,
    /// The schema it must have.
    pub schema_hash: SchemaHash,
}

/// See [`TaskBody::Release`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The snapshots.
    pub tablets: Vec<TabletVersion>,
}

/// See [`TaskBody::CreateTablets`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTablets {
    /// The new tablets. They belong to the job until it has ended.
    pub tablets: Vec<CreateTablet>,
}

/// A tablet to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreateTablet {
    /// Its number.
    pub tablet: TabletId,
    /// Its schema.
    pub schema_hash: SchemaHash,
    /// The history it starts.
    pub lineage: Lineage,
    /// A local tablet, at the version its readers see, that probably holds many of the files to come. Only an economy:
    /// that it cannot be pinned is no error.
    pub reuse_from: Option<TabletVersion>,
}

/// See [`TaskBody::Download`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// The repository's directory.
    pub repository: StorageAccess,
    /// Where the files are described.
    pub manifest: ManifestRef,
    /// Which of the manifest's tablets go where.
    pub tablets: Vec<TabletMapping>,
}

/// A tablet of a snapshot and the local tablet that becomes its copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TabletMapping {
    /// As the manifest names it.
    pub source: TabletIdentity,
    /// The local tablet.
    pub target: TabletId,
    /// The local tablet's schema.
    pub schema_hash: SchemaHash,
}

/// See [`TaskBody::Adopt`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopt {
    /// Which downloads become which tablets' contents, at the source's version.
    pub tablets: Vec<TabletMapping>,
}

/// See [`TaskBody::DropTablets`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropTablets {
    /// The tablets; one that is not there is no error.
    pub tablets: Vec<TabletId>,
}

/// See [`TaskBody::Load`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The directory, as the agent sees it.
    pub source: StorageAccess,
    /// The version that the files become.
    pub version: Version,
    /// The number of buckets that paths are spread over.
    pub buckets: u32,
    /// The tablets of this agent.
    pub tablets: Vec<LoadTablet>,
}

/// A tablet that takes the files of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadTablet {
    /// The tablet.
    pub tablet: TabletId,
    /// The schema it must have.
    pub schema_hash: SchemaHash,
    /// Its bucket, from 0.
    pub bucket: u32,
    /// The history it starts, should this be its first load and it not exist yet.
    pub lineage: Lineage,
}

/// See [`TaskBody::Export`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The directory, as the agent sees it.
    pub target: StorageAccess,
    /// What to do there.
    pub step: ExportStep,
    /// The tablets of this agent.
    pub tablets: Vec<ExportTablet>,
}

/// An export shows nothing under the target's name before all of it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportStep {
    /// Write into a staging directory beside the target. Refused if the target exists and is not empty.
    Write,
    /// Give the staging directory the target's name.
    Publish,
    /// Remove the staging directory.
    Discard,
}

/// A tablet to export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportTablet {
    /// The tablet, version and schema.
    pub at: TabletVersion,
    /// The directory below the target, empty for the target itself.
    pub directory: String,
}

/// How a task ended, sent until the coordinator has acknowledged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskReport {
    /// Which attempt.
    pub key: TaskKey,
    /// How it ended.
    pub outcome: Result<TaskResult, Failure>,
}

/// What a task that ended well has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskResult {
    /// Nothing more.
    Done,
    /// Of [`MakeSnapshot`].
    Snapshotted {
        /// Tablets whose files are pinned.
        tablets: Vec<TabletTotals>,
        /// Tablets that this backend cannot give at that version.
        failed: Vec<(TabletId, Failure)>,
    },
    /// Of [`Upload`].
    Uploaded {
        /// The manifest that names everything uploaded.
        manifest: ManifestRef,
    },
    /// Of [`Download`].
    Downloaded {
        /// Bytes of plain data now in place.
        bytes: u64,
        /// How many of them were already on this machine.
        reused_bytes: u64,
    },
    /// Of [`Load`].
    Loaded {
        /// What each tablet took; replicas of one tablet must agree.
        tablets: Vec<LoadedTablet>,
    },
    /// Of [`Export`].
    Exported {
        /// Files written.
        files: u64,
        /// Bytes written.
        bytes: u64,
    },
}

/// Files and bytes of a tablet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TabletTotals {
    /// The tablet.
    pub tablet: TabletId,
    /// Number of files, generated ones included.
    pub files: u64,
    /// Their plain bytes.
    pub bytes: u64,
}

/// What a load put into a tablet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadedTablet {
    /// The tablet.
    pub tablet: TabletId,
    /// Entries that this load brought.
    pub loaded_files: u64,
    /// Bytes that this load brought.
    pub loaded_bytes: u64,
    /// All files visible at the new version.
    pub files: u64,
    /// All bytes visible at the new version.
    pub bytes: u64,
    /// Digest over names, attributes and contents that this load brought.
    pub digest: Digest,
}

/// How far a task is; lossy, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskProgress {
    /// Which attempt.
    pub key: TaskKey,
    /// Bytes dealt with.
    pub done: u64,
    /// Bytes in all, as far as known.
    pub total: u64,
}

/// How a job ended, as agents need to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobEnd {
    /// What it made stands: hidden tablets of the job are settled.
    Published,
    /// Nothing of it stands: hidden tablets of the job go.
    Discarded,
}
