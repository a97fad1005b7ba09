//! Copying a file that somebody may be writing to: it is noticed, not loaded half old and half new.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use tabvault_common::digest::{Digest, Hasher};
use tabvault_common::failure::{Failure, Kind};

use super::super::entry::Mtime;
use super::super::path::escape;
use crate::store::Result;

/// What changes when a file is written to, replaced, or given other attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) mtime: Mtime,
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mode: metadata.mode(),
            mtime: mtime(metadata),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// When a file was last written.
pub(super) fn mtime(metadata: &Metadata) -> Mtime {
    // Nanoseconds are below 1,000,000,000 by the system's promise.
    Mtime { seconds: metadata.mtime(), nanos: u32::try_from(metadata.mtime_nsec()).unwrap_or_default() }
}

/// Copies the regular file `from` into the new file `to`, which only this user may read, and hashes it. `buffer` is
/// used for the bytes; `moved` hears of each piece and may end the copying.
///
/// # Errors
/// `Busy`, not to be tried again by itself, if the file changed meanwhile.
pub(super) fn copy(
    from: &Path,
    to: &Path,
    buffer: &mut [u8],
    mut moved: impl FnMut(u64) -> Result<()>,
) -> Result<(Stamp, Digest)> {
    let reading = |error: &std::io::Error| Failure::io(format_args!("read {}", name(from)), error);
    let writing = |error: &std::io::Error| Failure::io(format_args!("write {}", to.display()), error);
    // Never waits, should it be a pipe by now, and never follows a link.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let mut source = OpenOptions::new().read(true).custom_flags(flags).open(from).map_err(|error| reading(&error))?;
    let before = source.metadata().map_err(|error| reading(&error))?;
    if !before.is_file() {
        return Err(changed(from));
    }
    let before = Stamp::of(&before);
    let mut target =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(|error| writing(&error))?;
    let mut hasher = Hasher::new();
    loop {
        let count = source.read(buffer).map_err(|error| reading(&error))?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else { break };
        hasher.update(piece);
        if hasher.length() > before.size {
            // One that grows for ever must not be read for ever.
            break;
        }
        target.write_all(piece).map_err(|error| writing(&error))?;
        moved(count as u64)?;
    }
    check_unchanged(from, &source, before, hasher.length())?;
    Ok((before, hasher.finish()))
}

/// Refuses a file that is not, under its name, what it was when it was opened, or that gave another number of bytes.
fn check_unchanged(path: &Path, file: &File, before: Stamp, read: u64) -> Result<()> {
    let same = |metadata: std::io::Result<Metadata>| metadata.is_ok_and(|metadata| Stamp::of(&metadata) == before);
    if read == before.size && same(file.metadata()) && same(std::fs::symlink_metadata(path)) {
        return Ok(());
    }
    Err(changed(path))
}

pub(super) fn changed(path: &Path) -> Failure {
    let message = format!("file {} changed while it was loaded: load it again when nothing writes to it", name(path));
    Failure::fatal(Kind::Busy, message)
}

/// A path for messages.
pub(super) fn name(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    escape(path.as_os_str().as_bytes())
}

/// What something is that is no file, directory or link.
pub(super) fn kind_of(file_type: std::fs::FileType) -> &'static str {
    if file_type.is_fifo() {
        "a named pipe"
    } else if file_type.is_socket() {
        "a socket"
    } else if file_type.is_block_device() || file_type.is_char_device() {
        "a device"
    } else {
        "of an unknown type"
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn copy_while(content: &[u8], meanwhile: impl Fn(&Path)) -> Result<(Stamp, Digest)> {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, content).unwrap();
        let result = copy(&from, &to, &mut [0; 4], |_| {
            meanwhile(&from);
            Ok(())
        });
        if result.is_ok() {
            assert_eq!(std::fs::read(&to).unwrap(), content);
        }
        result
    }

    fn assert_noticed(meanwhile: impl Fn(&Path)) {
        let failure = copy_while(b"0123456789", meanwhile).unwrap_err();
        assert_eq!((failure.kind, failure.retry), (Kind::Busy, tabvault_common::failure::Retry::Never));
        assert!(failure.message.ends_with("changed while it was loaded: load it again when nothing writes to it"));
    }

    #[test]
    fn a_file_that_nobody_touches_is_copied_and_hashed() {
        let (stamp, digest) = copy_while(b"0123456789", |_| {}).unwrap();
        assert_eq!((stamp.size, digest), (10, Digest::of(b"0123456789")));
    }

    #[test]
    fn a_file_that_grows_or_shrinks_is_noticed() {
        assert_noticed(|from| OpenOptions::new().append(true).open(from).unwrap().write_all(b"x").unwrap());
        assert_noticed(|from| OpenOptions::new().write(true).open(from).unwrap().set_len(4).unwrap());
    }

    #[test]
    fn a_file_that_is_overwritten_in_place_and_given_its_old_time_is_noticed() {
        assert_noticed(|from| {
            let file = OpenOptions::new().write(true).open(from).unwrap();
            let mtime = file.metadata().unwrap().modified().unwrap();
            std::os::unix::fs::FileExt::write_at(&file, b"X", 0).unwrap();
            file.set_modified(mtime).unwrap();
        });
    }

    #[test]
    fn a_file_that_is_replaced_under_its_name_is_noticed() {
        assert_noticed(|from| {
            let other = from.with_extension("new");
            std::fs::write(&other, b"0123456789").unwrap();
            std::fs::rename(&other, from).unwrap();
        });
        assert_noticed(|from| std::fs::remove_file(from).unwrap_or_default());
    }

    #[test]
    fn what_has_become_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink("secret", dir.path().join("link")).unwrap();
        assert!(copy(&dir.path().join("link"), &dir.path().join("to"), &mut [0; 4], |_| Ok(())).is_err());
    }
}
