//! What people ask of a cluster, and waiting for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tabvault_common::access::StorageAccess;
use tabvault_common::failure::Failure;
use tabvault_common::ids::JobId;
use tabvault_common::request::{
    BackupRequest, CreateRepositoryRequest, ExportRequest, LoadRequest, LoadSummary, ObjectSelection, RestoreRequest,
    Selection,
};
use tabvault_common::view::{JobKind, JobView, SnapshotView};

use super::Cluster;

impl Cluster {
    /// Makes a `file://` repository below the cluster's directory.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn repository(&self, name: &str) {
        let location = format!("file://{}", self.dir.join("repo").display());
        self.repository_at(name, &location, BTreeMap::new(), None).await.expect("make the repository");
    }

    /// Makes a repository.
    ///
    /// # Errors
    /// As CREATE REPOSITORY.
    pub async fn repository_at(
        &self,
        name: &str,
        location: &str,
        properties: BTreeMap<String, String>,
        broker: Option<&str>,
    ) -> Result<(), Failure> {
        let properties = properties.into_iter().map(|(k, v)| (k, tabvault_common::secret::Secret::new(v))).collect();
        let request = CreateRepositoryRequest {
            name: name.to_owned(),
            location: location.to_owned(),
            properties,
            broker: broker.map(str::to_owned),
            read_only: false,
        };
        self.fe().repositories().create(request).await.map(|_| ())
    }

    /// Loads a directory into `db.table` or `db.table/partition`, making what is new.
    ///
    /// # Errors
    /// As LOAD.
    pub async fn load(&self, target: &str, source: &Path, replicas: u32) -> Result<LoadSummary, Failure> {
        let (database, table, partition) = split(target);
        let request = LoadRequest {
            database,
            table,
            partition,
            source: StorageAccess::direct(format!("file://{}", source.display())),
            create: true,
            buckets: Some(self.setup.buckets),
            replication_num: Some(replicas),
        };
        self.fe().load(request).await
    }

    /// Exports `db.table` or `db.table/partition` to a directory.
    ///
    /// # Errors
    /// As EXPORT.
    pub async fn export(&self, source: &str, target: &Path) -> Result<(), Failure> {
        let (database, table, partition) = split(source);
        let target = StorageAccess::direct(format!("file://{}", target.display()));
        self.fe().export(ExportRequest { database, table, partition, target }).await.map(|_| ())
    }

    /// Backs a database up and waits for the end.
    ///
    /// # Errors
    /// As BACKUP; a job that is cancelled is no error.
    pub async fn backup(&self, database: &str, label: &str, repository: &str) -> Result<Arc<JobView>, Failure> {
        let id = self.fe().backup(backup_request(database, label, repository)).await?.id;
        Ok(self.wait(id).await)
    }

    /// Restores a snapshot and waits for the end.
    ///
    /// # Errors
    /// As RESTORE; a job that is cancelled is no error.
    pub async fn restore(&self, request: RestoreRequest) -> Result<Arc<JobView>, Failure> {
        let id = self.fe().restore(request).await?.id;
        Ok(self.wait(id).await)
    }

    /// Waits until a job has ended.
    ///
    /// # Panics
    /// If there is no such job, or it takes more than two minutes.
    pub async fn wait(&self, id: JobId) -> Arc<JobView> {
        let ended = async {
            loop {
                if let Some(mut watch) = self.fe().watch(id) {
                    // An error means that it has just been archived.
                    let _ = watch.wait_for(|view| view.ended).await;
                }
                let view = self.fe().job(id).expect("the job is known");
                if view.ended {
                    return view;
                }
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(120), ended).await;
        waited.unwrap_or_else(|_| panic!("job {id} does not end: {:#?}", self.fe().job(id)))
    }

    /// Waits until the job has ended and all that comes after its end is done: it is archived.
    ///
    /// # Panics
    /// As [`Cluster::wait`].
    pub async fn wait_archived(&self, id: JobId) -> Arc<JobView> {
        let view = self.wait(id).await;
        while self.fe().watch(id).is_some() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        view
    }

    /// The newest job of a kind.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn newest(&self, kind: JobKind) -> Arc<JobView> {
        self.fe().jobs(Some(kind), None).pop().expect("there is a job")
    }

    /// The only timestamp of a label.
    ///
    /// # Panics
    /// If there is none or more than one.
    pub async fn timestamp(&self, repository: &str, label: &str) -> String {
        let snapshots = self.snapshots(repository).await;
        let mut found: Vec<_> = snapshots.into_iter().filter(|snapshot| snapshot.label == label).collect();
        assert_eq!(found.len(), 1, "snapshots of {label}: {found:?}");
        found.pop().expect("one").timestamp
    }

    /// The snapshots of a repository.
    ///
    /// # Panics
    /// If they cannot be listed.
    pub async fn snapshots(&self, repository: &str) -> Vec<SnapshotView> {
        let repository = self.fe().repositories().open(repository).await.expect("open the repository");
        repository.list_snapshots(None).await.expect("list the snapshots")
    }

    /// A request to restore all of a snapshot with the given number of replicas.
    pub async fn restore_request(
        &self,
        database: &str,
        label: &str,
        repository: &str,
        replicas: u32,
    ) -> RestoreRequest {
        let timestamp = self.timestamp(repository, label).await;
        RestoreRequest {
            database: database.to_owned(),
            into: None,
            label: label.to_owned(),
            repository: repository.to_owned(),
            selection: Selection::All,
            properties: BTreeMap::from([
                ("backup_timestamp".to_owned(), timestamp),
                ("replication_num".to_owned(), replicas.to_string()),
            ]),
        }
    }
}

/// A request to back all of a database up.
#[must_use]
pub fn backup_request(database: &str, label: &str, repository: &str) -> BackupRequest {
    BackupRequest {
        database: database.to_owned(),
        label: label.to_owned(),
        repository: repository.to_owned(),
        selection: Selection::All,
        properties: BTreeMap::new(),
    }
}

/// One table under another name.
#[must_use]
pub fn alias(table: &str, alias: &str) -> Selection {
    let (table, alias) = (table.to_owned(), Some(alias.to_owned()));
    Selection::Only(vec![ObjectSelection { table, partitions: Vec::new(), alias }])
}

fn split(name: &str) -> (String, String, Option<String>) {
    let (database, rest) = name.split_once('.').expect("a name is database.table");
    let (table, partition) = match rest.split_once('/') {
        Some((table, partition)) => (table, Some(partition.to_owned())),
        None => (rest, None),
    };
    (database.to_owned(), table.to_owned(), partition)
}
