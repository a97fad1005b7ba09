//! Export: the store writes tablets' visible files out.

use tabvault_common::task::{Export, TaskResult};

use super::loads;
use crate::context::TaskContext;
use crate::store::Result;

pub(super) async fn run(context: &TaskContext, task: Export) -> Result<TaskResult> {
    let store = loads(context, "export")?;
    let (files, bytes) = store.export(context.key.job, &task, &context.progress, &context.shared.memory).await?;
    Ok(TaskResult::Exported { files, bytes })
}
