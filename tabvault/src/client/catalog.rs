//! Tables, loads and exports.

use tabvault_common::request::{ExportRequest, ExportSummary, LoadRequest, LoadSummary};
use tabvault_common::view::{PartitionView, TableView, TabletView};
use tabvault_proto::v1::catalog_service_client::CatalogServiceClient;
use tabvault_proto::{MAX_MESSAGE_SIZE, v1};

use super::{Client, Result, Wire, all};

impl Client {
    fn catalog(&self) -> CatalogServiceClient<Wire> {
        CatalogServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }

    /// Brings a directory's files into a partition; answers when they are visible.
    ///
    /// # Errors
    /// The refusals of LOAD.
    pub async fn load(&self, request: &LoadRequest) -> Result<LoadSummary> {
        let answer = self.catalog().load(v1::LoadRequest::from(request)).await;
        answer.map_err(|status| self.failed(&status))?.into_inner().try_into()
    }

    /// Writes visible files out; answers when all are there.
    ///
    /// # Errors
    /// The refusals of EXPORT.
    pub async fn export(&self, request: &ExportRequest) -> Result<ExportSummary> {
        let answer = self.catalog().export(v1::ExportRequest::from(request)).await;
        answer.map(|answer| answer.into_inner().into()).map_err(|status| self.failed(&status))
    }

    /// DROP TABLE.
    ///
    /// # Errors
    /// `Unknown table 't'`, or that its state forbids it.
    pub async fn drop_table(&self, database: &str, table: &str) -> Result<()> {
        let request = v1::DropTableRequest { database: database.to_owned(), table: table.to_owned() };
        self.catalog().drop_table(request).await.map(drop).map_err(|status| self.failed(&status))
    }

    /// SHOW DATABASES.
    ///
    /// # Errors
    /// That the coordinator cannot be reached.
    pub async fn list_databases(&self) -> Result<Vec<String>> {
        let answer = self.catalog().list_databases(v1::ListDatabasesRequest {}).await;
        answer.map(|answer| answer.into_inner().names).map_err(|status| self.failed(&status))
    }

    /// SHOW TABLES.
    ///
    /// # Errors
    /// `Unknown database 'd'`.
    pub async fn list_tables(&self, database: &str) -> Result<Vec<TableView>> {
        let answer = self.catalog().list_tables(v1::ListTablesRequest { database: database.to_owned() }).await;
        all(answer.map_err(|status| self.failed(&status))?.into_inner().tables)
    }

    /// SHOW PARTITIONS.
    ///
    /// # Errors
    /// `Unknown database 'd'`, `Unknown table 't'`.
    pub async fn list_partitions(&self, database: &str, table: &str) -> Result<Vec<PartitionView>> {
        let request = v1::ListPartitionsRequest { database: database.to_owned(), table: table.to_owned() };
        let answer = self.catalog().list_partitions(request).await;
        all(answer.map_err(|status| self.failed(&status))?.into_inner().partitions)
    }

    /// SHOW TABLETS.
    ///
    /// # Errors
    /// `Unknown database 'd'`, `Unknown table 't'`, `Unknown partition p in table t`.
    pub async fn list_tablets(&self, database: &str, table: &str, partition: Option<&str>) -> Result<Vec<TabletView>> {
        let request = v1::ListTabletsRequest {
            database: database.to_owned(),
            table: table.to_owned(),
            partition: partition.map(str::to_owned),
        };
        let answer = self.catalog().list_tablets(request).await.map_err(|status| self.failed(&status))?;
        let (mut stream, mut tablets) = (answer.into_inner(), Vec::new());
        while let Some(tablet) = stream.message().await.map_err(|status| self.failed(&status))? {
            tablets.push(tablet.try_into()?);
        }
        Ok(tablets)
    }
}
