//! What people are shown.

use tabvault_common::clock::Time;
use tabvault_common::failure::Failure;
use tabvault_common::ids::{BackendId, JobId, JobUuid, PartitionId, ReplicaId, SchemaHash, TaskId, Version};
use tabvault_common::view::{
    BackendView, BrokerView, JobView, ObjectView, PartitionView, RepositoryView, SnapshotView, TableView, TabletView,
};

use super::failure::failure;
use super::ids::uuid;
use super::request::job_kind;
use super::task::tablet_id;
use super::{At, list, optional_text, positive, text};
use crate::v1;

impl From<&JobView> for v1::Job {
    fn from(job: &JobView) -> Self {
        let progress = |&(task, done, total): &(TaskId, u64, u64)| v1::JobTaskProgress { task: task.0, done, total };
        let error = |(task, message): &(TaskId, String)| v1::JobTaskError { task: task.0, message: message.clone() };
        Self {
            kind: v1::JobKind::from(job.kind).into(),
            id: job.id.0,
            uuid: Some(job.uuid.into()),
            label: job.label.clone(),
            repository: job.repository.clone(),
            timestamp: job.timestamp.clone(),
            database: job.database.clone(),
            state: job.state.clone(),
            ended: job.ended,
            objects: job.objects.iter().map(object_to_wire).collect(),
            create_time_ms: job.create_time.0,
            meta_prepared_time_ms: millis(job.meta_prepared_time),
            snapshot_finished_time_ms: millis(job.snapshot_finished_time),
            transfer_finished_time_ms: millis(job.transfer_finished_time),
            finished_time_ms: millis(job.finished_time),
            unfinished_tasks: job.unfinished_tasks.iter().map(|task| task.0).collect(),
            progress: job.progress.iter().map(progress).collect(),
            task_errors: job.task_errors.iter().map(error).collect(),
            status: job.status.as_ref().map(v1::Failure::from),
            timeout_s: job.timeout_s,
            bytes_done: job.bytes_done,
            bytes_total: job.bytes_total,
            bytes_per_second: job.bytes_per_second,
            eta_s: job.eta_s,
            allow_load: job.allow_load,
            replication_num: job.replication_num,
        }
    }
}

impl TryFrom<v1::Job> for JobView {
    type Error = Failure;

    fn try_from(wire: v1::Job) -> Result<Self, Failure> {
        let at = At::root("job");
        let status = wire.status.map(|status| failure(Some(status), at.field("status"))).transpose()?;
        Ok(Self {
            kind: job_kind(wire.kind, at.field("kind"))?,
            id: positive(wire.id, at.field("id")).map(JobId)?,
            uuid: uuid(wire.uuid, at.field("uuid")).map(JobUuid)?,
            label: text(wire.label, at.field("label"))?,
            repository: text(wire.repository, at.field("repository"))?,
            timestamp: optional_text(wire.timestamp, at.field("timestamp"))?,
            database: text(wire.database, at.field("database"))?,
            state: text(wire.state, at.field("state"))?,
            ended: wire.ended,
            objects: list(wire.objects, at, "objects", object)?,
            create_time: Time(wire.create_time_ms),
            meta_prepared_time: wire.meta_prepared_time_ms.map(Time),
            snapshot_finished_time: wire.snapshot_finished_time_ms.map(Time),
            transfer_finished_time: wire.transfer_finished_time_ms.map(Time),
            finished_time: wire.finished_time_ms.map(Time),
            unfinished_tasks: list(wire.unfinished_tasks, at, "unfinished_tasks", |task, _| Ok(TaskId(task)))?,
            progress: list(wire.progress, at, "progress", |p, _| Ok((TaskId(p.task), p.done, p.total)))?,
            task_errors: list(wire.task_errors, at, "task_errors", |e, _| Ok((TaskId(e.task), e.message)))?,
            status,
            timeout_s: wire.timeout_s,
            bytes_done: wire.bytes_done,
            bytes_total: wire.bytes_total,
            bytes_per_second: wire.bytes_per_second,
            eta_s: wire.eta_s,
            allow_load: wire.allow_load,
            replication_num: wire.replication_num,
        })
    }
}

fn millis(time: Option<Time>) -> Option<u64> {
    time.map(|time| time.0)
}

