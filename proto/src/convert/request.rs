//! What clients ask for, and the answers that are more than views.

use tabvault_common::failure::Failure;
use tabvault_common::ids::Version;
use tabvault_common::request::{
    BackupRequest, CancelRequest, CreateRepositoryRequest, CreateTableRequest, ExportRequest, ExportSummary,
    LoadRequest, LoadSummary, ObjectSelection, RestoreRequest, Selection,
};
use tabvault_common::view::JobKind;

use super::access::{exposed, hidden, storage_access};
use super::schema::{partition_def, table_def};
use super::{At, list, optional_text, positive, text};
use crate::v1::{self, selection};

impl From<&BackupRequest> for v1::BackupRequest {
    fn from(request: &BackupRequest) -> Self {
        Self {
            database: request.database.clone(),
            label: request.label.clone(),
            repository: request.repository.clone(),
            selection: Some((&request.selection).into()),
            properties: request.properties.clone(),
        }
    }
}

impl TryFrom<v1::BackupRequest> for BackupRequest {
    type Error = Failure;

    fn try_from(wire: v1::BackupRequest) -> Result<Self, Failure> {
        let at = At::root("backup");
        Ok(Self {
            database: text(wire.database, at.field("database"))?,
            label: text(wire.label, at.field("label"))?,
            repository: text(wire.repository, at.field("repository"))?,
            selection: selection(wire.selection, at.field("selection"))?,
            properties: wire.properties,
        })
    }
}

impl From<&RestoreRequest> for v1::RestoreRequest {
    fn from(request: &RestoreRequest) -> Self {
        Self {
            database: request.database.clone(),
            into: request.into.clone(),
            label: request.label.clone(),
            repository: request.repository.clone(),
            selection: Some((&request.selection).into()),
            properties: request.properties.clone(),
        }
    }
}

impl TryFrom<v1::RestoreRequest> for RestoreRequest {
    type Error = Failure;

    fn try_from(wire: v1::RestoreRequest) -> Result<Self, Failure> {
        let at = At::root("restore");
        Ok(Self {
            database: text(wire.database, at.field("database"))?,
            into: optional_text(wire.into, at.field("into"))?,
            label: text(wire.label, at.field("label"))?,
            repository: text(wire.repository, at.field("repository"))?,
            selection: selection(wire.selection, at.field("selection"))?,
            properties: wire.properties,
        })
    }
}

impl From<&Selection> for v1::Selection {
    fn from(selection: &Selection) -> Self {
        let (mode, objects) = match selection {
            Selection::All => (selection::Mode::All, [].as_slice()),
            Selection::Only(objects) => (selection::Mode::Only, objects.as_slice()),
            Selection::Except(objects) => (selection::Mode::Except, objects.as_slice()),
        };
        let object = |object: &ObjectSelection| v1::ObjectSelection {
            table: object.table.clone(),
            partitions: object.partitions.clone(),
            alias: object.alias.clone(),
        };
        Self { mode: mode.into(), objects: objects.iter().map(object).collect() }
    }
}

fn selection(wire: Option<v1::Selection>, at: At<'_>) -> Result<Selection, Failure> {
    let wire = wire.ok_or_else(|| at.missing("a mode and tables"))?;
    let objects = list(wire.objects, at, "objects", object_selection)?;
    match (selection::Mode::try_from(wire.mode), objects.len()) {
        (Ok(selection::Mode::All), 0) => Ok(Selection::All),
        (Ok(selection::Mode::All), count) => {
            Err(at.field("objects").refuse(format_args!("has {count} items: expected none, everything is selected")))
        }
        (Ok(selection::Mode::Only | selection::Mode::Except), 0) => {
            Err(at.field("objects").missing("at least one table"))
        }
        (Ok(selection::Mode::Only), _) => Ok(Selection::Only(objects)),
        (Ok(selection::Mode::Except), _) => Ok(Selection::Except(objects)),
        (Ok(selection::Mode::Unspecified) | Err(_), _) => {
            let expected = "MODE_ALL, MODE_ONLY or MODE_EXCEPT";
            Err(at.field("mode").refuse(format_args!("is {}: expected {expected}", wire.mode)))
        }
    }
}

fn object_selection(wire: v1::ObjectSelection, at: At<'_>) -> Result<ObjectSelection, Failure> {
    Ok(ObjectSelection {
        table: text(wire.table, at.field("table"))?,
        partitions: list(wire.partitions, at, "partitions", text)?,
        alias: optional_text(wire.alias, at.field("alias"))?,
    })
}

impl From<JobKind> for v1::JobKind {
    fn from(kind: JobKind) -> Self {
        match kind {
            JobKind::Backup => Self::Backup,
            JobKind::Restore => Self::Restore,
        }
    }
}

impl TryFrom<v1::JobKind> for JobKind {
    type Error = Failure;

    fn try_from(wire: v1::JobKind) -> Result<Self, Failure> {
        job_kind(wire.into(), At::root("kind"))
    }
}

pub(super) fn job_kind(wire: i32, at: At<'_>) -> Result<JobKind, Failure> {
    match v1::JobKind::try_from(wire) {
        Ok(v1::JobKind::Backup) => Ok(JobKind::Backup),
        Ok(v1::JobKind::Restore) => Ok(JobKind::Restore),
        Ok(v1::JobKind::Unspecified) | Err(_) => {
            Err(at.refuse(format_args!("is {wire}: expected JOB_KIND_BACKUP or JOB_KIND_RESTORE")))
        }
    }
}

