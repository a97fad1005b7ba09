//! Questions to a filesystem.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::failure::Failure;

/// The room on a filesystem, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What an unprivileged process may still write.
    pub available: u64,
    /// The filesystem's size.
    pub total: u64,
}

/// The room on the filesystem on which `path` lies.
pub fn free_space(path: &Path) -> Result<Space, Failure> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|error| Failure::io(format_args!("ask for the free space of {}", path.display()), &error.into()))?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(Space { available: bytes(stat.f_bavail), total: bytes(stat.f_blocks) })
}

/// Whether `a` and `b`, which must exist, lie on one filesystem. Two mounts of one filesystem count as one here and
/// still refuse links between them; then [`super::hard_link`] says so.
pub fn same_filesystem(a: &Path, b: &Path) -> Result<bool, Failure> {
    let device = |path: &Path| {
        std::fs::metadata(path)
            .map(|metadata| metadata.dev())
            .map_err(|error| Failure::io(format_args!("look at {}", path.display()), &error))
    };
    Ok(device(a)? == device(b)?)
}
