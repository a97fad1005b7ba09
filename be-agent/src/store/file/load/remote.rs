//! A load from remote storage: objects are files. What a tree of files has and objects have not is made up: the
//! directories that lead to an object, mode 0644 for files and 0755 for directories; modification times there are none.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use tabvault_broker::storage::Storage;
use tabvault_common::digest::Hasher;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::task::LoadedTablet;
use tokio::io::AsyncWriteExt;

use super::super::entry::{Entry, Mode};
use super::super::parallel::{IN_FLIGHT, blocking};
use super::super::path::TreePath;
use super::batch::Batch;
use super::tally::Tally;
use crate::files::PIECE;
use crate::memory::Memory;
use crate::progress::Progress;
use crate::store::Result;

/// Bytes that reading all objects in flight holds.
pub(super) const BUFFERS: u64 = (IN_FLIGHT * PIECES * PIECE) as u64;

/// Pieces of one object: one that is written, its copy on the way to the disk, one that waits, one that is received.
const PIECES: usize = 4;

/// Bytes that reading an object of `size` bytes holds.
fn buffers(size: u64) -> u64 {
    PIECES as u64 * size.min(PIECE as u64)
}

/// What the listing says of a path of this agent's.
enum Listed {
    /// It leads to an object, or is marked as a directory.
    Directory,
    /// An object of this size.
    Object(u64),
}

/// Counts what of the listing is for this agent.
pub(super) async fn count(mut tally: Tally, storage: &Arc<dyn Storage>) -> Result<Tally> {
    let mut objects = storage.list("").await?;
    // Storages list in the order of names: the directories of one object are mostly those of the next.
    let mut last: Option<TreePath> = None;
    while let Some(object) = objects.try_next().await? {
        let path = tree_path(object.path.strip_suffix('/').unwrap_or(&object.path).as_bytes())?;
        for above in path.ancestors() {
            let counted = last.as_ref().is_some_and(|last| last.is_beneath(above));
            if !counted && tally.takes(above) {
                tally.add(above, 0)?;
            }
        }
        if tally.takes(path.as_bytes()) {
            tally.add(path.as_bytes(), 0)?;
        }
        last = Some(path);
    }
    Ok(tally)
}

/// Brings the objects of `storage` into the tablets of `batch`, with `memory` for the buffers.
pub(super) async fn load(
    batch: Batch,
    storage: &Arc<dyn Storage>,
    memory: &Memory,
    progress: &Arc<Progress>,
) -> Result<Vec<LoadedTablet>> {
    let mut batch = blocking(move |_| {
        let mut batch = batch;
        batch.prepare()?;
        Ok(batch)
    })
    .await?;
    let listed = list(&mut batch, storage).await?;
    let mut all = Vec::with_capacity(listed.len());
    // In the order of paths, so that replicas number their data files alike.
    for (path, listed) in listed {
        let mut entry = match listed {
            Listed::Directory => Entry::Directory { path, mode: Mode(0o755), mtime: None, empty: false },
            Listed::Object(size) => {
                progress.add_total(size);
                Entry::to_copy(path, Mode(0o644), size)
            }
        };
        batch.place(&mut entry)?;
        all.push(entry);
    }
    let batch = blocking(move |_| batch.make_directories().map(|()| batch)).await?;
    let mut brought = Vec::with_capacity(all.len());
    {
        let batch = &batch;
        let copies = stream::iter(all).map(|entry| fetch(batch, storage, entry, memory, progress));
        let mut copies = copies.buffer_unordered(IN_FLIGHT);
        while let Some(entry) = copies.try_next().await? {
            brought.push(entry);
        }
    }
    blocking(move |stop| batch.commit(brought, stop)).await
}

/// What of the listing is this agent's.
async fn list(batch: &mut Batch, storage: &Arc<dyn Storage>) -> Result<BTreeMap<TreePath, Listed>> {
    let mut objects = storage.list("").await?;
    let mut mine = BTreeMap::new();
    let mut empty = true;
    while let Some(object) = objects.try_next().await? {
        empty = false;
        // Some tools mark directories by empty objects whose names end with a slash.
        let (text, marker) = match object.path.strip_suffix('/') {
            Some(text) => (text, true),
            None => (object.path.as_str(), false),
        };
        let path = tree_path(text.as_bytes())?;
        for above in path.ancestors() {
            if batch.takes(above) {
                keep(batch, &mut mine, tree_path(above)?, Listed::Directory)?;
            }
        }
        if !marker {
            batch.note_leaf(&path);
        }
        if batch.takes(path.as_bytes()) {
            keep(batch, &mut mine, path, if marker { Listed::Directory } else { Listed::Object(object.size) })?;
        }
    }
    if empty {
        return Err(Failure::fatal(Kind::NotFound, "there is no object under it"));
    }
    Ok(mine)
}

fn tree_path(bytes: &[u8]) -> Result<TreePath> {
    TreePath::new(bytes.to_vec()).map_err(|error| Failure::fatal(Kind::InvalidArgument, format!("object {error}")))
}

fn keep(batch: &mut Batch, mine: &mut BTreeMap<TreePath, Listed>, path: TreePath, listed: Listed) -> Result<()> {
    match (mine.get(&path), &listed) {
        (Some(Listed::Directory), Listed::Object(_)) | (Some(Listed::Object(_)), Listed::Directory) => {
            let message =
                format!("`{path}` is an object and, for others, a directory: a tree of files cannot have both");
            Err(Failure::fatal(Kind::Unsupported, message))
        }
        (Some(_), _) => Ok(()),
        (None, _) => {
            batch.allowance.take(&path, 0)?;
            mine.insert(path, listed);
            Ok(())
        }
    }
}

/// Copies the object that `entry` stands for, if it does for any.
async fn fetch(
    batch: &Batch,
    storage: &Arc<dyn Storage>,
    mut entry: Entry,
    memory: &Memory,
    progress: &Progress,
) -> Result<Entry> {
    let to = batch.data_path(&entry)?;
    let Entry::File { path, size, digest, .. } = &mut entry else { return Ok(entry) };
    let _buffers = memory.reserve(buffers(*size)).await?;
    let writing = |error: std::io::Error| Failure::io(format_args!("write {}", to.display()), &error);
    let object = std::str::from_utf8(path.as_bytes())
        .map_err(|_| Failure::fatal(Kind::Internal, format!("object `{path}` has a name that is not UTF-8")))?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = tokio::fs::OpenOptions::from(options).open(&to).await.map_err(writing)?;
    let mut pieces = storage.read(object, None).await?;
    let mut hasher = Hasher::new();
    while let Some(piece) = pieces.try_next().await? {
        hasher.update(&piece);
        file.write_all(&piece).await.map_err(writing)?;
        progress.add_done(piece.len() as u64);
    }
    // Until then a write may be under way.
    file.flush().await.map_err(writing)?;
    if hasher.length() != *size {
        let message = format!("object `{path}` changed while it was loaded: load it again when nothing writes to it");
        return Err(Failure::fatal(Kind::Busy, message));
    }
    *digest = hasher.finish();
    Ok(entry)
}
