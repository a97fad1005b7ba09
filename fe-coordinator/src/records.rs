//! How jobs lie in the job store.
//!
//! # Overview
//! ```text
//! sequence/job                     the number of the newest job
//! slot/<database>, slot1/…, …     the numbers of the jobs that occupy it, at most as many as are allowed
//! label/<repository>/<label>       the number of the backup that is making it
//! job/<id>/head                    where the job stands; written last, so it is what counts
//! job/<id>/request, plan           large values that never change once the head speaks of them
//! job/<id>/row/<task>              one task
//! job/<id>/step                    a step too large for one transaction, until all of it is written (large)
//! ended/<uuid>                     how a job ended: what agents are told that ask
//! history/<id>                     an ended job as it is shown (large)
//! ```
//!
//! # Crash consistency
//! A new job is one transaction of request, slot, label, number and head. A step is its plan, then one transaction of
//! rows and head. Where that is too large for one, it is written down as a whole first and then carried out piece by
//! piece; whoever loads the job carries it out again. Only the first rows of a job need no such care: they do not count
//! before a head speaks of them, and go when none does. An ended job moves into the history by one transaction; what is
//! left of it goes then, or when the next leadership begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::{Epoch, JobId, TaskId};
use tabvault_common::request::{BackupRequest, RestoreRequest};

use crate::job::any::{Job, JobTransition};
use crate::job::backup::{self, BackupJob};
use crate::job::restore::{self, RestoreJob};
use crate::store::large::{delete_large, get_large, put_large, stage_large, sweep_large};
use crate::store::{Committed, JobStore, MAX_OPERATIONS, Transaction};

#[cfg(test)]
pub(crate) mod broken;
mod history;
mod keys;
mod step;
#[cfg(test)]
mod tests;

use keys::{head, label, plan, request, rows, slot};
use step::{Changes, MAX_COMMIT, ROOM_FOR_CLAIMS, Step, StepRecord};

const PAGE: usize = 512;
const SEQUENCE: &str = "sequence/job";
/// The first number of a job, as Doris counts.
const FIRST_JOB: u64 = 10_001;

/// What a user asked for, kept as long as the job runs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// BACKUP.
    Backup(BackupRequest),
    /// RESTORE.
    Restore(RestoreRequest),
}

/// The jobs of a cluster in its job store.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    store: Arc<dyn JobStore>,
    epoch: Epoch,
    /// Jobs that may run in one database.
    slots: u32,
}

/// Why a job cannot begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is stored.
    Stored,
    /// Its database is occupied: by this job, and by as many more as are allowed.
    SlotTaken(JobId),
    /// Its label is being made by this job.
    LabelTaken(JobId),
}

impl Records {
    /// The records as the leadership `epoch` writes them.
    #[must_use]
    pub(crate) fn new(store: Arc<dyn JobStore>, epoch: Epoch) -> Self {
        Self { store, epoch, slots: 1 }
    }

    /// The same where `slots` jobs may run in one database. Jobs that hold higher ones keep them to their end.
    #[must_use]
    pub(crate) fn with_slots(self, slots: u32) -> Self {
        Self { slots, ..self }
    }

    /// Removes pieces of large values that a crash left without a record; to be called when a leadership begins.
    pub(crate) async fn sweep(&self) -> Result<(), Failure> {
        for prefix in [keys::JOBS, keys::HISTORY] {
            sweep_large(&*self.store, self.epoch, prefix).await?;
        }
        Ok(())
    }

    /// Stores a new job, made by `build` with its number, together with everything it claims.
    pub(crate) async fn create(
        &self,
        asked: &Request,
        build: impl Fn(JobId) -> Job + Send + Sync,
    ) -> Result<(Claim, Option<Job>), Failure> {
        loop {
            let last = self.store.get(SEQUENCE).await?;
            let number = match &last {
                Some(value) => decode::<u64>(SEQUENCE, value)? + 1,
                None => FIRST_JOB,
            };
            let mut job = build(JobId(number));
            let id = job.id();
            match self.free_slot(job.database()).await? {
                Ok(slot) => job.set_slot(slot),
                Err(holder) => return Ok((Claim::SlotTaken(holder), None)),
            }
            let slot = slot(job.database(), job.slot());
            let mut transaction = Transaction {
                expect: vec![(SEQUENCE.to_owned(), last), (slot.clone(), None)],
                put: vec![
                    (SEQUENCE.to_owned(), encode(&number)?),
                    (slot.clone(), encode(&id)?),
                    (head(id), encode_head(&job)?),
                ],
                delete: Vec::new(),
            };
            if let Job::Backup(job) = &job {
                let key = label(&job.head.repository, job.head.label.as_str());
                transaction.expect.push((key.clone(), None));
                transaction.put.push((key, encode(&id)?));
            }
            let record = stage_large(&*self.store, self.epoch, &request(id), &encode(asked)?).await?;
            transaction.put.push((request(id), record));
            match self.commit_or_look(transaction, &head(id)).await? {
                Committed::Done => return Ok((Claim::Stored, Some(job))),
                Committed::Conflict { key } => match self.holder(&key).await? {
                    Some(holder) if key != SEQUENCE && key != slot => return Ok((Claim::LabelTaken(holder), None)),
                    // Another job took the number or the slot, or let go of the claim just now.
                    Some(_) | None => {}
                },
            }
        }
    }

