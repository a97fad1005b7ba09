//! CreateTablets: hidden, empty tablets, and links to files that they will probably hold.
//!
//! # Consistency
//! The tablets belong to the job until it has ended. Links for reuse are only an economy: nothing is believed of them
//! before their bytes were hashed, and whatever goes wrong with one costs a download.

use std::sync::Arc;

use tabvault_common::durable::Directories;
use tabvault_common::failure::Kind;
use tabvault_common::ids::TabletId;
use tabvault_common::task::{CreateTablets, TabletVersion, TaskResult};

use crate::context::TaskContext;
use crate::files::Places;
use crate::store::{PinnedContent, Result};

pub(super) async fn run(context: &TaskContext, task: CreateTablets) -> Result<TaskResult> {
    let job = context.key.job;
    for tablet in task.tablets {
        let store = Arc::clone(&context.shared.store);
        let root = context
            .to_end(async move {
                store.create(job, &tablet).await?;
                store.root_of(tablet.tablet).await
            })
            .await?;
        context.require_space(root, 0).await?;
        if let Some(source) = tablet.reuse_from
            && let Err(error) = link_for_reuse(context, source, tablet.tablet, root).await
        {
            tracing::debug!(%error, source = %source.tablet, target = %tablet.tablet, "nothing to reuse");
        }
    }
    Ok(TaskResult::Done)
}

/// Links the files of `source` to where the download of `target` looks for them.
async fn link_for_reuse(context: &TaskContext, source: TabletVersion, target: TabletId, root: usize) -> Result<()> {
    let store = Arc::clone(&context.shared.store);
    let pinned = context.to_end(async move { store.pin(source).await }).await?;
    if pinned.root != root {
        // On another disk: a link cannot reach it.
        return Ok(());
    }
    let dir = context.shared.work.reuse(root, context.key.job, target)?;
    let linked = context.blocking(move || {
        // All of it: whoever names the files keeps them until they are linked.
        let pinned = pinned;
        let (mut places, mut directories) = (Places::default(), Directories::default());
        for file in pinned.files {
            let file = file?;
            let PinnedContent::File(from) = &file.content else { continue };
            match directories.link(from, &places.place(&dir, &file.path)?) {
                Err(failure) if failure.kind != Kind::AlreadyExists => return Err(failure),
                _ => {}
            }
        }
        Ok(())
    });
    linked.await
}
