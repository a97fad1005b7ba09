//! What a backup finds out before it writes anything: that the repository is still this one, that the label is free, and
//! which snapshot to share with.
//!
//! The statement looks, so that whoever wrote it hears at once what is wrong, and its job goes on with what was found:
//! over a slow storage each look takes as long as one of the few things that an unchanged backup writes. What was found
//! is kept in memory, for the last job alone, and until something is published; the job of an earlier statement, or of
//! another leader, looks again.

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
pub(crate) struct Found(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    last: Option<(JobUuid, Option<Info>)>,
    /// How often something was published.
    published: u64,
}

impl Found {
    /// When a look begins.
    fn begin(&self) -> u64 {
        self.lock().published
    }

    /// As a look that began at `begun` saw it, all is well for `job`, and this is what it may share with.
    fn keep(&self, begun: u64, job: JobUuid, parent: Option<Info>) {
        let mut kept = self.lock();
        if kept.published == begun {
            kept.last = Some((job, parent));
        }
    }

    /// A snapshot was published, perhaps under the label that a look found free: a statement looks before it claims the
    /// label.
    pub(super) fn outdate(&self) {
        let mut kept = self.lock();
        kept.published += 1;
        kept.last = None;
    }

    /// What was found for `job`, once.
    pub(super) fn take(&self, job: JobUuid) -> Option<Option<Info>> {
        self.lock().last.take_if(|(of, _)| *of == job).map(|(_, parent)| parent)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
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
        let begun = self.found.begin();
        let parent = self.remembered_parent(repository, database, properties);
        let (parent, (), ()) = tokio::try_join!(parent, repository.check(), free(repository, label))?;
        // To look for one that is not remembered takes a listing per label: nobody waits for that but the job.
        if parent.is_some() || !properties.shares() {
            self.found.keep(begun, job, parent);
        }
        Ok(())
    }

    pub(super) async fn choose(&self, job: &BackupJob) -> Result<Answer, Failure> {
        let (head, begun) = (&job.head, self.found.begin());
        let parent = match self.found.take(head.uuid) {
            Some(parent) => parent,
            None => {
                let repository = self.repositories.open(&head.repository).await?;
                let parent = self.choose_parent(&repository, &head.database, &head.properties);
                tokio::try_join!(parent, repository.check(), free(&repository, &head.label))?.0
            }
        };
        let name = parent.as_ref().map(Info::name);
        self.found.keep(begun, head.uuid, parent);
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
        found.keep(0, one, None);
        assert_eq!(found.take(two), None);
        assert_eq!(found.take(one), Some(None));
        assert_eq!(found.take(one), None);
        found.keep(0, one, None);
        found.keep(0, two, None);
        assert_eq!(found.take(one), None);
        assert_eq!(found.take(two), Some(None));
    }

    #[test]
    fn nothing_counts_that_was_seen_before_something_was_published() {
        let (found, job) = (Found::default(), JobUuid::random());
        let begun = found.begin();
        found.keep(begun, job, None);
        found.outdate();
        assert_eq!(found.take(job), None, "it was found before");
        found.keep(begun, job, None);
        assert_eq!(found.take(job), None, "the look had begun before");
        found.keep(found.begin(), job, None);
        assert_eq!(found.take(job), Some(None));
    }
}
