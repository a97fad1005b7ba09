//! Reading the definitions of a snapshot, proven against its info.

use std::collections::HashMap;
use std::io::Cursor;

use bytes::Bytes;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::repo::info::{Content, Info, Totals};
use tabvault_common::repo::layout;
use tabvault_common::repo::meta::{MetaReader, MetaTotals, TabletMeta, WholeMeta};

use super::{Repository, Result};

impl Repository {
    /// All definitions of a snapshot, about 200 bytes per tablet.
    ///
    /// # Errors
    /// `Corrupt` naming the meta when it is missing, damaged or not what the info says; else what the storage says.
    pub async fn read_meta(&self, info: &Info) -> Result<WholeMeta> {
        let bytes = self.meta_bytes(info).await?;
        let info = info.clone();
        let parsed = tokio::task::spawn_blocking(move || {
            let meta = open(bytes, &info)?.read_whole()?;
            agree(&info, &meta).map_err(|what| damaged(&info, &what))?;
            Ok(meta)
        });
        parsed.await.unwrap_or_else(|error| {
            Err(Failure::transient(Kind::Internal, format!("read the meta of a snapshot: {error}")))
        })
    }

    /// The stored bytes of a snapshot's meta, not verified yet.
    pub(super) async fn meta_bytes(&self, info: &Info) -> Result<Bytes> {
        let size = info.meta.size;
        if size > layout::MAX_META_SIZE {
            return Err(damaged(info, &format!("it has {size} bytes, more than {}", layout::MAX_META_SIZE)));
        }
        self.storage.get(&info.meta.path(), size).await.map_err(|failure| match failure.kind {
            Kind::NotFound => damaged(info, "it is missing"),
            Kind::ResourceExhausted if failure.retry == Retry::Never => {
                damaged(info, &format!("it has more than {size} bytes"))
            }
            _ => self.doing("read the meta of a snapshot in", failure),
        })
    }
}

/// Reads what has been fetched of a snapshot's meta, and no more than the info says that it has.
pub(super) fn open(bytes: Bytes, info: &Info) -> Result<MetaReader<Cursor<Bytes>>> {
    let Totals { tables, partitions, tablets, .. } = info.totals;
    let most = MetaTotals { tables, partitions, tablets, views: info.views.len() as u64 };
    Ok(MetaReader::verified(bytes, &info.meta)?.at_most(most))
}

pub(super) fn damaged(info: &Info, what: &str) -> Failure {
    Failure::fatal(Kind::Corrupt, format!("{} is damaged: {what}", info.meta.path()))
}

/// Files and bytes of the tablets that claim to be in one manifest.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    tablets: u64,
    files: u64,
    bytes: u64,
}

/// Says where the meta is not what the info says of it: a restore that trusted either would lose tables or files.
fn agree(info: &Info, meta: &WholeMeta) -> std::result::Result<(), String> {
    let differs = |what: &str, meta: &dyn std::fmt::Display, info: &dyn std::fmt::Display| {
        Err(format!("it says {what} {meta}, the info says {info}"))
    };
    if meta.header.label != info.label {
        return differs("label", &meta.header.label, &info.label);
    }
    if meta.header.database != info.database {
        return differs("database", &meta.header.database, &info.database);
    }
    let views: Vec<&String> = meta.views.iter().map(|view| &view.name).collect();
    if !views.iter().copied().eq(info.views.iter()) {
        return Err("its views are not those of the info".to_owned());
    }
    let mut named: HashMap<&str, Vec<&str>> = HashMap::new();
    for table in &info.objects {
        let partitions = table.partitions.iter().map(String::as_str).collect();
        if named.insert(&table.table, partitions).is_some() {
            return Err(format!("the info names table {} twice", table.table));
        }
    }
    for table in &meta.tables {
        let mut partitions: Vec<&str> = table.partitions.iter().map(|partition| partition.def.name.as_str()).collect();
        let Some(mut known) = named.remove(table.def.name.as_str()) else {
            return Err(format!("it has table {}, the info has not", table.def.name));
        };
        partitions.sort_unstable();
        known.sort_unstable();
        if partitions != known {
            return Err(format!("table {} has other partitions in it than in the info", table.def.name));
        }
    }
    if let Some(table) = named.keys().next() {
        return Err(format!("it has no table {table}, the info has"));
    }
    data_agrees(info, meta)
}

fn data_agrees(info: &Info, meta: &WholeMeta) -> std::result::Result<(), String> {
    let Totals { tables, partitions, tablets, files, bytes, .. } = info.totals;
    let mut all = Sum::default();
    let mut manifests = vec![Sum::default(); info.manifests.len()];
    let parts = meta.tables.iter().flat_map(|table| &table.partitions);
    for tablet in parts.flat_map(|partition| &partition.indexes).flat_map(|index| &index.tablets) {
        add(&mut all, tablet);
        match (info.content, tablet.manifest) {
            (Content::MetadataOnly, None) => {}
            (Content::MetadataOnly, Some(_)) => {
                return Err(format!("tablet {} is in a manifest of a snapshot without data", tablet.tablet));
            }
            (Content::All, None) => return Err(format!("tablet {} is in no manifest", tablet.tablet)),
            (Content::All, Some(n)) => match usize::try_from(n).ok().and_then(|n| manifests.get_mut(n)) {
                Some(sum) => add(sum, tablet),
                None => return Err(format!("tablet {} is in manifest {n}, which the info has not", tablet.tablet)),
            },
        }
    }
    let counted = (
        meta.tables.len() as u64,
        meta.tables.iter().map(|table| table.partitions.len() as u64).sum::<u64>(),
        all.tablets,
    );
    if counted != (tables, partitions, tablets) {
        return Err(format!(
            "it has {} tables, {} partitions and {} tablets, the info says {tables}, {partitions} and {tablets}",
            counted.0, counted.1, counted.2
        ));
    }
    if info.content == Content::All && (all.files, all.bytes) != (files, bytes) {
        let Sum { files: has_files, bytes: has_bytes, .. } = all;
        return Err(format!(
            "its tablets have {has_files} files and {has_bytes} bytes, the info says {files} and {bytes}"
        ));
    }
    for (sum, manifest) in manifests.iter().zip(&info.manifests) {
        if *sum != (Sum { tablets: manifest.tablets, files: manifest.files, bytes: manifest.bytes }) {
            return Err(format!("its tablets in {} are not those that the info counts there", manifest.path()));
        }
    }
    Ok(())
}

fn add(sum: &mut Sum, tablet: &TabletMeta) {
    sum.tablets += 1;
    // A sum that overflows is wrong, and then it differs.
    sum.files = sum.files.wrapping_add(tablet.files);
    sum.bytes = sum.bytes.wrapping_add(tablet.bytes);
}
