use super::*;
use crate::convert::samples::{self, refuses, survives};

#[test]
fn requests_survive_the_wire() {
    for selection in samples::selections() {
        let backup = samples::backup(selection.clone());
        survives(&backup, v1::BackupRequest::from(&backup));
        for into in [None, Some("copy".to_owned())] {
            let restore = RestoreRequest { into, ..samples::restore(selection.clone()) };
            survives(&restore, v1::RestoreRequest::from(&restore));
        }
    }
    for (kind, label) in [(JobKind::Backup, None), (JobKind::Restore, Some("nightly".to_owned()))] {
        let cancel = CancelRequest { kind, database: "shop".to_owned(), label };
        survives(&cancel, v1::CancelRequest::from(&cancel));
    }
    let repository = samples::create_repository();
    survives(&repository, v1::CreateRepositoryRequest::from(&repository));
    for table in samples::tables() {
        let create = samples::create_table(table);
        survives(&create, v1::CreateTableRequest::from(&create));
    }
    let load = samples::load_request();
    survives(&load, v1::LoadRequest::from(&load));
    let bare = LoadRequest { partition: None, create: false, buckets: None, replication_num: None, ..load };
    survives(&bare, v1::LoadRequest::from(&bare));
    let loaded = LoadSummary { version: Version(3), files: 4, bytes: 5 };
    survives(&loaded, v1::LoadResponse::from(loaded));
    let export = samples::export_request();
    survives(&export, v1::ExportRequest::from(&export));
    let exported = ExportSummary { files: 4, bytes: 5 };
    assert_eq!(ExportSummary::from(v1::ExportResponse::from(exported)), exported);
}

#[test]
fn wrong_requests_for_backups_and_restores_are_refused() {
    refuses::<BackupRequest, _>(
        &v1::BackupRequest::from(&samples::backup(Selection::All)),
        &[
            ("backup.database", |wire| wire.database.clear()),
            ("backup.label", |wire| wire.label.clear()),
            ("backup.repository", |wire| wire.repository.clear()),
            ("backup.selection", |wire| wire.selection = None),
            ("backup.selection.mode", |wire| wire.selection = Some(v1::Selection::default())),
            ("backup.selection.mode", |wire| wire.selection = Some(v1::Selection { mode: 4, objects: Vec::new() })),
            ("backup.selection.objects", |wire| wire.selection = Some(chosen(selection::Mode::All, "orders"))),
            ("backup.selection.objects", |wire| {
                wire.selection = Some(v1::Selection { mode: selection::Mode::Only.into(), objects: Vec::new() });
            }),
            ("backup.selection.objects[0].table", |wire| {
                wire.selection = Some(chosen(selection::Mode::Except, ""));
            }),
        ],
    );
    refuses::<RestoreRequest, _>(
        &v1::RestoreRequest::from(&samples::restore(Selection::All)),
        &[
            ("restore.database", |wire| wire.database.clear()),
            ("restore.into", |wire| wire.into = Some(String::new())),
            ("restore.label", |wire| wire.label.clear()),
            ("restore.repository", |wire| wire.repository.clear()),
            ("restore.selection", |wire| wire.selection = None),
        ],
    );
    refuses::<CancelRequest, _>(
        &v1::CancelRequest { kind: 1, database: "shop".to_owned(), label: None },
        &[
            ("cancel.kind", |wire| wire.kind = 0),
            ("cancel.kind", |wire| wire.kind = 3),
            ("cancel.database", |wire| wire.database.clear()),
            ("cancel.label", |wire| wire.label = Some(String::new())),
        ],
    );
}

#[test]
fn wrong_requests_about_repositories_and_tables_are_refused() {
    refuses::<CreateRepositoryRequest, _>(
        &v1::CreateRepositoryRequest::from(&samples::create_repository()),
        &[
            ("create_repository.name", |wire| wire.name.clear()),
            ("create_repository.location", |wire| wire.location.clear()),
            ("create_repository.broker", |wire| wire.broker = Some(String::new())),
        ],
    );
    refuses::<CreateTableRequest, _>(
        &v1::CreateTableRequest::from(&samples::create_table(samples::tables().remove(0))),
        &[
            ("create_table.database", |wire| wire.database.clear()),
            ("create_table.table", |wire| wire.table = None),
            ("create_table.partitions[1].buckets", |wire| wire.partitions[1].buckets = 0),
        ],
    );
    refuses::<LoadRequest, _>(
        &v1::LoadRequest::from(&samples::load_request()),
        &[
            ("load.database", |wire| wire.database.clear()),
            ("load.table", |wire| wire.table.clear()),
            ("load.partition", |wire| wire.partition = Some(String::new())),
            ("load.source", |wire| wire.source = None),
            ("load.buckets", |wire| wire.buckets = Some(0)),
            ("load.replication_num", |wire| wire.replication_num = Some(0)),
        ],
    );
    refuses::<LoadSummary, _>(
        &v1::LoadResponse { version: 1, files: 0, bytes: 0 },
        &[("loaded.version", |wire| wire.version = 0)],
    );
    refuses::<ExportRequest, _>(
        &v1::ExportRequest::from(&samples::export_request()),
        &[
            ("export.database", |wire| wire.database.clear()),
            ("export.table", |wire| wire.table.clear()),
            ("export.partition", |wire| wire.partition = Some(String::new())),
            ("export.target.location", |wire| wire.target = Some(v1::StorageAccess::default())),
        ],
    );
}

#[test]
fn a_job_kind_is_one_of_two() {
    for kind in [JobKind::Backup, JobKind::Restore] {
        assert_eq!(JobKind::try_from(v1::JobKind::from(kind)), Ok(kind));
    }
    assert_eq!(
        JobKind::try_from(v1::JobKind::Unspecified).map_err(|failure| failure.message),
        Err("field `kind` is 0: expected JOB_KIND_BACKUP or JOB_KIND_RESTORE".to_owned())
    );
}

fn chosen(mode: selection::Mode, table: &str) -> v1::Selection {
    let object = v1::ObjectSelection { table: table.to_owned(), ..Default::default() };
    v1::Selection { mode: mode.into(), objects: vec![object] }
}