impl From<&CancelRequest> for v1::CancelRequest {
    fn from(request: &CancelRequest) -> Self {
        Self {
            kind: v1::JobKind::from(request.kind).into(),
            database: request.database.clone(),
            label: request.label.clone(),
        }
    }
}

impl TryFrom<v1::CancelRequest> for CancelRequest {
    type Error = Failure;

    fn try_from(wire: v1::CancelRequest) -> Result<Self, Failure> {
        let at = At::root("cancel");
        Ok(Self {
            kind: job_kind(wire.kind, at.field("kind"))?,
            database: text(wire.database, at.field("database"))?,
            label: optional_text(wire.label, at.field("label"))?,
        })
    }
}

impl From<&CreateRepositoryRequest> for v1::CreateRepositoryRequest {
    fn from(request: &CreateRepositoryRequest) -> Self {
        Self {
            name: request.name.clone(),
            location: request.location.clone(),
            properties: exposed(&request.properties),
            broker: request.broker.clone(),
            read_only: request.read_only,
        }
    }
}

impl TryFrom<v1::CreateRepositoryRequest> for CreateRepositoryRequest {
    type Error = Failure;

    fn try_from(wire: v1::CreateRepositoryRequest) -> Result<Self, Failure> {
        let at = At::root("create_repository");
        Ok(Self {
            name: text(wire.name, at.field("name"))?,
            location: text(wire.location, at.field("location"))?,
            properties: hidden(wire.properties),
            broker: optional_text(wire.broker, at.field("broker"))?,
            read_only: wire.read_only,
        })
    }
}

impl From<&CreateTableRequest> for v1::CreateTableRequest {
    fn from(request: &CreateTableRequest) -> Self {
        Self {
            database: request.database.clone(),
            table: Some((&request.table).into()),
            partitions: request.partitions.iter().map(v1::PartitionDef::from).collect(),
            if_not_exists: request.if_not_exists,
        }
    }
}

impl TryFrom<v1::CreateTableRequest> for CreateTableRequest {
    type Error = Failure;

    fn try_from(wire: v1::CreateTableRequest) -> Result<Self, Failure> {
        let at = At::root("create_table");
        Ok(Self {
            database: text(wire.database, at.field("database"))?,
            table: table_def(wire.table, at.field("table"))?,
            partitions: list(wire.partitions, at, "partitions", partition_def)?,
            if_not_exists: wire.if_not_exists,
        })
    }
}

impl From<&LoadRequest> for v1::LoadRequest {
    fn from(request: &LoadRequest) -> Self {
        Self {
            database: request.database.clone(),
            table: request.table.clone(),
            partition: request.partition.clone(),
            source: Some((&request.source).into()),
            create: request.create,
            buckets: request.buckets,
            replication_num: request.replication_num,
        }
    }
}

impl TryFrom<v1::LoadRequest> for LoadRequest {
    type Error = Failure;

    fn try_from(wire: v1::LoadRequest) -> Result<Self, Failure> {
        let at = At::root("load");
        let replicas = at.field("replication_num");
        Ok(Self {
            database: text(wire.database, at.field("database"))?,
            table: text(wire.table, at.field("table"))?,
            partition: optional_text(wire.partition, at.field("partition"))?,
            source: storage_access(wire.source, at.field("source"))?,
            create: wire.create,
            buckets: wire.buckets.map(|buckets| positive(buckets, at.field("buckets"))).transpose()?,
            replication_num: wire.replication_num.map(|number| positive(number, replicas)).transpose()?,
        })
    }
}

impl From<LoadSummary> for v1::LoadResponse {
    fn from(summary: LoadSummary) -> Self {
        Self { version: summary.version.0, files: summary.files, bytes: summary.bytes }
    }
}

impl TryFrom<v1::LoadResponse> for LoadSummary {
    type Error = Failure;

    fn try_from(wire: v1::LoadResponse) -> Result<Self, Failure> {
        let version = positive(wire.version, At::root("loaded").field("version")).map(Version)?;
        Ok(Self { version, files: wire.files, bytes: wire.bytes })
    }
}

impl From<&ExportRequest> for v1::ExportRequest {
    fn from(request: &ExportRequest) -> Self {
        Self {
            database: request.database.clone(),
            table: request.table.clone(),
            partition: request.partition.clone(),
            target: Some((&request.target).into()),
        }
    }
}

impl TryFrom<v1::ExportRequest> for ExportRequest {
    type Error = Failure;

    fn try_from(wire: v1::ExportRequest) -> Result<Self, Failure> {
        let at = At::root("export");
        Ok(Self {
            database: text(wire.database, at.field("database"))?,
            table: text(wire.table, at.field("table"))?,
            partition: optional_text(wire.partition, at.field("partition"))?,
            target: storage_access(wire.target, at.field("target"))?,
        })
    }
}

impl From<ExportSummary> for v1::ExportResponse {
    fn from(summary: ExportSummary) -> Self {
        Self { files: summary.files, bytes: summary.bytes }
    }
}

impl From<v1::ExportResponse> for ExportSummary {
    fn from(wire: v1::ExportResponse) -> Self {
        Self { files: wire.files, bytes: wire.bytes }
    }
}

#[cfg(test)]
mod tests;
