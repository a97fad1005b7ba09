//! Writing a meta.

use bytes::Bytes;

use super::rules::Rules;
use super::{LineRef, MetaHeader, MetaTotals, PartitionMeta};
use crate::digest::Digest;
use crate::failure::{Failure, Kind};
use crate::ids::JobUuid;
use crate::repo::info::ObjectRef;
use crate::repo::lines::LinesWriter;
use crate::repo::{layout, misuse};
use crate::schema::{TableDef, ViewDef};

/// Builds a meta in memory, compressed, line by line. Every method fails with [`Kind::Internal`] if the caller breaks
/// a rule of the format; the meta is then worth nothing.
pub struct MetaWriter {
    lines: LinesWriter,
    rules: Rules,
    job: JobUuid,
}

impl std::fmt::Debug for MetaWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetaWriter").field("job", &self.job).finish_non_exhaustive()
    }
}

/// A meta ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedMeta {
    /// What to store.
    pub bytes: Bytes,
    /// Its digest, which names it.
    pub digest: Digest,
    /// Sums over its lines.
    pub totals: MetaTotals,
    /// The job that wrote it.
    pub job: JobUuid,
}

impl EncodedMeta {
    /// What an info says of it.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        ObjectRef { job: self.job, digest: self.digest, size: self.bytes.len() as u64 }
    }

    /// Where to store it.
    #[must_use]
    pub fn path(&self) -> String {
        layout::meta(self.job, &self.digest)
    }
}

impl MetaWriter {
    /// Starts with the header.
    pub fn new(header: &MetaHeader) -> Result<Self, Failure> {
        let mut lines = LinesWriter::new("a meta")?;
        lines.push(&LineRef::Meta(header))?;
        Ok(Self { lines, rules: Rules::default(), job: header.job })
    }

    /// The next table; its partitions must follow.
    pub fn push_table(&mut self, def: &TableDef) -> Result<(), Failure> {
        self.rules.table(def).map_err(|what| misuse("a meta", what))?;
        self.push(&LineRef::Table { def })
    }

    /// The next partition of the last table.
    pub fn push_partition(&mut self, partition: &PartitionMeta) -> Result<(), Failure> {
        self.rules.partition(partition).map_err(|what| misuse("a meta", what))?;
        self.push(&LineRef::Partition(partition))
    }

    /// The next view; no table may follow.
    pub fn push_view(&mut self, view: &ViewDef) -> Result<(), Failure> {
        self.rules.view(view).map_err(|what| misuse("a meta", what))?;
        self.push(&LineRef::View(view))
    }

    /// Ends the meta.
    pub fn finish(mut self) -> Result<EncodedMeta, Failure> {
        let totals = self.rules.totals();
        self.lines.push(&LineRef::End(&totals))?;
        let (bytes, digest) = self.lines.finish()?;
        Ok(EncodedMeta { bytes, digest, totals, job: self.job })
    }

    fn push(&mut self, line: &LineRef<'_>) -> Result<(), Failure> {
        self.lines.push(line)?;
        if self.lines.len() > layout::MAX_META_SIZE {
            let message = format!("write a meta: it is larger than {} bytes", layout::MAX_META_SIZE);
            return Err(Failure::fatal(Kind::ResourceExhausted, message));
        }
        Ok(())
    }
}