    /// Commits; after a lost answer, whether it happened is seen by what stands at `key`.
    async fn commit_or_look(&self, transaction: Transaction, key: &str) -> Result<Committed, Failure> {
        let written = transaction.put.iter().find(|(put, _)| put == key).map(|(_, value)| value.clone());
        match self.store.commit(self.epoch, transaction).await {
            Err(failure) if failure.retry == Retry::OutcomeUnknown => match self.store.get(key).await {
                Ok(stands) if stands.is_some() && stands == written => Ok(Committed::Done),
                Ok(_) | Err(_) => Err(failure),
            },
            outcome => outcome,
        }
    }

    /// A slot of the database that no job has, or a job that has one where there is none.
    async fn free_slot(&self, database: &str) -> Result<Result<u32, JobId>, Failure> {
        let mut first = None;
        for at in 0..self.slots {
            match self.holder(&slot(database, at)).await? {
                None => return Ok(Ok(at)),
                Some(holder) => first = first.or(Some(holder)),
            }
        }
        first.map(Err).ok_or_else(|| Failure::fatal(Kind::Internal, "no job may run in a database"))
    }

    /// A job that occupies a database, if no more may run there.
    pub(crate) async fn occupant(&self, database: &str) -> Result<Option<JobId>, Failure> {
        Ok(self.free_slot(database).await?.err())
    }

    async fn holder(&self, key: &str) -> Result<Option<JobId>, Failure> {
        self.store.get(key).await?.map(|value| decode(key, &value)).transpose()
    }

    /// What the user asked for.
    pub(crate) async fn request(&self, job: JobId) -> Result<Request, Failure> {
        let key = request(job);
        let value = get_large(&*self.store, &key).await?;
        decode(&key, &value.ok_or_else(|| missing(&key))?)
    }

    /// Stores what a step changed; `job` is the job before it.
    pub(crate) async fn save(&self, job: &Job, transition: &JobTransition) -> Result<(), Failure> {
        let id = job.id();
        let changes = Changes::of(id, transition)?;
        if let Some(bytes) = &changes.plan {
            put_large(&*self.store, self.epoch, &plan(id), bytes).await?;
        }
        let mut step = Step { put: changes.rows, delete: changes.gone, claims: Vec::new() };
        if let Some(next) = &changes.next {
            step.put.push((head(id), encode_head(next)?));
            step.end_claims(job, next)?;
        }
        if !step.fits_one_transaction() && speaks_of_rows(job) {
            put_large(&*self.store, self.epoch, &keys::step(id), &encode(&step.to_record()?)?).await?;
            self.carry_out(id, step).await?;
            return delete_large(&*self.store, self.epoch, &keys::step(id)).await;
        }
        self.carry_out(id, step).await
    }

    /// Writes a step in as many transactions as it takes; the last piece of what it puts comes with the claims that it
    /// lets go of.
    async fn carry_out(&self, id: JobId, step: Step) -> Result<(), Failure> {
        let mut piece = Transaction::default();
        let mut bytes = 0;
        for (key, value) in step.put {
            let full = piece.put.len() + ROOM_FOR_CLAIMS >= MAX_OPERATIONS || bytes + value.len() > MAX_COMMIT;
            if full && !piece.put.is_empty() {
                self.commit(std::mem::take(&mut piece)).await?;
                bytes = 0;
            }
            bytes += value.len();
            piece.put.push((key, value));
        }
        // A claim that is another job's by now was let go of before, by a commit whose answer was lost.
        for key in step.claims {
            if self.holder(&key).await? == Some(id) {
                piece.expect.push((key.clone(), Some(encode(&id)?)));
                piece.delete.push(key);
            }
        }
        let mut deletes = step.delete;
        let room = MAX_OPERATIONS.saturating_sub(piece.put.len() + piece.expect.len() + piece.delete.len());
        let rest = deletes.split_off(deletes.len().min(room));
        piece.delete.append(&mut deletes);
        self.commit(piece).await?;
        for some in rest.chunks(MAX_OPERATIONS) {
            self.commit(Transaction { delete: some.to_vec(), ..Transaction::default() }).await?;
        }
        Ok(())
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), Failure> {
        if transaction == Transaction::default() {
            return Ok(());
        }
        match self.store.commit(self.epoch, transaction).await? {
            Committed::Done => Ok(()),
            Committed::Conflict { key } => Err(Failure::transient(
                Kind::Busy,
                format!("write a step of a job: the record {key} changed meanwhile"),
            )),
        }
    }