fn object_to_wire(object: &ObjectView) -> v1::ObjectSelection {
    v1::ObjectSelection {
        table: object.table.clone(),
        partitions: object.partitions.clone(),
        alias: object.alias.clone(),
    }
}

fn object(wire: v1::ObjectSelection, at: At<'_>) -> Result<ObjectView, Failure> {
    Ok(ObjectView {
        table: text(wire.table, at.field("table"))?,
        partitions: list(wire.partitions, at, "partitions", text)?,
        alias: optional_text(wire.alias, at.field("alias"))?,
    })
}

impl From<&RepositoryView> for v1::Repository {
    fn from(repository: &RepositoryView) -> Self {
        Self {
            id: repository.id,
            name: repository.name.clone(),
            create_time_ms: repository.create_time.0,
            read_only: repository.read_only,
            location: repository.location.clone(),
            broker: repository.broker.clone(),
            kind: repository.kind.clone(),
            error: repository.error.clone(),
            notice: repository.notice.clone(),
        }
    }
}

impl TryFrom<v1::Repository> for RepositoryView {
    type Error = Failure;

    fn try_from(wire: v1::Repository) -> Result<Self, Failure> {
        let at = At::root("repository");
        Ok(Self {
            id: positive(wire.id, at.field("id"))?,
            name: text(wire.name, at.field("name"))?,
            create_time: Time(wire.create_time_ms),
            read_only: wire.read_only,
            location: text(wire.location, at.field("location"))?,
            broker: optional_text(wire.broker, at.field("broker"))?,
            kind: text(wire.kind, at.field("kind"))?,
            error: wire.error,
            notice: wire.notice,
        })
    }
}

impl From<&SnapshotView> for v1::Snapshot {
    fn from(snapshot: &SnapshotView) -> Self {
        Self {
            label: snapshot.label.clone(),
            timestamp: snapshot.timestamp.clone(),
            database: snapshot.database.clone(),
            error: snapshot.error.clone(),
        }
    }
}

impl TryFrom<v1::Snapshot> for SnapshotView {
    type Error = Failure;

    fn try_from(wire: v1::Snapshot) -> Result<Self, Failure> {
        let at = At::root("snapshot");
        Ok(Self {
            label: text(wire.label, at.field("label"))?,
            timestamp: text(wire.timestamp, at.field("timestamp"))?,
            database: optional_text(wire.database, at.field("database"))?,
            error: wire.error,
        })
    }
}

/// The port of a broker, as messages about brokers carry it.
///
/// # Errors
/// `InvalidArgument` if it is none.
pub fn port(wire: u32) -> Result<u16, Failure> {
    port_at(wire, At::root("port"))
}

fn port_at(wire: u32, at: At<'_>) -> Result<u16, Failure> {
    let port = u16::try_from(wire).ok().filter(|port| *port != 0);
    port.ok_or_else(|| at.refuse(format_args!("is {wire}: expected a port from 1 to 65535")))
}

impl From<&BrokerView> for v1::Broker {
    fn from(broker: &BrokerView) -> Self {
        Self {
            name: broker.name.clone(),
            host: broker.host.clone(),
            port: broker.port.into(),
            alive: broker.alive,
            last_start_time_ms: millis(broker.last_start_time),
            last_update_time_ms: millis(broker.last_update_time),
            error: broker.error.clone(),
        }
    }
}

impl TryFrom<v1::Broker> for BrokerView {
    type Error = Failure;

    fn try_from(wire: v1::Broker) -> Result<Self, Failure> {
        let at = At::root("broker");
        Ok(Self {
            name: text(wire.name, at.field("name"))?,
            host: text(wire.host, at.field("host"))?,
            port: port_at(wire.port, at.field("port"))?,
            alive: wire.alive,
            last_start_time: wire.last_start_time_ms.map(Time),
            last_update_time: wire.last_update_time_ms.map(Time),
            error: wire.error,
        })
    }
}

impl From<&BackendView> for v1::Backend {
    fn from(backend: &BackendView) -> Self {
        Self {
            id: backend.id.0,
            host: backend.host.clone(),
            alive: backend.alive,
            last_heartbeat_ms: millis(backend.last_heartbeat),
            tablets: backend.tablets,
            used_bytes: backend.used_bytes,
            available_bytes: backend.available_bytes,
            running_tasks: backend.running_tasks,
            version: backend.version.clone(),
            error: backend.error.clone(),
        }
    }
}

