//! Columns and cells of the SHOW statements. Names and their order are contracts: client scripts read them.

use crate::clock::Time;

use super::{
    BackendView, BrokerView, JobView, ObjectView, PartitionView, RepositoryView, SnapshotView, TableView, TabletView,
};

/// A result set: `None` is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultSet {
    /// Names of the columns.
    pub columns: Vec<&'static str>,
    /// Rows, each with as many cells as there are columns.
    pub rows: Vec<Vec<Option<String>>>,
}

type Cell = Option<String>;

fn text(value: impl ToString) -> Cell {
    Some(value.to_string())
}

fn time(value: Option<Time>) -> Cell {
    value.map(|time| time.to_string())
}

fn yes(value: bool) -> Cell {
    text(value)
}

fn bracketed(entries: impl Iterator<Item = String>) -> Cell {
    let joined = entries.collect::<Vec<_>>().join(", ");
    Some(if joined.is_empty() { String::new() } else { format!("[{joined}]") })
}

/// Entries of tasks: a bracket each, as client scripts know them.
fn each_bracketed(entries: impl Iterator<Item = String>) -> Cell {
    Some(entries.map(|entry| format!("[{entry}]")).collect::<Vec<_>>().join(", "))
}

fn objects(database: &str, objects: &[ObjectView]) -> Cell {
    let one = |object: &ObjectView| {
        let mut line = format!("{database}.{}", object.table);
        if !object.partitions.is_empty() {
            line.push_str(&format!(" PARTITION ({})", object.partitions.join(", ")));
        }
        if let Some(alias) = &object.alias {
            line.push_str(&format!(" AS {alias}"));
        }
        line
    };
    bracketed(objects.iter().map(one))
}

fn progress(job: &JobView) -> Cell {
    let tasks = job.progress.iter().map(|(task, done, total)| format!("{task}: {done}/{total}"));
    let whole = (job.bytes_total > 0).then(|| {
        let bytes = format!("all: {}/{} bytes", job.bytes_done, job.bytes_total);
        if job.ended {
            return bytes;
        }
        let eta = job.eta_s.map_or_else(|| "-".to_owned(), |s| format!("{s}s"));
        format!("{bytes}, {} bytes/s, {eta} left", job.bytes_per_second)
    });
    each_bracketed(tasks.chain(whole))
}

fn status(job: &JobView) -> Cell {
    Some(match &job.status {
        None => "[OK]".to_owned(),
        Some(failure) => format!("[{}, msg: {}]", failure.kind.as_str(), failure.message),
    })
}

fn unfinished(job: &JobView) -> Cell {
    each_bracketed(job.unfinished_tasks.iter().map(|task| format!("{task}={task}")))
}

fn errors(job: &JobView) -> Cell {
    each_bracketed(job.task_errors.iter().map(|(task, message)| format!("{task}: {message}")))
}

/// SHOW BACKUP.
#[must_use]
pub fn backups(jobs: &[JobView]) -> ResultSet {
    let columns = vec![
        "JobId",
        "SnapshotName",
        "DbName",
        "State",
        "BackupObjs",
        "CreateTime",
        "SnapshotFinishedTime",
        "UploadFinishedTime",
        "FinishedTime",
        "UnfinishedTasks",
        "Progress",
        "TaskErrMsg",
        "Status",
        "Timeout",
    ];
    let row = |job: &JobView| {
        vec![
            text(job.id),
            text(&job.label),
            text(&job.database),
            text(&job.state),
            objects(&job.database, &job.objects),
            time(Some(job.create_time)),
            time(job.snapshot_finished_time),
            time(job.transfer_finished_time),
            time(job.finished_time),
            unfinished(job),
            progress(job),
            errors(job),
            status(job),
            text(job.timeout_s),
        ]
    };
    ResultSet { columns, rows: jobs.iter().map(row).collect() }
}

/// SHOW RESTORE; `brief` leaves out RestoreObjs, Progress and TaskErrMsg.
#[must_use]
pub fn restores(jobs: &[JobView], brief: bool) -> ResultSet {
    let columns = [
        "JobId",
        "Label",
        "Timestamp",
        "DbName",
        "State",
        "AllowLoad",
        "ReplicationNum",
        "RestoreObjs",
        "CreateTime",
        "MetaPreparedTime",
        "SnapshotFinishedTime",
        "DownloadFinishedTime",
        "FinishedTime",
        "UnfinishedTasks",
        "Progress",
        "TaskErrMsg",
        "Status",
        "Timeout",
    ];
    let row = |job: &JobView| {
        vec![
            text(job.id),
            text(&job.label),
            job.timestamp.clone(),
            text(&job.database),
            text(&job.state),
            yes(job.allow_load),
            job.replication_num.map(|n| n.to_string()),
            objects(&job.database, &job.objects),
            time(Some(job.create_time)),
            time(job.meta_prepared_time),
            time(job.snapshot_finished_time),
            time(job.transfer_finished_time),
            time(job.finished_time),
            unfinished(job),
            progress(job),
            errors(job),
            status(job),
            text(job.timeout_s),
        ]
    };
    let kept = |i: &usize| !brief || !matches!(columns[*i], "RestoreObjs" | "Progress" | "TaskErrMsg");
    let kept: Vec<usize> = (0..columns.len()).filter(kept).collect();
    let rows = jobs.iter().map(|job| {
        let mut cells = row(job);
        kept.iter().map(|&i| cells[i].take()).collect()
    });
    ResultSet { columns: kept.iter().map(|&i| columns[i]).collect(), rows: rows.collect() }
}

