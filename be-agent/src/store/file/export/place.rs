//! Where a local export is written, and how it gets its name.
//!
//! ```text
//! <parent>/<name>                              the target: absent, or an empty directory
//! <parent>/.<name>.tabvault-<export>/tree/     the tree as it will be
//! <parent>/.<name>.tabvault-<export>/directories/<tablet>.jsonl
//!                                              attributes of directories, set last: they may forbid writing
//! ```

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::Mode as RawMode;
use tabvault_common::durable::{self, SyncFs};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{JobUuid, TabletId};
use walkdir::WalkDir;

use super::super::entry::Entry;
use super::super::index::Reader;
use super::directories::{Directories, failure, timestamps};
use crate::store::{DataRoot, Result};

/// The target and the staging directory of one export.
#[derive(Debug)]
pub(super) struct Place {
    target: PathBuf,
    staging: PathBuf,
}

impl Place {
    /// The place of the export `job` to the absolute path `target`.
    pub(super) fn new(target: PathBuf, job: JobUuid) -> Result<Self> {
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(Failure::fatal(Kind::InvalidArgument, "name a directory below the root directory"));
        };
        let mut staging = std::ffi::OsString::from(".");
        staging.push(name);
        staging.push(format!(".tabvault-{job}"));
        let staging = parent.join(staging);
        Ok(Self { target, staging })
    }

    pub(super) fn staging(&self) -> &Path {
        &self.staging
    }

    pub(super) fn tree(&self) -> PathBuf {
        self.staging.join("tree")
    }

    fn attributes(&self) -> PathBuf {
        self.staging.join("directories")
    }

    /// The file for the attributes of a tablet's directories.
    pub(super) fn attributes_of(&self, tablet: TabletId) -> PathBuf {
        self.attributes().join(format!("{tablet}.jsonl"))
    }

    /// Refuses a target in a data root, or around one. Blocks.
    pub(super) fn check_roots(&self, roots: &[DataRoot]) -> Result<()> {
        // What is not there yet will be made where the nearest directory above it really is.
        let real = self.target.ancestors().find_map(|above| {
            let rest = self.target.strip_prefix(above).ok()?;
            fs::canonicalize(above).ok().map(|above| above.join(rest))
        });
        let target = real.as_deref().unwrap_or(&self.target);
        for root in roots {
            let work = fs::canonicalize(&root.work)
                .map_err(|error| Failure::io(format_args!("look at the data root {}", root.work.display()), &error))?;
            if target.starts_with(&work) || work.starts_with(target) {
                let message = format!(
                    "the data root {} must not lie in it or around it: name a directory elsewhere",
                    root.work.display()
                );
                return Err(Failure::fatal(Kind::InvalidArgument, message));
            }
        }
        Ok(())
    }

    /// Refuses a target that cannot be given the tree's name later, and makes the staging directory.
    pub(super) fn prepare(&self) -> Result<()> {
        let parent = self.target.parent().unwrap_or(Path::new("/"));
        durable::create_dir_all(parent)?;
        self.check_target(parent)?;
        durable::create_dir_all(&self.tree())?;
        // Nobody else looks at files that have not got their permissions yet.
        fs::set_permissions(&self.staging, fs::Permissions::from_mode(0o700))
            .map_err(|error| Failure::io(format_args!("protect {}", self.staging.display()), &error))?;
        durable::create_dir_all(&self.attributes())
    }

    fn check_target(&self, parent: &Path) -> Result<()> {
        let looking = |error: &std::io::Error| Failure::io(format_args!("look at {}", self.target.display()), error);
        let found = match fs::symlink_metadata(&self.target) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            found => found.map_err(|error| looking(&error))?,
        };
        let target = self.target.display();
        if !found.is_dir() {
            let message = format!("{target} is no directory: name one that is empty or does not exist");
            return Err(Failure::fatal(Kind::AlreadyExists, message));
        }
        if fs::read_dir(&self.target).map_err(|error| looking(&error))?.next().is_some() {
            return Err(self.not_empty());
        }
        if found.dev() != fs::metadata(parent).map_err(|error| looking(&error))?.dev() {
            let message =
                format!("{target} is a mount point, which a finished tree cannot replace: name a directory below it");
            return Err(Failure::fatal(Kind::InvalidArgument, message));
        }
        Ok(())
    }

    fn not_empty(&self) -> Failure {
        let target = self.target.display();
        let message = format!("directory {target} is not empty: name one that is empty or does not exist");
        Failure::fatal(Kind::AlreadyExists, message)
    }

    /// Gives the tree its name. The first agent of a machine does it, the others find it done. Blocks.
    pub(super) fn publish(&self) -> Result<()> {
        let Some(_alone) = self.lock()? else { return self.published() };
        if !self.tree().is_dir() {
            // Renamed already, by an agent that died before it could tidy up.
            self.published()?;
            return durable::remove_dir_all(&self.staging);
        }
        let sync = SyncFs::open(&self.staging)?;
        self.set_attributes()?;
        sync.sync()?;
        durable::rename(&self.tree(), &self.target).map_err(|failure| {
            let filled = fs::read_dir(&self.target).is_ok_and(|mut entries| entries.next().is_some());
            if filled { self.not_empty() } else { failure }
        })?;
        durable::remove_dir_all(&self.staging)
    }

    /// Removes the tree that has not got its name. Blocks.
    pub(super) fn discard(&self) -> Result<()> {
        let Some(_alone) = self.lock()? else { return Ok(()) };
        // Directories may have got attributes that forbid removing what is in them. Seen from above, so that each is
        // opened up before it is listed.
        for found in WalkDir::new(self.tree()).into_iter().filter_map(std::result::Result::ok) {
            if found.file_type().is_dir() {
                open_up(found.path())?;
            }
        }
        durable::remove_dir_all(&self.staging)
    }

    /// Waits until no other agent publishes or discards this export; `None` if there is no staging directory (any
    /// more).
    fn lock(&self) -> Result<Option<File>> {
        let path = self.staging.join("LOCK");
        let file = match fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.and_then(|file| file.lock().map(|()| file)),
        };
        let file = file.map_err(|error| Failure::io(format_args!("lock {}", path.display()), &error))?;
        // Whoever held it before may have removed it.
        Ok(self.staging.is_dir().then_some(file))
    }

    fn published(&self) -> Result<()> {
        if self.target.is_dir() {
            return Ok(());
        }
        let message =
            format!("neither {} nor {} is there: export again", self.target.display(), self.staging.display());
        Err(Failure::fatal(Kind::NotFound, message))
    }

    fn set_attributes(&self) -> Result<()> {
        let tree = self.tree();
        let mut all = Vec::new();
        for found in WalkDir::new(self.attributes()).min_depth(1) {
            let found = found.map_err(|error| Failure::io("list attributes of directories", &error.into()))?;
            for entry in Reader::open(found.path())? {
                all.push(entry?);
            }
        }
        all.sort_unstable_by(|a, b| a.path().cmp(b.path()));
        // An attempt before this one may have set some already.
        for entry in &all {
            open_up(&tree.join(entry.path().as_path()))?;
        }
        let mut directories = Directories::new(&tree);
        // What lies deeper first: its attributes change the time of what is above, which may forbid entering, too.
        for entry in all.iter().rev() {
            let Entry::Directory { path, mode, mtime, .. } = entry else { continue };
            let dir = directories.enter(path.as_bytes())?;
            mtime
                .map_or(Ok(()), |mtime| rustix::fs::futimens(dir, &timestamps(mtime)))
                .and_then(|()| rustix::fs::fchmod(dir, RawMode::from_raw_mode(mode.0)))
                .map_err(|error| failure("set the attributes of", path.as_bytes(), error))?;
        }
        Ok(())
    }
}

/// Lets this user enter and change a directory that this user owns.
fn open_up(dir: &Path) -> Result<()> {
    let opened = fs::symlink_metadata(dir).and_then(|found| {
        if found.is_dir() && found.mode() & 0o700 != 0o700 {
            return fs::set_permissions(dir, fs::Permissions::from_mode(found.mode() & 0o7777 | 0o700));
        }
        Ok(())
    });
    opened.map_err(|error| Failure::io(format_args!("open up directory {}", dir.display()), &error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_exported_into_a_data_root_or_around_it_or_through_a_link_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("be");
        fs::create_dir(&work).unwrap();
        std::os::unix::fs::symlink(&work, dir.path().join("link")).unwrap();
        let roots = [DataRoot { data: work.join("data"), work }];
        let check = |target: &str| {
            Place::new(dir.path().join(target), JobUuid::random()).unwrap().check_roots(&roots).map_err(|e| e.kind)
        };
        for target in ["be", "be/absent/deep", "link/absent", ""] {
            assert_eq!(check(target), Err(Kind::InvalidArgument), "{target}");
        }
        assert_eq!((check("bed"), check("absent/deep")), (Ok(()), Ok(())));
    }
}
