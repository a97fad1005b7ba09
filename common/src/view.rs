//! What people are shown: the same values behind SHOW, the gRPC API and the command line.

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::failure::Failure;
use crate::ids::{BackendId, JobId, JobUuid, PartitionId, ReplicaId, SchemaHash, TabletId, TaskId, Version};

pub mod cells;

/// Most entries of UnfinishedTasks, Progress and TaskErrMsg that are shown.
pub const MAX_TASKS_SHOWN: usize = 100;

/// Backup or restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Writes a snapshot.
    Backup,
    /// Reads one.
    Restore,
}

/// The states of a backup, spelt as its users know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BackupState {
    /// Accepted; taking the cut, planning, writing the intent.
    Pending,
    /// Agents pin versions.
    Snapshoting,
    /// Snapshots stand; uploads are planned.
    UploadSnapshot,
    /// Agents upload.
    Uploading,
    /// The meta is written.
    SaveMeta,
    /// The info is written: the commit point.
    UploadInfo,
    /// The snapshot is visible.
    Finished,
    /// There is no snapshot and will be none.
    Cancelled,
}

/// The states of a restore, spelt as its users know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RestoreState {
    /// Accepted; reading the snapshot, checking, preparing hidden targets.
    Pending,
    /// Agents make the targets.
    Snapshoting,
    /// Targets stand; downloads are planned.
    Download,
    /// Agents download.
    Downloading,
    /// Everything is local and verified.
    Commit,
    /// Agents adopt, then the catalog publishes: the commit point.
    Committing,
    /// The tables are the snapshot's.
    Finished,
    /// Nothing was changed.
    Cancelled,
}

impl BackupState {
    /// The word users see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Snapshoting => "SNAPSHOTING",
            Self::UploadSnapshot => "UPLOAD_SNAPSHOT",
            Self::Uploading => "UPLOADING",
            Self::SaveMeta => "SAVE_META",
            Self::UploadInfo => "UPLOAD_INFO",
            Self::Finished => "FINISHED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether the job goes on no more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::Cancelled)
    }
}

impl RestoreState {
    /// The word users see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Snapshoting => "SNAPSHOTING",
            Self::Download => "DOWNLOAD",
            Self::Downloading => "DOWNLOADING",
            Self::Commit => "COMMIT",
            Self::Committing => "COMMITTING",
            Self::Finished => "FINISHED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether the job goes on no more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::Cancelled)
    }
}

/// A table and which of its partitions, or a view: what a job is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectView {
    /// The table or view (for a restore, as it is named in the snapshot).
    pub table: String,
    /// Its partitions, empty for all.
    pub partitions: Vec<String>,
    /// The name it is restored under, if another.
    pub alias: Option<String>,
}

/// A job as SHOW BACKUP, SHOW RESTORE and the watch stream show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// Backup or restore.
    pub kind: JobKind,
    /// The job's number.
    pub id: JobId,
    /// The job's identity in the repository.
    pub uuid: JobUuid,
    /// The snapshot's label.
    pub label: String,
    /// The repository.
    pub repository: String,
    /// The snapshot's timestamp; of a backup once it is chosen.
    pub timestamp: Option<String>,
    /// The database backed up, or restored into.
    pub database: String,
    /// One of the words of [`BackupState`] or [`RestoreState`].
    pub state: String,
    /// Whether `state` is final.
    pub ended: bool,
    /// What it is about.
    pub objects: Vec<ObjectView>,
    /// When the job was accepted.
    pub create_time: Time,
    /// When a restore's local metadata was ready.
    pub meta_prepared_time: Option<Time>,
    /// When all snapshots stood.
    pub snapshot_finished_time: Option<Time>,
    /// When all uploads or downloads had ended.
    pub transfer_finished_time: Option<Time>,
    /// When the job ended.
    pub finished_time: Option<Time>,
    /// Tasks of the present state that have not ended, at most [`MAX_TASKS_SHOWN`].
    pub unfinished_tasks: Vec<TaskId>,
    /// Running transfers, at most [`MAX_TASKS_SHOWN`]: task, bytes done, bytes in all.
    pub progress: Vec<(TaskId, u64, u64)>,
    /// Last error of tasks that have not ended since, at most [`MAX_TASKS_SHOWN`].
    pub task_errors: Vec<(TaskId, String)>,
    /// Why the job was cancelled; `None` while all is well.
    pub status: Option<Failure>,
    /// Seconds that the job may take.
    pub timeout_s: u64,
    /// Bytes transferred, of plain data.
    pub bytes_done: u64,
    /// Bytes to transfer, of plain data, as far as known.
    pub bytes_total: u64,
    /// Bytes of plain data per second lately, zero when nothing moves.
    pub bytes_per_second: u64,
    /// Seconds until the transfer should have ended.
    pub eta_s: Option<u64>,
    /// Restore only: whether loads into existing tables are let through.
    pub allow_load: bool,
    /// Restore only: replicas per tablet.
    pub replication_num: Option<u32>,
}

