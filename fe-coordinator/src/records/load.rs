//! Jobs as they are stored, for a coordinator that starts.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tabvault_common::failure::Failure;
use tabvault_common::ids::JobId;

use super::keys::{self, all_tablets, head, plan};
use super::rows::Stored;
use super::step::StepRecord;
use super::{Head, PAGE, Records, decode, missing, speaks_of_rows};
use crate::job::any::Job;
use crate::job::backup::BackupJob;
use crate::job::restore::RestoreJob;
use crate::job::rows::Rows;
use crate::store::JobStore;
use crate::store::large::{delete_large, get_large};

impl Records {
    /// All jobs that are not archived, every one as its last stored step left it. To be called when a leadership begins:
    /// it also carries out steps that a crash interrupted, and removes what is left of jobs that have no head.
    pub(crate) async fn running(&self) -> Result<Vec<Job>, Failure> {
        let mut jobs = Vec::new();
        for id in self.ids().await? {
            if let Some(value) = get_large(&*self.store, &keys::step(id)).await? {
                let record: StepRecord = decode(&keys::step(id), &value)?;
                self.carry_out_step(id, record.into()).await?;
                delete_large(&*self.store, self.epoch, &keys::step(id)).await?;
            }
            match self.store.get(&head(id)).await? {
                Some(value) => jobs.push(self.load(&head(id), &value).await?),
                None => self.remove_all(&keys::job(id)).await?,
            }
        }
        Ok(jobs)
    }

    /// A job in its stored state. Rows of which the head does not speak were written by a step that was not stored:
    /// they go, since the step may come out otherwise when it is made again.
    async fn load(&self, key: &str, value: &Bytes) -> Result<Job, Failure> {
        let mut job = match decode::<Head>(key, value)? {
            Head::Backup(head) => Job::Backup(Box::new(BackupJob::new(*head))),
            Head::Restore(head) => Job::Restore(Box::new(RestoreJob::new(*head))),
        };
        let id = job.id();
        if !speaks_of_rows(&job) {
            self.remove_all(&keys::rows(id)).await?;
            self.remove_all(&all_tablets(id)).await?;
        }
        match &mut job {
            Job::Backup(job) if job.head.planned => {
                job.set_plan(self.large(&plan(id)).await?);
                job.rows = self.rows(id).await?;
            }
            Job::Restore(job) if job.head.planned => {
                job.plan = Some(self.large(&plan(id)).await?);
                job.rows = self.rows(id).await?;
            }
            Job::Backup(_) | Job::Restore(_) => {}
        }
        Ok(job)
    }

    /// All rows, read page by page beside their tablets.
    async fn rows<R: Stored>(&self, id: JobId) -> Result<Rows<R>, Failure> {
        let (mut of_rows, mut of_tablets) = (Pages::of(keys::rows(id)), Pages::of(all_tablets(id)));
        let mut found = Rows::default();
        while let Some((key, row)) = of_rows.next(&*self.store).await? {
            // Tablets without a row were left by a step of which the crash kept a part.
            let tablets = loop {
                let Some((beside, tablets)) = of_tablets.next(&*self.store).await? else { return Err(missing(&key)) };
                if keys::task_of(&beside) == keys::task_of(&key) {
                    break tablets;
                }
            };
            found.put(R::decode(&key, &row, &tablets)?);
        }
        Ok(found)
    }

    async fn large<T: DeserializeOwned>(&self, key: &str) -> Result<T, Failure> {
        let value = get_large(&*self.store, key).await?;
        decode(key, &value.ok_or_else(|| missing(key))?)
    }
}

/// The records below a prefix, one after the other.
struct Pages {
    prefix: String,
    page: std::vec::IntoIter<(String, Bytes)>,
    after: Option<String>,
    over: bool,
}

impl Pages {
    fn of(prefix: String) -> Self {
        Self { prefix, page: Vec::new().into_iter(), after: None, over: false }
    }

    async fn next(&mut self, store: &dyn JobStore) -> Result<Option<(String, Bytes)>, Failure> {
        if self.page.len() == 0 && !self.over {
            let page = store.scan(&self.prefix, self.after.as_deref(), PAGE).await?;
            self.over = page.len() < PAGE;
            self.after = page.last().map(|(key, _)| key.clone());
            self.page = page.into_iter();
        }
        Ok(self.page.next())
    }
}
