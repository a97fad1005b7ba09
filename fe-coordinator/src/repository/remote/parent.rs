//! The snapshot that an incremental backup shares objects with.

use futures::stream::{self, StreamExt, TryStreamExt};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::JobUuid;
use tabvault_common::label::{Label, SnapshotTimestamp};
use tabvault_common::repo::info::{Content, Info, SnapshotName, SnapshotObject};
use tabvault_common::repo::intent::Intent;
use tabvault_common::repo::layout;

use super::commit::Standing;
use super::{Repository, Result};

/// Listings and infos that are read at the same time.
const READS_AT_ONCE: usize = 8;

/// What became of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentWrite {
    /// It stands, and so did its parent, if it has one, after that.
    Stands,
    /// It stands, but its parent may have been dropped before.
    ParentGone,
}

impl Repository {
    /// The newest snapshot with data that this cluster made of `database`. Infos are read from the newest on until one
    /// fits; what is damaged or of a newer format is passed over.
    ///
    /// # Errors
    /// What the storage says.
    pub async fn newest_of(&self, database: &str) -> Result<Option<Info>> {
        let mut names = self.names().await.map_err(|failure| self.doing("list snapshots of", failure))?;
        names.sort_by(|a, b| (&b.timestamp, &b.label).cmp(&(&a.timestamp, &a.label)));
        let mut infos = stream::iter(names)
            .map(async |name| match self.standing_info(&name).await {
                Err(failure) if failure.kind == Kind::Unsupported => Ok(None),
                info => info,
            })
            .buffered(READS_AT_ONCE);
        while let Some(info) = infos.try_next().await? {
            if let Some(info) = info
                && (info.job.cluster, info.database.as_str(), info.content) == (self.cluster, database, Content::All)
            {
                return Ok(Some(info));
            }
        }
        Ok(None)
    }

    /// The info of this name, if it is there and whole and no tombstone.
    ///
    /// # Errors
    /// `Unsupported` for one of a newer format version; else what the storage says.
    pub async fn standing_info(&self, name: &SnapshotName) -> Result<Option<Info>> {
        let standing = self.standing(&layout::info(&name.label, &name.timestamp)).await;
        match standing.map_err(|failure| self.doing("read a snapshot of", failure))? {
            Some(Standing::Object(SnapshotObject::Snapshot(info))) => Ok(Some(info)),
            Some(Standing::Damaged(failure)) => {
                tracing::warn!(repository = self.name, error = %failure, "a snapshot cannot be shared with");
                Ok(None)
            }
            Some(Standing::Object(SnapshotObject::Tombstone(_))) | None => Ok(None),
        }
    }

    /// The intent of a job, if it is there and whole.
    ///
    /// # Errors
    /// `Unsupported` for one of a newer format version; else what the storage says.
    pub async fn read_intent(&self, job: JobUuid) -> Result<Option<Intent>> {
        let path = layout::intent(job);
        match self.storage.get(&path, layout::MAX_INTENT_SIZE).await.and_then(|bytes| Intent::decode(&path, &bytes)) {
            Ok(intent) => Ok(Some(intent)),
            Err(failure) if matches!(failure.kind, Kind::NotFound | Kind::Corrupt) => {
                tracing::warn!(repository = self.name, error = %failure, "an intent cannot be read");
                Ok(None)
            }
            Err(failure) => Err(self.doing("read an intent of", failure)),
        }
    }

    /// All names of infos and tombstones.
    async fn names(&self) -> Result<Vec<SnapshotName>> {
        let of_label = async |label: Label| {
            let timestamps: Vec<SnapshotTimestamp> = self.timestamps(&label).await?;
            let names = timestamps.into_iter().map(|timestamp| SnapshotName { label: label.clone(), timestamp });
            Ok::<_, Failure>(names.collect::<Vec<_>>())
        };
        let names = stream::iter(self.labels().await?).map(of_label).buffer_unordered(READS_AT_ONCE);
        names.try_concat().await
    }
}
