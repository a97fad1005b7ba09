//! One value of every kind of object. The frozen fixtures hold exactly these: values are added, never changed.

use std::collections::BTreeMap;

use tabvault_common::clock::Time;
use tabvault_common::compression::Compression;
use tabvault_common::digest::Digest;
use tabvault_common::failure::Failure;
use tabvault_common::ids::{
    ClusterId, Epoch, JobId, JobUuid, Lineage, SchemaHash, TabletId, TabletIdentity, TaskId, Version,
};
use tabvault_common::repo::codec::{BlockEncoder, StreamEncoder, Sums};
use tabvault_common::repo::info::{
    BackupType, Content, Info, InfoTable, JobIdentity, SnapshotName, SnapshotObject, Tombstone, Totals,
};
use tabvault_common::repo::intent::Intent;
use tabvault_common::repo::manifest::{
    EncodedManifest, FileLocation, ManifestFile, ManifestHeader, ManifestTablet, ManifestWriter,
};
use tabvault_common::repo::meta::{EncodedMeta, IndexMeta, MetaHeader, MetaWriter, PartitionMeta, TabletMeta};
use tabvault_common::repo::pack::{Pack, PackBuilder};
use tabvault_common::repo::repo_info::{Ownership, RepoInfo};
use tabvault_common::repo::{FORMAT_VERSION, layout};
use tabvault_common::schema::{
    Column, IndexDef, KeyType, PartitionDef, PartitionRange, PartitionValue, Partitioning, TableDef, ViewDef,
};
use uuid::Uuid;

pub(crate) fn job() -> JobUuid {
    JobUuid(Uuid::from_u128(0x0f1e_2d3c_4b5a_4978_8695_a4b3_c2d1_e0f0))
}

pub(crate) fn cluster() -> ClusterId {
    ClusterId(Uuid::from_u128(0x1111_1111_2222_4333_8444_5555_5555_5555))
}

pub(crate) fn lineage() -> Lineage {
    Lineage(Uuid::from_u128(0xaaaa_aaaa_bbbb_4ccc_8ddd_eeee_eeee_eeee))
}

pub(crate) fn repo_info() -> RepoInfo {
    RepoInfo {
        format_version: FORMAT_VERSION,
        uuid: Uuid::from_u128(0x9999_9999_8888_4777_8666_5555_4444_3333),
        name: "backups".to_owned(),
        create_time: Time(1_753_970_000_000).into(),
        ownership: Ownership::OneCluster(cluster()),
    }
}

pub(crate) fn intent() -> Result<Intent, Failure> {
    Ok(Intent {
        format_version: FORMAT_VERSION,
        job: JobUuid(Uuid::from_u128(0x7777_7777_6666_4555_8444_3333_3333_3333)),
        cluster: cluster(),
        epoch: Epoch(5),
        label: "nightly:2".parse()?,
        repository: "backups".to_owned(),
        time: Time(1_753_980_000_000).into(),
        parent: Some(info()?),
    })
}

pub(crate) fn info() -> Result<Info, Failure> {
    let (meta, manifest) = (meta()?, manifest()?);
    Ok(Info {
        format_version: FORMAT_VERSION,
        job: JobIdentity { uuid: job(), id: JobId(42), cluster: cluster(), epoch: Epoch(3) },
        label: "nightly:1".parse()?,
        timestamp: "2025-07-31-14-02-01-042".parse()?,
        database: "shop".to_owned(),
        backup_type: BackupType::Incremental,
        content: Content::All,
        compression: Compression::Balanced,
        parent: Some(SnapshotName { label: "nightly:0".parse()?, timestamp: "2025-07-30-14-02-01-007".parse()? }),
        create_time: Time(1_753_970_400_000).into(),
        snapshot_time: Time(1_753_970_460_500).into(),
        finish_time: Time(1_753_970_521_042).into(),
        objects: vec![InfoTable { table: "orders".to_owned(), partitions: vec!["p1".to_owned()] }],
        views: vec!["recent \"orders\" ä".to_owned()],
        totals: Totals {
            tables: 1,
            partitions: 1,
            tablets: 2,
            files: manifest.totals.files,
            bytes: manifest.totals.bytes,
            stored_bytes: manifest.totals.stored_bytes,
            packs: manifest.totals.packs,
            objects: manifest.totals.objects,
        },
        meta: meta.reference(),
        manifests: vec![manifest.reference()],
    })
}

pub(crate) fn snapshot() -> Result<SnapshotObject, Failure> {
    Ok(SnapshotObject::Snapshot(info()?))
}

pub(crate) fn tombstone() -> SnapshotObject {
    SnapshotObject::Tombstone(Tombstone {
        format_version: FORMAT_VERSION,
        job: job(),
        cluster: cluster(),
        time: Time(1_753_990_000_000).into(),
        reason: "dropped by root".to_owned(),
    })
}

/// What the small files of the sample contain: one that compresses, one that does not, an empty one.
pub(crate) fn small_files() -> [Vec<u8>; 3] {
    let noise = (0u32..200).flat_map(|i| *Digest::of(&i.to_le_bytes()).as_bytes()).take(300).collect();
    [b"rows of a segment; ".repeat(100), noise, Vec::new()]
}

/// What the large file of the sample contains.
pub(crate) fn large_file() -> Vec<u8> {
    (0u32..9000).flat_map(|i| [i.to_le_bytes(), (i / 7).to_le_bytes()]).flatten().collect()
}

