//! Downloaded files become a hidden tablet's contents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tabvault_common::digest::{Digest, Hasher};
use tabvault_common::durable;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{JobUuid, Version};
use tabvault_common::task::TabletMapping;

use super::entry::{DataName, Entry, FILES};
use super::header::Adopted;
use super::index::{self, INDEX_NAME, Rowset, Snapshot, Totals};
use super::tablet::Tablet;
use crate::files;
use crate::store::Result;

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
    let named = Named::read(directory, version).map_err(context)?;
    named.check_files(directory, if moved { &data } else { directory }).map_err(context)?;
    if version > Version::INITIAL {
        let rowset = named.rowset(job);
        if !moved {
            take_files(directory, &data).map_err(context)?;
        }
        durable::write_file_by(&tablet.index_path(version), |out| {
            index::write_again(out, &directory.join(INDEX_NAME), named.totals, rowset)
        })?;
        rowsets.insert(version, rowset);
    } else if named.totals.entries > 0 {
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

/// What the index of a snapshot names, and its numbers. The entries themselves are not held: there may be very many.
struct Named {
    totals: Totals,
    digest: Digest,
    /// Regular files and links.
    files: u64,
    /// The data files, sorted, each once.
    data: Vec<(DataName, u64)>,
}

impl Named {
    /// Reads the index in `directory`, of a snapshot of `version`.
    fn read(directory: &Path, version: Version) -> Result<Self> {
        let corrupt = |what: String| Failure::fatal(Kind::Corrupt, format!("{}: {what}", directory.display()));
        let path = directory.join(INDEX_NAME);
        if !path.is_file() {
            return Err(corrupt(format!("`{INDEX_NAME}` is missing")));
        }
        let (mut totals, mut hasher, mut files) = (Totals::default(), Hasher::new(), 0);
        let mut data: Vec<(DataName, u64, Digest)> = Vec::new();
        for entry in Snapshot::open(&path)? {
            let entry = entry?;
            totals.add(&entry);
            entry.hash_into(&mut hasher);
            files += u64::from(entry.counts());
            let Entry::File { data: name, size, digest, .. } = entry else { continue };
            if name.version > version {
                return Err(corrupt(format!("`{name}` is of a later version than {version}")));
            }
            data.push((name, size, digest));
        }
        data.sort_unstable_by_key(|(name, ..)| *name);
        let two = data.windows(2).find(|pair| matches!(pair, [one, other] if one.0 == other.0 && one != other));
        if let Some([(name, ..), _]) = two {
            return Err(corrupt(format!("two paths name the data file `{name}`, with different contents")));
        }
        data.dedup_by_key(|(name, ..)| *name);
        let data = data.into_iter().map(|(name, size, _)| (name, size)).collect();
        Ok(Self { totals, digest: hasher.finish(), files, data })
    }

    /// Checks that in `directory` and in `place`, where the data files are, is all that is named and nothing else.
    fn check_files(&self, directory: &Path, place: &Path) -> Result<()> {
        let corrupt = |what: String| Failure::fatal(Kind::Corrupt, format!("{}: {what}", directory.display()));
        let mut found: Vec<(DataName, u64)> = Vec::with_capacity(self.data.len());
        let mut strange = BTreeSet::new();
        let mut see = |path: &str, entry: files::Entry| {
            match (path.parse(), entry) {
                (Ok(name), files::Entry::File(size, _)) => found.push((name, size)),
                (Err(_), files::Entry::File(..)) if path == INDEX_NAME => {}
                (Err(_), files::Entry::Directory) if DataName::could_be_in(path) => {}
                (Ok(_) | Err(_), _) => drop(strange.insert(path.to_owned())),
            }
            Ok(())
        };
        files::each_below(directory, &mut see)?;
        if place != directory {
            files::each_below(place, &mut see)?;
        }
        found.sort_unstable();
        let mut found = found.into_iter().peekable();
        let mut unnamed = None;
        for (name, size) in &self.data {
            while let Some((other, _)) = found.next_if(|(other, _)| other < name) {
                unnamed.get_or_insert(other.to_string());
            }
            match found.next_if(|(other, _)| other == name) {
                Some((_, found)) if found == *size => {}
                Some((_, found)) => return Err(corrupt(format!("`{name}` has {found} bytes, its index says {size}"))),
                None if strange.contains(&name.to_string()) => {
                    return Err(corrupt(format!("`{name}` is no regular file")));
                }
                None => return Err(corrupt(format!("`{name}` is missing"))),
            }
        }
        let unnamed = unnamed.or_else(|| found.next().map(|(name, _)| name.to_string()));
        match unnamed.or_else(|| strange.pop_first()) {
            Some(name) => Err(corrupt(format!("`{name}` is named by no index"))),
            None => Ok(()),
        }
    }

    /// What a tablet that has it brought.
    fn rowset(&self, job: JobUuid) -> Rowset {
        let (files, bytes) = (self.files, self.totals.bytes);
        let stored_bytes = self.data.iter().map(|(_, size)| size).sum();
        Rowset { job, digest: self.digest, loaded_files: files, loaded_bytes: bytes, files, bytes, stored_bytes }
    }
}

/// Moves the data files out of `from` into `to`, durably.
fn take_files(from: &Path, to: &Path) -> Result<()> {
    durable::remove_dir_all(to)?;
    durable::create_dir_all(to)?;
    let there = from.join(FILES);
    if there.exists() { durable::rename(&there, &to.join(FILES)) } else { durable::create_dir_all(&to.join(FILES)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::entry::Mode;
    use super::super::path::TreePath;
    use super::*;

    fn file(path: &str, content: &[u8], number: u64) -> Entry {
        Entry::File {
            path: TreePath::new(path.into()).unwrap(),
            mode: Mode(0o644),
            mtime: None,
            size: content.len() as u64,
            digest: Digest::of(content),
            data: DataName { version: Version(2), number },
        }
    }

    fn read(entries: &[Entry]) -> Result<Named> {
        let dir = tempfile::tempdir().unwrap();
        index::write_file(&dir.path().join(INDEX_NAME), entries, None).unwrap();
        Named::read(dir.path(), Version(2))
    }

    #[test]
    fn a_data_file_with_two_contents_is_refused_and_with_one_is_not() {
        let named = read(&[file("a", b"1", 7), file("b", b"1", 7), file("c", b"22", 3)]).unwrap();
        assert_eq!(named.data.iter().map(|(name, size)| (name.number, *size)).collect::<Vec<_>>(), [(3, 2), (7, 1)]);
        let failure = read(&[file("a", b"1", 7), file("b", b"2", 7)]).map(drop).unwrap_err();
        assert_eq!(failure.kind, Kind::Corrupt);
        assert!(failure.message.contains("`files/2-0/7`"), "{failure}");
    }
}
