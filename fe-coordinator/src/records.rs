//! How jobs lie in the job store.
//!
//! # Overview
//! ```text
//! sequence/job                     the number of the newest job
//! slot/<database>, slot1/…, …     the numbers of the jobs that occupy it, at most as many as are allowed
//! label/<repository>/<label>       the number of the backup that is making it
//! job/<id>/head                    where the job stands; written last, so it is what counts
//! job/<id>/request, plan           large values that never change once the head speaks of them
//! job/<id>/row/<task>              one task: what changes with reports
//! job/<id>/tablets/<task>          its tablets, which hardly ever change
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
//!
//! Steps that were taken one after the other may be stored in one transaction ([`Batch`]): a crash takes back all of
//! them, and none of them had shown before.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::{Epoch, JobId};
use tabvault_common::request::{BackupRequest, RestoreRequest};

use crate::job::any::Job;
use crate::job::backup;
use crate::job::restore;
use crate::store::large::{delete_large, get_large, put_large, stage_large, sweep_large};
use crate::store::{Committed, JobStore, MAX_OPERATIONS, Transaction};

mod batch;
#[cfg(test)]
pub(crate) mod broken;
mod history;
mod keys;
mod load;
mod rows;
mod step;
#[cfg(test)]
mod tests;

pub(crate) use batch::Batch;
use keys::{head, label, plan, request, slot};
#[cfg(test)]
pub(crate) use rows::row_sizes;
use step::{MAX_COMMIT, ROOM_FOR_CLAIMS, Step, WrittenDown};

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

impl Request {
    /// The repository that it speaks of.
    pub(crate) fn repository(&self) -> &str {
        match self {
            Self::Backup(request) => &request.repository,
            Self::Restore(request) => &request.repository,
        }
    }
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
        for id in self.ids().await? {
            // Only where there are such values: a job's rows are many.
            for key in [request(id), plan(id), keys::step(id)] {
                sweep_large(&*self.store, self.epoch, &key).await?;
            }
        }
        sweep_large(&*self.store, self.epoch, keys::HISTORY).await?;
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

    /// Stores what steps changed; `job` is the job after them.
    pub(crate) async fn save(&self, batch: &Batch, job: &Job) -> Result<(), Failure> {
        let id = job.id();
        if batch.plan {
            put_large(&*self.store, self.epoch, &plan(id), &encode_plan(job)?).await?;
        }
        let mut end = Step { delete: batch.deletes(job), ..Step::default() };
        if batch.head {
            end.put.push((head(id), encode_head(job)?));
            end.end_claims(batch.before, job)?;
        }
        if !batch.is_large() {
            let mut step = Step { put: batch.puts(job).collect::<Result<_, Failure>>()?, ..end.clone() };
            step.put.extend(end.put.iter().cloned());
            if step.fits_one_transaction() || !batch.before.speaks_of_rows {
                return self.carry_out_step(id, step).await;
            }
        }
        let written_down = batch.before.speaks_of_rows;
        if written_down {
            // Room that is not written to takes no memory; a list that grows is held twice.
            let record = encode_into(Vec::with_capacity(batch.bytes()), &WrittenDown { batch, job, end: &end })?;
            put_large(&*self.store, self.epoch, &keys::step(id), &record).await?;
        }
        // Encoded as they are written: they may be all rows of the job.
        let heads = std::mem::take(&mut end.put).into_iter().map(Ok);
        self.carry_out(id, batch.puts(job).chain(heads), end).await?;
        if written_down { delete_large(&*self.store, self.epoch, &keys::step(id)).await } else { Ok(()) }
    }

    async fn carry_out_step(&self, id: JobId, mut step: Step) -> Result<(), Failure> {
        let put = std::mem::take(&mut step.put);
        self.carry_out(id, put.into_iter().map(Ok), step).await
    }

    /// Writes `put` in as many transactions as it takes; the last piece of it comes with what `step` lets go of.
    async fn carry_out(
        &self,
        id: JobId,
        put: impl Iterator<Item = Result<(String, Bytes), Failure>> + Send,
        step: Step,
    ) -> Result<(), Failure> {
        let mut piece = Transaction::default();
        let mut bytes = 0;
        for record in put {
            let (key, value) = record?;
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

fn encode_plan(job: &Job) -> Result<Bytes, Failure> {
    match job {
        Job::Backup(job) => encode(&job.plan),
        Job::Restore(job) => encode(&job.plan),
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Bytes, Failure> {
    encode_into(Vec::with_capacity(256), value)
}

fn encode_into<T: Serialize>(mut text: Vec<u8>, value: &T) -> Result<Bytes, Failure> {
    let encoded = serde_json::to_writer(&mut text, value);
    encoded.map_err(|error| Failure::fatal(Kind::Internal, format!("encode a record: {error}")))?;
    Ok(text.into())
}

fn decode<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(value)
        .map_err(|error| Failure::fatal(Kind::Corrupt, format!("read the record {key} of the job store: {error}")))
}

fn missing(key: &str) -> Failure {
    Failure::fatal(Kind::Corrupt, format!("the record {key} of the job store is missing"))
}
