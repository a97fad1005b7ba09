//! What a step writes.

use bytes::Bytes;
use tabvault_common::failure::{Failure, Kind};

use super::batch::Standing;
use super::encode;
use super::keys::{ended, label, slot};
use crate::job::any::Job;
use crate::store::MAX_OPERATIONS;

/// Most bytes of rows in one transaction: etcd takes requests of up to 1.5 MiB.
pub(super) const MAX_COMMIT: usize = 1 << 20;
/// Expecting and removing slot and label takes this many operations.
pub(super) const ROOM_FOR_CLAIMS: usize = 4;

/// What a step writes, in this order: rows, then the head; and what goes.
#[derive(Default)]
pub(super) struct Step {
    pub(super) put: Vec<(String, Bytes)>,
    pub(super) delete: Vec<String>,
    /// What the job lets go of, where it still has it.
    pub(super) claims: Vec<String>,
}

impl Step {
    /// A job that no longer occupies its database lets go of it in the same transaction that says so.
    pub(super) fn end_claims(&mut self, before: Standing, after: &Job) -> Result<(), Failure> {
        if before.holds_slot && !after.holds_slot() {
            self.claims.push(slot(after.database(), after.slot()));
        }
        if let (false, Some(end)) = (before.has_ended, after.end()) {
            self.put.push((ended(after.uuid()), encode(&end)?));
            if let Job::Backup(job) = after {
                self.claims.push(label(&job.head.repository, job.head.label.as_str()));
            }
        }
        Ok(())
    }

    pub(super) fn fits_one_transaction(&self) -> bool {
        let bytes: usize = self.put.iter().map(|(_, value)| value.len()).sum();
        self.put.len() + self.delete.len() + ROOM_FOR_CLAIMS <= MAX_OPERATIONS && bytes <= MAX_COMMIT
    }

    pub(super) fn to_record(&self) -> Result<StepRecord, Failure> {
        let text = |(key, value): &(String, Bytes)| Some((key.clone(), String::from_utf8(value.to_vec()).ok()?));
        let put: Option<Vec<_>> = self.put.iter().map(text).collect();
        let put = put.ok_or_else(|| Failure::fatal(Kind::Internal, "encode a step: a record is no text"))?;
        Ok(StepRecord { put, delete: self.delete.clone(), claims: self.claims.clone() })
    }
}

/// A [`Step`] as it is written down.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct StepRecord {
    put: Vec<(String, String)>,
    delete: Vec<String>,
    claims: Vec<String>,
}

impl From<StepRecord> for Step {
    fn from(record: StepRecord) -> Self {
        let put = record.put.into_iter().map(|(key, value)| (key, Bytes::from(value))).collect();
        Self { put, delete: record.delete, claims: record.claims }
    }
}
