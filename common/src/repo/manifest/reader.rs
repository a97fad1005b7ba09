//! Reading a manifest.

use std::io::{Cursor, Read};

use bytes::Bytes;

use super::rules::Rules;
use super::{Line, ManifestFile, ManifestHeader, ManifestPack, ManifestTablet, ManifestTotals};
use crate::failure::Failure;
use crate::repo::info::ManifestRef;
use crate::repo::lines::LinesReader;
use crate::repo::{check_digest, check_version, corrupt, first_line};

/// Longest line in bytes: a path of 1 KiB, names of objects, digests.
const MAX_LINE: u64 = 64 << 10;
/// Most plain bytes of a manifest.
const MAX_PLAIN: u64 = 64 << 30;

/// What a manifest says, one line after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestRecord {
    /// A pack that files refer to.
    Pack(ManifestPack),
    /// A tablet; the files until the next tablet are its own.
    Tablet(ManifestTablet),
    /// A file of the last tablet.
    File(ManifestFile),
}

/// Reads a manifest as a stream and holds it to the rules of the format. An iterator of records that ends after the
/// first failure; only when it has ended without one was the manifest complete.
pub struct ManifestReader<R: Read> {
    lines: LinesReader<R>,
    header: ManifestHeader,
    rules: Rules,
    totals: Option<ManifestTotals>,
    over: bool,
}

impl<R: Read> std::fmt::Debug for ManifestReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManifestReader").field("path", &self.lines.path()).finish_non_exhaustive()
    }
}

impl ManifestReader<Cursor<Bytes>> {
    /// Reads the manifest that `reference` names from its stored bytes, after checking all of them. What is said of its
    /// sums there bounds what is kept of it in memory.
    ///
    /// # Errors
    /// [`crate::failure::Kind::Corrupt`] with the manifest's path if the bytes are not those that were written. The
    /// iterator fails so where it has more tablets or packs.
    pub fn verified(bytes: Bytes, reference: &ManifestRef) -> Result<Self, Failure> {
        let path = reference.path();
        check_digest(&path, &bytes, reference.size, &reference.digest)?;
        let mut reader = Self::new(&path, Cursor::new(bytes))?;
        reader.rules = Rules::at_most(ManifestTotals::of(reference));
        if reader.header.job == reference.job {
            Ok(reader)
        } else {
            Err(corrupt(&path, format_args!("it is a manifest of job {}", reader.header.job)))
        }
    }
}

impl<R: Read> ManifestReader<R> {
    /// Reads stored bytes whose digest the caller has checked or will check. `path` names the manifest in failures. An
    /// error of `input` that carries a [`Failure`] keeps its kind.
    pub fn new(path: &str, input: R) -> Result<Self, Failure> {
        let mut lines = LinesReader::new(path, input, MAX_LINE, MAX_PLAIN)?;
        let first = first_line(&mut lines, "manifest")?;
        check_version(path, first.format_version)?;
        match Line::parse(&first.line).map_err(|error| corrupt(path, error))? {
            Line::Manifest(header) => Ok(Self { lines, header, rules: Rules::default(), totals: None, over: false }),
            _ => Err(corrupt(path, "its first line is no header")),
        }
    }

    /// The first line.
    #[must_use]
    pub fn header(&self) -> &ManifestHeader {
        &self.header
    }

    /// The sums over all lines; known, and checked, when the iterator has ended without a failure.
    #[must_use]
    pub fn totals(&self) -> Option<ManifestTotals> {
        self.totals
    }

    fn read(&mut self) -> Result<Option<ManifestRecord>, Failure> {
        let path = self.lines.path().to_owned();
        let Some(line) = self.lines.next_line()? else {
            return Err(corrupt(&path, "it has no end line"));
        };
        let broken = |what: String| corrupt(&path, what);
        match Line::parse(line).map_err(|error| corrupt(&path, error))? {
            Line::Manifest(_) => Err(corrupt(&path, "it has two headers")),
            Line::Pack(pack) => self.rules.pack(&pack).map(|()| Some(ManifestRecord::Pack(pack))).map_err(broken),
            Line::Tablet(tablet) => {
                self.rules.tablet(&tablet).map(|()| Some(ManifestRecord::Tablet(tablet))).map_err(broken)
            }
            Line::File(file) => self.rules.file(&file).map(|()| Some(ManifestRecord::File(file))).map_err(broken),
            Line::End(totals) => {
                if self.rules.end().map_err(broken)? != totals {
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

impl<R: Read> Iterator for ManifestReader<R> {
    type Item = Result<ManifestRecord, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let item = self.read().transpose();
        self.over = !matches!(item, Some(Ok(_)));
        item
    }
}

impl ManifestRecord {
    /// The path of the object or pack that this record names, for whoever asks what a manifest reaches.
    #[must_use]
    pub fn reaches(&self) -> Option<&str> {
        match self {
            Self::Pack(pack) => Some(&pack.path),
            Self::File(file) => Some(file.at.path()),
            Self::Tablet(_) => None,
        }
    }
}
