//! Downloaded files become a hidden tablet's contents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use tabvault_common::digest::Hasher;
use tabvault_common::durable::{self, SyncFs};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{JobUuid, Version};
use tabvault_common::task::TabletMapping;

use super::entry::{DataName, Entry};
use super::header::Adopted;
use super::index::{self, INDEX_NAME, Rowset};
use super::tablet::Tablet;
use crate::store::{DataRoot, Result};

/// Makes the files below `directory` the contents of `tablet`; see [`crate::store::TabletStore::adopt`]. Whoever calls
/// holds the tablet's `change`.
///
/// The files are linked, not moved: until the header is written, which is the commit, everything can be done again
/// from `directory`.
pub(crate) fn adopt(
    tablet: &Tablet,
    root: &DataRoot,
    job: JobUuid,
    mapping: &TabletMapping,
    directory: &Path,
) -> Result<()> {
    let state = tablet.snapshot()?;
    state.check_schema(mapping.schema_hash)?;
    let adopted = Adopted { job, source: mapping.source.clone() };
    if state.header.adopted.as_ref() == Some(&adopted) {
        return Ok(());
    }
    let refused =
        |why: String| Failure::fatal(Kind::FailedPrecondition, format!("adopt into tablet {}: {why}", tablet.id));
    if state.header.owner != Some(job) {
        return Err(refused(format!("it was not made by job {job}")));
    }
    if state.header.adopted.is_some() {
        return Err(refused("it has other contents already".to_owned()));
    }
    let version = mapping.source.version;
    if version < Version::INITIAL {
        return Err(refused(format!("there is no version {version}")));
    }
    let context = |failure: Failure| failure.context(format_args!("adopt into tablet {}", tablet.id));
    let mut rowsets = BTreeMap::new();
    if version > Version::INITIAL {
        let entries = validate(directory, version).map_err(context)?;
        let rowset = numbers(job, &entries);
        let sync = SyncFs::open(&root.data)?;
        link(&entries, directory, &tablet.rowset_dir(version, job)).map_err(context)?;
        sync.sync()?;
        durable::write_file(&tablet.index_path(version), &index::encode(entries.iter(), Some(rowset))?)?;
        rowsets.insert(version, rowset);
    } else if !validate(directory, version).map_err(context)?.is_empty() {
        return Err(Failure::fatal(
            Kind::Corrupt,
            format!("adopt into tablet {}: version {version} is empty and its index is not", tablet.id),
        ));
    }
    let mut header = state.header;
    header.base = version;
    header.adopted = Some(adopted);
    header.write(&tablet.dir)?;
    let mut state = tablet.state();
    state.header = header;
    state.rowsets = rowsets;
    Ok(())
}

/// Reads the index in `directory` and checks that the directory holds it and what it names, and nothing else.
fn validate(directory: &Path, version: Version) -> Result<Vec<Entry>> {
    let corrupt = |what: String| Failure::fatal(Kind::Corrupt, format!("{}: {what}", directory.display()));
    let index = directory.join(INDEX_NAME);
    if !index.is_file() {
        return Err(corrupt(format!("`{INDEX_NAME}` is missing")));
    }
    let entries = index::read_snapshot(&index)?;
    let mut known: BTreeSet<DataName> = BTreeSet::new();
    for entry in &entries {
        let Entry::File { data, size, .. } = entry else { continue };
        if data.version > version {
            return Err(corrupt(format!("`{data}` is of a later version than {version}")));
        }
        let found = fs::symlink_metadata(directory.join(data.to_string()));
        let found = found.map_err(|error| corrupt(format!("`{data}` cannot be read: {error}")))?;
        if !found.is_file() {
            return Err(corrupt(format!("`{data}` is no regular file")));
        }
        if found.len() != *size {
            return Err(corrupt(format!("`{data}` has {} bytes, its index says {size}", found.len())));
        }
        known.insert(*data);
    }
    for found in walkdir::WalkDir::new(directory).min_depth(1) {
        let found = found.map_err(|error| corrupt(format!("it cannot be listed: {error}")))?;
        let name = found.path().strip_prefix(directory).unwrap_or(found.path());
        let expected = name == Path::new(INDEX_NAME)
            || (name == Path::new("files") && found.file_type().is_dir())
            || name.to_str().and_then(|name| name.parse().ok()).is_some_and(|name| known.contains(&name));
        if !expected {
            return Err(corrupt(format!("`{}` is named by no index", name.display())));
        }
    }
    Ok(entries)
}

/// Gives the data files that `entries` name a second name below `to`, which is made anew.
fn link(entries: &[Entry], from: &Path, to: &Path) -> Result<()> {
    durable::remove_dir_all(to)?;
    durable::create_dir_all(&to.join("files"))?;
    let names: BTreeSet<String> = entries
        .iter()
        .filter_map(|entry| if let Entry::File { data, .. } = entry { Some(data.to_string()) } else { None })
        .collect();
    for name in names {
        durable::hard_link(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

fn numbers(job: JobUuid, entries: &[Entry]) -> Rowset {
    let mut hasher = Hasher::new();
    let mut stored = BTreeMap::new();
    for entry in entries {
        entry.hash_into(&mut hasher);
        if let Entry::File { data, size, .. } = entry {
            stored.insert(*data, *size);
        }
    }
    let files = entries.iter().filter(|entry| entry.counts()).count() as u64;
    let bytes = entries.iter().map(Entry::size).sum();
    Rowset {
        job,
        digest: hasher.finish(),
        loaded_files: files,
        loaded_bytes: bytes,
        files,
        bytes,
        stored_bytes: stored.values().sum(),
    }
}
