//! A user who speaks SQL over gRPC.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tabvault_integration_tests::binary::PASSWORD;
use tabvault_proto::v1;
use tabvault_proto::v1::execute_response::Part;
use tabvault_proto::v1::sql_service_client::SqlServiceClient;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// A row: its cells by the names of their columns.
pub(super) type Row = BTreeMap<String, Option<String>>;

#[derive(Clone)]
pub(super) struct Client {
    channel: Channel,
}

impl Client {
    pub(super) fn new(address: &str) -> Self {
        let endpoint = Endpoint::from_shared(address.to_owned()).expect("an address").tcp_nodelay(true);
        Self { channel: endpoint.connect_lazy() }
    }

    /// Runs statements that answer no rows.
    pub(super) async fn run(&self, sql: &str) {
        self.rows(sql).await;
    }

    /// The rows that statements answer.
    pub(super) async fn rows(&self, sql: &str) -> Vec<Row> {
        self.ask(sql).await.unwrap_or_else(|status| panic!("{sql}: {status}"))
    }

    /// Whether calls are answered.
    pub(super) async fn is_there(&self) -> bool {
        self.ask("SHOW BACKENDS").await.is_ok()
    }

    async fn ask(&self, sql: &str) -> Result<Vec<Row>, Status> {
        let mut client = SqlServiceClient::new(self.channel.clone()).max_decoding_message_size(512 << 20);
        let mut request = Request::new(v1::ExecuteRequest { sql: sql.to_owned(), database: None });
        request.metadata_mut().insert("authorization", login());
        let mut answers = client.execute(request).await?.into_inner();
        let (mut columns, mut rows) = (Vec::new(), Vec::new());
        while let Some(answer) = answers.message().await? {
            match answer.part {
                Some(Part::Header(header)) => {
                    columns = header.columns.into_iter().map(|column| column.name).collect::<Vec<_>>();
                }
                Some(Part::Page(page)) => {
                    let row =
                        |row: v1::SqlRow| columns.iter().cloned().zip(row.cells.into_iter().map(|c| c.text)).collect();
                    rows.extend(page.rows.into_iter().map(row));
                }
                Some(Part::Error(error)) => {
                    panic!("{sql}: {}", error.failure.map(|failure| failure.message).unwrap_or_default())
                }
                Some(Part::Done(_) | Part::End(_)) | None => {}
            }
        }
        Ok(rows)
    }
}

fn login() -> AsciiMetadataValue {
    let encoded = STANDARD.encode(format!("root:{PASSWORD}"));
    format!("Basic {encoded}").parse().expect("a header")
}
