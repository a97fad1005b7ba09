use prost::Message;
use tabvault_common::failure::Kind;

use super::*;
use crate::convert::MAX_ITEMS;
use crate::convert::samples::{self, Case, refuses, refuses_within, survives};

/// Each case spoils a valid body, whose task must be refused with the case's path.
fn refuses_body<P: Clone>(valid: &P, wrap: fn(P) -> task::Body, cases: &[Case<P>]) {
    refuses_within::<Task, _, P>(valid, |part| of(wrap(part)), cases);
}

/// A valid task with `body`.
fn of(body: task::Body) -> v1::Task {
    v1::Task { key: Some(samples::key().into()), epoch: 5, body: Some(body) }
}

#[test]
fn tasks_of_every_kind_survive_the_wire() {
    for body in samples::bodies() {
        let task = samples::task(body);
        survives(&task, v1::Task::from(&task));
    }
    let key = samples::key();
    survives(&key, v1::TaskKey::from(key));
    let progress = TaskProgress { key, done: 7, total: 9 };
    survives(&progress, v1::TaskProgress::from(progress));
}

#[test]
fn tasks_without_key_epoch_or_body_are_refused() {
    refuses::<Task, _>(
        &of(task::Body::DropTablets(v1::DropTablets { tablets: vec![3] })),
        &[
            ("task.key", |wire| wire.key = None),
            ("task.key.job", |wire| wire.key = Some(v1::TaskKey { task: 1, attempt: 1, job: None })),
            ("task.key.attempt", |wire| wire.key = Some(v1::TaskKey { attempt: 0, ..samples::key().into() })),
            ("task.epoch", |wire| wire.epoch = 0),
            ("task.body", |wire| wire.body = None),
        ],
    );
    refuses::<TaskProgress, _>(
        &v1::TaskProgress::from(TaskProgress { key: samples::key(), done: 7, total: 9 }),
        &[("progress.key", |wire| wire.key = None)],
    );
}

#[test]
fn wrong_backup_tasks_are_refused() {
    refuses_body(
        &v1::MakeSnapshot { tablets: versions_to_wire(&samples::versions()) },
        task::Body::MakeSnapshot,
        &[
            ("task.make_snapshot.tablets[0].tablet", |body| body.tablets[0].tablet = 0),
            ("task.make_snapshot.tablets[1].version", |body| body.tablets[1].version = 0),
            ("task.make_snapshot.tablets", |body| body.tablets.resize(MAX_ITEMS + 1, v1::TabletVersion::default())),
        ],
    );
    refuses_body(
        &upload_to_wire(&samples::upload(Compression::Best)),
        task::Body::Upload,
        &[
            ("task.upload.repository", |body| body.repository = None),
            ("task.upload.repository.location", |body| body.repository = Some(v1::StorageAccess::default())),
            ("task.upload.table", |body| body.table.clear()),
            ("task.upload.partition", |body| body.partition.clear()),
            ("task.upload.compression", |body| body.compression = 0),
            ("task.upload.compression", |body| body.compression = 5),
            ("task.upload.max_pack", |body| body.max_pack = 0),
            ("task.upload.tablets[0].identity", |body| body.tablets[0].identity = None),
            ("task.upload.tablets[0].index", |body| body.tablets[0].index.clear()),
        ],
    );
    refuses_body(
        &v1::Release { tablets: versions_to_wire(&samples::versions()) },
        task::Body::Release,
        &[("task.release.tablets[0].tablet", |body| body.tablets[0].tablet = 0)],
    );
}

#[test]
fn wrong_restore_tasks_are_refused() {
    refuses_body(
        &v1::CreateTablets { tablets: samples::new_tablets().iter().map(create_tablet_to_wire).collect() },
        task::Body::CreateTablets,
        &[
            ("task.create_tablets.tablets[0].tablet", |body| body.tablets[0].tablet = 0),
            ("task.create_tablets.tablets[0].lineage", |body| body.tablets[0].lineage = None),
            ("task.create_tablets.tablets[1].reuse_from.tablet", |body| {
                body.tablets[1].reuse_from = Some(v1::TabletVersion::default());
            }),
        ],
    );
    refuses_body(
        &v1::Download {
            repository: Some((&samples::access()).into()),
            manifest: Some(samples::manifest().into()),
            tablets: mappings_to_wire(&samples::mappings()),
        },
        task::Body::Download,
        &[
            ("task.download.repository", |body| body.repository = None),
            ("task.download.manifest", |body| body.manifest = None),
            ("task.download.tablets[0].source", |body| body.tablets[0].source = None),
            ("task.download.tablets[0].target", |body| body.tablets[0].target = 0),
        ],
    );
    refuses_body(
        &v1::Adopt { tablets: mappings_to_wire(&samples::mappings()) },
        task::Body::Adopt,
        &[("task.adopt.tablets[0].source", |body| body.tablets[0].source = None)],
    );
    refuses_body(
        &v1::DropTablets { tablets: vec![3] },
        task::Body::DropTablets,
        &[("task.drop_tablets.tablets[1]", |body| body.tablets.push(0))],
    );
}

#[test]
fn wrong_load_and_export_tasks_are_refused() {
    refuses_body(
        &load_to_wire(&samples::load()),
        task::Body::Load,
        &[
            ("task.load.source", |body| body.source = None),
            ("task.load.version", |body| body.version = 0),
            ("task.load.buckets", |body| body.buckets = 0),
            ("task.load.tablets[0].tablet", |body| body.tablets[0].tablet = 0),
            ("task.load.tablets[0].bucket", |body| body.tablets[0].bucket = 4),
            ("task.load.tablets[0].lineage", |body| body.tablets[0].lineage = None),
        ],
    );
    refuses_body(
        &export_to_wire(&samples::export(ExportStep::Write)),
        task::Body::Export,
        &[
            ("task.export.target", |body| body.target = None),
            ("task.export.step", |body| body.step = 0),
            ("task.export.step", |body| body.step = 4),
            ("task.export.tablets[0].at", |body| body.tablets[0].at = None),
        ],
    );
}

#[test]
fn an_export_never_leaves_its_target() {
    let with = |name: &str| {
        let mut export = export_to_wire(&samples::export(ExportStep::Write));
        export.tablets[1].directory = name.to_owned();
        Task::try_from(of(task::Body::Export(export)))
    };
    for name in ["..", ".", "a/b", "/", "/etc", "../x", "a\\../x", "x..", "p\0"] {
        let expected = "expected one name without `/`, `..` and NUL, or nothing";
        let message = format!("field `task.export.tablets[1].directory` is {name:?}: {expected}");
        assert_eq!(with(name), Err(Failure::fatal(Kind::InvalidArgument, message)));
    }
    for name in ["", "p20240101", "p.1", "größer als 5"] {
        assert!(with(name).is_ok(), "{name:?}");
    }
}

#[test]
fn the_largest_task_fits_into_a_message() {
    let mut upload = samples::upload(Compression::Best);
    let mut tablet = upload.tablets[0].clone();
    tablet.identity.tablet = TabletId(u64::MAX);
    tablet.identity.version = Version(u64::MAX);
    (tablet.position, tablet.schema_hash) = (u32::MAX, SchemaHash(u32::MAX));
    tablet.index = "i".repeat(128);
    upload.tablets = vec![tablet; MAX_ITEMS];
    assert!(of(task::Body::Upload(upload_to_wire(&upload))).encoded_len() < crate::MAX_MESSAGE_SIZE);
}
