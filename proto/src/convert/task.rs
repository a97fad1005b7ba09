//! Tasks, their keys and their progress.

use tabvault_common::compression::Compression;
use tabvault_common::failure::Failure;
use tabvault_common::ids::{Epoch, JobUuid, Lineage, SchemaHash, TabletId, TaskId, Version};
use tabvault_common::task::{
    Adopt, CreateTablet, CreateTablets, Download, DropTablets, Export, ExportStep, ExportTablet, Load, LoadTablet,
    MakeSnapshot, Release, TabletMapping, TabletVersion, Task, TaskBody, TaskKey, TaskProgress, Upload, UploadTablet,
};

use super::access::storage_access;
use super::ids::{manifest_ref, tablet_identity, uuid};
use super::{At, list, positive, text};
use crate::v1::{self, export, task};

impl From<TaskKey> for v1::TaskKey {
    fn from(key: TaskKey) -> Self {
        Self { job: Some(key.job.into()), task: key.task.0, attempt: key.attempt }
    }
}

impl TryFrom<v1::TaskKey> for TaskKey {
    type Error = Failure;

    fn try_from(wire: v1::TaskKey) -> Result<Self, Failure> {
        task_key(Some(wire), At::root("key"))
    }
}

impl From<TaskProgress> for v1::TaskProgress {
    fn from(progress: TaskProgress) -> Self {
        Self { key: Some(progress.key.into()), done: progress.done, total: progress.total }
    }
}

impl TryFrom<v1::TaskProgress> for TaskProgress {
    type Error = Failure;

    fn try_from(wire: v1::TaskProgress) -> Result<Self, Failure> {
        let key = task_key(wire.key, At::root("progress").field("key"))?;
        Ok(Self { key, done: wire.done, total: wire.total })
    }
}

impl From<&Task> for v1::Task {
    fn from(task: &Task) -> Self {
        Self { key: Some(task.key.into()), epoch: task.epoch.0, body: Some(body_to_wire(&task.body)) }
    }
}

impl TryFrom<v1::Task> for Task {
    type Error = Failure;

    fn try_from(wire: v1::Task) -> Result<Self, Failure> {
        let at = At::root("task");
        Ok(Self {
            key: task_key(wire.key, at.field("key"))?,
            epoch: positive(wire.epoch, at.field("epoch")).map(Epoch)?,
            body: body(
                wire.body.ok_or_else(|| at.field("body").missing("a kind of task that this version knows"))?,
                at,
            )?,
        })
    }
}

fn body_to_wire(body: &TaskBody) -> task::Body {
    match body {
        TaskBody::MakeSnapshot(MakeSnapshot { tablets }) => {
            task::Body::MakeSnapshot(v1::MakeSnapshot { tablets: versions_to_wire(tablets) })
        }
        TaskBody::Upload(upload) => task::Body::Upload(upload_to_wire(upload)),
        TaskBody::Release(Release { tablets }) => {
            task::Body::Release(v1::Release { tablets: versions_to_wire(tablets) })
        }
        TaskBody::CreateTablets(CreateTablets { tablets }) => task::Body::CreateTablets(v1::CreateTablets {
            tablets: tablets.iter().map(create_tablet_to_wire).collect(),
        }),
        TaskBody::Download(download) => task::Body::Download(v1::Download {
            repository: Some((&download.repository).into()),
            manifest: Some(download.manifest.into()),
            tablets: mappings_to_wire(&download.tablets),
        }),
        TaskBody::Adopt(Adopt { tablets }) => task::Body::Adopt(v1::Adopt { tablets: mappings_to_wire(tablets) }),
        TaskBody::DropTablets(DropTablets { tablets }) => {
            task::Body::DropTablets(v1::DropTablets { tablets: tablets.iter().map(|tablet| tablet.0).collect() })
        }
        TaskBody::Load(load) => task::Body::Load(load_to_wire(load)),
        TaskBody::Export(export) => task::Body::Export(export_to_wire(export)),
    }
}

fn version_to_wire(at: &TabletVersion) -> v1::TabletVersion {
    v1::TabletVersion { tablet: at.tablet.0, version: at.version.0, schema_hash: at.schema_hash.0 }
}

fn versions_to_wire(tablets: &[TabletVersion]) -> Vec<v1::TabletVersion> {
    tablets.iter().map(version_to_wire).collect()
}

fn mappings_to_wire(tablets: &[TabletMapping]) -> Vec<v1::TabletMapping> {
    let mapping = |tablet: &TabletMapping| v1::TabletMapping {
        source: Some((&tablet.source).into()),
        target: tablet.target.0,
        schema_hash: tablet.schema_hash.0,
    };
    tablets.iter().map(mapping).collect()
}