/// SHOW REPOSITORIES.
#[must_use]
pub fn repositories(list: &[RepositoryView]) -> ResultSet {
    let row = |r: &RepositoryView| {
        vec![
            text(r.id),
            text(&r.name),
            time(Some(r.create_time)),
            yes(r.read_only),
            text(&r.location),
            text(r.broker.as_deref().unwrap_or("-")),
            text(&r.kind),
            r.error.clone(),
        ]
    };
    ResultSet {
        columns: vec!["RepoId", "RepoName", "CreateTime", "IsReadOnly", "Location", "Broker", "Type", "ErrMsg"],
        rows: list.iter().map(row).collect(),
    }
}

/// SHOW BROKER.
#[must_use]
pub fn brokers(list: &[BrokerView]) -> ResultSet {
    let row = |b: &BrokerView| {
        vec![
            text(&b.name),
            text(&b.host),
            text(b.port),
            yes(b.alive),
            time(b.last_start_time),
            time(b.last_update_time),
            b.error.clone(),
        ]
    };
    ResultSet {
        columns: vec!["Name", "Host", "Port", "Alive", "LastStartTime", "LastUpdateTime", "ErrMsg"],
        rows: list.iter().map(row).collect(),
    }
}

/// SHOW BACKENDS.
#[must_use]
pub fn backends(list: &[BackendView]) -> ResultSet {
    let row = |b: &BackendView| {
        vec![
            text(b.id),
            text(&b.host),
            yes(b.alive),
            time(b.last_heartbeat),
            text(b.tablets),
            text(b.used_bytes),
            text(b.available_bytes),
            text(b.running_tasks),
            text(&b.version),
            b.error.clone(),
        ]
    };
    ResultSet {
        columns: vec![
            "BackendId",
            "Host",
            "Alive",
            "LastHeartbeat",
            "TabletNum",
            "DataUsedCapacity",
            "AvailCapacity",
            "RunningTasks",
            "Version",
            "ErrMsg",
        ],
        rows: list.iter().map(row).collect(),
    }
}

/// SHOW TABLES.
#[must_use]
pub fn tables(list: &[TableView]) -> ResultSet {
    let row = |t: &TableView| {
        vec![text(&t.name), text(&t.state), text(t.partitions), text(t.tablets), text(t.data_size), text(t.file_count)]
    };
    ResultSet {
        columns: vec!["Table", "State", "Partitions", "Tablets", "DataSize", "FileCount"],
        rows: list.iter().map(row).collect(),
    }
}

/// SHOW PARTITIONS.
#[must_use]
pub fn partitions(list: &[PartitionView]) -> ResultSet {
    let row = |p: &PartitionView| {
        vec![
            text(p.id),
            text(&p.name),
            text(p.visible_version),
            time(Some(p.visible_version_time)),
            text(&p.state),
            text(&p.partition_key),
            text(&p.range),
            text(&p.distribution_key),
            text(p.buckets),
            text(p.tablet_count),
            text(p.replication_num),
            text(p.data_size),
            text(p.file_count),
        ]
    };
    ResultSet {
        columns: vec![
            "PartitionId",
            "PartitionName",
            "VisibleVersion",
            "VisibleVersionTime",
            "State",
            "PartitionKey",
            "Range",
            "DistributionKey",
            "Buckets",
            "TabletCount",
            "ReplicationNum",
            "DataSize",
            "FileCount",
        ],
        rows: list.iter().map(row).collect(),
    }
}

/// SHOW TABLETS.
#[must_use]
pub fn tablets(list: &[TabletView]) -> ResultSet {
    let row = |t: &TabletView| {
        vec![
            text(t.tablet),
            text(t.replica),
            text(t.backend),
            text(t.schema_hash),
            text(t.version),
            text(t.version_count),
            text(t.data_size),
            text(t.file_count),
            text(&t.state),
        ]
    };
    ResultSet {
        columns: vec![
            "TabletId",
            "ReplicaId",
            "BackendId",
            "SchemaHash",
            "Version",
            "VersionCount",
            "DataSize",
            "FileCount",
            "State",
        ],
        rows: list.iter().map(row).collect(),
    }
}

/// SHOW SNAPSHOT without a WHERE clause.
#[must_use]
pub fn snapshots(list: &[SnapshotView]) -> ResultSet {
    let row = |s: &SnapshotView| vec![text(&s.label), text(&s.timestamp), snapshot_status(s)];
    ResultSet { columns: vec!["Snapshot", "Timestamp", "Status"], rows: list.iter().map(row).collect() }
}

/// SHOW SNAPSHOT of one snapshot, with its details as JSON.
#[must_use]
pub fn snapshot_details(snapshot: &SnapshotView, details: String) -> ResultSet {
    let row = vec![
        text(&snapshot.label),
        text(&snapshot.timestamp),
        snapshot.database.clone(),
        Some(details),
        snapshot_status(snapshot),
    ];
    ResultSet { columns: vec!["Snapshot", "Timestamp", "Database", "Details", "Status"], rows: vec![row] }
}

fn snapshot_status(snapshot: &SnapshotView) -> Cell {
    Some(snapshot.error.as_ref().map_or_else(|| "OK".to_owned(), |error| format!("ERROR: {error}")))
}
