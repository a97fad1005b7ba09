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
use crate::gate::Gate;
use crate::load::LoadStore;
use crate::store::Result;
use crate::throttle::Throttle;

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

/// Where the transfers of a task wait for their turn. Those that have none wait nowhere.
pub(crate) fn transfers(throttle: &Throttle, body: &TaskBody) -> Gate {
    match body {
        TaskBody::Upload(task) => throttle.transfers(&task.repository).clone(),
        TaskBody::Download(task) => throttle.transfers(&task.repository).clone(),
        TaskBody::MakeSnapshot(_)
        | TaskBody::Release(_)
        | TaskBody::CreateTablets(_)
        | TaskBody::Adopt(_)
        | TaskBody::DropTablets(_)
        | TaskBody::Load(_)
        | TaskBody::Export(_) => Gate::open(),
    }
}

/// The store of loads, if this engine has one.
fn loads(context: &TaskContext, what: &str) -> Result<Arc<dyn LoadStore>> {
    context.shared.loads.clone().ok_or_else(|| {
        let message = format!("{what}: the storage engine of this backend takes neither loads nor exports");
        Failure::fatal(Kind::Unsupported, message)
    })
}
