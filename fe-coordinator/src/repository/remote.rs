//! One opened repository: what a coordinator reads and writes in it.
//!
//! # Overview
//! [`Repository::write_intent`] comes before everything a backup writes, [`Repository::write_info`] after everything:
//! it is the commit point. [`Repository::write_tombstone`] takes the info's name instead, so that a job is either
//! published or cancelled. The rest reads.
//!
//! # Consistency
//! Info and tombstone of one job compete for one name by create-if-absent, so one of them stands for ever. Where the
//! storage cannot create-if-absent the repository belongs to one cluster, and this process looks before it writes,
//! one commit at a time: two leaders of that cluster at the same instant, or a write that is delayed by the storage
//! beyond its time-out, are then not excluded. CREATE REPOSITORY says so.
//!
//! # Crash consistency
//! Every operation may be repeated by any later leader with the same arguments, and then answers with what stands:
//! intents are written over with at least as much protection as anything written so far needs, metas are named by their content, infos and
//! tombstones are compared by the job they belong to.
//!
//! # Cancellation
//! Dropping a future leaves the outcome unknown; repeating the operation finds it out. A dropped [`Description`] stops
//! reading.

mod commit;
mod describe;
mod meta;
mod parent;
mod snapshots;

use std::sync::Arc;

use bytes::Bytes;
use tabvault_broker::storage::Storage;
use tabvault_common::clock::Clock;
use tabvault_common::digest::Digest;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{ClusterId, JobUuid};
use tabvault_common::repo::info::ObjectRef;
use tabvault_common::repo::intent::Intent;
use tabvault_common::repo::layout;
use tabvault_common::repo::repo_info::RepoInfo;
use tokio::sync::Mutex;
use uuid::Uuid;

pub use commit::{InfoWrite, TombstoneWrite};
pub use describe::Description;
pub use parent::Protection;

use super::RepositoryRecord;

type Result<T> = std::result::Result<T, Failure>;

/// Largest object that is written in one call; larger ones go in pieces of this size.
const SINGLE_PUT: usize = 8 << 20;

/// A repository that is open. Shared behind an `Arc`; every method may run at the same time as any other.
#[derive(Debug)]
pub struct Repository {
    name: String,
    uuid: Uuid,
    cluster: ClusterId,
    read_only: bool,
    conditional_writes: bool,
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    /// Held while an info or tombstone is written to a storage without create-if-absent.
    commits: Arc<Mutex<()>>,
}

impl Repository {
    /// The repository of `record`, for the cluster `cluster`, in `storage`, whose root is the repository's directory.
    /// `commits` is shared by all that are opened under one name in this process.
    pub fn new(
        record: &RepositoryRecord,
        cluster: ClusterId,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        commits: Arc<Mutex<()>>,
    ) -> Self {
        Self {
            name: record.name.clone(),
            uuid: record.uuid,
            cluster,
            read_only: record.read_only,
            conditional_writes: record.conditional_writes,
            storage,
            clock,
            commits,
        }
    }

    /// Its name in this cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this cluster may write nothing.
    #[must_use]
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// Passes if something may be written.
    ///
    /// # Errors
    /// `FailedPrecondition` "Repository X is read only".
    pub fn writable(&self) -> Result<()> {
        if self.read_only {
            return Err(Failure::fatal(Kind::FailedPrecondition, format!("Repository {} is read only", self.name)));
        }
        Ok(())
    }

    /// Makes sure that what lies there is still this repository.
    ///
    /// # Errors
    /// `NotFound` when it is gone, `FailedPrecondition` when another was made in its place, `Corrupt` when its
    /// `__repo_info` is damaged; else what the storage says.
    pub async fn check(&self) -> Result<()> {
        let found = read_repo_info(self.storage.as_ref()).await.map_err(|failure| self.doing("check", failure))?;
        let (name, location) = (&self.name, self.storage.location());
        match found {
            None => Err(Failure::fatal(
                Kind::NotFound,
                format!("repository {name} is gone: there is no {} at {location}", layout::repo_info()),
            )),
            Some(info) if info.uuid != self.uuid => Err(Failure::fatal(
                Kind::FailedPrecondition,
                format!(
                    "repository {name} at {location} is another ({}) than the one this cluster knows ({}): drop and create it",
                    info.uuid, self.uuid
                ),
            )),
            Some(_) => Ok(()),
        }
    }

