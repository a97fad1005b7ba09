//! The `TabletStore` port: what a storage engine gives so that its tablets can be backed up and restored.
//!
//! The agent does the hard links, the transfer and the proof of every byte; an engine only names immutable files,
//! makes and removes tablets, and takes files in.
//!
//! # Consistency
//! A tablet belongs to the job that created it until [`TabletStore::settle`]: until then no reader sees it.
//!
//! # Crash consistency
//! Every call is idempotent. A crash inside one leaves what the same call, made again, completes; what a job leaves
//! behind is named by [`TabletStore::jobs`] and removed by [`TabletStore::settle`].

use std::any::Any;
use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use tabvault_common::failure::Failure;
use tabvault_common::ids::{JobUuid, Lineage, TabletId};
use tabvault_common::task::{CreateTablet, JobEnd, TabletMapping, TabletVersion};

pub mod conformance;
pub mod file;

/// Errors of a store are [`Failure`]s: they travel in reports as they are.
pub type Result<T> = std::result::Result<T, Failure>;

/// A storage engine, as the agent sees it.
#[async_trait]
pub trait TabletStore: Send + Sync + fmt::Debug {
    /// The data roots. Constant while the process runs; never empty.
    fn roots(&self) -> &[DataRoot];

    /// Tablets and bytes held now; may be a moment old.
    async fn usage(&self) -> Result<Usage>;

    /// Names the files that make up a tablet at a version, and keeps them from being removed until the answer is
    /// dropped. Loads that come later change nothing in the answer.
    ///
    /// # Errors
    /// `NotFound` if there is no such tablet; `FailedPrecondition` if it has not got that version (any more) or is not
    /// readable; `Mismatch` if its schema is another.
    async fn pin(&self, at: TabletVersion) -> Result<PinnedTablet>;

    /// Makes an empty tablet that belongs to `job`, or to nobody if that is [`JobUuid::HOUSEKEEPING`]: then it is an
    /// ordinary one at once. One that this job made already is no error; one that anybody else made is `AlreadyExists`.
    async fn create(&self, job: JobUuid, tablet: &CreateTablet) -> Result<()>;

    /// The index into [`TabletStore::roots`] of the root a tablet lies on: downloads for it are placed there.
    async fn root_of(&self, tablet: TabletId) -> Result<usize>;

    /// Makes the files below `directory` the contents of `mapping.target` at the version `mapping.source.version`.
    /// `directory` lies on the tablet's root; the files are durable and verified, and named as [`TabletStore::pin`]
    /// named them at the source. Files may be moved out or linked. Returns when the tablet would survive a power cut.
    ///
    /// A tablet that has adopted this very source for this job answers without looking at `directory`.
    async fn adopt(&self, job: JobUuid, mapping: &TabletMapping, directory: &Path) -> Result<()>;

    /// Ends the ownership of `job` over the tablets it made: published, they are ordinary tablets; discarded, they go. So
    /// does, either way, what a load or an export left half-made.
    async fn settle(&self, job: JobUuid, end: JobEnd) -> Result<()>;

    /// Jobs that own tablets here, or of which something else is to be removed.
    async fn jobs(&self) -> Result<Vec<JobUuid>>;

    /// Removes a tablet. One that is not there is no error; pinned files stay readable through their links.
    async fn drop_tablet(&self, tablet: TabletId) -> Result<()>;
}

/// One disk's share of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataRoot {
    /// Where the engine keeps tablets.
    pub data: PathBuf,
    /// Where the agent keeps `snapshot/`, `reuse/` and `download/`: on the same filesystem as `data`, so that files
    /// can be hard-linked.
    pub work: PathBuf,
}

/// What a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Number of tablets.
    pub tablets: u64,
    /// Bytes in tablets.
    pub bytes: u64,
}

/// See [`PinnedTablet::files`].
pub type PinnedFiles = Box<dyn Iterator<Item = Result<PinnedFile>> + Send>;

/// A tablet's files at a version, kept from removal for as long as this value lives.
pub struct PinnedTablet {
    /// The index into [`TabletStore::roots`].
    pub root: usize,
    /// The history that the version counts in.
    pub lineage: Lineage,
    /// The files, named one by one, on threads that may block: there may be very many. Whoever gets an error has not got all of them.
    pub files: PinnedFiles,
    /// Whatever the engine needs to keep the files; dropped when they are linked.
    pub guard: Box<dyn Any + Send>,
}

impl fmt::Debug for PinnedTablet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedTablet").field("root", &self.root).finish_non_exhaustive()
    }
}

/// One file of a tablet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedFile {
    /// Its name within the tablet: relative, `/` between parts, no `.` or `..`, UTF-8.
    pub path: String,
    /// Its content.
    pub content: PinnedContent,
}

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinnedContent {
    /// An immutable file on the tablet's root. It may go when the tablet is no longer pinned.
    File(PathBuf),
    /// Bytes made for the snapshot: headers, delete vectors.
    Generated(Bytes),
}
