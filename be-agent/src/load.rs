//! The `LoadStore` port: what a store can do that takes in and gives out trees of real files.
//!
//! Engines that have loads of their own leave it out; the agent then refuses Load and Export tasks.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tabvault_common::ids::JobUuid;
use tabvault_common::task::{Export, Load, LoadedTablet};

use crate::progress::Progress;
use crate::store::Result;

/// A store that loads and exports trees of files.
#[async_trait]
pub trait LoadStore: Send + Sync + fmt::Debug {
    /// Brings the files of a directory that belong to the given buckets into the tablets as a version that becomes
    /// visible only when the catalog says so. The same load done again answers as it did; another load as the same
    /// version takes the place of what was there, as long as no later version is.
    ///
    /// # Errors
    /// `FailedPrecondition` if a tablet lacks the version before, or has a later one; `Mismatch` if its schema is
    /// another; `Busy`, never to be tried again by itself, if the source changed meanwhile. A load that fails leaves the
    /// tablets it had not finished as they were.
    async fn load(&self, load: JobUuid, task: &Load, progress: &Arc<Progress>) -> Result<Vec<LoadedTablet>>;

    /// Writes the tablets' visible files out. Answers with files and bytes written.
    async fn export(&self, export: JobUuid, task: &Export, progress: &Arc<Progress>) -> Result<(u64, u64)>;
}
