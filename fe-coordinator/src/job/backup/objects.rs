//! What a backup writes into the repository, and the tasks it sends: pure functions of the stored records, so that any
//! later leader builds the same.

use std::collections::BTreeMap;

use tabvault_common::access::StorageAccess;
use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{Epoch, PartitionId, TabletIdentity};
use tabvault_common::label::SnapshotTimestamp;
use tabvault_common::repo::FORMAT_VERSION;
use tabvault_common::repo::info::{Info, InfoTable, JobIdentity, ManifestRef, ObjectRef, SnapshotObject, Totals};
use tabvault_common::repo::intent::Intent;
use tabvault_common::repo::meta::{EncodedMeta, IndexMeta, MetaHeader, MetaWriter, PartitionMeta, TabletMeta};
use tabvault_common::task::{MakeSnapshot, Release, TabletVersion, Task, TaskBody, TaskKey, Upload, UploadTablet};

use super::{BackupJob, DONE, Plan, Row, Stage};
use crate::catalog::{CutPartition, CutTable};

impl BackupJob {
    /// The task that a row's present stage asks for, with `repository` as the agents reach it.
    #[must_use]
    pub fn task(&self, row: &Row, epoch: Epoch, repository: StorageAccess) -> Option<Task> {
        let body = match row.stage {
            Stage::Snapshot => TaskBody::MakeSnapshot(MakeSnapshot { tablets: versions(row) }),
            Stage::Snapshotted => TaskBody::Upload(self.upload(row, repository)?),
            Stage::Uploaded(_) | Stage::Described => return None,
        };
        let key = TaskKey { job: self.head.uuid, task: row.task, attempt: row.attempt };
        Some(Task { key, epoch, body })
    }

    /// The task that lets go of a row's snapshots.
    #[must_use]
    pub fn release(&self, row: &Row, epoch: Epoch) -> Task {
        let key = TaskKey { job: self.head.uuid, task: row.task, attempt: row.attempt + 1 };
        Task { key, epoch, body: TaskBody::Release(Release { tablets: versions(row) }) }
    }

    fn upload(&self, row: &Row, repository: StorageAccess) -> Option<Upload> {
        let (table, partition) = self.find(row.partition)?;
        let tablets = row.tablets.iter().map(|tablet| {
            let identity = TabletIdentity {
                cluster: self.head.cluster,
                tablet: tablet.tablet,
                lineage: tablet.lineage,
                version: row.version,
            };
            let index = table.def.indexes.get(tablet.index as usize).map(|index| index.name.clone());
            Some(UploadTablet { identity, index: index?, position: tablet.position, schema_hash: tablet.schema_hash })
        });
        Some(Upload {
            repository,
            table: table.def.name.clone(),
            partition: partition.def.name.clone(),
            compression: self.head.properties.compression,
            max_pack: self.head.properties.max_file_size,
            tablets: tablets.collect::<Option<_>>()?,
            parents: row.parents.clone(),
        })
    }

    pub(super) fn find(&self, partition: PartitionId) -> Option<(&CutTable, &CutPartition)> {
        let (table, place) = self.places.get(&partition)?;
        let table = self.plan.as_ref()?.cut.tables.get(*table)?;
        Some((table, table.partitions.get(*place)?))
    }

    /// The intent, as this leadership writes it, with the info of the head's `parent`.
    #[must_use]
    pub fn intent(&self, epoch: Epoch, now: Time, parent: Option<Info>) -> Intent {
        Intent {
            format_version: FORMAT_VERSION,
            job: self.head.uuid,
            cluster: self.head.cluster,
            epoch,
            label: self.head.label.clone(),
            repository: self.head.repository.clone(),
            time: now.into(),
            parent,
        }
    }

    /// The manifests in the order in which meta and info count them: by task.
    fn manifests(&self) -> Vec<ManifestRef> {
        let of = |row: &Row| match &row.stage {
            Stage::Uploaded(manifest) => Some(*manifest),
            Stage::Snapshot | Stage::Snapshotted | Stage::Described => None,
        };
        let mut found = Vec::with_capacity(self.rows.count_in(DONE));
        found.extend(self.rows.values().filter_map(of));
        found
    }

    /// The meta object.
    ///
    /// # Errors
    /// `Internal` when the catalog's answers contradict each other: tablets missing, indexes unknown.
    pub fn meta(&self) -> Result<EncodedMeta, Failure> {
        let plan = self.plan()?;
        let mut writer = MetaWriter::new(&MetaHeader {
            format_version: FORMAT_VERSION,
            job: self.head.uuid,
            label: self.head.label.clone(),
            database: self.head.database.clone(),
        })?;
        let mut rows: BTreeMap<PartitionId, Vec<(&Row, Option<u32>)>> = BTreeMap::new();
        let mut manifests = 0_u32;
        for row in self.rows.values() {
            let manifest = matches!(row.stage, Stage::Uploaded(_)).then_some(manifests);
            manifests += u32::from(manifest.is_some());
            rows.entry(row.partition).or_default().push((row, manifest));
        }
        for table in &plan.cut.tables {
            writer.push_table(&table.def)?;
            for partition in &table.partitions {
                let rows = rows.get(&partition.id).map_or(&[][..], Vec::as_slice);
                writer.push_partition(&partition_meta(table, partition, rows)?)?;
            }
        }
        for view in &plan.cut.views {
            writer.push_view(view)?;
        }
        writer.finish()
    }

