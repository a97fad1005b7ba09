//! Where a filesystem puts what belongs together, and what does not.

use std::fs::File;
use std::path::Path;

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use crate::failure::Failure;

/// Tells the filesystem that the directories below `dir` have nothing to do with one another, so that it does not put
/// their files beside what is in `dir` or was there (`chattr +T`). To a filesystem without this notion it says nothing.
///
/// ext4 looks for room for a new file near its directory, from the start, and for a minute, up to six, does not take what
/// was freed: making files where many were just removed takes several times as long.
///
/// # Errors
/// `dir` cannot be opened.
pub fn spread_below(dir: &Path) -> Result<(), Failure> {
    let told = File::open(dir)
        .map_err(|error| Failure::io(format_args!("open {}", dir.display()), &error))
        .map(|file| ioctl_getflags(&file).and_then(|flags| ioctl_setflags(&file, flags | IFlags::TOPDIR)))?;
    if let Err(error) = told {
        tracing::debug!(dir = %dir.display(), %error, "the filesystem cannot be told to spread directories");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_directory_is_marked_where_the_filesystem_can_and_else_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let flags = |dir: &Path| ioctl_getflags(File::open(dir).unwrap());
        let (own, other) = (root.path().join("own"), root.path().join("other"));
        std::fs::create_dir(&own).unwrap();
        std::fs::create_dir(&other).unwrap();
        let before = flags(&other);
        let marked = before.and_then(|flags| {
            let wanted = flags | IFlags::TOPDIR;
            ioctl_setflags(File::open(&other).unwrap(), wanted).map(|()| wanted)
        });
        spread_below(&own).unwrap();
        assert_eq!(flags(&own), marked.or(before));
        assert!(spread_below(&root.path().join("none")).is_err());
    }
}
