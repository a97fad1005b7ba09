//! Adopt: downloaded files become the contents of the hidden tablets.

use std::sync::Arc;

use tabvault_common::task::{Adopt, TaskResult};

use crate::context::TaskContext;
use crate::store::Result;

pub(super) async fn run(context: &TaskContext, task: Adopt) -> Result<TaskResult> {
    let job = context.key.job;
    for mapping in task.tablets {
        let shared = Arc::clone(&context.shared);
        let adopted = context.to_end(async move {
            let root = shared.store.root_of(mapping.target).await?;
            let dir = shared.work.download(root, job, mapping.target)?;
            shared.store.adopt(job, &mapping, &dir).await
        });
        adopted.await?;
    }
    Ok(TaskResult::Done)
}
