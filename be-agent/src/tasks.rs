//! One file per kind of task. Every task is idempotent: done again, it gives the same answer and harms nothing.

mod adopt;
mod create;
mod download;
mod drop;
mod export;
mod load;
mod release;
mod snapshot;
mod upload;

use std::sync::Arc;

use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::task::{TaskBody, TaskResult};

use crate::context::TaskContext;
use crate::load::LoadStore;
use crate::store::Result;

/// Does what `body` says.
pub(crate) async fn run(context: &TaskContext, body: TaskBody) -> Result<TaskResult> {
    let outcome = match body {
        TaskBody::MakeSnapshot(task) => Box::pin(snapshot::run(context, task)).await,
        TaskBody::Upload(task) => Box::pin(upload::run(context, task)).await,
        TaskBody::Release(task) => Box::pin(release::run(context, task)).await,
        TaskBody::CreateTablets(task) => Box::pin(create::run(context, task)).await,
        TaskBody::Download(task) => Box::pin(download::run(context, task)).await,
        TaskBody::Adopt(task) => Box::pin(adopt::run(context, task)).await,
        TaskBody::DropTablets(task) => Box::pin(drop::run(context, task)).await,
        TaskBody::Load(task) => Box::pin(load::run(context, task)).await,
        TaskBody::Export(task) => Box::pin(export::run(context, task)).await,
    };
    outcome.map_err(|failure| match failure.retry {
        // Unknown of one call; a task may always be done again.
        Retry::OutcomeUnknown => Failure { retry: Retry::Safe, ..failure },
        Retry::Never | Retry::Safe => failure,
    })
}

/// The store of loads, if this engine has one.
fn loads(context: &TaskContext, what: &str) -> Result<Arc<dyn LoadStore>> {
    context.shared.loads.clone().ok_or_else(|| {
        let message = format!("{what}: the storage engine of this backend takes neither loads nor exports");
        Failure::fatal(Kind::Unsupported, message)
    })
}
