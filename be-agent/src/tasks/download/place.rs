//! Files on their way to the name that counts. Blocks.
//!
//! A large file has a temporary name until all of it is verified. A small one is verified in memory and then written under
//! its name at once: what a crash or a failure leaves torn is hashed by the next attempt before it believes it.

use std::fs::File;
use std::io::Write;

use tabvault_common::durable::{BulkWriter, Directories};
use tabvault_common::failure::Failure;

use super::want::Want;
use crate::files::{self, Places};
use crate::store::Result;

/// A large file being written.
pub(super) struct Large(BulkWriter);

impl Large {
    /// Begins the file of `want` under its temporary name.
    pub(super) fn begin(want: &Want) -> Result<Self> {
        let path = want.temporary();
        let file =
            File::create_new(&path).map_err(|error| Failure::io(format_args!("create {}", path.display()), &error))?;
        Ok(Self(BulkWriter::new(file)))
    }

    /// Writes more of it.
    pub(super) fn write(&mut self, want: &Want, bytes: &[u8]) -> Result<()> {
        self.0.write(bytes).map_err(|error| failed(want, &error))
    }

    /// Gives it its name, now that it is verified.
    pub(super) fn finish(mut self, want: &Want) -> Result<()> {
        self.0.finish().map_err(|error| failed(want, &error))?;
        let place = files::place(&want.dirs.dir, &want.file.path)?;
        files::rename(&want.temporary(), &place).map(drop)
    }
}

fn failed(want: &Want, error: &std::io::Error) -> Failure {
    Failure::io(format_args!("write {}", want.temporary().display()), error)
}

/// Writes small files, one after another.
#[derive(Debug, Default)]
pub(super) struct Small {
    places: Places,
    directories: Directories,
}

impl Small {
    /// Writes the file of `want`, whose verified bytes are `plain`.
    pub(super) fn write(&mut self, want: &Want, plain: &[u8]) -> Result<()> {
        let place = self.places.place(&want.dirs.dir, &want.file.path)?;
        let written = self.directories.create_new(&place).and_then(|mut file| file.write_all(plain));
        written.map_err(|error| Failure::io(format_args!("write {}", place.display()), &error))
    }
}
