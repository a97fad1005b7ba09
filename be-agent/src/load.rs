//! The `LoadStore` port: what a store can do that takes in and gives out trees of real files.
//!
//! Engines that have loads of their own leave it out; the agent then refuses Load and Export tasks.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tabvault_common::ids::JobUuid;
use tabvault_common::task::{Export, Load, LoadedTablet};

use crate::memory::Memory;
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
    ///
    /// What it holds of the directory, and buffers, it reserves from `memory` before.
    async fn load(
        &self,
        load: JobUuid,
        task: &Load,
        progress: &Arc<Progress>,
        memory: &Memory,
    ) -> Result<Vec<LoadedTablet>>;

    /// Does a step of an export: writes the tablets' visible files out, publishes or discards them. Answers with files
    /// and bytes written. From the first step on the store names the export among its
    /// [`jobs`](crate::store::TabletStore::jobs), and removes what is half-made of it when the job is
    /// [settled](crate::store::TabletStore::settle).
    ///
    /// What it holds, and buffers, it reserves from `memory` before.
    ///
    /// # Errors
    /// `AlreadyExists` if there is something at the target; `Busy`, never to be tried again by itself, if another export
    /// writes there; `Cancelled` after a discard.
    async fn export(
        &self,
        export: JobUuid,
        task: &Export,
        progress: &Arc<Progress>,
        memory: &Memory,
    ) -> Result<(u64, u64)>;
}
