//! The parent of an incremental backup: chosen, protected by the intent, and only then shared with.

use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::repo::info::{BackupType, Content, Info};
use tabvault_common::repo::meta::WholeMeta;

use super::Asks;
use crate::check::properties::BackupProperties;
use crate::job::backup::share::share;
use crate::job::backup::{BackupJob, Row};
use crate::job::{Answer, Parent};
use crate::repository::Repository;
use crate::repository::remote::IntentWrite;

impl Asks {
    /// The snapshot that a backup of `database` with these properties would share objects with, if any.
    pub(crate) async fn choose_parent(
        &self,
        repository: &Repository,
        database: &str,
        properties: &BackupProperties,
    ) -> Result<Option<Info>, Failure> {
        match (properties.backup_type, properties.content) {
            (BackupType::Incremental, Content::All) => repository.newest_of(database).await,
            (BackupType::Full, _) | (_, Content::MetadataOnly) => Ok(None),
        }
    }

    /// Writes the intent, which names the stored choice of a parent; what is shared is decided when it stands.
    pub(super) async fn write_intent(&self, job: &BackupJob) -> Result<Answer, Failure> {
        let repository = self.repositories.open(&job.head.repository).await?;
        let (Some(parent), Some(plan)) = (job.parent(), &job.plan) else {
            repository.write_intent(&job.intent(self.epoch, self.clock.now(), None)).await?;
            return Ok(Answer::Done);
        };
        let gone = |why: &str| {
            let (label, timestamp) = (&parent.label, &parent.timestamp);
            tracing::info!(job = %job.head.id, %label, %timestamp, why, "a backup shares nothing with its parent");
            Ok(Answer::Parent(Parent::Gone))
        };
        let Some(info) = repository.standing_info(parent).await? else {
            return gone("the parent was dropped");
        };
        let intent = job.intent(self.epoch, self.clock.now(), Some(info.clone()));
        if repository.write_intent(&intent).await? == IntentWrite::ParentGone {
            return gone("the parent was dropped");
        }
        let Some(meta) = read_parent(&repository, &info).await? else {
            return gone("the parent's meta is damaged");
        };
        let rows = job.rows.values().cloned().collect();
        Ok(Answer::Parent(Parent::Shared(share(&plan.cut, job.head.cluster, rows, &info, &meta))))
    }

    /// Rows of a partition that is planned again, when the intent stands. The parent's info is that in the intent: the
    /// parent itself may have been dropped by now.
    pub(super) async fn share_again(&self, job: &BackupJob, rows: Vec<Row>) -> Result<Vec<Row>, Failure> {
        let (Some(_), Some(plan)) = (job.parent(), &job.plan) else { return Ok(rows) };
        let repository = self.repositories.open(&job.head.repository).await?;
        let Some(info) = repository.read_intent(job.head.uuid).await?.and_then(|intent| intent.parent) else {
            return Ok(rows);
        };
        let Some(meta) = read_parent(&repository, &info).await? else { return Ok(rows) };
        Ok(share(&plan.cut, job.head.cluster, rows, &info, &meta))
    }
}

/// The parent's meta, unless it is damaged: the backup can be whole without.
async fn read_parent(repository: &Repository, info: &Info) -> Result<Option<WholeMeta>, Failure> {
    match repository.read_meta(info).await {
        Err(failure) if failure.kind == Kind::Corrupt && failure.retry == Retry::Never => {
            tracing::warn!(error = %failure, "a snapshot cannot be shared with");
            Ok(None)
        }
        meta => meta.map(Some),
    }
}
