//! Listing directories as objects: symbolic links and what vanishes meanwhile are passed over.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use walkdir::{DirEntry, WalkDir};

use super::{STAGING, failure};
use crate::path::check_object;
use crate::storage::{ObjectMeta, Result};

/// Entries that are found ahead of who reads the listing.
const AHEAD: usize = 256;

pub(super) fn deep(root: Arc<Path>, prefix: String) -> BoxStream<'static, Result<ObjectMeta>> {
    spawn(move |send| {
        let Some(start) = start(&root, &prefix, send) else { return };
        for entry in walk(&root, &start, usize::MAX) {
            let found = match entry {
                Ok(entry) if entry.file_type().is_file() => object(&root, &entry),
                Ok(_) => continue,
                Err(error) => listing_error(&start, error).map(Err),
            };
            if let Some(found) = found
                && !send(found)
            {
                return;
            }
        }
    })
}

pub(super) fn level(root: Arc<Path>, prefix: String) -> BoxStream<'static, Result<String>> {
    spawn(move |send| {
        let Some(start) = start(&root, &prefix, send) else { return };
        for entry in walk(&root, &start, 1) {
            let found = match entry {
                Ok(entry) if entry.file_type().is_file() => name(&root, &entry).map(Ok),
                // A directory without any file is what a crash or a concurrent write left: no object, no level.
                Ok(entry) if entry.file_type().is_dir() && has_object(&root, entry.path()) => {
                    name(&root, &entry).map(|name| Ok(name + "/"))
                }
                Ok(_) => None,
                Err(error) => listing_error(&start, error).map(Err),
            };
            if let Some(found) = found
                && !send(found)
            {
                return;
            }
        }
    })
}

/// Runs `work` where it may block; what it sends becomes the stream. Sending says `false` when nobody listens any more.
fn spawn<T: Send + 'static>(
    work: impl FnOnce(&dyn Fn(Result<T>) -> bool) + Send + 'static,
) -> BoxStream<'static, Result<T>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || work(&|item| sender.blocking_send(item).is_ok()));
    ReceiverStream::new(receiver).boxed()
}

/// The directory of `prefix`; `None` if nothing can be under it, or if looking failed and that was sent.
fn start<T>(root: &Path, prefix: &str, send: &dyn Fn(Result<T>) -> bool) -> Option<PathBuf> {
    let mut dir = root.to_owned();
    // Where the root is a link, its owner meant it; below the root, links lead out.
    let mut look = dir.metadata();
    if look.as_ref().is_ok_and(|meta| !meta.is_dir()) {
        look = Err(io::ErrorKind::NotADirectory.into());
        if let Err(error) = &look {
            send(Err(failure("list", root, error)));
        }
        return None;
    }
    for part in prefix.split_terminator('/') {
        dir.push(part);
        look = dir.symlink_metadata();
        if look.as_ref().is_ok_and(|meta| !meta.is_dir()) {
            return None;
        }
    }
    match look {
        Ok(_) => Some(dir),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
        Err(error) => {
            send(Err(failure("list", &dir, &error)));
            None
        }
    }
}

fn walk(root: &Path, start: &Path, depth: usize) -> impl Iterator<Item = walkdir::Result<DirEntry>> {
    let staging = root.join(STAGING);
    WalkDir::new(start)
        .follow_links(false)
        .follow_root_links(start == root)
        .min_depth(1)
        .max_depth(depth)
        .into_iter()
        .filter_entry(move |entry| entry.path() != staging)
}

fn has_object(root: &Path, dir: &Path) -> bool {
    walk(root, dir, usize::MAX).any(|entry| entry.is_ok_and(|entry| entry.file_type().is_file()))
}

/// The entry as an object; `None` if it vanished or has a name that no object of ours can have.
fn object(root: &Path, entry: &DirEntry) -> Option<Result<ObjectMeta>> {
    let path = name(root, entry)?;
    match entry.metadata() {
        Ok(meta) => Some(Ok(ObjectMeta { path, size: meta.len() })),
        Err(error) => listing_error(entry.path(), error).map(Err),
    }
}

fn name(root: &Path, entry: &DirEntry) -> Option<String> {
    let path = entry.path().strip_prefix(root).ok()?.to_str()?;
    check_object(path).ok().map(|()| path.to_owned())
}

/// The failure of a listing, unless the entry merely vanished.
fn listing_error(dir: &Path, error: walkdir::Error) -> Option<tabvault_common::failure::Failure> {
    let path = error.path().unwrap_or(dir).to_owned();
    let error = io::Error::from(error);
    (error.kind() != io::ErrorKind::NotFound).then(|| failure("list", &path, &error))
}
