//! Writing the tree into the staging directory.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode as RawMode, OFlags};
use rustix::io::Errno;
use tabvault_common::digest::{Digest, Hasher};
use tabvault_common::durable::SyncFs;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::task::ExportTablet;

use super::super::Inner;
use super::super::entry::{Entry, Mode, Mtime};
use super::super::index;
use super::super::parallel::{self, BUFFER, Stop};
use super::directories::{Directories, failure, set_mtime, timestamps};
use super::place::Place;
use super::{Item, corrupt, part, unreadable};
use crate::progress::Progress;
use crate::store::Result;

/// Writes what is visible in `tablets` into the staging directory of `place`. Blocks. Answers with files and bytes.
///
/// Directories are made with the user's default permissions, and given their own when the tree is published: another
/// agent may still have to write into them.
pub(super) fn write(
    place: &Place,
    inner: &Inner,
    tablets: &[ExportTablet],
    progress: &Progress,
    stop: &Stop,
) -> Result<(u64, u64)> {
    place.prepare()?;
    let sync = SyncFs::open(place.staging())?;
    let (mut files, mut bytes) = (0, 0);
    for wanted in tablets {
        let part = part(inner, wanted)?;
        let tree = place.tree();
        let mut directories = Directories::new(&tree);
        directories.enter(wanted.directory.as_bytes())?;
        let (mut leaves, mut attributes) = (Vec::new(), Vec::new());
        for item in part.items {
            progress.add_total(item.entry.size());
            if let Entry::Directory { mode, mtime, empty, .. } = item.entry {
                directories.enter(item.path.as_bytes())?;
                attributes.push(Entry::Directory { path: item.path, mode, mtime, empty });
            } else {
                files += 1;
                bytes += item.entry.size();
                leaves.push(item);
            }
        }
        index::write_file(&place.attributes_of(part.tablet), &attributes, None)?;
        let worker = || (Directories::new(&tree), vec![0; BUFFER]);
        parallel::each(&mut leaves, stop, worker, |(directories, buffer), item| {
            let (above, name) = item.path.split();
            let dir = directories.enter(above)?;
            match &item.entry {
                Entry::File { mode, mtime, digest, .. } => {
                    write_file(dir, name, item, (*mode, *mtime, *digest), buffer, |count| {
                        progress.add_done(count);
                        stop.check()
                    })
                }
                Entry::Symlink { mtime, target, .. } => {
                    anew(dir, name, || rustix::fs::symlinkat(target.0.as_slice(), dir, name))
                        .and_then(|()| set_mtime(dir, name, *mtime))
                        .map_err(|error| failure("make link", item.path.as_bytes(), error))
                }
                Entry::Directory { .. } | Entry::Gone { .. } => Ok(()),
            }
        })?;
    }
    sync.sync()?;
    Ok((files, bytes))
}

fn write_file(
    dir: &OwnedFd,
    name: &[u8],
    item: &Item,
    (mode, mtime, digest): (Mode, Option<Mtime>, Digest),
    buffer: &mut [u8],
    mut moved: impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    let path = item.path.as_bytes();
    let data = item.data.as_deref();
    let data = data.ok_or_else(|| Failure::fatal(Kind::Internal, format!("`{}` has no data file", item.path)))?;
    let mut source = File::open(data).map_err(|error| unreadable(item, &error))?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let create = || rustix::fs::openat(dir, name, flags, RawMode::from_raw_mode(0o600));
    let mut target = anew(dir, name, create).map(File::from).map_err(|error| failure("write", path, error))?;
    let mut hasher = Hasher::new();
    loop {
        let count = source.read(buffer).map_err(|error| unreadable(item, &error))?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else { break };
        hasher.update(piece);
        target.write_all(piece).map_err(|error| Failure::io(format_args!("write `{}`", item.path), &error))?;
        moved(count as u64)?;
    }
    if hasher.finish() != digest {
        return Err(corrupt(item));
    }
    // Writing clears set-user-id, so permissions come after the bytes; and the time comes last.
    rustix::fs::fchmod(&target, RawMode::from_raw_mode(mode.0))
        .and_then(|()| mtime.map_or(Ok(()), |mtime| rustix::fs::futimens(&target, &timestamps(mtime))))
        .map_err(|error| failure("set the attributes of", path, error))
}

/// Makes `name` in `dir` by `make`, removing first what an earlier attempt left there.
fn anew<T>(dir: &OwnedFd, name: &[u8], make: impl Fn() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    match make() {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
            make()
        }
        outcome => outcome,
    }
}
