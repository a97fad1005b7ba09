//! `RepositoryService`: repositories and the snapshots in them.

use std::pin::Pin;

use futures::stream::{self, Stream, StreamExt};
use tabvault_common::label::Label;
use tabvault_common::request::CreateRepositoryRequest;
use tabvault_proto::convert::access::hidden;
use tabvault_proto::v1;
use tonic::{Request, Response, Status};

use super::door::admin;
use super::refused;
use crate::coordinator::Coordinator;

#[derive(Debug)]
pub(super) struct Repositories(pub(super) Coordinator);

type Snapshots = Pin<Box<dyn Stream<Item = Result<v1::Snapshot, Status>> + Send>>;
type Details = Pin<Box<dyn Stream<Item = Result<v1::SnapshotDetails, Status>> + Send>>;

#[tonic::async_trait]
impl v1::repository_service_server::RepositoryService for Repositories {
    type ListSnapshotsStream = Snapshots;
    type DescribeSnapshotStream = Details;

    async fn create_repository(
        &self,
        request: Request<v1::CreateRepositoryRequest>,
    ) -> Result<Response<v1::Repository>, Status> {
        admin(&self.0, &request).await?;
        let request = CreateRepositoryRequest::try_from(request.into_inner()).map_err(refused)?;
        let view = self.0.repositories().create(request).await.map_err(refused)?;
        Ok(Response::new(v1::Repository::from(&view)))
    }

    async fn alter_repository(
        &self,
        request: Request<v1::AlterRepositoryRequest>,
    ) -> Result<Response<v1::Repository>, Status> {
        admin(&self.0, &request).await?;
        let request = request.into_inner();
        let properties = hidden(request.properties);
        let view = self.0.repositories().alter(&request.name, properties).await.map_err(refused)?;
        Ok(Response::new(v1::Repository::from(&view)))
    }

    async fn drop_repository(
        &self,
        request: Request<v1::DropRepositoryRequest>,
    ) -> Result<Response<v1::DropRepositoryResponse>, Status> {
        admin(&self.0, &request).await?;
        self.0.drop_repository(&request.into_inner().name).await.map_err(refused)?;
        Ok(Response::new(v1::DropRepositoryResponse {}))
    }

    async fn list_repositories(
        &self,
        request: Request<v1::ListRepositoriesRequest>,
    ) -> Result<Response<v1::ListRepositoriesResponse>, Status> {
        admin(&self.0, &request).await?;
        let views = self.0.repositories().list().await.map_err(refused)?;
        let repositories = views.iter().map(v1::Repository::from).collect();
        Ok(Response::new(v1::ListRepositoriesResponse { repositories }))
    }

    async fn list_snapshots(&self, request: Request<v1::ListSnapshotsRequest>) -> Result<Response<Snapshots>, Status> {
        admin(&self.0, &request).await?;
        let request = request.into_inner();
        let label = request.label.map(Label::try_from).transpose().map_err(refused)?;
        let repository = self.0.repositories().open(&request.repository).await.map_err(refused)?;
        let views = repository.list_snapshots(label.as_ref()).await.map_err(refused)?;
        Ok(Response::new(Box::pin(stream::iter(views).map(|view| Ok(v1::Snapshot::from(&view))))))
    }

    async fn describe_snapshot(
        &self,
        request: Request<v1::DescribeSnapshotRequest>,
    ) -> Result<Response<Details>, Status> {
        admin(&self.0, &request).await?;
        let request = request.into_inner();
        let label = Label::try_from(request.label).map_err(refused)?;
        let repository = self.0.repositories().open(&request.repository).await.map_err(refused)?;
        let description = repository.describe(&label, &request.timestamp).await.map_err(refused)?;
        let snapshot = Some(v1::Snapshot::from(&description.snapshot));
        let first = stream::iter([Ok(v1::SnapshotDetails { snapshot, json: String::new() })]);
        let pieces = description.pieces.map(|piece| match piece {
            Ok(json) => Ok(v1::SnapshotDetails { snapshot: None, json }),
            Err(failure) => Err(refused(failure)),
        });
        Ok(Response::new(Box::pin(first.chain(pieces))))
    }
}
