//! Reading an index, entry by entry.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use tabvault_common::failure::{Failure, Kind};

use super::{FORMAT_VERSION, IndexHeader, MAX_ENTRIES, MAX_LINES, Totals};
use crate::store::Result;
use crate::store::file::entry::Entry;
use crate::store::file::path::TreePath;

/// Longest line: a path and a target of 4096 bytes each, every byte escaped, and the other fields.
const MAX_LINE: u64 = 32 * 1024;

/// Only the version, so that a later format is refused as what it is.
#[derive(Deserialize)]
struct Versioned {
    format_version: u32,
}

/// The entries of an index. After the first error, `Corrupt` naming the index and the line, there are no more.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    lines: Lines<R>,
    header: IndexHeader,
    read: Totals,
    ended: bool,
}

impl Reader<BufReader<File>> {
    /// Opens the index file `path`.
    ///
    /// # Errors
    /// What the disk says, and as [`Reader::new`].
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::new(open(path)?, path.display().to_string())
    }
}

impl<R: BufRead> Reader<R> {
    /// An index that `source` spells; `name` is for messages.
    ///
    /// # Errors
    /// `Corrupt` naming the index; `Unsupported` for another format.
    pub(crate) fn new(source: R, name: String) -> Result<Self> {
        let mut lines = Lines { source, name, number: 0, line: Vec::new() };
        let header = lines.header()?;
        Ok(Self { lines, header, read: Totals::default(), ended: false })
    }

    /// The first line.
    pub(crate) fn header(&self) -> &IndexHeader {
        &self.header
    }

    fn entry(&mut self) -> Result<Option<Entry>> {
        let Self { lines, header, read, .. } = self;
        if read.entries < header.entries {
            let entry: Entry = lines.parse()?;
            read.add(&entry);
            return Ok(Some(entry));
        }
        if lines.next()? {
            return Err(lines.corrupt(&format_args!("only {} entries were announced", header.entries)));
        }
        if read.bytes != header.bytes {
            let what = format_args!("its files have {} bytes, {} were announced", read.bytes, header.bytes);
            return Err(lines.corrupt(&what));
        }
        Ok(None)
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let entry = self.entry();
        self.ended = !matches!(entry, Ok(Some(_)));
        entry.transpose()
    }
}

/// Reads the first line of the index file `path`.
pub(crate) fn read_header(path: &Path) -> Result<IndexHeader> {
    Ok(Reader::open(path)?.header)
}

/// The entries of a snapshot's index, held to what must be true of their paths: sorted, none twice, none in what is no
/// directory. Whoever reads them looks after the data files.
#[derive(Debug)]
pub(crate) struct Snapshot<R> {
    reader: Reader<R>,
    last: Option<TreePath>,
    /// The last path that is no directory: whatever lies in it would follow at once.
    leaf: Option<TreePath>,
}

impl Snapshot<BufReader<File>> {
    /// Opens the index file `path`.
    ///
    /// # Errors
    /// As [`Reader::open`]; `Corrupt` for the index of a load.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let reader = Reader::open(path)?;
        if reader.header.rowset.is_some() {
            let message = format!("index {}: it is the index of a load, not of a snapshot", path.display());
            return Err(Failure::fatal(Kind::Corrupt, message));
        }
        Ok(Self { reader, last: None, leaf: None })
    }
}

impl<R: BufRead> Snapshot<R> {
    fn check(&mut self, entry: Entry) -> Result<Entry> {
        let path = entry.path();
        let why = if matches!(entry, Entry::Gone { .. }) {
            "is marked as gone, which has no place in a snapshot"
        } else if self.last.as_ref().is_some_and(|last| last >= path) {
            "does not come after the path before it"
        } else if self.leaf.as_ref().is_some_and(|leaf| path.is_beneath(leaf.as_bytes())) {
            "lies in what is no directory"
        } else {
            if !matches!(entry, Entry::Directory { .. }) {
                self.leaf = Some(path.clone());
            }
            self.last = Some(path.clone());
            return Ok(entry);
        };
        self.reader.ended = true;
        Err(Failure::fatal(Kind::Corrupt, format!("index {}: `{path}` {why}", self.reader.lines.name)))
    }
}

impl<R: BufRead> Iterator for Snapshot<R> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.reader.next()?.and_then(|entry| self.check(entry)))
    }
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).map_err(|error| Failure::io(format_args!("read index {}", path.display()), &error))?;
    Ok(BufReader::new(file))
}

/// Lines of bounded length with their numbers.
#[derive(Debug)]
struct Lines<R> {
    source: R,
    name: String,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Reads the next line; `false` at the end.
    fn next(&mut self) -> Result<bool> {
        self.number += 1;
        self.line.clear();
        (&mut self.source)
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
        let most = if header.rowset.is_some() { MAX_LINES } else { MAX_ENTRIES };
        if header.entries > most {
            return Err(self.corrupt(&format_args!("it announces more than {most} entries")));
        }
        Ok(header)
    }

    fn corrupt(&self, why: &dyn fmt::Display) -> Failure {
        Failure::fatal(Kind::Corrupt, format!("index {}, line {}: {why}", self.name, self.number))
    }
}
