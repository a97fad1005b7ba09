//! Who may write under a prefix of remote storage.
//!
//! # Overview
//! Every agent of an export marks the prefix before it writes there, by objects of its own:
//!
//! ```text
//! .tabvault-export-<export>/<tablet>-wanted   the agent that exports this tablet wants to write here
//! .tabvault-export-<export>/<tablet>-held     it may: there was nothing, and nobody else
//! ```
//!
//! The tablet is the lowest of the agent's, so that the agent knows its marks after a restart, too.
//!
//! # Consistency
//! An agent puts `wanted`, then looks. It may write if another agent of its export may, or if there is no mark of
//! another export and no object. Otherwise it withdraws. Of two exports the one that looks later sees the mark of the
//! other, so never do both write, and all that lies under the prefix of whoever holds it is of its export. If both look
//! after both have marked, both withdraw. Needed is only that a listing shows all that was written before it began.
//!
//! # Crash consistency
//! Marks stay until all objects are there ([`Claim::publish`]) or gone ([`Claim::discard`]). Those of an agent that
//! never came back keep others away until somebody deletes them: nothing tells a slow agent from a dead one.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::TryStreamExt;
use tabvault_broker::storage::Storage;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::JobUuid;
use tabvault_common::task::ExportTablet;

use crate::store::Result;

/// Start of the names of all marks.
pub(super) const MARK: &str = ".tabvault-export-";
const HELD: &str = "-held";
const TEXT: &[u8] = b"an export is under way or was broken off\n";
/// Objects deleted by one call.
const DELETE_BATCH: usize = 500;

/// One agent's claim on the prefix that `storage` is.
#[derive(Debug)]
pub(super) struct Claim {
    storage: Arc<dyn Storage>,
    /// Below it lie the marks of all agents of the export.
    marks: String,
    wanted: String,
    held: String,
}

impl Claim {
    /// The claim of the agent that exports `tablets`.
    pub(super) fn new(storage: Arc<dyn Storage>, job: JobUuid, tablets: &[ExportTablet]) -> Self {
        let marks = format!("{MARK}{job}/");
        let lowest = tablets.iter().map(|tablet| tablet.at.tablet.0).min().unwrap_or_default();
        let (wanted, held) = (format!("{marks}{lowest}-wanted"), format!("{marks}{lowest}{HELD}"));
        Self { storage, marks, wanted, held }
    }

    /// Takes the prefix; once taken it is held until it is published or discarded.
    ///
    /// # Errors
    /// `AlreadyExists` if there is anything; `Busy` if another export was here first, or at the same time.
    pub(super) async fn take(&self) -> Result<()> {
        if self.stands().await? {
            return Ok(());
        }
        self.storage.put(&self.wanted, Bytes::from_static(TEXT)).await?;
        if let Err(refusal) = self.look().await {
            self.storage.delete(std::slice::from_ref(&self.wanted)).await.unwrap_or_else(|failure| {
                tracing::warn!(mark = self.wanted, %failure, "leave the mark of an export that is refused behind");
            });
            return Err(refusal);
        }
        // If this fails, what is wanted stays marked: the answer may be lost, and the mark there.
        self.storage.put(&self.held, Bytes::from_static(TEXT)).await
    }

    /// Whether this agent holds the prefix.
    pub(super) async fn stands(&self) -> Result<bool> {
        Ok(self.storage.stat(&self.held).await?.is_some())
    }

    /// Refuses to go on if somebody has removed the mark.
    pub(super) async fn check(&self) -> Result<()> {
        if self.stands().await? {
            return Ok(());
        }
        let message = format!("the mark `{}` was removed while the export ran: export again", self.held);
        Err(Failure::fatal(Kind::FailedPrecondition, message))
    }

    /// Refuses a prefix where there is anything, unless another agent of the export holds it.
    async fn look(&self) -> Result<()> {
        if self.is_shared().await? {
            return Ok(());
        }
        let mut objects = self.storage.list("").await?;
        while let Some(object) = objects.try_next().await? {
            let there = object.path;
            if there.starts_with(&self.marks) {
                continue;
            }
            // Another agent of this export may have been faster: its mark came before its objects.
            if self.is_shared().await? {
                return Ok(());
            }
            return Err(refusal(&there));
        }
        Ok(())
    }

    /// Whether any agent of the export holds the prefix.
    async fn is_shared(&self) -> Result<bool> {
        let marks: Vec<_> = self.storage.list(&self.marks).await?.try_collect().await?;
        Ok(marks.iter().any(|mark| mark.path.ends_with(HELD)))
    }

    /// Says that all objects of all agents are there. The first agent does it for all.
    pub(super) async fn publish(&self) -> Result<()> {
        let marks: Vec<_> = self.storage.list(&self.marks).await?.try_collect().await?;
        self.storage.delete(&marks.into_iter().map(|mark| mark.path).collect::<Vec<_>>()).await
    }

    /// Removes what this agent has written if it holds the prefix, `names` being all that it can have written, and
    /// gives up the claim.
    pub(super) async fn discard(&self, names: impl Future<Output = Result<Vec<String>>>) -> Result<()> {
        if self.stands().await? {
            for batch in names.await?.chunks(DELETE_BATCH) {
                self.storage.delete(batch).await?;
            }
        }
        // The marks last: they are what allows this to be done again.
        self.storage.delete(&[self.held.clone(), self.wanted.clone()]).await
    }
}

fn refusal(there: &str) -> Failure {
    if there.starts_with(MARK) {
        let message = format!(
            "another export writes there or was broken off, as object `{there}` says: wait until it has ended, or, if \
             none runs, delete what is there"
        );
        return Failure::fatal(Kind::Busy, message);
    }
    let message = format!("it is not empty, there is `{there}`: name a prefix under which nothing is");
    Failure::fatal(Kind::AlreadyExists, message)
}