    /// All jobs that are not archived, every one as its last stored step left it. To be called when a leadership begins:
    /// it also carries out steps that a crash interrupted, and removes what is left of jobs that have no head.
    pub(crate) async fn running(&self) -> Result<Vec<Job>, Failure> {
        let mut jobs = Vec::new();
        for id in self.ids().await? {
            if let Some(value) = get_large(&*self.store, &keys::step(id)).await? {
                let record: StepRecord = decode(&keys::step(id), &value)?;
                self.carry_out(id, record.into()).await?;
                delete_large(&*self.store, self.epoch, &keys::step(id)).await?;
            }
            match self.store.get(&head(id)).await? {
                Some(value) => jobs.push(self.load(&head(id), &value).await?),
                None => self.remove_all(&keys::job(id)).await?,
            }
        }
        Ok(jobs)
    }

    /// Numbers of which there are records.
    async fn ids(&self) -> Result<BTreeSet<JobId>, Failure> {
        let mut found = BTreeSet::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(keys::JOBS, after.as_deref(), 1).await?;
            let Some((key, _)) = page.first() else { return Ok(found) };
            let Some(id) = keys::job_of(key) else {
                return Err(Failure::fatal(Kind::Corrupt, format!("the record {key} of the job store is of no job")));
            };
            found.insert(id);
            // Behind everything of this job.
            after = Some(keys::behind(id));
        }
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
            self.remove_all(&rows(id)).await?;
        }
        match &mut job {
            Job::Backup(job) if job.head.planned => {
                job.plan = Some(self.large(&plan(id)).await?);
                job.rows = self.rows(id, |r: &backup::Row| r.task).await?;
            }
            Job::Restore(job) if job.head.planned => {
                job.plan = Some(self.large(&plan(id)).await?);
                job.rows = self.rows(id, |r: &restore::Row| r.task).await?;
            }
            Job::Backup(_) | Job::Restore(_) => {}
        }
        Ok(job)
    }

    async fn remove_all(&self, prefix: &str) -> Result<(), Failure> {
        loop {
            let page = self.store.scan(prefix, None, MAX_OPERATIONS).await?;
            if page.is_empty() {
                return Ok(());
            }
            let delete = page.into_iter().map(|(key, _)| key).collect();
            self.commit(Transaction { delete, ..Transaction::default() }).await?;
        }
    }

    async fn rows<R: DeserializeOwned>(
        &self,
        id: JobId,
        task: impl Fn(&R) -> TaskId,
    ) -> Result<BTreeMap<TaskId, R>, Failure> {
        let mut found = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(&rows(id), after.as_deref(), PAGE).await?;
            for (key, value) in &page {
                let row: R = decode(key, value)?;
                found.insert(task(&row), row);
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => after = Some(last.clone()),
                _ => return Ok(found),
            }
        }
    }

    async fn large<T: DeserializeOwned>(&self, key: &str) -> Result<T, Failure> {
        let value = get_large(&*self.store, key).await?;
        decode(key, &value.ok_or_else(|| missing(key))?)
    }
}

/// Whether rows that are stored count.
fn speaks_of_rows(job: &Job) -> bool {
    match job {
        Job::Backup(job) => job.head.planned,
        Job::Restore(job) => job.head.meta_prepared_time.is_some(),
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Head {
    Backup(Box<backup::Head>),
    Restore(Box<restore::Head>),
}

fn encode_head(job: &Job) -> Result<Bytes, Failure> {
    encode(&match job {
        Job::Backup(job) => Head::Backup(Box::new(job.head.clone())),
        Job::Restore(job) => Head::Restore(Box::new(job.head.clone())),
    })
}

fn encode<T: Serialize>(value: &T) -> Result<Bytes, Failure> {
    let text = serde_json::to_vec(value);
    text.map(Bytes::from).map_err(|error| Failure::fatal(Kind::Internal, format!("encode a record: {error}")))
}

fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(value)
        .map_err(|error| Failure::fatal(Kind::Corrupt, format!("read the record {key} of the job store: {error}")))
}

fn missing(key: &str) -> Failure {
    Failure::fatal(Kind::Corrupt, format!("the record {key} of the job store is missing"))
}