/// A repository as SHOW REPOSITORIES shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryView {
    /// Its number in this cluster.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// When this cluster came to know it.
    pub create_time: Time,
    /// Whether nothing may be written to it.
    pub read_only: bool,
    /// Where it is, without secrets.
    pub location: String,
    /// The brokers' name, if it is reached through brokers.
    pub broker: Option<String>,
    /// `S3`, `LOCAL` or `BROKER`.
    pub kind: String,
    /// What its last health check found wrong.
    pub error: Option<String>,
    /// What a user should know about the promises this storage can keep.
    pub notice: Option<String>,
}

/// A broker process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerView {
    /// The name that repositories use; several processes may share it.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether it answers.
    pub alive: bool,
    /// When it was first seen alive in a row.
    pub last_start_time: Option<Time>,
    /// When it last answered.
    pub last_update_time: Option<Time>,
    /// Why it does not.
    pub error: Option<String>,
}

/// A backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendView {
    /// Its number.
    pub id: BackendId,
    /// The address its agent came from, or the name it gives itself.
    pub host: String,
    /// Whether its agent is attached.
    pub alive: bool,
    /// When it was last heard.
    pub last_heartbeat: Option<Time>,
    /// Tablets on it.
    pub tablets: u64,
    /// Bytes in tablets.
    pub used_bytes: u64,
    /// Bytes free on its data disks.
    pub available_bytes: u64,
    /// Tasks it works on.
    pub running_tasks: u64,
    /// The agent's version.
    pub version: String,
    /// Why it is not alive.
    pub error: Option<String>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableView {
    /// Its name.
    pub name: String,
    /// `NORMAL` or `RESTORE`.
    pub state: String,
    /// Number of partitions.
    pub partitions: u64,
    /// Number of tablets.
    pub tablets: u64,
    /// Bytes of one replica each.
    pub data_size: u64,
    /// Files of one replica each.
    pub file_count: u64,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionView {
    /// Its number.
    pub id: PartitionId,
    /// Its name.
    pub name: String,
    /// The version that readers see.
    pub visible_version: Version,
    /// Since when.
    pub visible_version_time: Time,
    /// `NORMAL` or `RESTORE`.
    pub state: String,
    /// The partition columns, joined by `, `.
    pub partition_key: String,
    /// What belongs into it.
    pub range: String,
    /// The distribution columns, joined by `, `.
    pub distribution_key: String,
    /// Tablets per index.
    pub buckets: u32,
    /// Tablets in all.
    pub tablet_count: u64,
    /// Replicas per tablet.
    pub replication_num: u32,
    /// Bytes of one replica each.
    pub data_size: u64,
    /// Files of one replica each.
    pub file_count: u64,
}

/// A replica of a tablet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TabletView {
    /// The tablet.
    pub tablet: TabletId,
    /// The replica.
    pub replica: ReplicaId,
    /// Where it is.
    pub backend: BackendId,
    /// Its schema.
    pub schema_hash: SchemaHash,
    /// The version it has.
    pub version: Version,
    /// How many versions its data is made of.
    pub version_count: u64,
    /// Its bytes.
    pub data_size: u64,
    /// Its files.
    pub file_count: u64,
    /// `NORMAL` or `RESTORE`.
    pub state: String,
}

/// A snapshot in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotView {
    /// Its label.
    pub label: String,
    /// Its timestamp.
    pub timestamp: String,
    /// The database it was taken of, where that was asked for.
    pub database: Option<String>,
    /// Why it cannot be used; `None` if it is well.
    pub error: Option<String>,
}
