//! An export to remote storage: regular files become objects under the prefix.
//!
//! Objects have no permissions, times or links, and directories are only parts of names: what cannot be said so is
//! refused before anything is written. Storage has no rename, so the objects appear one by one; as long as there are
//! marks of a [`claim`](super::claim) among them, they are not all there.

use std::collections::HashSet;
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use tabvault_broker::storage::{ObjectWriter, Storage};
use tabvault_common::digest::{Digest, Hasher};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::task::ExportTablet;
use tokio::io::AsyncReadExt;

use super::super::Inner;
use super::super::entry::Entry;
use super::super::parallel::{BUFFER, IN_FLIGHT, Stop, blocking};
use super::claim::{Claim, MARK};
use super::{Item, corrupt, part, unreadable};
use crate::memory::Memory;
use crate::progress::Progress;
use crate::store::Result;

/// Bytes that writing an object of `size` bytes to `storage` holds: a buffer being read, one being written, and the
/// writer's.
pub(super) fn buffers(storage: &dyn Storage, size: u64) -> u64 {
    2 * BUFFER as u64 + storage.writer_memory(Some(size))
}

/// Writes what is visible in `tablets`, with `memory` for the buffers. Answers with files and bytes.
///
/// Not to be dropped before it has ended, only stopped: what is on its way must not arrive after a discard.
pub(super) async fn write(
    storage: &Arc<dyn Storage>,
    claim: &Claim,
    inner: &Arc<Inner>,
    tablets: &[ExportTablet],
    (progress, memory, stop): (&Progress, &Memory, &Stop),
) -> Result<(u64, u64)> {
    let mut objects = Vec::new();
    for wanted in tablets {
        objects.extend(read(inner, wanted).await?);
    }
    stop.check()?;
    claim.take().await?;
    let (files, bytes) = (objects.len() as u64, objects.iter().map(|(_, item)| item.entry.size()).sum());
    progress.add_total(bytes);
    // After a failure the others end by themselves.
    let failed = Stop::default();
    let check = || stop.check().and_then(|()| failed.check());
    let writes = stream::iter(objects).map(|(name, item)| async {
        let size = item.entry.size();
        check()?;
        let _buffers = memory.reserve(buffers(&**storage, size)).await?;
        put(storage, name, item, progress, check).await
    });
    let mut writes = writes.buffer_unordered(IN_FLIGHT);
    let mut outcome = Ok(());
    while let Some(written) = writes.next().await {
        if let Err(failure) = written {
            failed.set();
            outcome = outcome.and(Err(failure));
        }
    }
    outcome?;
    claim.check().await?;
    Ok((files, bytes))
}

/// The names of all objects that [`write`] may have made of `tablets`.
pub(super) async fn names(inner: &Arc<Inner>, tablets: &[ExportTablet]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for wanted in tablets {
        names.extend(read(inner, wanted).await?.into_iter().map(|(name, _)| name));
    }
    Ok(names)
}

async fn read(inner: &Arc<Inner>, wanted: &ExportTablet) -> Result<Vec<(String, Item)>> {
    let (inner, wanted) = (inner.clone(), wanted.clone());
    blocking(move |_| as_objects(part(&inner, &wanted)?.items)).await
}

/// The objects' names with what goes into them.
///
/// # Errors
/// `Unsupported` naming the first entry that no object can stand for.
fn as_objects(items: Vec<Item>) -> Result<Vec<(String, Item)>> {
    let used: HashSet<Vec<u8>> = items.iter().flat_map(|item| item.path.ancestors().map(<[u8]>::to_vec)).collect();
    let refused = |item: &Item, what: &str| {
        let message = format!("`{}` is {what}, which object storage cannot hold: export to a directory", item.path);
        Failure::fatal(Kind::Unsupported, message)
    };
    let mut objects = Vec::new();
    for item in items {
        match &item.entry {
            Entry::Symlink { .. } => return Err(refused(&item, "a symbolic link")),
            Entry::Directory { empty: true, .. } if !used.contains(item.path.as_bytes()) => {
                return Err(refused(&item, "an empty directory"));
            }
            Entry::Directory { .. } | Entry::Gone { .. } => {}
            Entry::File { .. } if item.path.as_bytes().starts_with(MARK.as_bytes()) => {
                return Err(refused(&item, "named as the mark of an export is"));
            }
            Entry::File { .. } => match String::from_utf8(item.path.as_bytes().to_vec()) {
                Ok(name) => objects.push((name, item)),
                Err(_) => return Err(refused(&item, "named by bytes that are not UTF-8")),
            },
        }
    }
    Ok(objects)
}

async fn put(
    storage: &Arc<dyn Storage>,
    name: String,
    item: Item,
    progress: &Progress,
    check: impl Fn() -> Result<()>,
) -> Result<()> {
    let Entry::File { size, digest, .. } = item.entry else { return Ok(()) };
    let mut writer = storage.writer(&name, Some(size)).await?;
    match copy(writer.as_mut(), &item, digest, progress, check).await {
        Ok(()) => writer.close().await,
        Err(failure) => {
            if let Err(error) = writer.abort().await {
                tracing::warn!(object = name, failure = %error, "leave parts of an object behind");
            }
            Err(failure)
        }
    }
}

async fn copy(
    writer: &mut dyn ObjectWriter,
    item: &Item,
    digest: Digest,
    progress: &Progress,
    check: impl Fn() -> Result<()>,
) -> Result<()> {
    let data = item.data.as_deref().unwrap_or(item.path.as_path());
    let mut source = tokio::fs::File::open(data).await.map_err(|error| unreadable(item, &error))?;
    let mut hasher = Hasher::new();
    loop {
        check()?;
        let mut piece = vec![0; BUFFER];
        let count = source.read(&mut piece).await.map_err(|error| unreadable(item, &error))?;
        if count == 0 {
            break;
        }
        piece.truncate(count);
        hasher.update(&piece);
        writer.write(piece.into()).await?;
        progress.add_done(count as u64);
    }
    if hasher.finish() == digest { Ok(()) } else { Err(corrupt(item)) }
}
