//! Storages that were opened before, by how they were asked for.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tabvault_common::access::StorageAccess;

use crate::storage::{Result, Storage};

/// The storages used last, the latest in front. Its `Debug` shows no secret because that of [`StorageAccess`] does not.
#[derive(Debug)]
pub(super) struct Cache {
    most: usize,
    storages: Mutex<VecDeque<(StorageAccess, Arc<dyn Storage>)>>,
}

impl Cache {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), storages: Mutex::default() }
    }

    pub(super) async fn get_or_open<F>(
        &self,
        access: &StorageAccess,
        open: impl FnOnce() -> F + Send,
    ) -> Result<Arc<dyn Storage>>
    where
        F: Future<Output = Result<Arc<dyn Storage>>> + Send,
    {
        if let Some(known) = self.find(access) {
            return Ok(known);
        }
        let opened = open().await?;
        // Opened twice at once, one of the two is used from now on and the other by its own request only.
        let mut storages = self.storages.lock().unwrap_or_else(PoisonError::into_inner);
        storages.retain(|(known, _)| known != access);
        storages.push_front((access.clone(), opened.clone()));
        storages.truncate(self.most);
        Ok(opened)
    }

    fn find(&self, access: &StorageAccess) -> Option<Arc<dyn Storage>> {
        let mut storages = self.storages.lock().unwrap_or_else(PoisonError::into_inner);
        let at = storages.iter().position(|(known, _)| known == access)?;
        let found = storages.remove(at)?;
        let storage = found.1.clone();
        storages.push_front(found);
        Some(storage)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::local::LocalStorage;

    #[tokio::test]
    async fn the_cache_keeps_only_what_was_used_last() {
        let cache = Cache::new(2);
        let mut opened = Vec::new();
        for name in ["/a", "/b", "/a", "/c", "/a", "/b"] {
            let access = StorageAccess::direct(format!("file://{name}"));
            cache
                .get_or_open(&access, || {
                    opened.push(name);
                    async move { Ok(Arc::new(LocalStorage::new(name)?) as Arc<dyn Storage>) }
                })
                .await
                .unwrap();
        }
        assert_eq!(opened, ["/a", "/b", "/c", "/b"]);
    }
}
