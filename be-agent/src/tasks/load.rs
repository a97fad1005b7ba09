//! Load: the store reads a directory's files into tablets as a new version.

use tabvault_common::task::{Load, TaskResult};

use super::loads;
use crate::context::TaskContext;
use crate::store::Result;

pub(super) async fn run(context: &TaskContext, task: Load) -> Result<TaskResult> {
    let store = loads(context, "load")?;
    for root in 0..context.shared.store.roots().len() {
        context.require_space(root, 0).await?;
    }
    let tablets = store.load(context.key.job, &task, &context.progress, &context.shared.memory).await?;
    Ok(TaskResult::Loaded { tablets })
}
