//! How jobs lie in the job store.
//!
//! # Overview
//! ```text
//! sequence/job                     the number of the newest job
//! slot/<database>                  the number of the job that occupies it
//! label/<repository>/<label>       the number of the backup that is making it
//! job/<id>/head                    where the job stands; written last, so it is what counts
//! job/<id>/request, plan           large values that never change once the head speaks of them
//! job/<id>/row/<task>              one task
//! ended/<uuid>                     how a job ended: what agents are told that ask
//! history/<id>                     an ended job as it is shown (large)
//! ```
//!
//! # Crash consistency
//! A new job is its request, then one transaction of slot, label, number and head. A transition is its plan, its rows,
//! then one transaction with the head. Rows that were written before a crash and of which no head speaks are written
//! again with the same numbers, or removed with the job. An ended job is archived: history first, then the rest goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{Epoch, JobId, JobUuid, TaskId};
use tabvault_common::request::{BackupRequest, RestoreRequest};
use tabvault_common::task::JobEnd;
use tabvault_common::view::JobView;

use crate::job::any::{Job, JobTransition};
use crate::job::backup::{self, BackupJob};
use crate::job::restore::{self, RestoreJob};
use crate::store::large::{delete_large, get_large, put_large, sweep_large};
use crate::store::{Committed, JobStore, MAX_OPERATIONS, Transaction};

mod keys;

use keys::{ended, head, history, label, plan, request, row, rows, slot};

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
}

/// Why a job cannot begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is stored.
    Stored,
    /// Its database is occupied by this job.
    SlotTaken(JobId),
    /// Its label is being made by this job.
    LabelTaken(JobId),
}

impl Records {
    /// The records as the leadership `epoch` writes them.
    #[must_use]
    pub(crate) fn new(store: Arc<dyn JobStore>, epoch: Epoch) -> Self {
        Self { store, epoch }
    }

    /// Removes pieces of large values that a crash left without a record; to be called when a leadership begins.
    pub(crate) async fn sweep(&self) -> Result<(), Failure> {
        for prefix in ["job/", keys::HISTORY] {
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
            let job = build(JobId(number));
            let id = job.id();
            let mut transaction = Transaction {
                expect: vec![(SEQUENCE.to_owned(), last), (slot(job.database()), None)],
                put: vec![
                    (SEQUENCE.to_owned(), encode(&number)?),
                    (slot(job.database()), encode(&id)?),
                    (head(id), encode_head(&job)?),
                ],
                delete: Vec::new(),
            };
            if let Job::Backup(job) = &job {
                let key = label(&job.head.repository, job.head.label.as_str());
                transaction.expect.push((key.clone(), None));
                transaction.put.push((key, encode(&id)?));
            }
            if let Some(holder) = self.holder(&slot(job.database())).await? {
                return Ok((Claim::SlotTaken(holder), None));
            }
            put_large(&*self.store, self.epoch, &request(id), &encode(asked)?).await?;
            match self.store.commit(self.epoch, transaction).await? {
                Committed::Done => return Ok((Claim::Stored, Some(job))),
                Committed::Conflict { key } => {
                    delete_large(&*self.store, self.epoch, &request(id)).await?;
                    match self.holder(&key).await? {
                        Some(holder) if key == slot(job.database()) => return Ok((Claim::SlotTaken(holder), None)),
                        Some(holder) if key != SEQUENCE => return Ok((Claim::LabelTaken(holder), None)),
                        // Another job took the number, or let go of the claim just now.
                        Some(_) | None => {}
                    }
                }
            }
        }
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
        let mut last = Transaction { delete: changes.gone, ..Transaction::default() };
        if let Some(next) = &changes.next {
            last.put.push((head(id), encode_head(next)?));
            self.release_claims(job, next, &mut last)?;
        }
        self.commit_in_pieces(changes.rows, last).await
    }

    /// A job that no longer occupies its database lets go of it in the same transaction that says so.
    fn release_claims(&self, before: &Job, after: &Job, transaction: &mut Transaction) -> Result<(), Failure> {
        if before.holds_slot() && !after.holds_slot() {
            transaction.delete.push(slot(after.database()));
        }
        if let (None, Some(end)) = (before.end(), after.end()) {
            transaction.put.push((ended(after.uuid()), encode(&end)?));
            if let Job::Backup(job) = after {
                transaction.delete.push(label(&job.head.repository, job.head.label.as_str()));
            }
        }
        Ok(())
    }

    /// Rows first, in pieces that a store takes; the head with the rest of them.
    async fn commit_in_pieces(&self, mut puts: Vec<(String, Bytes)>, mut last: Transaction) -> Result<(), Failure> {
        let room = MAX_OPERATIONS.saturating_sub(last.put.len() + last.delete.len().min(MAX_OPERATIONS / 2));
        while puts.len() > room {
            let rest = puts.split_off(room);
            self.commit(Transaction { put: std::mem::replace(&mut puts, rest), ..Transaction::default() }).await?;
        }
        last.put.append(&mut puts);
        let deletes = last.delete.split_off(last.delete.len().min(MAX_OPERATIONS.saturating_sub(last.put.len())));
        self.commit(last).await?;
        for piece in deletes.chunks(MAX_OPERATIONS) {
            self.commit(Transaction { delete: piece.to_vec(), ..Transaction::default() }).await?;
        }
        Ok(())
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), Failure> {
        if transaction == Transaction::default() {
            return Ok(());
        }
        match self.store.commit(self.epoch, transaction).await? {
            Committed::Done => Ok(()),
            Committed::Conflict { key } => Err(Failure::fatal(
                Kind::Internal,
                format!("the record {key} changed though nothing was expected of it"),
            )),
        }
    }

