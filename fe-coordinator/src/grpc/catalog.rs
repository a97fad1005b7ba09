//! `CatalogService`: looking at tables, and, with the built-in catalog, making, loading and exporting them.

use std::pin::Pin;
use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::request::{CreateTableRequest, ExportRequest, LoadRequest};
use tabvault_common::schema::PartitionDef;
use tabvault_common::view::TabletView;
use tabvault_proto::v1;
use tonic::{Request, Response, Status};

use super::door::{admin, identity, loader};
use super::refused;
use crate::auth::{Identity, Privilege};
use crate::coordinator::Coordinator;

#[derive(Debug)]
pub(super) struct Catalog(pub(super) Coordinator);

type Tablets = Pin<Box<dyn Stream<Item = Result<v1::Tablet, Status>> + Send>>;

/// Tablets read at once for a listing.
const PAGE: usize = 1000;

#[tonic::async_trait]
impl v1::catalog_service_server::CatalogService for Catalog {
    type ListTabletsStream = Tablets;

    async fn create_database(
        &self,
        request: Request<v1::CreateDatabaseRequest>,
    ) -> Result<Response<v1::CreateDatabaseResponse>, Status> {
        admin(&self.0, &request).await?;
        let request = request.into_inner();
        let local = self.0.local().map_err(refused)?;
        local.create_database(&request.name, request.if_not_exists).await.map_err(refused)?;
        Ok(Response::new(v1::CreateDatabaseResponse {}))
    }

    async fn drop_database(
        &self,
        request: Request<v1::DropDatabaseRequest>,
    ) -> Result<Response<v1::DropDatabaseResponse>, Status> {
        admin(&self.0, &request).await?;
        self.0.local().map_err(refused)?.drop_database(&request.into_inner().name).await.map_err(refused)?;
        Ok(Response::new(v1::DropDatabaseResponse {}))
    }

    async fn list_databases(
        &self,
        request: Request<v1::ListDatabasesRequest>,
    ) -> Result<Response<v1::ListDatabasesResponse>, Status> {
        let who = identity(&request)?;
        let mut names = self.0.catalog().databases().await.map_err(refused)?;
        if !self.may(&who, &Privilege::Admin).await? {
            let mut seen = Vec::new();
            for name in names {
                if self.may(&who, &Privilege::Load(name.clone())).await? {
                    seen.push(name);
                }
            }
            names = seen;
        }
        Ok(Response::new(v1::ListDatabasesResponse { names }))
    }

    async fn create_table(
        &self,
        request: Request<v1::CreateTableRequest>,
    ) -> Result<Response<v1::CreateTableResponse>, Status> {
        admin(&self.0, &request).await?;
        let request = CreateTableRequest::try_from(request.into_inner()).map_err(refused)?;
        self.0.create_table(&request).await.map_err(refused)?;
        Ok(Response::new(v1::CreateTableResponse {}))
    }

    async fn add_partition(
        &self,
        request: Request<v1::AddPartitionRequest>,
    ) -> Result<Response<v1::AddPartitionResponse>, Status> {
        admin(&self.0, &request).await?;
        let request = request.into_inner();
        let partition = PartitionDef::try_from(required(request.partition, "partition")?).map_err(refused)?;
        self.0.add_partition(&request.database, &request.table, partition).await.map_err(refused)?;
        Ok(Response::new(v1::AddPartitionResponse {}))
    }

    async fn drop_partition(
        &self,
        request: Request<v1::DropPartitionRequest>,
    ) -> Result<Response<v1::DropPartitionResponse>, Status> {
        admin(&self.0, &request).await?;
        let r = request.into_inner();
        let local = self.0.local().map_err(refused)?;
        local.drop_partition(&r.database, &r.table, &r.partition).await.map_err(refused)?;
        Ok(Response::new(v1::DropPartitionResponse {}))
    }

    async fn set_table_properties(
        &self,
        request: Request<v1::SetTablePropertiesRequest>,
    ) -> Result<Response<v1::SetTablePropertiesResponse>, Status> {
        admin(&self.0, &request).await?;
        let r = request.into_inner();
        let local = self.0.local().map_err(refused)?;
        local.set_table_properties(&r.database, &r.table, &r.properties).await.map_err(refused)?;
        Ok(Response::new(v1::SetTablePropertiesResponse {}))
    }

    async fn drop_table(
        &self,
        request: Request<v1::DropTableRequest>,
    ) -> Result<Response<v1::DropTableResponse>, Status> {
        admin(&self.0, &request).await?;
        let r = request.into_inner();
        self.0.local().map_err(refused)?.drop_table(&r.database, &r.table).await.map_err(refused)?;
        Ok(Response::new(v1::DropTableResponse {}))
    }

