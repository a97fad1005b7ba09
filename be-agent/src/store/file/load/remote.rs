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
use super::batch::{Batch, Place};
use crate::progress::Progress;
use crate::store::Result;

/// What the listing says of a path of this agent's.
enum Listed {
    /// It leads to an object, or is marked as a directory.
    Directory,
    /// An object of this size.
    Object(u64),
}

/// An object for one of this agent's tablets.
struct Found {
    place: Place,
    path: TreePath,
    size: u64,
}

/// Brings the objects of `storage` into the tablets of `batch`.
pub(super) async fn load(
    batch: Batch,
    storage: &Arc<dyn Storage>,
    progress: &Arc<Progress>,
) -> Result<Vec<LoadedTablet>> {
    let mut batch = blocking(move |_| {
        let mut batch = batch;
        batch.prepare()?;
        Ok(batch)
    })
    .await?;
    let listed = list(&mut batch, storage).await?;
    let (mut brought, mut found) = (Vec::new(), Vec::new());
    // In the order of paths, so that replicas number their data files alike.
    for (path, listed) in listed {
        let Some(place) = batch.place(&path)? else { continue };
        match listed {
            Listed::Directory => {
                brought.push((place, Entry::Directory { path, mode: Mode(0o755), mtime: None, empty: false }));
            }
            Listed::Object(size) => {
                progress.add_total(size);
                found.push(Found { place, path, size });
            }
        }
    }
    {
        let batch = &batch;
        let copies = stream::iter(found).map(|found| fetch(batch, storage, found, progress));
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
        for above in path.ancestors().filter(|above| batch.takes(above)) {
            keep(&mut mine, tree_path(above)?, Listed::Directory)?;
        }
        if !marker {
            batch.note_leaf(&path);
        }
        if batch.takes(path.as_bytes()) {
            keep(&mut mine, path, if marker { Listed::Directory } else { Listed::Object(object.size) })?;
        }
        batch.check_size(mine.len())?;
    }
    if empty {
        return Err(Failure::fatal(Kind::NotFound, "there is no object under it"));
    }
    Ok(mine)
}

fn tree_path(bytes: &[u8]) -> Result<TreePath> {
    TreePath::new(bytes.to_vec()).map_err(|error| Failure::fatal(Kind::InvalidArgument, format!("object {error}")))
}

fn keep(mine: &mut BTreeMap<TreePath, Listed>, path: TreePath, listed: Listed) -> Result<()> {
    match (mine.get(&path), &listed) {
        (Some(Listed::Directory), Listed::Object(_)) | (Some(Listed::Object(_)), Listed::Directory) => {
            let message =
                format!("`{path}` is an object and, for others, a directory: a tree of files cannot have both");
            Err(Failure::fatal(Kind::Unsupported, message))
        }
        _ => {
            mine.insert(path, listed);
            Ok(())
        }
    }
}

async fn fetch(batch: &Batch, storage: &Arc<dyn Storage>, found: Found, progress: &Progress) -> Result<(Place, Entry)> {
    let Found { place, path, size } = found;
    let to = batch.data_path(place)?;
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
    if hasher.length() != size {
        let message = format!("object `{path}` changed while it was loaded: load it again when nothing writes to it");
        return Err(Failure::fatal(Kind::Busy, message));
    }
    let digest = hasher.finish();
    Ok((place, Entry::File { path, mode: Mode(0o644), mtime: None, size, digest, data: place.data }))
}
