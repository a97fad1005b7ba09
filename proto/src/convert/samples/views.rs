//! Views.

use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, JobId, PartitionId, ReplicaId, SchemaHash, TabletId, TaskId, Version};
use tabvault_common::view::{
    BackendView, BrokerView, JobKind, JobView, ObjectView, PartitionView, RepositoryView, SnapshotView, TableView,
    TabletView,
};

use super::job;

pub(crate) fn job_view() -> JobView {
    let object = ObjectView {
        table: "orders".to_owned(),
        partitions: vec!["p1".to_owned()],
        alias: Some("old_orders".to_owned()),
    };
    JobView {
        kind: JobKind::Restore,
        id: JobId(1),
        uuid: job(),
        label: "nightly".to_owned(),
        repository: "depot".to_owned(),
        timestamp: Some("2024-01-01-00-00-00-000".to_owned()),
        database: "shop".to_owned(),
        state: "CANCELLED".to_owned(),
        ended: true,
        objects: vec![object],
        create_time: Time(2),
        meta_prepared_time: Some(Time(3)),
        snapshot_finished_time: Some(Time(4)),
        transfer_finished_time: Some(Time(5)),
        finished_time: Some(Time(6)),
        unfinished_tasks: vec![TaskId(7), TaskId(8)],
        progress: vec![(TaskId(7), 9, 10)],
        task_errors: vec![(TaskId(8), "the disk is slow".to_owned())],
        status: Some(Failure::fatal(Kind::Cancelled, "user cancelled")),
        timeout_s: 11,
        bytes_done: 12,
        bytes_total: 13,
        bytes_per_second: 14,
        eta_s: Some(15),
        allow_load: true,
        replication_num: Some(3),
    }
}

pub(crate) fn repository_view() -> RepositoryView {
    RepositoryView {
        id: 1,
        name: "depot".to_owned(),
        create_time: Time(2),
        read_only: true,
        location: "s3://bucket/prefix".to_owned(),
        broker: Some("brokers".to_owned()),
        kind: "BROKER".to_owned(),
        error: Some("it does not answer".to_owned()),
        notice: Some("one cluster only".to_owned()),
    }
}

pub(crate) fn snapshot_view() -> SnapshotView {
    SnapshotView {
        label: "nightly".to_owned(),
        timestamp: "2024-01-01-00-00-00-000".to_owned(),
        database: Some("shop".to_owned()),
        error: Some("its info is damaged".to_owned()),
    }
}

pub(crate) fn broker_view() -> BrokerView {
    BrokerView {
        name: "brokers".to_owned(),
        host: "broker-1".to_owned(),
        port: 8000,
        alive: true,
        last_start_time: Some(Time(1)),
        last_update_time: Some(Time(2)),
        error: Some("connection refused".to_owned()),
    }
}

pub(crate) fn backend_view() -> BackendView {
    BackendView {
        id: BackendId(1),
        host: "be-1".to_owned(),
        alive: true,
        last_heartbeat: Some(Time(2)),
        tablets: 3,
        used_bytes: 4,
        available_bytes: 5,
        running_tasks: 6,
        version: "0.1.0".to_owned(),
        error: Some("its stream broke".to_owned()),
    }
}

pub(crate) fn table_view() -> TableView {
    TableView {
        name: "orders".to_owned(),
        state: "NORMAL".to_owned(),
        partitions: 1,
        tablets: 2,
        data_size: 3,
        file_count: 4,
    }
}

pub(crate) fn partition_view() -> PartitionView {
    PartitionView {
        id: PartitionId(1),
        name: "p1".to_owned(),
        visible_version: Version(2),
        visible_version_time: Time(3),
        state: "RESTORE".to_owned(),
        partition_key: "day".to_owned(),
        range: "[2024-01-01, 2024-01-02)".to_owned(),
        distribution_key: "id".to_owned(),
        buckets: 4,
        tablet_count: 5,
        replication_num: 6,
        data_size: 7,
        file_count: 8,
    }
}

pub(crate) fn tablet_view() -> TabletView {
    TabletView {
        tablet: TabletId(1),
        replica: ReplicaId(2),
        backend: BackendId(3),
        schema_hash: SchemaHash(4),
        version: Version(5),
        version_count: 6,
        data_size: 7,
        file_count: 8,
        state: "NORMAL".to_owned(),
    }
}