impl TryFrom<v1::Backend> for BackendView {
    type Error = Failure;

    fn try_from(wire: v1::Backend) -> Result<Self, Failure> {
        let at = At::root("backend");
        Ok(Self {
            id: positive(wire.id, at.field("id")).map(BackendId)?,
            host: wire.host,
            alive: wire.alive,
            last_heartbeat: wire.last_heartbeat_ms.map(Time),
            tablets: wire.tablets,
            used_bytes: wire.used_bytes,
            available_bytes: wire.available_bytes,
            running_tasks: wire.running_tasks,
            version: wire.version,
            error: wire.error,
        })
    }
}

impl From<&TableView> for v1::Table {
    fn from(table: &TableView) -> Self {
        Self {
            name: table.name.clone(),
            state: table.state.clone(),
            partitions: table.partitions,
            tablets: table.tablets,
            data_size: table.data_size,
            file_count: table.file_count,
        }
    }
}

impl TryFrom<v1::Table> for TableView {
    type Error = Failure;

    fn try_from(wire: v1::Table) -> Result<Self, Failure> {
        let at = At::root("table");
        Ok(Self {
            name: text(wire.name, at.field("name"))?,
            state: text(wire.state, at.field("state"))?,
            partitions: wire.partitions,
            tablets: wire.tablets,
            data_size: wire.data_size,
            file_count: wire.file_count,
        })
    }
}

impl From<&PartitionView> for v1::Partition {
    fn from(partition: &PartitionView) -> Self {
        Self {
            id: partition.id.0,
            name: partition.name.clone(),
            visible_version: partition.visible_version.0,
            visible_version_time_ms: partition.visible_version_time.0,
            state: partition.state.clone(),
            partition_key: partition.partition_key.clone(),
            range: partition.range.clone(),
            distribution_key: partition.distribution_key.clone(),
            buckets: partition.buckets,
            tablet_count: partition.tablet_count,
            replication_num: partition.replication_num,
            data_size: partition.data_size,
            file_count: partition.file_count,
        }
    }
}

impl TryFrom<v1::Partition> for PartitionView {
    type Error = Failure;

    fn try_from(wire: v1::Partition) -> Result<Self, Failure> {
        let at = At::root("partition");
        Ok(Self {
            id: positive(wire.id, at.field("id")).map(PartitionId)?,
            name: text(wire.name, at.field("name"))?,
            visible_version: Version(wire.visible_version),
            visible_version_time: Time(wire.visible_version_time_ms),
            state: text(wire.state, at.field("state"))?,
            partition_key: wire.partition_key,
            range: wire.range,
            distribution_key: wire.distribution_key,
            buckets: wire.buckets,
            tablet_count: wire.tablet_count,
            replication_num: wire.replication_num,
            data_size: wire.data_size,
            file_count: wire.file_count,
        })
    }
}

impl From<&TabletView> for v1::Tablet {
    fn from(tablet: &TabletView) -> Self {
        Self {
            tablet: tablet.tablet.0,
            replica: tablet.replica.0,
            backend: tablet.backend.0,
            schema_hash: tablet.schema_hash.0,
            version: tablet.version.0,
            version_count: tablet.version_count,
            data_size: tablet.data_size,
            file_count: tablet.file_count,
            state: tablet.state.clone(),
        }
    }
}

impl TryFrom<v1::Tablet> for TabletView {
    type Error = Failure;

    fn try_from(wire: v1::Tablet) -> Result<Self, Failure> {
        let at = At::root("tablet");
        Ok(Self {
            tablet: tablet_id(wire.tablet, at.field("tablet"))?,
            replica: positive(wire.replica, at.field("replica")).map(ReplicaId)?,
            backend: positive(wire.backend, at.field("backend")).map(BackendId)?,
            schema_hash: SchemaHash(wire.schema_hash),
            version: Version(wire.version),
            version_count: wire.version_count,
            data_size: wire.data_size,
            file_count: wire.file_count,
            state: text(wire.state, at.field("state"))?,
        })
    }
}

#[cfg(test)]
mod tests;
