//! Many small files in few directories: named by a directory's handle, they are found without a walk from the root.
//!
//! # Overview
//! For a file of a few kilobytes the kernel's walk along a long path costs as much as reading it. Whoever handles files
//! in the order of their paths mostly stays in one directory: its handle is kept, and only the last name is looked up.
//!
//! # Crash consistency
//! Nothing here is durable before it is synced, as with the calls that take whole paths.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};
use rustix::io::{Errno, retry_on_intr};

use super::{explain_link, parent};
use crate::failure::Failure;

/// See the module. Blocks.
#[derive(Debug, Default)]
pub struct Directories {
    from: Option<(PathBuf, OwnedFd)>,
    to: Option<(PathBuf, OwnedFd)>,
}

impl Directories {
    /// Opens the file `path` for reading, which does not change when it was read last: after each hard link the next read
    /// would write that. Only the file's owner may ask for it; for others it changes.
    pub fn open(&mut self, path: &Path) -> io::Result<File> {
        let (dir, name) = at(&mut self.from, path)?;
        let open = |flags| retry_on_intr(|| openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC | flags, Mode::empty()));
        let opened = match open(OFlags::NOATIME) {
            Err(Errno::PERM) => open(OFlags::empty()),
            opened => opened,
        };
        Ok(opened.map(File::from)?)
    }

    /// Makes the file `path`, which must not be there, and opens it for writing.
    pub fn create_new(&mut self, path: &Path) -> io::Result<File> {
        let (dir, name) = at(&mut self.to, path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        Ok(retry_on_intr(|| openat(dir, name, flags, Mode::from_raw_mode(super::SHARED))).map(File::from)?)
    }

    /// As [`super::hard_link`].
    ///
    /// # Errors
    /// Those of [`super::hard_link`].
    pub fn link(&mut self, src: &Path, dst: &Path) -> Result<(), Failure> {
        let linked = self.link_raw(src, dst);
        explain_link(src, dst, linked)
    }

    fn link_raw(&mut self, src: &Path, dst: &Path) -> io::Result<()> {
        let (from, old) = at(&mut self.from, src)?;
        let (to, new) = at(&mut self.to, dst)?;
        Ok(linkat(from, old, to, new, AtFlags::empty())?)
    }
}

/// The handle of the directory of `path`, out of `kept` if that is the one, and the name in it.
fn at<'a, 'p>(kept: &'a mut Option<(PathBuf, OwnedFd)>, path: &'p Path) -> io::Result<(&'a OwnedFd, &'p Path)> {
    let dir = parent(path);
    let handle = match kept.take() {
        Some((last, handle)) if last == dir => handle,
        _ => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            retry_on_intr(|| openat(CWD, dir, flags, Mode::empty()))?
        }
    };
    let (_, handle) = kept.insert((dir.to_owned(), handle));
    Ok((handle, path.file_name().map_or(path, Path::new)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::fs::{self, FileTimes};
    use std::io::{Read, Write};
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::failure::Kind;

    #[test]
    fn files_of_several_directories_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let mut directories = Directories::default();
        for file in ["a/1", "b/1", "a/2"] {
            let path = root.path().join(file);
            fs::create_dir_all(parent(&path)).unwrap();
            directories.create_new(&path).unwrap().write_all(file.as_bytes()).unwrap();
            directories.link(&path, &root.path().join(file.replace('/', "-"))).unwrap();
        }
        for file in ["a/1", "b/1", "a/2", "b-1", "a-1"] {
            let mut text = String::new();
            directories.open(&root.path().join(file)).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, file.replace('-', "/"));
        }
    }

    #[test]
    fn reading_does_not_change_when_a_file_was_read_last() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        let mut file = Directories::default().create_new(&path).unwrap();
        file.write_all(b"content").unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        file.set_times(FileTimes::new().set_accessed(long_ago)).unwrap();
        let mut text = String::new();
        Directories::default().open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), fs::metadata(&path).unwrap().accessed().unwrap()), ("content", long_ago));
    }

    #[test]
    fn a_name_that_is_taken_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (root.path().join("one"), root.path().join("two"));
        let mut directories = Directories::default();
        directories.create_new(&one).unwrap();
        directories.create_new(&two).unwrap();
        assert_eq!(directories.create_new(&one).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(directories.link(&one, &two).unwrap_err().kind, Kind::AlreadyExists);
        assert_eq!(directories.open(&root.path().join("three")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