pub(crate) fn pack() -> Result<Pack, Failure> {
    let mut builder = PackBuilder::new(layout::PACK_TARGET, layout::PACK_MAX);
    let mut encoder = BlockEncoder::new(Compression::Balanced);
    for plain in small_files() {
        let block = encoder.encode(&plain);
        builder.push(block.stored, &block.sums)?;
    }
    builder.finish()
}

pub(crate) fn header() -> ManifestHeader {
    ManifestHeader {
        format_version: FORMAT_VERSION,
        job: job(),
        task: TaskId(7),
        attempt: 1,
        table: "orders".to_owned(),
        partition: "p1".to_owned(),
        compression: Compression::Balanced,
    }
}

pub(crate) fn tablet(number: u64, position: u32) -> ManifestTablet {
    ManifestTablet {
        identity: TabletIdentity {
            cluster: cluster(),
            tablet: TabletId(number),
            lineage: lineage(),
            version: Version(9),
        },
        index: "orders".to_owned(),
        position,
        schema_hash: SchemaHash(0xdead_beef),
        files: 0,
        bytes: 0,
    }
}

pub(crate) fn manifest() -> Result<EncodedManifest, Failure> {
    let mut writer = ManifestWriter::new(&header())?;
    let mut builder = PackBuilder::new(layout::PACK_TARGET, layout::PACK_MAX);
    let mut placed = Vec::new();
    let mut encoder = BlockEncoder::new(Compression::Balanced);
    for plain in small_files() {
        let block = encoder.encode(&plain);
        placed.push((block.sums, builder.push(block.stored, &block.sums)?));
    }
    let declaration = builder.finish()?.declaration(job());
    writer.pack(&declaration)?;
    let in_pack = |n: usize, path: &str| {
        let at = FileLocation::Pack { pack: declaration.path.clone(), offset: placed[n].1 };
        ManifestFile::new(path, &placed[n].0, at)
    };
    let large = large_object()?.0;
    let object = FileLocation::Object { object: layout::object(job(), TaskId(7), 1, 0, true) };
    let files = vec![in_pack(0, "header"), ManifestFile::new("data/0.dat", &large, object), in_pack(1, "data/1.dat")];
    writer.whole_tablet(tablet(1001, 0), files)?;
    writer.whole_tablet(tablet(1002, 1), vec![in_pack(2, "header")])?;
    writer.finish()
}

/// The large file as it is stored.
pub(crate) fn large_object() -> Result<(Sums, Vec<u8>), Failure> {
    let plain = large_file();
    let mut stored = Vec::new();
    let mut encoder = StreamEncoder::new(Compression::Balanced, plain.len() as u64)?;
    encoder.push(&plain, &mut stored)?;
    Ok((encoder.finish(&mut stored)?, stored))
}

pub(crate) fn table() -> TableDef {
    let column = |name: &str, data_type: &str, nullable| Column {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        nullable,
        default: nullable.then(|| "0".to_owned()),
        aggregation: None,
        comment: String::new(),
    };
    TableDef {
        name: "orders".to_owned(),
        columns: vec![column("day", "DATE", false), column("amount", "BIGINT", true)],
        key_type: KeyType::Duplicate,
        keys: vec!["day".to_owned()],
        partitioning: Partitioning::Range(vec!["day".to_owned()]),
        distribution: vec!["day".to_owned()],
        buckets: 2,
        replication_num: 3,
        indexes: vec![IndexDef {
            name: "orders".to_owned(),
            columns: vec!["day".to_owned(), "amount".to_owned()],
            schema_hash: SchemaHash(0xdead_beef),
        }],
        properties: BTreeMap::from([("dynamic_partition.enable".to_owned(), "true".to_owned())]),
        comment: "what was \"ordered\"".to_owned(),
    }
}

pub(crate) fn partition() -> PartitionMeta {
    let tablet = |number, files, bytes| TabletMeta {
        tablet: TabletId(number),
        lineage: lineage(),
        manifest: Some(0),
        files,
        bytes,
        shown: None,
    };
    PartitionMeta {
        table: "orders".to_owned(),
        def: PartitionDef {
            name: "p1".to_owned(),
            range: PartitionRange::Range {
                lower: vec![PartitionValue::Min],
                upper: vec![PartitionValue::Literal("2025-08-01".to_owned())],
            },
            buckets: 2,
            replication_num: 3,
        },
        visible_version: Version(9),
        version_time: Time(1_753_970_300_000),
        indexes: vec![IndexMeta {
            name: "orders".to_owned(),
            schema_hash: SchemaHash(0xdead_beef),
            tablets: vec![tablet(1001, 3, 74_200), tablet(1002, 1, 0)],
        }],
    }
}

pub(crate) fn view() -> ViewDef {
    ViewDef { name: "recent \"orders\" ä".to_owned(), text: "CREATE VIEW recent AS\nSELECT * FROM orders".to_owned() }
}

pub(crate) fn meta_header() -> Result<MetaHeader, Failure> {
    Ok(MetaHeader {
        format_version: FORMAT_VERSION,
        job: job(),
        label: "nightly:1".parse()?,
        database: "shop".to_owned(),
    })
}

pub(crate) fn meta() -> Result<EncodedMeta, Failure> {
    let mut writer = MetaWriter::new(&meta_header()?)?;
    writer.push_table(&table())?;
    writer.push_partition(&partition())?;
    writer.push_view(&view())?;
    writer.finish()
}
