//! The periodic look at every repository, whose last finding is the ErrMsg of SHOW REPOSITORIES.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use tabvault_common::failure::Failure;

use super::Repositories;

/// Repositories that are looked at at the same time, so that one that does not answer does not hide the others.
const CHECKS_AT_ONCE: usize = 8;

/// Looks at all repositories now and then after every `interval`. Never returns; drop it to stop.
pub async fn watch(repositories: Arc<Repositories>, interval: Duration) {
    loop {
        if let Err(failure) = repositories.check_health().await {
            tracing::warn!(error = %failure, "check the health of repositories");
        }
        repositories.clock.sleep(interval).await;
    }
}

impl Repositories {
    /// Looks once whether each repository can be reached and is still the one it was, and remembers what is wrong.
    ///
    /// # Errors
    /// What the store says; what a repository says is remembered.
    pub async fn check_health(&self) -> Result<(), Failure> {
        let names = self.records().await?.into_iter().map(|record| record.name);
        stream::iter(names)
            .for_each_concurrent(CHECKS_AT_ONCE, async |name| {
                let checked = match self.open(&name).await {
                    Ok(repository) => repository.check().await,
                    Err(failure) => Err(failure),
                };
                if let Err(failure) = &checked {
                    tracing::info!(repository = name, error = %failure, "a repository is not well");
                }
                self.found_wrong(&name, checked.err().map(|failure| failure.message));
            })
            .await;
        Ok(())
    }
}
