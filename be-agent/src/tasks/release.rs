//! Release: the links of snapshots go as soon as their manifest is recorded.

use std::sync::Arc;

use tabvault_common::durable;
use tabvault_common::task::{Release, TaskResult};

use crate::context::TaskContext;
use crate::store::Result;

pub(super) async fn run(context: &TaskContext, task: Release) -> Result<TaskResult> {
    let (shared, job) = (Arc::clone(&context.shared), context.key.job);
    let released = context.blocking(move || {
        for at in task.tablets {
            while let Some((_, dir)) = shared.work.find_snapshot(job, at.tablet, at.version) {
                durable::remove_dir_all(&dir)?;
            }
        }
        Ok(TaskResult::Done)
    });
    released.await
}
