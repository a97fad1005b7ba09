//! What a heartbeat tells: room, tablets, and jobs of which something is left here.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use tabvault_common::durable;
use tabvault_common::failure::Failure;
use tabvault_common::ids::JobUuid;
use tabvault_proto::v1;

use crate::context::{Shared, broken};
use crate::worker::Worker;

/// Looks around. What cannot be learnt is left out and logged: a heartbeat is sent all the same.
pub(super) async fn survey(shared: &Arc<Shared>, worker: &Worker) -> v1::Heartbeat {
    let usage = or_log(shared.store.usage().await);
    let disks = {
        let shared = Arc::clone(shared);
        let looked = tokio::task::spawn_blocking(move || (or_log(available(&shared)), or_log(jobs(&shared))));
        looked.await.map_err(broken)
    };
    let (available_bytes, mut leftovers) = or_log(disks);
    leftovers.extend(or_log(shared.store.jobs().await));
    leftovers.extend(worker.jobs());
    v1::Heartbeat {
        used_bytes: usage.bytes,
        available_bytes,
        tablets: usage.tablets,
        running_tasks: worker.accepted(),
        leftovers: leftovers.into_iter().map(Into::into).collect(),
    }
}

/// Free bytes of all data disks, each disk once. Blocks.
fn available(shared: &Shared) -> Result<u64, Failure> {
    let mut disks = BTreeSet::new();
    let mut sum = 0_u64;
    for root in 0..shared.work.count() {
        let dir = shared.work.root(root)?;
        let look = std::fs::metadata(dir);
        let device = look.map_err(|error| Failure::io(format_args!("look at {}", dir.display()), &error))?.dev();
        if disks.insert(device) {
            sum = sum.saturating_add(durable::free_space(dir)?.available);
        }
    }
    Ok(sum)
}

/// Jobs with directories or journals. Blocks.
fn jobs(shared: &Shared) -> Result<BTreeSet<JobUuid>, Failure> {
    let mut jobs = shared.work.jobs()?;
    jobs.extend(shared.journals.jobs()?);
    Ok(jobs)
}

fn or_log<T: Default>(outcome: Result<T, Failure>) -> T {
    outcome.unwrap_or_else(|error| {
        tracing::warn!(%error, "could not look around for the heartbeat");
        T::default()
    })
}
