//! What is on this machine already.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use rustix::fs::{Advice, fadvise};
use tabvault_common::digest::Digest;
use tabvault_common::durable::{self, Directories};
use tabvault_common::failure::Kind;
use tokio_util::sync::CancellationToken;

use super::want::{List, Target, Want};
use crate::context::TaskContext;
use crate::files::{self, Entry, Places};
use crate::store::Result;

/// What need not be fetched, in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Local {
    /// Fetched by an earlier attempt.
    pub(super) kept: u64,
    /// Linked.
    pub(super) reused: u64,
}

/// Keeps, links, and removes what is not wanted. The list then has what is missing.
pub(super) async fn look(context: &TaskContext, mut list: List) -> Result<(Local, List)> {
    list.wants.sort_unstable_by_key(|want| (want.target, want.number));
    let (mut local, mut next) = (Local::default(), 0);
    for index in 0..list.targets.len() {
        let (own, stop) = (of_target(&list.wants, next, index), context.stop.clone());
        next = own.end;
        let looked = context.blocking(move || {
            let found = look_for_one(&list.targets[index], &mut list.wants[own], &stop)?;
            Ok((found, list))
        });
        let found;
        (found, list) = looked.await?;
        local.kept += found.kept;
        local.reused += found.reused;
    }
    list.wants.retain(|want| !want.here);
    Ok((local, list))
}

/// Where the wants of a target are among `wants`: from `start` on.
fn of_target(wants: &[Want], start: usize, target: usize) -> Range<usize> {
    start..start + wants[start..].partition_point(|want| want.target as usize == target)
}

/// Marks those of `wants` that are here. They ascend by path, and come back in another order.
fn look_for_one(target: &Target, wants: &mut [Want], stop: &CancellationToken) -> Result<Local> {
    let kept = keep(&target.dir, wants, stop)?;
    wants.sort_unstable_by(|a, b| (a.here, a.size, &a.digest).cmp(&(b.here, b.size, &b.digest)));
    let missing = wants.partition_point(|want| !want.here);
    let reused = reuse(target, &mut wants[..missing], stop)?;
    Ok(Local { kept, reused })
}

/// Marks what is right in `dir` and removes all else from it.
fn keep(dir: &Path, wants: &mut [Want], stop: &CancellationToken) -> Result<u64> {
    let (mut kept, mut wrong) = (0, Vec::new());
    files::each_below(dir, &mut |path, entry| {
        let Entry::File(size, _) = entry else { return Ok(()) };
        match wants.binary_search_by(|want| want.path.as_ref().cmp(path)) {
            Ok(at) if wants[at].size == size && on_disk(&dir.join(path), stop)? == Some(wants[at].digest) => {
                wants[at].here = true;
                kept += size;
            }
            _ => wrong.push(Box::<str>::from(path)),
        }
        Ok(())
    })?;
    // Not before all was seen: a directory that changes may hide something.
    wrong.iter().try_for_each(|path| durable::remove_file(&dir.join(path.as_ref())))?;
    Ok(kept)
}

/// Links and marks those of `wants`, by ascending size and digest, that are among the files for reuse: of these only what
/// has a wanted size is read.
fn reuse(target: &Target, wants: &mut [Want], stop: &CancellationToken) -> Result<u64> {
    let (mut places, mut directories, mut reused) = (Places::default(), Directories::default(), 0);
    if wants.is_empty() {
        return Ok(0);
    }
    files::each_below(&target.reuse, &mut |path, entry| {
        let Entry::File(size, _) = entry else { return Ok(()) };
        if wants.binary_search_by_key(&size, |want| want.size).is_err() {
            return Ok(());
        }
        let source = target.reuse.join(path);
        let Some(digest) = readable(files::digest(&source, stop))? else { return Ok(()) };
        for want in same(wants, size, digest) {
            if want.here {
                continue;
            }
            match places.place(&target.dir, &want.path).and_then(|place| directories.link(&source, &place)) {
                Ok(()) => {
                    want.here = true;
                    reused += size;
                }
                // What cannot be linked is fetched.
                Err(error) => tracing::debug!(%error, "could not reuse a file"),
            }
        }
        Ok(())
    })?;
    Ok(reused)
}

/// The digest of what the disk has of a file that an earlier attempt wrote. The page cache may show bytes that never
/// reached the disk, if somebody else was told so in the meantime.
fn on_disk(path: &Path, stop: &CancellationToken) -> Result<Option<Digest>> {
    if let Ok(file) = File::open(path) {
        // What is still to be written stays in the cache, and whether it arrives is asked when all is here.
        if let Err(error) = fadvise(&file, 0, None, Advice::DontNeed) {
            tracing::debug!(path = %path.display(), %error, "could not drop a file's pages");
        }
    }
    readable(files::digest(path, stop))
}

