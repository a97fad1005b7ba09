//! `__intents/<job>`: who is writing, and what must not be collected meanwhile.
//!
//! # Consistency
//! An intent stands before the first data object of its job. It carries a copy of the parent's info, so that what the
//! parent reaches stays alive even when the parent is dropped while the job runs.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::info::{Info, Moment};
use super::{layout, sealed};
use crate::failure::Failure;
use crate::ids::{ClusterId, Epoch, JobUuid};
use crate::label::Label;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The format's version.
    pub format_version: u32,
    /// The job that writes.
    pub job: JobUuid,
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// The leadership that wrote this intent.
    pub epoch: Epoch,
    /// The snapshot it will commit.
    pub label: Label,
    /// The repository's name, for people.
    pub repository: String,
    /// When this intent was written.
    pub time: Moment,
    /// The info of the snapshot it shares objects with.
    pub parent: Option<Info>,
}

impl Intent {
    /// The object's bytes.
    pub fn encode(&self) -> Result<Bytes, Failure> {
        sealed::seal(&layout::intent(self.job), self)
    }

    /// The value in the object at `path`.
    ///
    /// # Errors
    /// As of [`sealed::open`]; also [`crate::failure::Kind::Corrupt`] if it is another job's.
    pub fn decode(path: &str, bytes: &[u8]) -> Result<Self, Failure> {
        let intent: Self = sealed::open(path, bytes, layout::MAX_INTENT_SIZE)?;
        match layout::parse_intent(path) {
            Some(job) if job != intent.job => {
                Err(super::corrupt(path, format_args!("it is the intent of job {}", intent.job)))
            }
            _ => Ok(intent),
        }
    }
}