fn upload_to_wire(upload: &Upload) -> v1::Upload {
    let compression = match upload.compression {
        Compression::Fastest => v1::Compression::Fastest,
        Compression::Balanced => v1::Compression::Balanced,
        Compression::Best => v1::Compression::Best,
        Compression::None => v1::Compression::None,
    };
    let tablet = |tablet: &UploadTablet| v1::UploadTablet {
        identity: Some((&tablet.identity).into()),
        index: tablet.index.clone(),
        position: tablet.position,
        schema_hash: tablet.schema_hash.0,
    };
    v1::Upload {
        repository: Some((&upload.repository).into()),
        table: upload.table.clone(),
        partition: upload.partition.clone(),
        compression: compression.into(),
        max_pack: upload.max_pack,
        tablets: upload.tablets.iter().map(tablet).collect(),
        parents: upload.parents.iter().map(|parent| (*parent).into()).collect(),
    }
}

fn create_tablet_to_wire(tablet: &CreateTablet) -> v1::CreateTablet {
    v1::CreateTablet {
        tablet: tablet.tablet.0,
        schema_hash: tablet.schema_hash.0,
        lineage: Some(tablet.lineage.into()),
        reuse_from: tablet.reuse_from.as_ref().map(version_to_wire),
    }
}

fn load_to_wire(load: &Load) -> v1::Load {
    let tablet = |tablet: &LoadTablet| v1::LoadTablet {
        tablet: tablet.tablet.0,
        schema_hash: tablet.schema_hash.0,
        bucket: tablet.bucket,
        lineage: Some(tablet.lineage.into()),
    };
    v1::Load {
        source: Some((&load.source).into()),
        version: load.version.0,
        buckets: load.buckets,
        tablets: load.tablets.iter().map(tablet).collect(),
    }
}

fn export_to_wire(export: &Export) -> v1::Export {
    let step = match export.step {
        ExportStep::Write => export::Step::Write,
        ExportStep::Publish => export::Step::Publish,
        ExportStep::Discard => export::Step::Discard,
    };
    let tablet = |tablet: &ExportTablet| v1::ExportTablet {
        at: Some(version_to_wire(&tablet.at)),
        directory: tablet.directory.clone(),
    };
    v1::Export {
        target: Some((&export.target).into()),
        step: step.into(),
        tablets: export.tablets.iter().map(tablet).collect(),
    }
}

pub(super) fn task_key(wire: Option<v1::TaskKey>, at: At<'_>) -> Result<TaskKey, Failure> {
    let wire = wire.ok_or_else(|| at.missing("job, task and attempt"))?;
    Ok(TaskKey {
        job: uuid(wire.job, at.field("job")).map(JobUuid)?,
        task: TaskId(wire.task),
        attempt: positive(wire.attempt, at.field("attempt"))?,
    })
}

fn body(wire: task::Body, at: At<'_>) -> Result<TaskBody, Failure> {
    Ok(match wire {
        task::Body::MakeSnapshot(wire) => TaskBody::MakeSnapshot(MakeSnapshot {
            tablets: list(wire.tablets, at.field("make_snapshot"), "tablets", tablet_version)?,
        }),
        task::Body::Upload(wire) => TaskBody::Upload(upload(wire, at.field("upload"))?),
        task::Body::Release(wire) => {
            TaskBody::Release(Release { tablets: list(wire.tablets, at.field("release"), "tablets", tablet_version)? })
        }
        task::Body::CreateTablets(wire) => TaskBody::CreateTablets(CreateTablets {
            tablets: list(wire.tablets, at.field("create_tablets"), "tablets", create_tablet)?,
        }),
        task::Body::Download(wire) => TaskBody::Download(download(wire, at.field("download"))?),
        task::Body::Adopt(wire) => {
            TaskBody::Adopt(Adopt { tablets: list(wire.tablets, at.field("adopt"), "tablets", tablet_mapping)? })
        }
        task::Body::DropTablets(wire) => TaskBody::DropTablets(DropTablets {
            tablets: list(wire.tablets, at.field("drop_tablets"), "tablets", tablet_id)?,
        }),
        task::Body::Load(wire) => TaskBody::Load(load(wire, at.field("load"))?),
        task::Body::Export(wire) => TaskBody::Export(export(wire, at.field("export"))?),
    })
}

pub(super) fn tablet_id(wire: u64, at: At<'_>) -> Result<TabletId, Failure> {
    positive(wire, at).map(TabletId)
}

fn tablet_version(wire: v1::TabletVersion, at: At<'_>) -> Result<TabletVersion, Failure> {
    Ok(TabletVersion {
        tablet: tablet_id(wire.tablet, at.field("tablet"))?,
        version: positive(wire.version, at.field("version")).map(Version)?,
        schema_hash: SchemaHash(wire.schema_hash),
    })
}

fn tablet_mapping(wire: v1::TabletMapping, at: At<'_>) -> Result<TabletMapping, Failure> {
    Ok(TabletMapping {
        source: tablet_identity(wire.source, at.field("source"))?,
        target: tablet_id(wire.target, at.field("target"))?,
        schema_hash: SchemaHash(wire.schema_hash),
    })
}

