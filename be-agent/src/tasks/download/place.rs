//! Files on their way to the name that counts. Blocks.
//!
//! A large file has a temporary name until all of it is verified. A small one is verified in memory and then written under
//! its name at once: what a crash or a failure leaves torn is hashed by the next attempt before it believes it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use tabvault_common::durable::{BulkWriter, Directories};
use tabvault_common::failure::Failure;

use super::want::{Target, Want};
use crate::files::{self, Places};
use crate::store::Result;

/// A large file being written.
pub(super) struct Large {
    temporary: PathBuf,
    file: BulkWriter,
}

impl Large {
    /// Begins a file under its temporary name.
    pub(super) fn begin(temporary: PathBuf) -> Result<Self> {
        let file = File::create_new(&temporary)
            .map_err(|error| Failure::io(format_args!("create {}", temporary.display()), &error))?;
        Ok(Self { temporary, file: BulkWriter::new(file) })
    }

    /// Writes more of it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write(bytes).map_err(|error| failed(&self.temporary, &error))
    }

    /// Whether the disk is to be waited for before more is written.
    pub(super) fn is_due(&self) -> bool {
        self.file.is_due()
    }

    /// Waits for the disk.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.file.settle().map_err(|error| failed(&self.temporary, &error))
    }

    /// Gives it the name that `want` has in `target`, now that it is verified, and says for how many of its bytes the disk
    /// was not waited for.
    pub(super) fn finish(self, target: &Target, want: &Want) -> Result<u64> {
        let unsettled = self.file.finish().map_err(|error| failed(&self.temporary, &error))?;
        let place = files::place(&target.dir, &want.path)?;
        files::rename(&self.temporary, &place)?;
        Ok(unsettled)
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::io(format_args!("write {}", path.display()), error)
}

/// Writes small files, one after another.
#[derive(Debug, Default)]
pub(super) struct Small {
    places: Places,
    directories: Directories,
}

impl Small {
    /// Writes the file that `want` is in `target`, whose verified bytes are `plain`.
    pub(super) fn write(&mut self, target: &Target, want: &Want, plain: &[u8]) -> Result<()> {
        let place = self.places.place(&target.dir, &want.path)?;
        let written = self.directories.create_new(&place).and_then(|mut file| file.write_all(plain));
        written.map_err(|error| failed(&place, &error))
    }
}
