//! Taking data roots into use: one process per root, what a crash left behind cleaned, every tablet's header read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tabvault_common::durable::{self, DirLock};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{TabletId, Version};

use super::header::{HEADER_NAME, Header};
use super::index::{self, Rowset};
use super::tablet::Tablet;
use crate::store::{DataRoot, Result};

/// Start of the names of tablets that are being made.
pub(crate) const NEW_PREFIX: &str = ".new-";

/// Where tablets go before they are removed.
pub(crate) fn trash(root: &DataRoot) -> PathBuf {
    root.work.join("trash")
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Opened {
    /// In the order in which they were given.
    pub(crate) roots: Vec<DataRoot>,
    /// One per root.
    pub(crate) locks: Vec<DirLock>,
    /// All tablets that can be read.
    pub(crate) tablets: HashMap<TabletId, Arc<Tablet>>,
}

/// Takes `directories` into use. A tablet that cannot be read is logged and left alone: the others are not held up.
pub(crate) fn open(directories: &[PathBuf]) -> Result<Opened> {
    if directories.is_empty() {
        return Err(Failure::fatal(
            Kind::InvalidArgument,
            "open the tablet store: no data root is given; give at least one",
        ));
    }
    let mut opened = Opened { roots: Vec::new(), locks: Vec::new(), tablets: HashMap::new() };
    let mut seen = HashSet::new();
    for directory in directories {
        durable::create_dir_all(directory)?;
        let directory = fs::canonicalize(directory)
            .map_err(|error| Failure::io(format_args!("open data root {}", directory.display()), &error))?;
        if !seen.insert(directory.clone()) {
            let message = format!("data root {} is given twice", directory.display());
            return Err(Failure::fatal(Kind::InvalidArgument, message));
        }
        opened.locks.push(durable::lock_dir(&directory).map_err(|failure| failure.context("open data root"))?);
        let root = DataRoot { data: directory.join("data"), work: directory };
        prepare(&root)?;
        let index = opened.roots.len();
        scan(index, &root, &mut opened.tablets)?;
        opened.roots.push(root);
    }
    Ok(opened)
}

/// Makes the root's directories and empties the trash.
fn prepare(root: &DataRoot) -> Result<()> {
    let trash = trash(root);
    durable::create_dir_all(&root.data)?;
    durable::create_dir_all(&trash)?;
    // Indexes tell the names of users' files.
    for private in [&root.data, &trash] {
        fs::set_permissions(private, fs::Permissions::from_mode(0o700))
            .map_err(|error| Failure::io(format_args!("protect {}", private.display()), &error))?;
    }
    for beside in [&root.data, &trash] {
        if !durable::same_filesystem(beside, &root.work)? {
            let message = format!(
                "{} and {} are on different filesystems: snapshots are hard links and need one",
                root.work.display(),
                beside.display()
            );
            return Err(Failure::fatal(Kind::FailedPrecondition, message));
        }
    }
    for (_, path) in list(&trash)? {
        remove(&path)?;
    }
    Ok(())
}

fn scan(root_index: usize, root: &DataRoot, tablets: &mut HashMap<TabletId, Arc<Tablet>>) -> Result<()> {
    for (name, path) in list(&root.data)? {
        if name.starts_with(NEW_PREFIX) {
            remove(&path)?;
            continue;
        }
        let Ok(id) = name.parse().map(TabletId) else {
            tracing::warn!(path = %path.display(), "leave alone what is no tablet");
            continue;
        };
        match read_tablet(id, root_index, &path) {
            Ok(tablet) => {
                if let Some(other) = tablets.insert(id, Arc::new(tablet)) {
                    let message = format!("tablet {id} is there twice: {} and {}", other.dir.display(), path.display());
                    return Err(Failure::fatal(Kind::Corrupt, message));
                }
            }
            Err(failure) => {
                tracing::error!(tablet = id.0, %failure, "leave out a tablet that cannot be read");
            }
        }
    }
    Ok(())
}

fn read_tablet(id: TabletId, root: usize, dir: &Path) -> Result<Tablet> {
    let header = Header::read(dir)?;
    if header.tablet != id {
        let message = format!("{} has the header of tablet {}", dir.display(), header.tablet);
        return Err(Failure::fatal(Kind::Corrupt, message));
    }
    // Until its job has filled it, a tablet consists of its header and of the data files that an adoption has moved here
    // already; what else there is, adopting makes again.
    let unfilled = header.owner.filter(|_| header.adopted.is_none());
    let filling = unfilled.map(|job| format!("-{job}"));
    let mut rowsets: BTreeMap<Version, Rowset> = BTreeMap::new();
    let mut data_dirs = Vec::new();
    for (name, path) in list(dir)? {
        if name == HEADER_NAME {
            continue;
        }
        if let Some(moved) = &filling {
            if !name.ends_with(moved) {
                remove(&path)?;
            }
        } else if durable::is_temporary(&name) {
            remove(&path)?;
        } else if let Some(version) = name.strip_suffix(".jsonl").and_then(|version| version.parse().ok()) {
            let rowset = index::read_header(&path)?.rowset.ok_or_else(|| {
                Failure::fatal(Kind::Corrupt, format!("index {} does not say who loaded it", path.display()))
            })?;
            rowsets.insert(Version(version), rowset);
        } else {
            data_dirs.push((name, path));
        }
    }
    check_chain(id, header.base, &rowsets)?;
    // Data files count from the moment an index names them: the others are of loads that did not end.
    let named: HashSet<String> = rowsets.iter().map(|(version, rowset)| format!("{version}-{}", rowset.job)).collect();
    for (_, path) in data_dirs.iter().filter(|(name, _)| !named.contains(name)) {
        remove(path)?;
    }
    Ok(Tablet::new(root, dir.to_owned(), header, rowsets))
}

/// Versions follow one another from the base on; only version 1 needs no index, being empty.
fn check_chain(id: TabletId, base: Version, rowsets: &BTreeMap<Version, Rowset>) -> Result<()> {
    let mut expected = if base == Version::INITIAL { base.next() } else { base };
    let missing_base = base != Version::INITIAL && rowsets.is_empty();
    for version in rowsets.keys() {
        if *version != expected {
            return Err(Failure::fatal(
                Kind::Corrupt,
                format!("tablet {id} lacks the index of version {expected}: the next it has is {version}"),
            ));
        }
        expected = expected.next();
    }
    if missing_base {
        return Err(Failure::fatal(Kind::Corrupt, format!("tablet {id} lacks the index of version {base}")));
    }
    Ok(())
}

/// The names in a directory, with their paths. Names that are not UTF-8 are none of ours.
fn list(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let failed = |error: &std::io::Error| Failure::io(format_args!("list {}", dir.display()), error);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| failed(&error))? {
        let entry = entry.map_err(|error| failed(&error))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push((name, entry.path()));
        }
    }
    Ok(names)
}

fn remove(path: &Path) -> Result<()> {
    if path.is_dir() { durable::remove_dir_all(path) } else { durable::remove_file(path) }
}
