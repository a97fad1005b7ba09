//! The snapshot that an incremental backup shares objects with.

use futures::stream::{self, StreamExt, TryStreamExt};
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::JobUuid;
use tabvault_common::label::{Label, SnapshotTimestamp};
use tabvault_common::repo::info::{Content, Info, SnapshotName, SnapshotObject};
use tabvault_common::repo::intent::Intent;
use tabvault_common::repo::layout;
use tabvault_common::repo::meta::WholeMeta;

use super::commit::Standing;
use super::{Repository, Result};

/// Listings and infos that are read at the same time.
const READS_AT_ONCE: usize = 8;

/// Whether what a parent reaches may be shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// It may, until the job ends: the intent stands, and so did the parent after that. Here is what it says.
    Stands(Box<(Info, WholeMeta)>),
    /// The parent was dropped, perhaps before the intent could protect it.
    Dropped,
    /// Its info is so large that no intent can carry it.
    TooLarge,
    /// The parent's meta is damaged: nobody can tell what it reaches.
    Damaged,
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
            if let Some(info) = info.filter(|info| self.may_be_parent(info, database)) {
                return Ok(Some(info));
            }
        }
        Ok(None)
    }

    /// Whether a snapshot has data that this cluster backed up of `database`.
    #[must_use]
    pub fn may_be_parent(&self, info: &Info, database: &str) -> bool {
        (info.job.cluster, info.database.as_str(), info.content) == (self.cluster, database, Content::All)
    }

    /// Writes the intent of a job that would share with `parent`, made by `intent` from the parent's info, and tells
    /// whether it may.
    ///
    /// Whoever collects garbage after [`Protection::Stands`] sees the intent, and whoever began before saw the parent.
    /// Otherwise nothing may be shared: the intent, if it was written at all, is to be written again without a parent.
    /// A crash leaves what [`Self::write_intent`] leaves.
    ///
    /// # Errors
    /// As of [`Self::write_intent`]; `Unsupported` for a parent of a newer format version.
    pub async fn protect(
        &self,
        parent: &SnapshotName,
        intent: impl FnOnce(Info) -> Intent + Send,
    ) -> Result<Protection> {
        let ((), info) = tokio::try_join!(self.check(), self.standing_info(parent))?;
        match info {
            Some(info) => self.protect_found(info, intent).await,
            None => Ok(Protection::Dropped),
        }
    }

    /// As [`Self::protect`], for who has just read the parent's info and made sure with [`Self::check`].
    pub(crate) async fn protect_found(
        &self,
        info: Info,
        intent: impl FnOnce(Info) -> Intent + Send,
    ) -> Result<Protection> {
        match self.put_intent(&intent(info.clone())).await {
            Err(failure) if (failure.kind, failure.retry) == (Kind::ResourceExhausted, Retry::Never) => {
                return Ok(Protection::TooLarge);
            }
            put => put?,
        }
        // A meta never changes: if the parent still stands, this is the one that is protected.
        let name = info.name();
        let (again, meta) = tokio::join!(self.standing_info(&name), self.parent_meta(&info));
        if again?.as_ref() != Some(&info) {
            return Ok(Protection::Dropped);
        }
        Ok(meta?.map_or(Protection::Damaged, |meta| Protection::Stands(Box::new((info, meta)))))
    }

    /// The meta of a parent, unless it is damaged: a backup can be whole without.
    ///
    /// # Errors
    /// As of [`Self::read_meta`], but for damage.
    pub async fn parent_meta(&self, parent: &Info) -> Result<Option<WholeMeta>> {
        match self.read_meta(parent).await {
            Err(failure) if failure.kind == Kind::Corrupt && failure.retry == Retry::Never => {
                tracing::warn!(repository = self.name, error = %failure, "a snapshot cannot be shared with");
                Ok(None)
            }
            meta => meta.map(Some),
        }
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
