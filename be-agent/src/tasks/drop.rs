//! DropTablets: tablets go with all their files.

use std::sync::Arc;

use tabvault_common::task::{DropTablets, TaskResult};

use crate::context::TaskContext;
use crate::store::Result;

pub(super) async fn run(context: &TaskContext, task: DropTablets) -> Result<TaskResult> {
    for tablet in task.tablets {
        let store = Arc::clone(&context.shared.store);
        context.to_end(async move { store.drop_tablet(tablet).await }).await?;
    }
    Ok(TaskResult::Done)
}
