//! Names of records. Numbers have twenty digits, so that keys are in their order.

use tabvault_common::ids::{JobId, JobUuid, TaskId};

pub(super) const HISTORY: &str = "history/";

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

pub(super) fn slot(database: &str) -> String {
    format!("slot/{database}")
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