    /// All jobs that are not archived.
    pub(crate) async fn running(&self) -> Result<Vec<Job>, Failure> {
        let mut jobs = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan("job/", after.as_deref(), PAGE).await?;
            for (key, value) in &page {
                if key.ends_with("/head") {
                    jobs.push(self.load(key, value).await?);
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => after = Some(last.clone()),
                _ => return Ok(jobs),
            }
        }
    }

    /// A job in its stored state. Rows of which the head does not speak were written by a step that was not stored:
    /// they go, since the step may come out otherwise when it is made again.
    async fn load(&self, key: &str, value: &Bytes) -> Result<Job, Failure> {
        match decode::<Head>(key, value)? {
            Head::Backup(head) => {
                let mut job = BackupJob::new(*head);
                if job.head.planned {
                    job.plan = Some(self.large(&plan(job.head.id)).await?);
                    job.rows = self.rows(job.head.id, |r: &backup::Row| r.task).await?;
                } else {
                    self.remove_rows(job.head.id).await?;
                }
                Ok(Job::Backup(Box::new(job)))
            }
            Head::Restore(head) => {
                let mut job = RestoreJob::new(*head);
                if job.head.planned {
                    job.plan = Some(self.large(&plan(job.head.id)).await?);
                }
                if job.head.meta_prepared_time.is_some() {
                    job.rows = self.rows(job.head.id, |r: &restore::Row| r.task).await?;
                } else {
                    self.remove_rows(job.head.id).await?;
                }
                Ok(Job::Restore(Box::new(job)))
            }
        }
    }

    async fn remove_rows(&self, id: JobId) -> Result<(), Failure> {
        loop {
            let page = self.store.scan(&rows(id), None, MAX_OPERATIONS).await?;
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

    /// How a job ended, if it has.
    pub(crate) async fn ended(&self, job: JobUuid) -> Result<Option<JobEnd>, Failure> {
        let key = ended(job);
        self.store.get(&key).await?.map(|value| decode(&key, &value)).transpose()
    }

    /// Moves a job with which all is over into the history, of which the newest `kept` of its kind stay.
    pub(crate) async fn archive(&self, job: &Job, view: &JobView, kept: usize) -> Result<(), Failure> {
        let id = job.id();
        put_large(&*self.store, self.epoch, &history(id), &encode(view)?).await?;
        delete_large(&*self.store, self.epoch, &request(id)).await?;
        delete_large(&*self.store, self.epoch, &plan(id)).await?;
        self.remove_rows(id).await?;
        self.commit(Transaction { delete: vec![head(id)], ..Transaction::default() }).await?;
        let of_kind: Vec<JobView> = self.history().await?.into_iter().filter(|other| other.kind == view.kind).collect();
        for old in of_kind.iter().rev().skip(kept) {
            delete_large(&*self.store, self.epoch, &history(old.id)).await?;
        }
        Ok(())
    }

    /// Archived jobs, oldest first.
    pub(crate) async fn history(&self) -> Result<Vec<JobView>, Failure> {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.store.scan(keys::HISTORY, after.as_deref(), PAGE).await?;
            for (key, _) in page.iter().filter(|(key, _)| keys::is_history(key)) {
                if let Some(value) = get_large(&*self.store, key).await? {
                    found.push(decode(key, &value)?);
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => after = Some(last.clone()),
                _ => return Ok(found),
            }
        }
    }
}

/// A transition as records.
struct Changes {
    /// The job with its new head, if that changed; without rows.
    next: Option<Job>,
    plan: Option<Bytes>,
    rows: Vec<(String, Bytes)>,
    gone: Vec<String>,
}

impl Changes {
    fn of(id: JobId, transition: &JobTransition) -> Result<Self, Failure> {
        let put = |task: TaskId, bytes: Result<Bytes, Failure>| Ok((row(id, task), bytes?));
        let names = |gone: &[TaskId]| gone.iter().map(|task| row(id, *task)).collect();
        Ok(match transition {
            JobTransition::Backup(t) => Self {
                next: t.head.clone().map(|head| Job::Backup(Box::new(BackupJob::new(head)))),
                plan: t.plan.as_ref().map(encode).transpose()?,
                rows: t.rows.iter().map(|r| put(r.task, encode(r))).collect::<Result<_, Failure>>()?,
                gone: names(&t.gone),
            },
            JobTransition::Restore(t) => Self {
                next: t.head.clone().map(|head| Job::Restore(Box::new(RestoreJob::new(head)))),
                plan: t.plan.as_ref().map(encode).transpose()?,
                rows: t.rows.iter().map(|r| put(r.task, encode(r))).collect::<Result<_, Failure>>()?,
                gone: names(&t.gone),
            },
        })
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