/// `None` for what the disk does not give back: it is fetched instead, which a bad disk may be the reason for.
fn readable(digest: Result<Digest>) -> Result<Option<Digest>> {
    match digest {
        Ok(digest) => Ok(Some(digest)),
        Err(failure) if failure.kind == Kind::Cancelled => Err(failure),
        Err(failure) => {
            tracing::warn!(error = %failure, "a local file cannot be read and is fetched");
            Ok(None)
        }
    }
}

/// Those of `wants` that have this size and digest.
fn same(wants: &mut [Want], size: u64, digest: Digest) -> &mut [Want] {
    let start = wants.partition_point(|want| (want.size, want.digest) < (size, digest));
    let number = wants[start..].partition_point(|want| (want.size, want.digest) == (size, digest));
    &mut wants[start..start + number]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use std::collections::BTreeSet;
    use std::fs;

    use super::super::samples::{self, pack, packed, tablet};
    use super::*;

    fn missing(list: &List, own: Range<usize>) -> BTreeSet<&str> {
        list.wants[own].iter().filter(|want| !want.here).map(|want| want.path.as_ref()).collect()
    }

    /// Of two targets of one tablet the first is looked at.
    fn look_at_first(list: &mut List) -> (Local, Range<usize>) {
        list.wants.sort_unstable_by_key(|want| (want.target, want.number));
        let own = of_target(&list.wants, 0, 0);
        let targets = std::sync::Arc::clone(&list.targets);
        let local = look_for_one(&targets[0], &mut list.wants[own.clone()], &CancellationToken::new()).unwrap();
        (local, own)
    }

    fn list(home: &Path) -> List {
        let (path, declared) = pack("a", 1000, 9);
        let files = [("a.x", "one"), ("a/b/c", "two"), ("a/z", "three"), ("b", "three"), ("c", ""), ("d", "four")];
        let files = files.iter().map(|(name, plain)| packed(name, plain.as_bytes(), &path, 8));
        let records: Vec<_> = [declared, tablet(1)].into_iter().chain(files).collect();
        samples::list(&records, &samples::targets(home, &[1, 1]))
    }

    #[test]
    fn what_is_right_is_kept_and_everything_else_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let mut list = list(home.path());
        let dir = list.targets[0].dir.clone();
        let found =
            [("a.x", "one"), ("a/b/c", "twx"), ("a/z", "longer"), ("a/foreign", "x"), ("c", ""), ("zzz", "one")];
        for (path, plain) in found {
            fs::write(files::place(&dir, path).unwrap(), plain).unwrap();
        }
        let (local, own) = look_at_first(&mut list);
        assert_eq!(local, Local { kept: 3, reused: 0 });
        assert_eq!(missing(&list, own.clone()), BTreeSet::from(["a/b/c", "a/z", "b", "d"]));
        assert_eq!(files::count(&dir).unwrap(), 2);
        assert!(dir.join("a.x").is_file() && dir.join("c").is_file());
        assert_eq!(missing(&list, own.end..list.wants.len()).len(), 6, "the other target has nothing");
        assert_eq!(of_target(&list.wants, own.end, 1), 6..12);
    }

    #[test]
    fn every_file_with_a_digest_that_is_here_is_linked() {
        let home = tempfile::tempdir().unwrap();
        let mut list = list(home.path());
        let Target { dir, reuse, .. } = &list.targets[0];
        let (dir, reuse) = (dir.clone(), reuse.clone());
        for (path, plain) in [("x/1", "three"), ("2", "three"), ("3", "fife"), ("4", "two"), ("5", "")] {
            fs::write(files::place(&reuse, path).unwrap(), plain).unwrap();
        }
        fs::write(files::place(&dir, "a.x").unwrap(), "one").unwrap();
        let (local, own) = look_at_first(&mut list);
        assert_eq!(local, Local { kept: 3, reused: 3 + 5 + 5 });
        assert_eq!(missing(&list, own), BTreeSet::from(["d"]));
        assert_eq!(fs::read(dir.join("a/z")).unwrap(), b"three");
        assert_eq!(fs::read(dir.join("a/b/c")).unwrap(), b"two");
        assert_eq!(files::count(&reuse).unwrap(), 5);
    }

    #[test]
    fn what_cannot_be_read_is_fetched_and_what_is_stopped_stops() {
        let failed = |kind| Err(tabvault_common::failure::Failure::transient(kind, "read it"));
        assert_eq!(readable(failed(Kind::Internal)).unwrap(), None);
        assert_eq!(readable(failed(Kind::Cancelled)).unwrap_err().kind, Kind::Cancelled);
        let home = tempfile::tempdir().unwrap();
        assert_eq!(on_disk(&home.path().join("gone"), &CancellationToken::new()).unwrap(), None);
    }
}
