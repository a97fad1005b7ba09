//! Writing a manifest.

use bytes::Bytes;

use super::rules::Rules;
use super::{LineRef, ManifestFile, ManifestHeader, ManifestPack, ManifestTablet, ManifestTotals};
use crate::digest::Digest;
use crate::failure::{Failure, Kind};
use crate::ids::JobUuid;
use crate::repo::info::ManifestRef;
use crate::repo::lines::LinesWriter;
use crate::repo::{layout, misuse};

/// Builds a manifest in memory, compressed, line by line. Every method fails with [`Kind::Internal`] if the caller
/// breaks a rule of the format; the manifest is then worth nothing.
pub struct ManifestWriter {
    lines: LinesWriter,
    rules: Rules,
    job: JobUuid,
}

impl std::fmt::Debug for ManifestWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManifestWriter").field("job", &self.job).finish_non_exhaustive()
    }
}

/// A manifest ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedManifest {
    /// What to store.
    pub bytes: Bytes,
    /// Its digest, which names it.
    pub digest: Digest,
    /// Sums over its lines.
    pub totals: ManifestTotals,
    /// The job that wrote it.
    pub job: JobUuid,
}

impl EncodedManifest {
    /// What an info says of it.
    #[must_use]
    pub fn reference(&self) -> ManifestRef {
        self.totals.reference(self.job, self.digest, self.bytes.len() as u64)
    }

    /// Where to store it.
    #[must_use]
    pub fn path(&self) -> String {
        layout::manifest(self.job, &self.digest)
    }
}

impl ManifestWriter {
    /// Starts with the header.
    pub fn new(header: &ManifestHeader) -> Result<Self, Failure> {
        let mut lines = LinesWriter::new("a manifest")?;
        lines.push(&LineRef::Manifest(header))?;
        Ok(Self { lines, rules: Rules::default(), job: header.job })
    }

    /// Declares a pack; before the first file that is in it, once.
    pub fn pack(&mut self, pack: &ManifestPack) -> Result<(), Failure> {
        self.rules.pack(pack).map_err(|what| misuse("a manifest", what))?;
        self.lines.push(&LineRef::Pack(pack))
    }

    /// Begins a tablet; exactly its files must follow.
    pub fn tablet(&mut self, tablet: &ManifestTablet) -> Result<(), Failure> {
        self.rules.tablet(tablet).map_err(|what| misuse("a manifest", what))?;
        self.lines.push(&LineRef::Tablet(tablet))
    }

    /// The next file of the tablet; paths ascend (in the order of their bytes).
    pub fn file(&mut self, file: &ManifestFile) -> Result<(), Failure> {
        self.rules.file(file).map_err(|what| misuse("a manifest", what))?;
        self.lines.push(&LineRef::File(file))?;
        if self.lines.len() > layout::MAX_MANIFEST_SIZE {
            let message = format!("write a manifest: it is larger than {} bytes", layout::MAX_MANIFEST_SIZE);
            return Err(Failure::fatal(Kind::ResourceExhausted, message));
        }
        Ok(())
    }

    /// A tablet with all its files, which this puts in order; its sums are taken from them.
    pub fn whole_tablet(&mut self, mut tablet: ManifestTablet, mut files: Vec<ManifestFile>) -> Result<(), Failure> {
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        tablet.files = files.len() as u64;
        tablet.bytes = files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.size));
        self.tablet(&tablet)?;
        files.iter().try_for_each(|file| self.file(file))
    }

    /// Ends the manifest.
    pub fn finish(mut self) -> Result<EncodedManifest, Failure> {
        let totals = self.rules.end().map_err(|what| misuse("a manifest", what))?;
        self.lines.push(&LineRef::End(&totals))?;
        let (bytes, digest) = self.lines.finish()?;
        Ok(EncodedManifest { bytes, digest, totals, job: self.job })
    }
}
