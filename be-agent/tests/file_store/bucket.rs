//! An object storage in memory, and stores that reach it.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use tabvault_be_agent::load::LoadStore;
use tabvault_be_agent::store::file::FileTabletStore;
use tabvault_broker::faults::Faults;
use tabvault_broker::open::Options;
use tabvault_broker::storage::Storage;
use tabvault_common::access::StorageAccess;
use tabvault_common::failure::Failure;
use tabvault_common::ids::JobUuid;
use tabvault_common::task::{Export, ExportStep, LoadedTablet};

use crate::trees::{export_task, load_task, memory};

/// An object storage in memory, and stores that know how to reach it.
pub struct Bucket {
    pub access: StorageAccess,
    pub options: Options,
    pub storage: Arc<dyn Storage>,
}

impl Bucket {
    pub async fn new() -> Self {
        let options = Options { memory: true, ..Options::default() };
        let access = StorageAccess::direct(format!("memory://{}", JobUuid::random()));
        let storage = options.open(&access).await.unwrap();
        Self { access, options, storage }
    }

    pub async fn put(&self, path: &str, content: &str) {
        self.storage.put(path, Bytes::copy_from_slice(content.as_bytes())).await.unwrap();
    }

    pub async fn objects(&self) -> Vec<String> {
        let listed: Vec<_> = self.storage.list("").await.unwrap().try_collect().await.unwrap();
        let mut names: Vec<String> = listed.into_iter().map(|object| object.path).collect();
        names.sort();
        names
    }

    pub async fn open(&self, dir: &Path) -> FileTabletStore {
        FileTabletStore::open_with(vec![dir.to_owned()], self.options.clone().into()).await.unwrap()
    }

    /// A store whose way to the storage has `faults`.
    pub async fn open_with(&self, dir: &Path, faults: &Faults) -> FileTabletStore {
        let options = Options { faults: Some(faults.clone()), ..self.options.clone() };
        FileTabletStore::open_with(vec![dir.to_owned()], options.into()).await.unwrap()
    }

    pub async fn load(
        &self,
        store: &FileTabletStore,
        version: u64,
        tablets: &[u64],
    ) -> Result<Vec<LoadedTablet>, Failure> {
        let mut task = load_task(Path::new("/"), version, tablets);
        task.source = self.access.clone();
        store.load(JobUuid::random(), &task, &Arc::default(), &memory()).await
    }

    pub fn export(&self, step: ExportStep, version: u64, tablets: &[u64]) -> Export {
        let mut task = export_task(Path::new("/"), step, version, tablets);
        task.target = self.access.clone();
        task
    }
}