    async fn get_table(&self, request: Request<v1::GetTableRequest>) -> Result<Response<v1::GetTableResponse>, Status> {
        loader(&self.0, &request, &request.get_ref().database).await?;
        let r = request.into_inner();
        let cut = self.0.catalog().cut(&r.database).await.map_err(refused)?;
        let found = cut.tables.iter().find(|table| table.def.name == r.table);
        let unknown = || refused(Failure::fatal(Kind::NotFound, format!("Unknown table '{}'", r.table)));
        let table = found.ok_or_else(unknown)?;
        let partitions = table.partitions.iter().map(|p| v1::PartitionDef::from(&p.def)).collect();
        Ok(Response::new(v1::GetTableResponse { table: Some(v1::TableDef::from(&table.def)), partitions }))
    }

    async fn list_tables(
        &self,
        request: Request<v1::ListTablesRequest>,
    ) -> Result<Response<v1::ListTablesResponse>, Status> {
        loader(&self.0, &request, &request.get_ref().database).await?;
        let views = self.0.catalog().show_tables(&request.into_inner().database).await.map_err(refused)?;
        Ok(Response::new(v1::ListTablesResponse { tables: views.iter().map(v1::Table::from).collect() }))
    }

    async fn list_partitions(
        &self,
        request: Request<v1::ListPartitionsRequest>,
    ) -> Result<Response<v1::ListPartitionsResponse>, Status> {
        loader(&self.0, &request, &request.get_ref().database).await?;
        let r = request.into_inner();
        let views = self.0.catalog().show_partitions(&r.database, &r.table).await.map_err(refused)?;
        Ok(Response::new(v1::ListPartitionsResponse { partitions: views.iter().map(v1::Partition::from).collect() }))
    }

    async fn list_tablets(&self, request: Request<v1::ListTabletsRequest>) -> Result<Response<Tablets>, Status> {
        loader(&self.0, &request, &request.get_ref().database).await?;
        let request = Arc::new(request.into_inner());
        let first = self.page(&request, None).await.map_err(refused)?;
        let start = Some((self.0.clone(), request, first));
        let pages = stream::unfold(start, |state| async move {
            let (coordinator, request, page) = state?;
            let next = match page.last().map(|last| (last.tablet, last.replica)) {
                Some(after) if page.len() == PAGE => {
                    match Self(coordinator.clone()).page(&request, Some(after)).await {
                        Ok(next) => Some((coordinator, request, next)),
                        Err(failure) => return Some((vec![Err(refused(failure))], None)),
                    }
                }
                _ => None,
            };
            Some((page.iter().map(|view| Ok(v1::Tablet::from(view))).collect::<Vec<_>>(), next))
        });
        Ok(Response::new(Box::pin(pages.flat_map(stream::iter))))
    }

    async fn load(&self, request: Request<v1::LoadRequest>) -> Result<Response<v1::LoadResponse>, Status> {
        let who = loader(&self.0, &request, &request.get_ref().database).await?;
        let mut request = LoadRequest::try_from(request.into_inner()).map_err(refused)?;
        self.0.check_location(&who, &request.source, None).await.map_err(refused)?;
        // Making tables takes more than loading into them.
        request.create = request.create && self.may(&who, &Privilege::Admin).await?;
        let summary = self.0.load(request).await.map_err(refused)?;
        Ok(Response::new(summary.into()))
    }

    async fn export(&self, request: Request<v1::ExportRequest>) -> Result<Response<v1::ExportResponse>, Status> {
        let who = loader(&self.0, &request, &request.get_ref().database).await?;
        let request = ExportRequest::try_from(request.into_inner()).map_err(refused)?;
        self.0.check_location(&who, &request.target, None).await.map_err(refused)?;
        let summary = self.0.export(request).await.map_err(refused)?;
        Ok(Response::new(summary.into()))
    }
}

impl Catalog {
    async fn may(&self, who: &Identity, privilege: &Privilege) -> Result<bool, Status> {
        match self.0.authorizer().authorize(who, privilege).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.kind == Kind::PermissionDenied => Ok(false),
            Err(failure) => Err(refused(failure)),
        }
    }

    async fn page(
        &self,
        request: &v1::ListTabletsRequest,
        after: Option<(tabvault_common::ids::TabletId, tabvault_common::ids::ReplicaId)>,
    ) -> Result<Vec<TabletView>, Failure> {
        let (catalog, partition) = (self.0.catalog(), request.partition.as_deref());
        catalog.show_tablets(&request.database, &request.table, partition, after, PAGE).await
    }
}

fn required<T>(value: Option<T>, field: &str) -> Result<T, Status> {
    value.ok_or_else(|| refused(Failure::fatal(Kind::InvalidArgument, format!("field `{field}` is missing"))))
}
