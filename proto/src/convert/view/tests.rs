use super::*;
use crate::convert::samples::{self, refuses, survives};

#[test]
fn views_of_jobs_survive_the_wire() {
    let job = samples::job_view();
    survives(&job, v1::Job::from(&job));
    let begun = JobView {
        timestamp: None,
        objects: Vec::new(),
        meta_prepared_time: None,
        snapshot_finished_time: None,
        transfer_finished_time: None,
        finished_time: None,
        status: None,
        eta_s: None,
        replication_num: None,
        ..job
    };
    survives(&begun, v1::Job::from(&begun));
}

#[test]
fn views_of_a_cluster_survive_the_wire() {
    let repository = samples::repository_view();
    survives(&repository, v1::Repository::from(&repository));
    let snapshot = samples::snapshot_view();
    survives(&snapshot, v1::Snapshot::from(&snapshot));
    let broker = samples::broker_view();
    survives(&broker, v1::Broker::from(&broker));
    let backend = samples::backend_view();
    survives(&backend, v1::Backend::from(&backend));
    let table = samples::table_view();
    survives(&table, v1::Table::from(&table));
    let partition = samples::partition_view();
    survives(&partition, v1::Partition::from(&partition));
    let tablet = samples::tablet_view();
    survives(&tablet, v1::Tablet::from(&tablet));
}

#[test]
fn wrong_views_of_jobs_are_refused() {
    refuses::<JobView, _>(
        &v1::Job::from(&samples::job_view()),
        &[
            ("job.kind", |wire| wire.kind = 0),
            ("job.id", |wire| wire.id = 0),
            ("job.uuid", |wire| wire.uuid = None),
            ("job.label", |wire| wire.label.clear()),
            ("job.repository", |wire| wire.repository.clear()),
            ("job.timestamp", |wire| wire.timestamp = Some(String::new())),
            ("job.database", |wire| wire.database.clear()),
            ("job.state", |wire| wire.state.clear()),
            ("job.objects[0].table", |wire| wire.objects[0].table.clear()),
            ("job.objects[0].partitions[0]", |wire| wire.objects[0].partitions[0].clear()),
            ("job.status.kind", |wire| wire.status = Some(v1::Failure { retry: 1, ..Default::default() })),
        ],
    );
}

#[test]
fn wrong_views_of_a_cluster_are_refused() {
    refuses::<RepositoryView, _>(
        &v1::Repository::from(&samples::repository_view()),
        &[
            ("repository.id", |wire| wire.id = 0),
            ("repository.name", |wire| wire.name.clear()),
            ("repository.location", |wire| wire.location.clear()),
            ("repository.kind", |wire| wire.kind.clear()),
        ],
    );
    refuses::<SnapshotView, _>(
        &v1::Snapshot::from(&samples::snapshot_view()),
        &[("snapshot.label", |wire| wire.label.clear()), ("snapshot.timestamp", |wire| wire.timestamp.clear())],
    );
    refuses::<BrokerView, _>(
        &v1::Broker::from(&samples::broker_view()),
        &[
            ("broker.name", |wire| wire.name.clear()),
            ("broker.host", |wire| wire.host.clear()),
            ("broker.port", |wire| wire.port = 0),
            ("broker.port", |wire| wire.port = 65_536),
        ],
    );
    refuses::<BackendView, _>(&v1::Backend::from(&samples::backend_view()), &[("backend.id", |wire| wire.id = 0)]);
}

#[test]
fn wrong_views_of_tables_are_refused() {
    refuses::<TableView, _>(
        &v1::Table::from(&samples::table_view()),
        &[("table.name", |wire| wire.name.clear()), ("table.state", |wire| wire.state.clear())],
    );
    refuses::<PartitionView, _>(
        &v1::Partition::from(&samples::partition_view()),
        &[
            ("partition.id", |wire| wire.id = 0),
            ("partition.name", |wire| wire.name.clear()),
            ("partition.state", |wire| wire.state.clear()),
        ],
    );
    refuses::<TabletView, _>(
        &v1::Tablet::from(&samples::tablet_view()),
        &[
            ("tablet.tablet", |wire| wire.tablet = 0),
            ("tablet.replica", |wire| wire.replica = 0),
            ("tablet.backend", |wire| wire.backend = 0),
            ("tablet.state", |wire| wire.state.clear()),
        ],
    );
}

#[test]
fn a_port_fits_into_sixteen_bits_and_is_not_zero() {
    assert_eq!((port(1), port(65_535)), (Ok(1), Ok(65_535)));
    assert_eq!(
        port(65_536).map_err(|failure| failure.message),
        Err("field `port` is 65536: expected a port from 1 to 65535".to_owned())
    );
    assert!(port(0).is_err());
}