    /// The info object, as this leadership writes it.
    ///
    /// # Errors
    /// `Internal` when the job has not come so far.
    pub fn info(&self, epoch: Epoch, now: Time) -> Result<Info, Failure> {
        let (Some(meta), Some(timestamp)) = (self.head.meta, self.head.timestamp.clone()) else {
            return Err(Failure::fatal(Kind::Internal, "write an info before the meta"));
        };
        self.info_with(meta, timestamp, epoch, now)
    }

    /// The info as it would be with this meta and name.
    ///
    /// # Errors
    /// `Internal` when the job has no plan.
    pub fn info_with(
        &self,
        meta: ObjectRef,
        timestamp: SnapshotTimestamp,
        epoch: Epoch,
        now: Time,
    ) -> Result<Info, Failure> {
        let plan = self.plan()?;
        let manifests = self.manifests();
        let mut totals = Totals { tables: plan.cut.tables.len() as u64, ..Totals::default() };
        totals.partitions = plan.cut.tables.iter().map(|table| table.partitions.len() as u64).sum();
        totals.tablets = self.rows.values().map(|row| row.tablets.len() as u64).sum();
        for manifest in &manifests {
            totals.files += manifest.files;
            totals.bytes += manifest.bytes;
            totals.stored_bytes += manifest.stored_bytes;
            totals.packs += manifest.packs;
            totals.objects += manifest.objects;
        }
        let objects = plan.cut.tables.iter().map(|table| InfoTable {
            table: table.def.name.clone(),
            partitions: table.partitions.iter().map(|partition| partition.def.name.clone()).collect(),
        });
        Ok(Info {
            format_version: FORMAT_VERSION,
            job: JobIdentity { uuid: self.head.uuid, id: self.head.id, cluster: self.head.cluster, epoch },
            label: self.head.label.clone(),
            timestamp,
            database: self.head.database.clone(),
            backup_type: self.head.properties.backup_type,
            content: self.head.properties.content,
            compression: self.head.properties.compression,
            parent: self.head.parent.clone(),
            create_time: self.head.create_time.into(),
            snapshot_time: self.head.snapshot_finished_time.unwrap_or(self.head.create_time).into(),
            finish_time: now.into(),
            objects: objects.collect(),
            views: plan.cut.views.iter().map(|view| view.name.clone()).collect(),
            totals,
            meta,
            manifests,
        })
    }

    /// Refuses, before the commit, an info that no reader would take.
    ///
    /// # Errors
    /// `ResourceExhausted` naming the size.
    pub fn check_info_size(info: Info) -> Result<(), Failure> {
        let bytes = SnapshotObject::Snapshot(info).encode()?.len() as u64;
        if bytes <= tabvault_common::repo::layout::MAX_INFO_SIZE {
            return Ok(());
        }
        let why = format!("the info of the snapshot would have {bytes} bytes: back up fewer tables at a time");
        Err(Failure::fatal(Kind::ResourceExhausted, why))
    }

    fn plan(&self) -> Result<&Plan, Failure> {
        self.plan.as_ref().ok_or_else(|| Failure::fatal(Kind::Internal, "the job has no plan"))
    }
}

fn versions(row: &Row) -> Vec<TabletVersion> {
    let one =
        |t: &super::RowTablet| TabletVersion { tablet: t.tablet, version: row.version, schema_hash: t.schema_hash };
    row.tablets.iter().map(one).collect()
}

fn partition_meta(
    table: &CutTable,
    partition: &CutPartition,
    rows: &[(&Row, Option<u32>)],
) -> Result<PartitionMeta, Failure> {
    let mut tablets: BTreeMap<(u32, u32), TabletMeta> = BTreeMap::new();
    for (row, manifest) in rows {
        for t in &row.tablets {
            let meta = TabletMeta {
                tablet: t.tablet,
                lineage: t.lineage,
                manifest: *manifest,
                files: t.files,
                bytes: t.bytes,
                shown: t.shown,
            };
            tablets.insert((t.index, t.position), meta);
        }
    }
    let indexes = table.def.indexes.iter().zip(0_u32..).map(|(index, n)| IndexMeta {
        name: index.name.clone(),
        schema_hash: index.schema_hash,
        tablets: tablets.range((n, 0)..=(n, u32::MAX)).map(|(_, tablet)| *tablet).collect(),
    });
    let first = rows.first().map(|(row, _)| (row.version, row.version_time));
    let (visible_version, version_time) = first.unwrap_or((partition.visible_version, partition.version_time));
    Ok(PartitionMeta {
        table: table.def.name.clone(),
        def: partition.def.clone(),
        visible_version,
        version_time,
        indexes: indexes.collect(),
    })
}