fn upload(wire: v1::Upload, at: At<'_>) -> Result<Upload, Failure> {
    Ok(Upload {
        repository: storage_access(wire.repository, at.field("repository"))?,
        table: text(wire.table, at.field("table"))?,
        partition: text(wire.partition, at.field("partition"))?,
        compression: compression(wire.compression, at.field("compression"))?,
        max_pack: positive(wire.max_pack, at.field("max_pack"))?,
        tablets: list(wire.tablets, at, "tablets", upload_tablet)?,
        parents: list(wire.parents, at, "parents", |wire, at| manifest_ref(Some(wire), at))?,
    })
}

fn compression(wire: i32, at: At<'_>) -> Result<Compression, Failure> {
    match v1::Compression::try_from(wire) {
        Ok(v1::Compression::Fastest) => Ok(Compression::Fastest),
        Ok(v1::Compression::Balanced) => Ok(Compression::Balanced),
        Ok(v1::Compression::Best) => Ok(Compression::Best),
        Ok(v1::Compression::None) => Ok(Compression::None),
        Ok(v1::Compression::Unspecified) | Err(_) => {
            let expected = "COMPRESSION_FASTEST, COMPRESSION_BALANCED, COMPRESSION_BEST or COMPRESSION_NONE";
            Err(at.refuse(format_args!("is {wire}: expected {expected}")))
        }
    }
}

fn upload_tablet(wire: v1::UploadTablet, at: At<'_>) -> Result<UploadTablet, Failure> {
    Ok(UploadTablet {
        identity: tablet_identity(wire.identity, at.field("identity"))?,
        index: text(wire.index, at.field("index"))?,
        position: wire.position,
        schema_hash: SchemaHash(wire.schema_hash),
    })
}

fn create_tablet(wire: v1::CreateTablet, at: At<'_>) -> Result<CreateTablet, Failure> {
    Ok(CreateTablet {
        tablet: tablet_id(wire.tablet, at.field("tablet"))?,
        schema_hash: SchemaHash(wire.schema_hash),
        lineage: uuid(wire.lineage, at.field("lineage")).map(Lineage)?,
        reuse_from: wire.reuse_from.map(|from| tablet_version(from, at.field("reuse_from"))).transpose()?,
    })
}

fn download(wire: v1::Download, at: At<'_>) -> Result<Download, Failure> {
    Ok(Download {
        repository: storage_access(wire.repository, at.field("repository"))?,
        manifest: manifest_ref(wire.manifest, at.field("manifest"))?,
        tablets: list(wire.tablets, at, "tablets", tablet_mapping)?,
    })
}

fn load(wire: v1::Load, at: At<'_>) -> Result<Load, Failure> {
    let buckets = positive(wire.buckets, at.field("buckets"))?;
    Ok(Load {
        source: storage_access(wire.source, at.field("source"))?,
        version: positive(wire.version, at.field("version")).map(Version)?,
        buckets,
        tablets: list(wire.tablets, at, "tablets", |wire, at| load_tablet(wire, buckets, at))?,
    })
}

fn load_tablet(wire: v1::LoadTablet, buckets: u32, at: At<'_>) -> Result<LoadTablet, Failure> {
    if wire.bucket >= buckets {
        let bucket = wire.bucket;
        return Err(at.field("bucket").refuse(format_args!("is {bucket}: expected less than {buckets}, the buckets")));
    }
    Ok(LoadTablet {
        tablet: tablet_id(wire.tablet, at.field("tablet"))?,
        schema_hash: SchemaHash(wire.schema_hash),
        bucket: wire.bucket,
        lineage: uuid(wire.lineage, at.field("lineage")).map(Lineage)?,
    })
}

fn export(wire: v1::Export, at: At<'_>) -> Result<Export, Failure> {
    let step = match export::Step::try_from(wire.step) {
        Ok(export::Step::Write) => ExportStep::Write,
        Ok(export::Step::Publish) => ExportStep::Publish,
        Ok(export::Step::Discard) => ExportStep::Discard,
        Ok(export::Step::Unspecified) | Err(_) => {
            let expected = "STEP_WRITE, STEP_PUBLISH or STEP_DISCARD";
            return Err(at.field("step").refuse(format_args!("is {}: expected {expected}", wire.step)));
        }
    };
    Ok(Export {
        target: storage_access(wire.target, at.field("target"))?,
        step,
        tablets: list(wire.tablets, at, "tablets", export_tablet)?,
    })
}

fn export_tablet(wire: v1::ExportTablet, at: At<'_>) -> Result<ExportTablet, Failure> {
    let version = wire.at.ok_or_else(|| at.field("at").missing("tablet, version and schema"))?;
    Ok(ExportTablet {
        at: tablet_version(version, at.field("at"))?,
        directory: directory(wire.directory, at.field("directory"))?,
    })
}

/// One name below a directory, or none: it must not lead anywhere else.
fn directory(wire: String, at: At<'_>) -> Result<String, Failure> {
    if wire.contains(['/', '\0']) || wire.contains("..") || wire == "." {
        return Err(at.refuse(format_args!("is {wire:?}: expected one name without `/`, `..` and NUL, or nothing")));
    }
    Ok(wire)
}

#[cfg(test)]
mod tests;
