//! What a step writes.

use bytes::Bytes;
use serde::ser::{Error as _, SerializeSeq, SerializeStruct};
use serde::{Deserialize, Serialize, Serializer};
use tabvault_common::failure::Failure;

use super::batch::{Batch, Standing};
use super::encode;
use super::keys::{ended, label, slot};
use crate::job::any::Job;
use crate::store::MAX_OPERATIONS;

/// Most bytes of rows in one transaction: etcd takes requests of up to 1.5 MiB.
pub(super) const MAX_COMMIT: usize = 1 << 20;
/// Expecting and removing slot and label takes this many operations.
pub(super) const ROOM_FOR_CLAIMS: usize = 4;

/// What a step writes, in this order: rows, then the head; and what goes.
#[derive(Clone, Default)]
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
}

/// A step that a crash may interrupt, as it is written down before it is carried out: encoded row by row, since it may
/// be all rows of the job.
pub(super) struct WrittenDown<'a> {
    pub(super) batch: &'a Batch,
    pub(super) job: &'a Job,
    /// What comes after the rows.
    pub(super) end: &'a Step,
}

impl Serialize for WrittenDown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut record = serializer.serialize_struct("StepRecord", 3)?;
        record.serialize_field("put", &Puts(self))?;
        record.serialize_field("delete", &self.end.delete)?;
        record.serialize_field("claims", &self.end.claims)?;
        record.end()
    }
}

struct Puts<'a>(&'a WrittenDown<'a>);

impl Serialize for Puts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let WrittenDown { batch, job, end } = self.0;
        let mut put = serializer.serialize_seq(None)?;
        for record in batch.puts(job).chain(end.put.iter().cloned().map(Ok)) {
            let (key, value) = record.map_err(S::Error::custom)?;
            put.serialize_element(&(key, std::str::from_utf8(&value).map_err(S::Error::custom)?))?;
        }
        put.end()
    }
}

/// A step as it is read again.
#[derive(Deserialize)]
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