    /// Says who is about to write, before anything else of the job is written.
    ///
    /// Written again it replaces the job's own earlier intent. A crash before the answer leaves the old one, the new
    /// one or, at first, none; in each case the job has no data that the intent would have to protect beyond what it
    /// names.
    ///
    /// This protects no parent: for that there is [`Self::protect`].
    ///
    /// # Errors
    /// As of [`Self::writable`] and [`Self::check`]; else what the storage says.
    pub async fn write_intent(&self, intent: &Intent) -> Result<()> {
        self.check().await?;
        self.put_intent(intent).await
    }

    /// As [`Self::write_intent`], for who has just made sure with [`Self::check`].
    pub(crate) async fn put_intent(&self, intent: &Intent) -> Result<()> {
        self.writable()?;
        let path = layout::intent(intent.job);
        let bytes = intent.encode()?;
        self.refuse_size(&path, bytes.len(), layout::MAX_INTENT_SIZE)?;
        self.storage.put(&path, bytes).await.map_err(|failure| self.doing("write an intent to", failure))
    }

    /// Takes back the intent of a job that was cancelled before it could have published. What the job wrote is garbage
    /// from then on. One that is not there is no error.
    ///
    /// # Errors
    /// What the storage says; also when the repository is read only.
    pub async fn remove_intent(&self, job: JobUuid) -> Result<()> {
        self.writable()?;
        let removed = self.storage.delete(&[layout::intent(job)]).await;
        removed.map_err(|failure| self.doing("remove an intent from", failure))
    }

    /// Stores the bytes of a meta under their digest. Repeating it, even after a crash in the middle, stores the same
    /// bytes under the same name.
    ///
    /// # Errors
    /// `ResourceExhausted` when they are more than a meta may have; else what the storage says.
    pub async fn put_by_digest(&self, job: JobUuid, bytes: Bytes) -> Result<ObjectRef> {
        self.writable()?;
        let reference = ObjectRef { job, digest: Digest::of(&bytes), size: bytes.len() as u64 };
        let path = reference.path();
        self.refuse_size(&path, bytes.len(), layout::MAX_META_SIZE)?;
        let written = if bytes.len() <= SINGLE_PUT {
            self.storage.put(&path, bytes).await
        } else {
            self.put_in_pieces(&path, bytes).await
        };
        written.map_err(|failure| self.doing("write a meta to", failure))?;
        Ok(reference)
    }

    async fn put_in_pieces(&self, path: &str, mut bytes: Bytes) -> Result<()> {
        let mut writer = self.storage.writer(path, Some(bytes.len() as u64)).await?;
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(SINGLE_PUT));
            if let Err(failure) = writer.write(piece).await {
                // The first failure is the one to tell.
                if let Err(second) = writer.abort().await {
                    tracing::warn!(path, error = %second, "abort the upload of a meta");
                }
                return Err(failure);
            }
        }
        writer.close().await
    }

    fn refuse_size(&self, path: &str, size: usize, limit: u64) -> Result<()> {
        if size as u64 <= limit {
            return Ok(());
        }
        Err(Failure::fatal(
            Kind::ResourceExhausted,
            format!(
                "write {path} to repository {}: {size} bytes are more than {limit}; back up fewer objects",
                self.name
            ),
        ))
    }

    fn doing(&self, what: &str, failure: Failure) -> Failure {
        failure.context(format_args!("{what} repository {}", self.name))
    }
}

/// The `__repo_info` at the root of `storage`, if there is one.
pub(super) async fn read_repo_info(storage: &dyn Storage) -> Result<Option<RepoInfo>> {
    let path = layout::repo_info();
    match storage.get(path, layout::MAX_REPO_INFO_SIZE).await {
        Ok(bytes) => RepoInfo::decode(path, &bytes).map(Some),
        Err(failure) if failure.kind == Kind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}
