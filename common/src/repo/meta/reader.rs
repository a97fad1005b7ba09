//! Reading a meta.

use std::io::{Cursor, Read};

use bytes::Bytes;

use super::rules::Rules;
use super::{Line, MetaHeader, MetaTotals, PartitionMeta};
use crate::failure::Failure;
use crate::repo::info::ObjectRef;
use crate::repo::lines::LinesReader;
use crate::repo::{check_digest, check_version, corrupt, first_line};
use crate::schema::{TableDef, ViewDef};

/// Longest line in bytes: a partition with half a million tablets.
const MAX_LINE: u64 = 64 << 20;
/// Most plain bytes of a meta.
const MAX_PLAIN: u64 = 64 << 30;

/// What a meta says, one line after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetaRecord {
    /// A table; the partitions until the next table are its own.
    Table(TableDef),
    /// A partition of the last table.
    Partition(PartitionMeta),
    /// A view.
    View(ViewDef),
}

/// Reads a meta as a stream and holds it to the rules of the format. An iterator of records that ends after the first
/// failure; only when it has ended without one was the meta complete.
pub struct MetaReader<R: Read> {
    lines: LinesReader<R>,
    header: MetaHeader,
    rules: Rules,
    totals: Option<MetaTotals>,
    over: bool,
}

impl<R: Read> std::fmt::Debug for MetaReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetaReader").field("path", &self.lines.path()).finish_non_exhaustive()
    }
}

impl MetaReader<Cursor<Bytes>> {
    /// Reads the meta that `reference` names from its stored bytes, after checking all of them.
    ///
    /// # Errors
    /// [`crate::failure::Kind::Corrupt`] with the meta's path if the bytes are not those that were written.
    pub fn verified(bytes: Bytes, reference: &ObjectRef) -> Result<Self, Failure> {
        let path = reference.path();
        check_digest(&path, &bytes, reference.size, &reference.digest)?;
        let reader = Self::new(&path, Cursor::new(bytes))?;
        if reader.header.job == reference.job {
            Ok(reader)
        } else {
            Err(corrupt(&path, format_args!("it is the meta of job {}", reader.header.job)))
        }
    }
}

impl<R: Read> MetaReader<R> {
    /// Reads stored bytes whose digest the caller has checked or will check. `path` names the meta in failures. An
    /// error of `input` that carries a [`Failure`] keeps its kind.
    pub fn new(path: &str, input: R) -> Result<Self, Failure> {
        let mut lines = LinesReader::new(path, input, MAX_LINE, MAX_PLAIN)?;
        let first = first_line(&mut lines, "meta")?;
        check_version(path, first.format_version)?;
        match serde_json::from_slice(&first.line).map_err(|error| corrupt(path, error))? {
            Line::Meta(header) => Ok(Self { lines, header, rules: Rules::default(), totals: None, over: false }),
            _ => Err(corrupt(path, "its first line is no header")),
        }
    }

    /// Bounds what is kept of it in memory by what an info says of it: it fails where it has more.
    #[must_use]
    pub fn at_most(mut self, most: MetaTotals) -> Self {
        self.rules.most = Some(most);
        self
    }

    /// The first line.
    #[must_use]
    pub fn header(&self) -> &MetaHeader {
        &self.header
    }

    /// The sums over all lines; known, and checked, when the iterator has ended without a failure.
    #[must_use]
    pub fn totals(&self) -> Option<MetaTotals> {
        self.totals
    }

    /// Everything at once, for who has the memory: about 200 bytes per tablet.
    pub fn read_whole(mut self) -> Result<WholeMeta, Failure> {
        let mut whole = WholeMeta { header: self.header.clone(), tables: Vec::new(), views: Vec::new() };
        for record in &mut self {
            match record? {
                MetaRecord::Table(def) => whole.tables.push(TableMeta { def, partitions: Vec::new() }),
                // The rules let no partition come before a table.
                MetaRecord::Partition(partition) => {
                    if let Some(table) = whole.tables.last_mut() {
                        table.partitions.push(partition);
                    }
                }
                MetaRecord::View(view) => whole.views.push(view),
            }
        }
        Ok(whole)
    }

    fn read(&mut self) -> Result<Option<MetaRecord>, Failure> {
        let path = self.lines.path().to_owned();
        let Some(line) = self.lines.next_line()? else {
            return Err(corrupt(&path, "it has no end line"));
        };
        let broken = |what: String| corrupt(&path, what);
        match serde_json::from_slice(line).map_err(|error| corrupt(&path, error))? {
            Line::Meta(_) => Err(corrupt(&path, "it has two headers")),
            Line::Table { def } => self.rules.table(&def).map(|()| Some(MetaRecord::Table(def))).map_err(broken),
            Line::Partition(partition) => {
                self.rules.partition(&partition).map(|()| Some(MetaRecord::Partition(partition))).map_err(broken)
            }
            Line::View(view) => self.rules.view(&view).map(|()| Some(MetaRecord::View(view))).map_err(broken),
            Line::End(totals) => {
                if self.rules.totals() != totals {
                    return Err(corrupt(&path, "the sums of its end line are not those of its lines"));
                }
                if self.lines.next_line()?.is_some() {
                    return Err(corrupt(&path, "something follows its end line"));
                }
                self.totals = Some(totals);
                Ok(None)
            }
        }
    }
}

impl<R: Read> Iterator for MetaReader<R> {
    type Item = Result<MetaRecord, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let item = self.read().transpose();
        self.over = !matches!(item, Some(Ok(_)));
        item
    }
}

/// A table and its partitions in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMeta {
    /// Its definition.
    pub def: TableDef,
    /// Its partitions that are in the snapshot.
    pub partitions: Vec<PartitionMeta>,
}

/// All that a meta says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeMeta {
    /// The first line.
    pub header: MetaHeader,
    /// Tables, in the order they were written.
    pub tables: Vec<TableMeta>,
    /// Views, in the order they were written.
    pub views: Vec<ViewDef>,
}
