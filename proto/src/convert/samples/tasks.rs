//! Tasks and reports.

use tabvault_common::compression::Compression;
use tabvault_common::digest::Digest;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{Epoch, SchemaHash, TabletId, Version};
use tabvault_common::task::{
    Adopt, CreateTablet, CreateTablets, Download, DropTablets, Export, ExportStep, ExportTablet, Load, LoadTablet,
    LoadedTablet, MakeSnapshot, Release, TabletMapping, TabletTotals, TabletVersion, Task, TaskBody, TaskResult,
    Upload, UploadTablet,
};

use super::{access, identity, key, lineage, manifest};

pub(crate) fn task(body: TaskBody) -> Task {
    Task { key: key(), epoch: Epoch(5), body }
}

/// A body of every kind.
pub(crate) fn bodies() -> Vec<TaskBody> {
    let mut bodies = vec![
        TaskBody::MakeSnapshot(MakeSnapshot { tablets: versions() }),
        TaskBody::Release(Release { tablets: versions() }),
        TaskBody::CreateTablets(CreateTablets { tablets: new_tablets() }),
        TaskBody::Download(Download { repository: access(), manifest: manifest(), tablets: mappings() }),
        TaskBody::Adopt(Adopt { tablets: mappings() }),
        TaskBody::DropTablets(DropTablets { tablets: vec![TabletId(3), TabletId(u64::MAX)] }),
        TaskBody::Load(load()),
    ];
    let compressions = [Compression::Fastest, Compression::Balanced, Compression::Best, Compression::None];
    bodies.extend(compressions.map(|compression| TaskBody::Upload(upload(compression))));
    let steps = [ExportStep::Write, ExportStep::Publish, ExportStep::Discard];
    bodies.extend(steps.map(|step| TaskBody::Export(export(step))));
    bodies
}

pub(crate) fn versions() -> Vec<TabletVersion> {
    vec![
        TabletVersion { tablet: TabletId(1), version: Version(2), schema_hash: SchemaHash(3) },
        TabletVersion { tablet: TabletId(4), version: Version(5), schema_hash: SchemaHash(6) },
    ]
}

pub(crate) fn upload(compression: Compression) -> Upload {
    let tablet = UploadTablet {
        identity: identity(21),
        index: "rollup_by_day".to_owned(),
        position: 7,
        schema_hash: SchemaHash(9),
    };
    Upload {
        repository: access(),
        table: "orders".to_owned(),
        partition: "p20240101".to_owned(),
        compression,
        max_pack: 64 << 20,
        tablets: vec![tablet],
        parents: vec![manifest()],
    }
}

pub(crate) fn new_tablets() -> Vec<CreateTablet> {
    let fresh = CreateTablet { tablet: TabletId(31), schema_hash: SchemaHash(9), lineage: lineage(), reuse_from: None };
    vec![fresh, CreateTablet { tablet: TabletId(32), reuse_from: Some(versions()[0]), ..fresh }]
}

pub(crate) fn mappings() -> Vec<TabletMapping> {
    vec![TabletMapping { source: identity(21), target: TabletId(31), schema_hash: SchemaHash(9) }]
}

pub(crate) fn load() -> Load {
    let tablet = LoadTablet { tablet: TabletId(41), schema_hash: SchemaHash(9), bucket: 3, lineage: lineage() };
    Load { source: access(), version: Version(2), buckets: 4, tablets: vec![tablet] }
}

pub(crate) fn export(step: ExportStep) -> Export {
    let directories = [String::new(), "p20240101".to_owned()];
    let tablets = versions().into_iter().zip(directories).map(|(at, directory)| ExportTablet { at, directory });
    Export { target: access(), step, tablets: tablets.collect() }
}

/// Every way in which a task ends.
pub(crate) fn outcomes() -> Vec<Result<TaskResult, Failure>> {
    let tablet = TabletId(41);
    let lost = Failure::transient(Kind::NotFound, "version 5 of tablet 4 is gone");
    let loaded =
        LoadedTablet { tablet, loaded_files: 1, loaded_bytes: 2, files: 3, bytes: 4, digest: Digest::of(b"loaded") };
    vec![
        Err(Failure::fatal(Kind::Corrupt, "read `__data/…`: its digest is wrong")),
        Ok(TaskResult::Done),
        Ok(TaskResult::Snapshotted {
            tablets: vec![TabletTotals { tablet, files: 5, bytes: 6 }],
            failed: vec![(TabletId(4), lost)],
        }),
        Ok(TaskResult::Uploaded { manifest: manifest() }),
        Ok(TaskResult::Downloaded { bytes: 7, reused_bytes: 3 }),
        Ok(TaskResult::Loaded { tablets: vec![loaded] }),
        Ok(TaskResult::Exported { files: 8, bytes: 9 }),
    ]
}
