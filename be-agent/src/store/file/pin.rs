//! Naming the files of a tablet at a version.

use std::any::Any;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use tabvault_common::durable;
use tabvault_common::failure::Failure;
use tabvault_common::ids::Version;

use super::entry::{DataName, Entry};
use super::index::{self, INDEX_NAME, Reader, Totals};
use super::tablet::{State, Tablet};
use crate::store::{PinnedContent, PinnedFile, PinnedTablet, Result};

/// Pins what is visible at `version`, which the tablet has; `guard` keeps the data files. The index is a file in the
/// tablet's directory for as long as the answer lives. Blocks.
pub(crate) fn pin(tablet: Arc<Tablet>, state: State, version: Version, guard: impl Any + Send) -> Result<PinnedTablet> {
    let index = Index(durable::temporary_beside(&tablet.index_path(version)));
    let mut data = write_index(&tablet, &state, version, &index)?;
    data.sort_unstable();
    // Two paths may name one data file: what is loaded again unchanged keeps it, wherever it is.
    data.dedup();
    let last = PinnedFile { path: INDEX_NAME.to_owned(), content: PinnedContent::File(index.0.clone()) };
    let (root, lineage) = (tablet.root, state.header.lineage);
    let named = move |name: DataName| {
        let content = PinnedContent::File(tablet.data_path(&state, name)?);
        Ok(PinnedFile { path: name.to_string(), content })
    };
    let files = Box::new(data.into_iter().map(named).chain([Ok(last)]));
    Ok(PinnedTablet { root, lineage, files, guard: Box::new((guard, index)) })
}

/// Writes what is visible at `version` to `index`, and tells the data files that it names, some perhaps twice.
fn write_index(tablet: &Tablet, state: &State, version: Version, index: &Index) -> Result<Vec<DataName>> {
    let failed = |error: &std::io::Error| Failure::io(format_args!("write the index of tablet {}", tablet.id), error);
    let mut out = BufWriter::new(File::create_new(&index.0).map_err(|error| failed(&error))?);
    let totals = totals(tablet, state, version)?;
    let mut data = Vec::with_capacity(usize::try_from(totals.entries).unwrap_or(0));
    let entries = tablet.visible(state, version)?.inspect(|entry| {
        if let Ok(Entry::File { data: name, .. }) = entry {
            data.push(*name);
        }
    });
    index::write(&mut out, totals, None, entries)?;
    out.flush().map_err(|error| failed(&error))?;
    Ok(data)
}

/// Numbers of what is visible: an index begins with them. Of one load alone, its own index says so.
fn totals(tablet: &Tablet, state: &State, version: Version) -> Result<Totals> {
    let mut loads = state.rowsets.range(..=version).map(|(version, _)| *version);
    if let (Some(only), None) = (loads.next(), loads.next()) {
        let path = tablet.index_path(only);
        let header = *Reader::open(&path)?.header();
        return Ok(Totals { entries: header.entries, bytes: header.bytes });
    }
    let mut totals = Totals::default();
    for entry in tablet.visible(state, version)? {
        totals.add(&entry?);
    }
    Ok(totals)
}

/// A file that goes with its name.
struct Index(PathBuf);

impl Drop for Index {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "leave an index behind until the store is opened again");
        }
    }
}
