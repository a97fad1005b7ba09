//! An export to remote storage: regular files become objects under the prefix.
//!
//! Objects have no permissions, times or links, and directories are only parts of names: what cannot be said so is
//! refused before anything is written. Storage has no rename, so the objects appear one by one; as long as the object
//! `.tabvault-export-<export>` is among them, they are not all there.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use tabvault_broker::storage::{ObjectWriter, Storage};
use tabvault_common::digest::{Digest, Hasher};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::JobUuid;
use tabvault_common::task::ExportTablet;
use tokio::io::AsyncReadExt;

use super::super::Inner;
use super::super::entry::Entry;
use super::super::parallel::{BUFFER, IN_FLIGHT, blocking};
use super::{Item, corrupt, part, unreadable};
use crate::progress::Progress;
use crate::store::Result;

/// Objects deleted by one call.
const DELETE_BATCH: usize = 500;

fn marker(job: JobUuid) -> String {
    format!(".tabvault-export-{job}")
}

/// Writes what is visible in `tablets`. Answers with files and bytes.
pub(super) async fn write(
    storage: &Arc<dyn Storage>,
    inner: &Arc<Inner>,
    job: JobUuid,
    tablets: &[ExportTablet],
    progress: &Arc<Progress>,
) -> Result<(u64, u64)> {
    let mut objects = Vec::new();
    for wanted in tablets {
        let (inner, wanted) = (inner.clone(), wanted.clone());
        objects.extend(blocking(move |_| as_objects(part(&inner, &wanted)?.items)).await?);
    }
    claim(storage, job).await?;
    let (files, bytes) = (objects.len() as u64, objects.iter().map(|(_, item)| item.entry.size()).sum());
    progress.add_total(bytes);
    let writes = stream::iter(objects).map(|(name, item)| put(storage, name, item, progress));
    let mut writes = writes.buffer_unordered(IN_FLIGHT);
    while let Some(()) = writes.try_next().await? {}
    Ok((files, bytes))
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
            Entry::File { .. } => match String::from_utf8(item.path.as_bytes().to_vec()) {
                Ok(name) => objects.push((name, item)),
                Err(_) => return Err(refused(&item, "named by bytes that are not UTF-8")),
            },
        }
    }
    Ok(objects)
}

/// Refuses a prefix under which there is anything that is not of this export, and marks it as unfinished.
async fn claim(storage: &Arc<dyn Storage>, job: JobUuid) -> Result<()> {
    let marker = marker(job);
    if storage.stat(&marker).await?.is_some() {
        return Ok(());
    }
    if let Some(there) = storage.list("").await?.try_next().await?
        // Another agent of this export may have been faster: its mark came before its objects.
        && storage.stat(&marker).await?.is_none()
    {
        let message = format!("it is not empty, there is `{}`: name a prefix under which nothing is", there.path);
        return Err(Failure::fatal(Kind::AlreadyExists, message));
    }
    storage.put(&marker, Bytes::from_static(b"an export is under way or was given up\n")).await
}

async fn put(storage: &Arc<dyn Storage>, name: String, item: Item, progress: &Progress) -> Result<()> {
    let Entry::File { size, digest, .. } = item.entry else { return Ok(()) };
    let mut writer = storage.writer(&name, Some(size)).await?;
    match copy(writer.as_mut(), &item, digest, progress).await {
        Ok(()) => writer.close().await,
        Err(failure) => {
            if let Err(error) = writer.abort().await {
                tracing::warn!(object = name, failure = %error, "leave parts of an object behind");
            }
            Err(failure)
        }
    }
}

async fn copy(writer: &mut dyn ObjectWriter, item: &Item, digest: Digest, progress: &Progress) -> Result<()> {
    let data = item.data.as_deref().unwrap_or(item.path.as_path());
    let mut source = tokio::fs::File::open(data).await.map_err(|error| unreadable(item, &error))?;
    let mut hasher = Hasher::new();
    loop {
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

/// Says that all objects are there.
pub(super) async fn publish(storage: &Arc<dyn Storage>, job: JobUuid) -> Result<()> {
    storage.delete(&[marker(job)]).await
}

/// Removes all objects, if the export marked the prefix as its own.
pub(super) async fn discard(storage: &Arc<dyn Storage>, job: JobUuid) -> Result<()> {
    let marker = marker(job);
    if storage.stat(&marker).await?.is_none() {
        return Ok(());
    }
    let mut objects = storage.list("").await?.try_chunks(DELETE_BATCH);
    while let Some(chunk) = objects.try_next().await.map_err(|error| error.1)? {
        // The mark last: it is what allows this to be done again.
        let paths: Vec<String> = chunk.into_iter().map(|object| object.path).filter(|path| *path != marker).collect();
        storage.delete(&paths).await?;
    }
    storage.delete(&[marker]).await
}
