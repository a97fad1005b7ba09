//! Adopt: downloaded files become the contents of the hidden tablets.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tabvault_common::task::{Adopt, TaskResult};

use crate::context::TaskContext;
use crate::store::Result;

/// Tablets that are filled at once: mostly they wait for the disk, and each may need memory for its index.
const AT_ONCE: usize = 4;

pub(super) async fn run(context: &TaskContext, task: Adopt) -> Result<TaskResult> {
    let job = context.key.job;
    let each = task.tablets.into_iter().map(|mapping| {
        let shared = Arc::clone(&context.shared);
        context.to_end(async move {
            let root = shared.store.root_of(mapping.target).await?;
            let dir = shared.work.download(root, job, mapping.target)?;
            shared.store.adopt(job, &mapping, &dir).await
        })
    });
    stream::iter(each).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    Ok(TaskResult::Done)
}
