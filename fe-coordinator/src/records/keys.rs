//! Names of records. Numbers have twenty digits, so that keys are in their order.

use tabvault_common::ids::{JobId, JobUuid, TaskId};

pub(super) const HISTORY: &str = "history/";
pub(super) const JOBS: &str = "job/";

/// What all records of a job's present begin with.
pub(super) fn job(job: JobId) -> String {
    format!("{JOBS}{:020}/", job.0)
}

/// The job that a record below [`JOBS`] is of.
pub(super) fn job_of(key: &str) -> Option<JobId> {
    let (id, _) = key.strip_prefix(JOBS)?.split_once('/')?;
    id.parse().ok().map(JobId)
}

/// A key after all of a job's and before any of the next one's.
pub(super) fn behind(job: JobId) -> String {
    // The sign that follows `/`.
    format!("{JOBS}{:020}0", job.0)
}

pub(super) fn step(job: JobId) -> String {
    format!("{JOBS}{:020}/step", job.0)
}

pub(super) fn head(job: JobId) -> String {
    format!("job/{:020}/head", job.0)
}

pub(super) fn request(job: JobId) -> String {
    format!("job/{:020}/request", job.0)
}

pub(super) fn plan(job: JobId) -> String {
    format!("job/{:020}/plan", job.0)
}

pub(super) fn rows(job: JobId) -> String {
    format!("job/{:020}/row/", job.0)
}

pub(super) fn row(job: JobId, task: TaskId) -> String {
    format!("job/{:020}/row/{:020}", job.0, task.0)
}

/// The tablets of all rows.
pub(super) fn all_tablets(job: JobId) -> String {
    format!("job/{:020}/tablets/", job.0)
}

pub(super) fn tablets(job: JobId, task: TaskId) -> String {
    format!("job/{:020}/tablets/{:020}", job.0, task.0)
}

/// What the key of a row, or of its tablets, ends in: the task.
pub(super) fn task_of(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// One of the slots for jobs of a database, from 0.
pub(super) fn slot(database: &str, slot: u32) -> String {
    match slot {
        // As it was called when there was no other.
        0 => format!("slot/{database}"),
        _ => format!("slot{slot}/{database}"),
    }
}

pub(super) fn label(repository: &str, label: &str) -> String {
    format!("label/{repository}/{label}")
}

pub(super) fn ended(job: JobUuid) -> String {
    format!("ended/{job}")
}

pub(super) fn history(job: JobId) -> String {
    format!("{HISTORY}{:020}", job.0)
}

/// Whether a key below [`HISTORY`] is a value's own and not that of one of its chunks.
pub(super) fn is_history(key: &str) -> bool {
    key.len() == HISTORY.len() + 20
}
