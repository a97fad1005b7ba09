//! Repositories and the snapshots in them.

use std::collections::BTreeMap;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::request::CreateRepositoryRequest;
use tabvault_common::secret::Secret;
use tabvault_common::view::{RepositoryView, SnapshotView};
use tabvault_proto::convert::access::exposed;
use tabvault_proto::v1::repository_service_client::RepositoryServiceClient;
use tabvault_proto::{MAX_MESSAGE_SIZE, v1};
use tonic::Streaming;

use super::{Client, Result, Wire, all};

/// What is in a snapshot, as pieces of one JSON text.
#[derive(Debug)]
pub struct Details {
    /// The snapshot.
    pub snapshot: SnapshotView,
    stream: Streaming<v1::SnapshotDetails>,
    client: Client,
}

impl Details {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// What the storage says, or that the connection broke.
    pub async fn next(&mut self) -> Result<Option<String>> {
        let piece = self.stream.message().await.map_err(|status| self.client.failed(&status))?;
        Ok(piece.map(|piece| piece.json))
    }
}

impl Client {
    fn repositories(&self) -> RepositoryServiceClient<Wire> {
        RepositoryServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }

    /// CREATE REPOSITORY.
    ///
    /// # Errors
    /// What is wrong with it, by name.
    pub async fn create_repository(&self, request: &CreateRepositoryRequest) -> Result<RepositoryView> {
        let answer = self.repositories().create_repository(v1::CreateRepositoryRequest::from(request)).await;
        answer.map_err(|status| self.failed(&status))?.into_inner().try_into()
    }

    /// ALTER REPOSITORY.
    ///
    /// # Errors
    /// What is wrong with it, by name.
    pub async fn alter_repository(&self, name: &str, properties: &BTreeMap<String, Secret>) -> Result<RepositoryView> {
        let request = v1::AlterRepositoryRequest { name: name.to_owned(), properties: exposed(properties) };
        let answer = self.repositories().alter_repository(request).await;
        answer.map_err(|status| self.failed(&status))?.into_inner().try_into()
    }

    /// DROP REPOSITORY.
    ///
    /// # Errors
    /// `Repository X does not exist`, or that jobs use it.
    pub async fn drop_repository(&self, name: &str) -> Result<()> {
        let request = v1::DropRepositoryRequest { name: name.to_owned() };
        self.repositories().drop_repository(request).await.map(drop).map_err(|status| self.failed(&status))
    }

    /// SHOW REPOSITORIES.
    ///
    /// # Errors
    /// That the coordinator cannot be reached.
    pub async fn list_repositories(&self) -> Result<Vec<RepositoryView>> {
        let answer = self.repositories().list_repositories(v1::ListRepositoriesRequest {}).await;
        all(answer.map_err(|status| self.failed(&status))?.into_inner().repositories)
    }

    /// SHOW SNAPSHOT.
    ///
    /// # Errors
    /// `Repository X does not exist`, or what its storage says.
    pub async fn list_snapshots(&self, repository: &str, label: Option<&str>) -> Result<Vec<SnapshotView>> {
        let request = v1::ListSnapshotsRequest { repository: repository.to_owned(), label: label.map(str::to_owned) };
        let answer = self.repositories().list_snapshots(request).await.map_err(|status| self.failed(&status))?;
        let (mut stream, mut snapshots) = (answer.into_inner(), Vec::new());
        while let Some(snapshot) = stream.message().await.map_err(|status| self.failed(&status))? {
            snapshots.push(snapshot.try_into()?);
        }
        Ok(snapshots)
    }

    /// SHOW SNAPSHOT of one snapshot.
    ///
    /// # Errors
    /// That there is none such, or what its storage says.
    pub async fn describe_snapshot(&self, repository: &str, label: &str, timestamp: &str) -> Result<Details> {
        let request = v1::DescribeSnapshotRequest {
            repository: repository.to_owned(),
            label: label.to_owned(),
            timestamp: timestamp.to_owned(),
        };
        let answer = self.repositories().describe_snapshot(request).await.map_err(|status| self.failed(&status))?;
        let mut stream = answer.into_inner();
        let first = stream.message().await.map_err(|status| self.failed(&status))?;
        let snapshot = first.and_then(|first| first.snapshot).ok_or_else(|| {
            Failure::fatal(
                Kind::Internal,
                format!("describe snapshot {label}: the coordinator's answer does not name it"),
            )
        })?;
        Ok(Details { snapshot: snapshot.try_into()?, stream, client: self.clone() })
    }
}
