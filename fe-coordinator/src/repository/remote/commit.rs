//! The commit point of a backup: info and tombstone compete for one name.
//!
//! # Overview
//! Both claim the name `__ss_<label>/__info_<timestamp>`. Whoever finds it taken reads what stands there; the job's
//! UUID in it tells whose it is.
//!
//! # Consistency
//! After [`InfoWrite::Written`] or [`InfoWrite::OursAlready`] no tombstone of the job can be written at this name by
//! create-if-absent; after [`TombstoneWrite::Written`] no info can. Only DROP SNAPSHOT replaces an info.
//!
//! # Crash consistency
//! A claim whose answer was lost is looked at. If nothing stands there yet, the failure is passed on as
//! `Retry::OutcomeUnknown`, since the claim may still arrive: claim again until there is an answer.
//!
//! # Cancellation
//! As after a lost answer.

use bytes::Bytes;
use tabvault_broker::storage::Created;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::JobUuid;
use tabvault_common::label::{Label, SnapshotTimestamp};
use tabvault_common::repo::FORMAT_VERSION;
use tabvault_common::repo::info::{Info, SnapshotObject, Tombstone};
use tabvault_common::repo::layout;

use super::{Repository, Result};

/// What became of an info.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InfoWrite {
    /// The snapshot is published.
    Written,
    /// The snapshot was published before, by an earlier attempt or leader, perhaps with other times in it.
    OursAlready,
    /// Something of another job, or something damaged, has the name: take a new timestamp.
    TakenByOther,
    /// The job was cancelled: it has no snapshot and never will at this name.
    Tombstoned,
}

/// What became of a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TombstoneWrite {
    /// The job's tombstone stands, written now or before: no snapshot will be published at this name.
    Written,
    /// The job's snapshot was published.
    InfoStands,
    /// Something of another job, or something damaged, has the name: the job's snapshot cannot be published there.
    TakenByOther,
}

/// What lies at an info's name.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once, never kept in numbers")]
pub(super) enum Standing {
    /// An info or a tombstone.
    Object(SnapshotObject),
    /// Bytes that are neither.
    Damaged(Failure),
}

impl Repository {
    /// Publishes a snapshot: the commit point.
    ///
    /// # Errors
    /// `Retry::OutcomeUnknown` when it may have happened: ask again. `Unsupported` when a newer program has written
    /// there.
    pub async fn write_info(&self, info: Info) -> Result<InfoWrite> {
        self.writable()?;
        let (path, job) = (info.path(), info.job.uuid);
        // An info of many tasks is large: what is written of it takes its place.
        let bytes = SnapshotObject::Snapshot(info).encode()?;
        self.refuse_size(&path, bytes.len(), layout::MAX_INFO_SIZE)?;
        let claim = self.claim(&path, bytes).await.map_err(|failure| self.doing("publish a snapshot in", failure))?;
        Ok(match claim {
            None => InfoWrite::Written,
            Some(Standing::Object(object)) if object.job() == job => match object {
                SnapshotObject::Snapshot(_) => InfoWrite::OursAlready,
                SnapshotObject::Tombstone(_) => InfoWrite::Tombstoned,
            },
            Some(Standing::Object(_)) => InfoWrite::TakenByOther,
            Some(Standing::Damaged(failure)) => {
                tracing::warn!(repository = self.name, error = %failure, "the name of a snapshot is taken by damage");
                InfoWrite::TakenByOther
            }
        })
    }

    /// Makes sure that `job` publishes no snapshot at this name, unless it has.
    ///
    /// # Errors
    /// As of [`Self::write_info`].
    pub async fn write_tombstone(
        &self,
        label: &Label,
        timestamp: &SnapshotTimestamp,
        job: JobUuid,
        reason: &str,
    ) -> Result<TombstoneWrite> {
        self.writable()?;
        let tombstone = Tombstone {
            format_version: FORMAT_VERSION,
            job,
            cluster: self.cluster,
            time: self.clock.now().into(),
            reason: reason.to_owned(),
        };
        let bytes = SnapshotObject::Tombstone(tombstone).encode()?;
        let path = layout::info(label, timestamp);
        let claim = self.claim(&path, bytes).await.map_err(|failure| self.doing("write a tombstone to", failure))?;
        Ok(match claim {
            None => TombstoneWrite::Written,
            Some(Standing::Object(object)) if object.job() == job => match object {
                SnapshotObject::Snapshot(_) => TombstoneWrite::InfoStands,
                SnapshotObject::Tombstone(_) => TombstoneWrite::Written,
            },
            Some(Standing::Object(_)) => TombstoneWrite::TakenByOther,
            Some(Standing::Damaged(failure)) => {
                tracing::warn!(repository = self.name, error = %failure, "the name of a snapshot is taken by damage");
                TombstoneWrite::TakenByOther
            }
        })
    }

    /// Gives `bytes` the name unless it is taken; by what, if it is.
    async fn claim(&self, path: &str, bytes: Bytes) -> Result<Option<Standing>> {
        if !self.conditional_writes {
            return self.claim_by_looking(path, bytes).await;
        }
        match self.storage.create(path, bytes).await {
            Ok(Created::New) => Ok(None),
            Ok(Created::Exists) => match self.standing(path).await? {
                Some(standing) => Ok(Some(standing)),
                None => Err(Failure::transient(
                    Kind::Internal,
                    format!("{path} was refused because it exists, but it cannot be read"),
                )),
            },
            Err(failure) if failure.retry == Retry::OutcomeUnknown => match self.standing(path).await {
                Ok(Some(standing)) => Ok(Some(standing)),
                Ok(None) => Err(failure),
                // Whatever keeps us from looking, the claim may have succeeded.
                Err(second) => Err(Failure { retry: Retry::OutcomeUnknown, ..second }),
            },
            Err(failure) => Err(failure),
        }
    }

    async fn claim_by_looking(&self, path: &str, bytes: Bytes) -> Result<Option<Standing>> {
        let _alone = self.commits.lock().await;
        if let Some(standing) = self.standing(path).await? {
            return Ok(Some(standing));
        }
        self.storage.put(path, bytes).await.map(|()| None)
    }

    /// What lies at an info's path, if anything.
    ///
    /// # Errors
    /// `Unsupported` for one of a newer format version; else what the storage says.
    pub(super) async fn standing(&self, path: &str) -> Result<Option<Standing>> {
        let decoded = match self.storage.get(path, layout::MAX_INFO_SIZE).await {
            Ok(bytes) => SnapshotObject::decode(path, &bytes),
            Err(failure) if failure.kind == Kind::NotFound => return Ok(None),
            // Larger than any info is damage as well.
            Err(failure) if failure.kind == Kind::ResourceExhausted && failure.retry == Retry::Never => {
                Err(Failure::fatal(
                    Kind::Corrupt,
                    format!("{path} is damaged: it has more than {} bytes", layout::MAX_INFO_SIZE),
                ))
            }
            Err(failure) => return Err(failure),
        };
        match decoded {
            Ok(object) => Ok(Some(Standing::Object(object))),
            Err(failure) if failure.kind == Kind::Corrupt => Ok(Some(Standing::Damaged(failure))),
            Err(failure) => Err(failure),
        }
    }
}
