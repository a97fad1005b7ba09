//! Downloaded files become a hidden tablet's contents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tabvault_common::digest::Hasher;
use tabvault_common::durable;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{JobUuid, Version};
use tabvault_common::task::TabletMapping;

use super::entry::{DataName, Entry};
use super::header::Adopted;
use super::index::{self, INDEX_NAME, Rowset};
use super::tablet::Tablet;
use crate::files;
use crate::store::Result;

/// The directory of the data files, in a snapshot and in a tablet.
const FILES: &str = "files";

/// Makes the files below `directory` the contents of `tablet`; see [`crate::store::TabletStore::adopt`]. Whoever calls
/// holds the tablet's `change`.
///
/// The data files move into the tablet all at once, by the rename of their directory; the index stays in `directory`.
/// The header, written last, is the commit: until then everything is done again, from wherever the files are.
pub(crate) fn adopt(tablet: &Tablet, job: JobUuid, mapping: &TabletMapping, directory: &Path) -> Result<()> {
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
    let data = tablet.rowset_dir(version, job);
    // What is in `directory` is later than what an adoption left that did not come to its commit.
    let moved = !directory.join(FILES).exists() && data.join(FILES).exists();
    let entries = validate(directory, if moved { &data } else { directory }, version).map_err(context)?;
    if version > Version::INITIAL {
        let rowset = numbers(job, &entries);
        if !moved {
            take_files(directory, &data).map_err(context)?;
        }
        durable::write_file(&tablet.index_path(version), &index::encode(entries.iter(), Some(rowset))?)?;
        rowsets.insert(version, rowset);
    } else if !entries.is_empty() {
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

/// Reads the index in `directory` and checks that there and in `place`, where the data files are, is all that it names
/// and nothing else.
fn validate(directory: &Path, place: &Path, version: Version) -> Result<Vec<Entry>> {
    let corrupt = |what: String| Failure::fatal(Kind::Corrupt, format!("{}: {what}", directory.display()));
    let index = directory.join(INDEX_NAME);
    if !index.is_file() {
        return Err(corrupt(format!("`{INDEX_NAME}` is missing")));
    }
    let entries = index::read_snapshot(&index)?;
    let mut found: BTreeMap<DataName, u64> = BTreeMap::new();
    let mut strange = BTreeSet::new();
    let mut see = |path: &str, entry: files::Entry| {
        match (path.parse(), entry) {
            (Ok(name), files::Entry::File(size, _)) => drop(found.insert(name, size)),
            (Err(_), files::Entry::File(..)) if path == INDEX_NAME => {}
            (Err(_), files::Entry::Directory) if path == FILES => {}
            (Ok(_) | Err(_), _) => drop(strange.insert(path.to_owned())),
        }
        Ok(())
    };
    files::each_below(directory, &mut see)?;
    if place != directory {
        files::each_below(place, &mut see)?;
    }
    let mut known: BTreeSet<DataName> = BTreeSet::new();
    for entry in &entries {
        let Entry::File { data, size, .. } = entry else { continue };
        if data.version > version {
            return Err(corrupt(format!("`{data}` is of a later version than {version}")));
        }
        match found.get(data) {
            Some(found) if found == size => known.insert(*data),
            Some(found) => return Err(corrupt(format!("`{data}` has {found} bytes, its index says {size}"))),
            None if strange.contains(&data.to_string()) => {
                return Err(corrupt(format!("`{data}` is no regular file")));
            }
            None => return Err(corrupt(format!("`{data}` is missing"))),
        };
    }
    let unnamed = found.keys().find(|name| !known.contains(name)).map(ToString::to_string);
    match unnamed.or_else(|| strange.pop_first()) {
        Some(name) => Err(corrupt(format!("`{name}` is named by no index"))),
        None => Ok(entries),
    }
}

/// Moves the data files out of `from` into `to`, durably.
fn take_files(from: &Path, to: &Path) -> Result<()> {
    durable::remove_dir_all(to)?;
    durable::create_dir_all(to)?;
    let there = from.join(FILES);
    if there.exists() { durable::rename(&there, &to.join(FILES)) } else { durable::create_dir_all(&to.join(FILES)) }
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
