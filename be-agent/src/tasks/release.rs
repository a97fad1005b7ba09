//! Release: the links of snapshots go as soon as their manifest is recorded.
//!
//! # Crash consistency
//! A snapshot goes in one step, by rename. What a crash leaves of it under its other name goes with the job.

use std::path::PathBuf;
use std::sync::Arc;

use tabvault_common::durable;
use tabvault_common::failure::Kind;
use tabvault_common::task::{Release, TaskResult};
use uuid::Uuid;

use crate::context::TaskContext;
use crate::files;
use crate::store::Result;

pub(super) async fn run(context: &TaskContext, task: Release) -> Result<TaskResult> {
    let (shared, job) = (Arc::clone(&context.shared), context.key.job);
    let released = context.blocking(move || {
        for at in task.tablets {
            while let Some((_, dir)) = shared.work.find_snapshot(job, at.tablet, at.version) {
                // Whole or not there: nobody may take for a snapshot what a removal left, or is leaving, of one.
                let mut gone = dir.as_os_str().to_owned();
                gone.push(format!(".gone-{}", Uuid::new_v4()));
                let gone = PathBuf::from(gone);
                match files::rename(&dir, &gone) {
                    Ok(_) => durable::remove_dir_all(&gone)?,
                    // Somebody else was faster.
                    Err(failure) if failure.kind == Kind::NotFound => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(TaskResult::Done)
    });
    released.await
}
