//! From a temporary name to the one that counts. Blocks.

use std::fs::File;
use std::io::Write;

use tabvault_common::failure::Failure;

use super::want::Want;
use crate::files;
use crate::store::Result;

/// Begins the file of `want` under its temporary name.
pub(super) fn begin(want: &Want) -> Result<File> {
    File::create_new(&want.temporary)
        .map_err(|error| Failure::io(format_args!("create {}", want.temporary.display()), &error))
}

/// Writes more of it.
pub(super) fn write(file: &mut File, want: &Want, bytes: &[u8]) -> Result<()> {
    file.write_all(bytes).map_err(|error| Failure::io(format_args!("write {}", want.temporary.display()), &error))
}

/// Gives it its name, now that it is verified.
pub(super) fn finish(want: &Want) -> Result<()> {
    let place = files::place(&want.dir, &want.file.path)?;
    files::rename(&want.temporary, &place).map(drop)
}
