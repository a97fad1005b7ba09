//! What a backup finds out before it writes anything: that the repository is still this one, that the label is free, and
//! which snapshot to share with.
//!
//! The statement looks, so that whoever wrote it hears at once what is wrong, and its job goes on with what was found:
//! over a slow storage each look takes as long as one of the few things that an unchanged backup writes. What was found
//! is kept in memory and for the last job alone; the job of an earlier statement, or of another leader, looks again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::JobUuid;
use tabvault_common::label::Label;
use tabvault_common::repo::info::Info;

use super::Asks;
use crate::check::properties::BackupProperties;
use crate::job::Answer;
use crate::job::backup::BackupJob;
use crate::repository::Repository;

/// What was found for one job: its parent, if it has one.
#[derive(Debug, Default)]
pub(crate) struct Found(Mutex<Option<(JobUuid, Option<Info>)>>);

impl Found {
    /// All is well for `job`, and this is what it may share with.
    fn keep(&self, job: JobUuid, parent: Option<Info>) {
        *self.lock() = Some((job, parent));
    }

    /// What was found for `job`, once.
    pub(super) fn take(&self, job: JobUuid) -> Option<Option<Info>> {
        self.lock().take_if(|(of, _)| *of == job).map(|(_, parent)| parent)
    }

    fn lock(&self) -> MutexGuard<'_, Option<(JobUuid, Option<Info>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asks {
    /// Looks for a statement, before there is its job.
    ///
    /// # Errors
    /// `AlreadyExists` for a label that is in use; as of [`Repository::check`].
    pub(crate) async fn look(
        &self,
        job: JobUuid,
        repository: &Repository,
        label: &Label,
        database: &str,
        properties: &BackupProperties,
    ) -> Result<(), Failure> {
        let parent = self.remembered_parent(repository, database, properties);
        let (parent, (), ()) = tokio::try_join!(parent, repository.check(), free(repository, label))?;
        // To look for one that is not remembered takes a listing per label: nobody waits for that but the job.
        if parent.is_some() || !properties.shares() {
            self.found.keep(job, parent);
        }
        Ok(())
    }

    pub(super) async fn choose(&self, job: &BackupJob) -> Result<Answer, Failure> {
        let head = &job.head;
        let parent = match self.found.take(head.uuid) {
            Some(parent) => parent,
            None => {
                let repository = self.repositories.open(&head.repository).await?;
                let parent = self.choose_parent(&repository, &head.database, &head.properties);
                tokio::try_join!(parent, repository.check(), free(&repository, &head.label))?.0
            }
        };
        let name = parent.as_ref().map(Info::name);
        self.found.keep(head.uuid, parent);
        Ok(Answer::Chosen(name))
    }
}

/// Refuses a label that is in use.
async fn free(repository: &Repository, label: &Label) -> Result<(), Failure> {
    if repository.label_exists(label).await? {
        let why = format!("Snapshot with name '{label}' already exist in repository");
        return Err(Failure::fatal(Kind::AlreadyExists, why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_for_the_last_job_and_once() {
        let found = Found::default();
        let (one, two) = (JobUuid::random(), JobUuid::random());
        found.keep(one, None);
        assert_eq!(found.take(two), None);
        assert_eq!(found.take(one), Some(None));
        assert_eq!(found.take(one), None);
        found.keep(one, None);
        found.keep(two, None);
        assert_eq!(found.take(one), None);
        assert_eq!(found.take(two), Some(None));
    }
}
