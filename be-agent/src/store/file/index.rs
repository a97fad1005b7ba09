//! Index files: a line that describes the index, then one line per entry, each a JSON object.
//!
//! There are two of them, and their entries are the same. A tablet's own `<version>.jsonl` says what one load (or one
//! restore) brought. A snapshot's `index.jsonl` says all that is visible at its version, sorted by path; with the data
//! files it names it is all that is needed to have the tree again. Its bytes depend on nothing else than what is
//! visible, so that equal contents have equal indexes.
//!
//! # History of the format
//! 1: the first, never released; all data files lay in one directory. 2: they lie in groups.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tabvault_common::digest::Digest;
use tabvault_common::durable;
use tabvault_common::failure::Failure;
use tabvault_common::ids::JobUuid;

use super::entry::Entry;
use crate::store::Result;

mod reader;

pub(crate) use reader::{Reader, Snapshot, read_header};

/// The version of the format that is written, and the only one that is read.
pub(crate) const FORMAT_VERSION: u32 = 2;

/// The name of the index among a snapshot's files.
pub(crate) const INDEX_NAME: &str = "index.jsonl";

/// Most entries that are visible in one tablet: bounds the memory in which a tablet is backed up and restored, some 200
/// bytes times this.
pub(crate) const MAX_ENTRIES: u64 = 500_000;

/// Most entries of one index: a load may bring as many as are visible then, and take away as many as were before.
pub(crate) const MAX_LINES: u64 = 2 * MAX_ENTRIES;

/// The first line of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexHeader {
    /// See [`FORMAT_VERSION`].
    pub(crate) format_version: u32,
    /// Number of lines that follow.
    pub(crate) entries: u64,
    /// Bytes of the regular files among them.
    pub(crate) bytes: u64,
    /// What a tablet's own index says in addition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rowset: Option<Rowset>,
}

/// What one load or restore brought, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rowset {
    /// Who brought it; names the directory of the data files.
    pub(crate) job: JobUuid,
    /// Over names, attributes and contents that it brought.
    pub(crate) digest: Digest,
    /// Files that it brought.
    pub(crate) loaded_files: u64,
    /// Bytes that it brought.
    pub(crate) loaded_bytes: u64,
    /// Files visible with it.
    pub(crate) files: u64,
    /// Bytes visible with it.
    pub(crate) bytes: u64,
    /// Bytes of data files of its own: what was there already is not stored again.
    pub(crate) stored_bytes: u64,
}

/// Numbers of an index that is to be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Entries.
    pub(crate) entries: u64,
    /// Bytes of the regular files among them.
    pub(crate) bytes: u64,
}

impl Totals {
    /// Counts `entries`.
    pub(crate) fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut totals = Self::default();
        entries.into_iter().for_each(|entry| totals.add(entry));
        totals
    }

    /// Counts one more.
    pub(crate) fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(entry.size());
    }
}

/// Spells an index of `entries`, which are as many as `totals` says.
pub(crate) fn write<E: Borrow<Entry>>(
    out: &mut dyn Write,
    totals: Totals,
    rowset: Option<Rowset>,
    entries: impl IntoIterator<Item = Result<E>>,
) -> Result<()> {
    let Totals { entries: count, bytes } = totals;
    push_line(out, &IndexHeader { format_version: FORMAT_VERSION, entries: count, bytes, rowset })?;
    entries.into_iter().try_for_each(|entry| push_line(out, entry?.borrow()))
}

/// Spells the index of a snapshot, `path`, once more as that of a tablet: only the first line is another. Whoever calls
/// has read it to its end.
pub(crate) fn write_again(out: &mut dyn Write, path: &Path, totals: Totals, rowset: Rowset) -> Result<()> {
    write::<Entry>(out, totals, Some(rowset), [])?;
    let failed = |error| Failure::io(format_args!("copy index {}", path.display()), &error);
    let mut lines = BufReader::new(File::open(path).map_err(failed)?);
    lines.skip_until(b'\n').map_err(failed)?;
    std::io::copy(&mut lines, out).map(drop).map_err(failed)
}

/// Spells an index of `entries` into the file `path`, durably; see [`durable::write_file_by`].
pub(crate) fn write_file(path: &Path, entries: &[Entry], rowset: Option<Rowset>) -> Result<()> {
    durable::write_file_by(path, |out| write(out, Totals::of(entries), rowset, entries.iter().map(Ok)))
}

fn push_line(out: &mut dyn Write, line: &impl Serialize) -> Result<()> {
    let failed = |error: &std::io::Error| Failure::io("write an index", error);
    serde_json::to_writer(&mut *out, line).map_err(|error| failed(&error.into()))?;
    out.write_all(b"\n").map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests;
