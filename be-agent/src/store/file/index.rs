//! Index files: a line that describes the index, then one line per entry, each a JSON object.
//!
//! There are two of them, and their entries are the same. A tablet's own `<version>.jsonl` says what one load (or one
//! restore) brought. A snapshot's `index.jsonl` says all that is visible at its version, sorted by path; with the data
//! files it names it is all that is needed to have the tree again. Its bytes depend on nothing else than what is
//! visible, so that equal contents have equal indexes.
//!
//! # History of the format
//! 1: the first.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tabvault_common::digest::Digest;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::JobUuid;

use super::entry::Entry;
use super::path::TreePath;
use crate::store::Result;

/// The version of the format that is written, and the only one that is read.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// The name of the index among a snapshot's files.
pub(crate) const INDEX_NAME: &str = "index.jsonl";

/// Most entries that are visible in one tablet, and that one index holds: bounds the memory in which indexes are
/// merged to some 300 bytes times this.
pub(crate) const MAX_ENTRIES: u64 = 2_000_000;

/// Longest line: a path and a target of 4096 bytes each, every byte escaped, and the other fields.
const MAX_LINE: u64 = 32 * 1024;

/// Bytes of a usual line.
const LINE: usize = 256;

/// The first line of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// Only the version, so that a later format is refused as what it is.
#[derive(Deserialize)]
struct Versioned {
    format_version: u32,
}

/// Spells an index.
pub(crate) fn encode<'a>(
    entries: impl ExactSizeIterator<Item = &'a Entry> + Clone,
    rowset: Option<Rowset>,
) -> Result<Vec<u8>> {
    let header = IndexHeader {
        format_version: FORMAT_VERSION,
        entries: entries.len() as u64,
        bytes: entries.clone().map(Entry::size).sum(),
        rowset,
    };
    // About as long as it will be: growing would need twice the room.
    let mut text = Vec::with_capacity(entries.len().saturating_mul(LINE));
    push_line(&mut text, &header)?;
    for entry in entries {
        push_line(&mut text, entry)?;
    }
    Ok(text)
}

fn push_line(text: &mut Vec<u8>, line: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *text, line)
        .map_err(|error| Failure::fatal(Kind::Internal, format!("spell a line of an index: {error}")))?;
    text.push(b'\n');
    Ok(())
}

/// Reads an index entry by entry from `reader`; `name` is for messages.
///
/// # Errors
/// `Corrupt` naming the index and line; `Unsupported` for a later format.
pub(crate) fn decode(
    reader: &mut dyn BufRead,
    name: &dyn fmt::Display,
    mut take: impl FnMut(Entry) -> Result<()>,
) -> Result<IndexHeader> {
    let mut lines = Lines { reader, name, number: 0, line: Vec::new() };
    let header = lines.header()?;
    let mut bytes = 0_u64;
    for _ in 0..header.entries {
        let entry: Entry = lines.parse()?;
        bytes = bytes.saturating_add(entry.size());
        take(entry)?;
    }
    if lines.next()? {
        return Err(lines.corrupt(&format_args!("only {} entries were announced", header.entries)));
    }
    if bytes != header.bytes {
        return Err(lines.corrupt(&format_args!("its files have {bytes} bytes, {} were announced", header.bytes)));
    }
    Ok(header)
}

/// Reads the first line of the index file `path`.
pub(crate) fn read_header(path: &Path) -> Result<IndexHeader> {
    let mut reader = open(path)?;
    Lines { reader: &mut reader, name: &path.display(), number: 0, line: Vec::new() }.header()
}

/// Reads the index file `path` entry by entry.
pub(crate) fn read(path: &Path, take: impl FnMut(Entry) -> Result<()>) -> Result<IndexHeader> {
    decode(&mut open(path)?, &path.display(), take)
}

/// Reads the index of a snapshot from `path` and checks what must hold for all of its entries together: sorted, no
/// path twice, nothing in what is no directory, no data file twice with different contents.
pub(crate) fn read_snapshot(path: &Path) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut contents = BTreeMap::new();
    // The last path that is no directory: whatever lies in it would follow at once.
    let mut leaf: Option<TreePath> = None;
    let wrong = |entry: &Entry, why: &str| {
        Failure::fatal(Kind::Corrupt, format!("index {}: `{}` {why}", path.display(), entry.path()))
    };
    let header = read(path, |entry| {
        if matches!(entry, Entry::Gone { .. }) {
            return Err(wrong(&entry, "is marked as gone, which has no place in a snapshot"));
        }
        if entries.last().is_some_and(|last| last.path() >= entry.path()) {
            return Err(wrong(&entry, "does not come after the path before it"));
        }
        if leaf.as_ref().is_some_and(|leaf| entry.path().is_beneath(leaf.as_bytes())) {
            return Err(wrong(&entry, "lies in what is no directory"));
        }
        if let Entry::File { data, digest, size, .. } = &entry
            && contents.insert(*data, (*digest, *size)).is_some_and(|before| before != (*digest, *size))
        {
            return Err(wrong(&entry, "names a data file that another path names with other contents"));
        }
        if !matches!(entry, Entry::Directory { .. }) {
            leaf = Some(entry.path().clone());
        }
        entries.push(entry);
        Ok(())
    })?;
    if header.rowset.is_some() {
        let message = format!("index {}: it is the index of a load, not of a snapshot", path.display());
        return Err(Failure::fatal(Kind::Corrupt, message));
    }
    Ok(entries)
}

fn open(path: &Path) -> Result<std::io::BufReader<std::fs::File>> {
    let file = std::fs::File::open(path)
        .map_err(|error| Failure::io(format_args!("read index {}", path.display()), &error))?;
    Ok(std::io::BufReader::new(file))
}

/// Lines of bounded length with their numbers.
struct Lines<'a> {
    reader: &'a mut dyn BufRead,
    name: &'a dyn fmt::Display,
    number: u64,
    line: Vec<u8>,
}

impl Lines<'_> {
    /// Reads the next line; `false` at the end.
    fn next(&mut self) -> Result<bool> {
        self.number += 1;
        self.line.clear();
        (&mut *self.reader)
            .take(MAX_LINE)
            .read_until(b'\n', &mut self.line)
            .map_err(|error| Failure::io(format_args!("read index {}", self.name), &error))?;
        if self.line.pop_if(|last| *last == b'\n').is_some() {
            return Ok(true);
        }
        if self.line.is_empty() { Ok(false) } else { Err(self.corrupt(&"it does not end or is too long")) }
    }

    fn parse<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T> {
        if !self.next()? {
            return Err(self.corrupt(&"it is missing"));
        }
        serde_json::from_slice(&self.line).map_err(|error| self.corrupt(&error))
    }

    fn header(&mut self) -> Result<IndexHeader> {
        let Versioned { format_version } = self.parse()?;
        if format_version != FORMAT_VERSION {
            let message = format!(
                "index {} has format version {format_version}: this program reads version {FORMAT_VERSION}",
                self.name
            );
            return Err(Failure::fatal(Kind::Unsupported, message));
        }
        let header: IndexHeader = serde_json::from_slice(&self.line).map_err(|error| self.corrupt(&error))?;
        if header.entries > MAX_ENTRIES {
            return Err(self.corrupt(&format_args!("it announces more than {MAX_ENTRIES} entries")));
        }
        Ok(header)
    }

    fn corrupt(&self, why: &dyn fmt::Display) -> Failure {
        Failure::fatal(Kind::Corrupt, format!("index {}, line {}: {why}", self.name, self.number))
    }
}

#[cfg(test)]
mod tests;
