//! The parent of an incremental backup: chosen, protected by the intent, and only then shared with.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tabvault_common::failure::Failure;
use tabvault_common::ids::ClusterId;
use tabvault_common::repo::info::{Info, SnapshotName};
use tabvault_common::repo::meta::WholeMeta;

use super::Asks;
use crate::catalog::Cut;
use crate::check::properties::BackupProperties;
use crate::job::backup::share::share;
use crate::job::backup::{BackupJob, Row};
use crate::repository::{Protection, Repository};

/// The snapshot with data that this leader published last of each database, so that its next backup finds it without
/// listing every label of the repository. What is forgotten, or was dropped since, is found there.
#[derive(Debug, Default)]
pub(crate) struct Published(Mutex<HashMap<(String, String), SnapshotName>>);

impl Published {
    /// The last one of `database` in `repository`.
    fn newest(&self, repository: &str, database: &str) -> Option<SnapshotName> {
        self.lock().get(&(repository.to_owned(), database.to_owned())).cloned()
    }

    /// This one is published now. Jobs of a database may publish in any order of their timestamps.
    pub(super) fn remember(&self, repository: &str, database: &str, name: SnapshotName) {
        let mut published = self.lock();
        let known = published.entry((repository.to_owned(), database.to_owned())).or_insert_with(|| name.clone());
        if known.timestamp < name.timestamp {
            *known = name;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), SnapshotName>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a backup whose intent stands may share: what its parent says, if it has one.
pub(super) struct Shared(Option<Box<(Info, WholeMeta)>>);

impl Shared {
    /// The rows of a plan with what is shared.
    pub(super) fn share(self, cut: &Cut, cluster: ClusterId, rows: Vec<Row>) -> Vec<Row> {
        match self.0 {
            Some(parent) => share(cut, cluster, rows, &parent.0, &parent.1),
            None => rows,
        }
    }
}

impl Asks {
    /// The snapshot that a backup of `database` with these properties would share objects with, if any.
    pub(crate) async fn choose_parent(
        &self,
        repository: &Repository,
        database: &str,
        properties: &BackupProperties,
    ) -> Result<Option<Info>, Failure> {
        let remembered = self.remembered_parent(repository, database, properties).await?;
        if remembered.is_some() || !properties.shares() {
            return Ok(remembered);
        }
        repository.newest_of(database).await
    }

    /// As [`Self::choose_parent`], if this leader published it and it still stands.
    pub(super) async fn remembered_parent(
        &self,
        repository: &Repository,
        database: &str,
        properties: &BackupProperties,
    ) -> Result<Option<Info>, Failure> {
        let name = self.published.newest(repository.name(), database).filter(|_| properties.shares());
        let Some(name) = name else { return Ok(None) };
        let info = repository.standing_info(&name).await?;
        Ok(info.filter(|info| repository.may_be_parent(info, database)))
    }

    /// Writes the intent, which names the stored choice of a parent: what may be shared now that it stands, or `None` if
    /// the parent is gone.
    pub(super) async fn write_intent(&self, job: &BackupJob) -> Result<Option<Shared>, Failure> {
        let repository = self.repositories.open(&job.head.repository).await?;
        let found = self.found.take(job.head.uuid);
        let Some(parent) = &job.head.parent else {
            let intent = job.intent(self.epoch, self.clock.now(), None);
            match found {
                Some(_) => repository.put_intent(&intent).await?,
                None => repository.write_intent(&intent).await?,
            }
            return Ok(Some(Shared(None)));
        };
        let intent = |info| job.intent(self.epoch, self.clock.now(), Some(info));
        let protection = match found.flatten().filter(|info| info.name() == *parent) {
            Some(info) => repository.protect_found(info, intent).await?,
            None => repository.protect(parent, intent).await?,
        };
        let why = match protection {
            Protection::Stands(found) => return Ok(Some(Shared(Some(found)))),
            Protection::Dropped => "the parent was dropped",
            Protection::TooLarge => "the parent's info is too large to be kept in an intent",
            Protection::Damaged => "the parent's meta is damaged",
        };
        let (label, timestamp) = (&parent.label, &parent.timestamp);
        tracing::info!(job = %job.head.id, %label, %timestamp, why, "a backup shares nothing with its parent");
        Ok(None)
    }

    /// Rows of a partition that is planned again, when the intent stands. The parent's info is that in the intent: the
    /// parent itself may have been dropped by now.
    pub(super) async fn share_again(&self, job: &BackupJob, rows: Vec<Row>) -> Result<Vec<Row>, Failure> {
        let (Some(_), Some(plan)) = (&job.head.parent, &job.plan) else { return Ok(rows) };
        let repository = self.repositories.open(&job.head.repository).await?;
        let Some(info) = repository.read_intent(job.head.uuid).await?.and_then(|intent| intent.parent) else {
            return Ok(rows);
        };
        let Some(meta) = repository.parent_meta(&info).await? else { return Ok(rows) };
        Ok(share(&plan.cut, job.head.cluster, rows, &info, &meta))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_each_database_in_each_repository_the_newest_is_remembered() {
        let published = Published::default();
        let name = |hour: u32| SnapshotName {
            label: format!("l{hour}").parse().unwrap(),
            timestamp: format!("2025-07-31-{hour}-00-00-000").parse().unwrap(),
        };
        assert_eq!(published.newest("r", "d"), None);
        for hour in [11, 13, 12] {
            published.remember("r", "d", name(hour));
        }
        published.remember("r", "other", name(10));
        assert_eq!(published.newest("r", "d"), Some(name(13)));
        assert_eq!(published.newest("r", "other"), Some(name(10)));
        assert_eq!(published.newest("other", "d"), None);
    }
}
