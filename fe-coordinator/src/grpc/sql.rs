//! `SqlService`: a session for every call.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use tabvault_proto::v1;
use tabvault_proto::v1::execute_response::Part;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::door::identity;
use crate::coordinator::Coordinator;
use crate::sql::answer::{Answer, Cell, CellKind, Column, Rows};
use crate::sql::{Session, SqlError};

#[derive(Debug)]
pub(super) struct Sql(pub(super) Coordinator);

type Parts = Pin<Box<dyn Stream<Item = Result<v1::ExecuteResponse, Status>> + Send>>;

/// Parts that wait for a client to take them.
const WAITING: usize = 4;
/// A page is sent when its cells have so many bytes, or it has so many rows; a single row may be larger.
const PAGE_BYTES: usize = 256 << 10;
const PAGE_ROWS: usize = 1000;

#[tonic::async_trait]
impl v1::sql_service_server::SqlService for Sql {
    type ExecuteStream = Parts;

    async fn execute(&self, request: Request<v1::ExecuteRequest>) -> Result<Response<Parts>, Status> {
        // Each statement asks for its privilege by itself.
        let session = Session::new(self.0.clone(), identity(&request)?);
        let (out, parts) = mpsc::channel(WAITING);
        let stopped = self.0.clone();
        // A client that goes away takes no statement with it that has begun.
        tokio::spawn(async move {
            tokio::select! {
                _ = execute(session, request.into_inner(), &out) => {}
                () = stopped.stopped() => {}
            }
        });
        let parts = ReceiverStream::new(parts).map(|part| Ok(v1::ExecuteResponse { part: Some(part) }));
        Ok(Response::new(Box::pin(parts)))
    }
}

/// The client does not listen any more.
struct Gone;

type Sent<T> = Result<T, Gone>;

async fn send(out: &mpsc::Sender<Part>, part: Part) -> Sent<()> {
    out.send(part).await.map_err(|_| Gone)
}

async fn execute(mut session: Session, request: v1::ExecuteRequest, out: &mpsc::Sender<Part>) -> Sent<()> {
    if let Err(error) = run(&mut session, &request, out).await? {
        send(out, Part::Error(refusal(error))).await?;
    }
    let database = session.database().map(str::to_owned);
    send(out, Part::End(v1::SqlEnd { database })).await
}

/// Runs the statements until one fails, whose error it answers with.
async fn run(
    session: &mut Session,
    request: &v1::ExecuteRequest,
    out: &mpsc::Sender<Part>,
) -> Sent<Result<(), SqlError>> {
    if let Some(database) = &request.database
        && let Err(error) = session.use_database(database).await
    {
        return Ok(Err(error));
    }
    let statements = match crate::sql::parse(&request.sql) {
        Ok(statements) => statements,
        Err(error) => return Ok(Err(error)),
    };
    for statement in &statements {
        let (affected, notices) = match session.run(statement).await {
            Ok(Answer::Done { affected, notices }) => (affected, notices),
            Ok(Answer::Rows(rows)) => match send_rows(rows, out).await? {
                Ok(()) => (0, Vec::new()),
                Err(error) => return Ok(Err(error)),
            },
            Err(error) => return Ok(Err(error)),
        };
        send(out, Part::Done(v1::SqlDone { affected, notices })).await?;
    }
    Ok(Ok(()))
}

async fn send_rows(mut rows: Rows, out: &mpsc::Sender<Part>) -> Sent<Result<(), SqlError>> {
    let columns = rows.columns.iter().map(column).collect();
    send(out, Part::Header(v1::SqlHeader { columns })).await?;
    while let Some(page) = rows.pages.next().await {
        let page = match page {
            Ok(page) => page,
            Err(failure) => return Ok(Err(failure.into())),
        };
        let (mut sent, mut bytes) = (Vec::new(), 0);
        for cells in page {
            bytes += cells.iter().flatten().map(String::len).sum::<usize>();
            sent.push(row(cells));
            if bytes >= PAGE_BYTES || sent.len() >= PAGE_ROWS {
                send(out, Part::Page(v1::SqlPage { rows: std::mem::take(&mut sent) })).await?;
                bytes = 0;
            }
        }
        if !sent.is_empty() {
            send(out, Part::Page(v1::SqlPage { rows: sent })).await?;
        }
    }
    Ok(Ok(()))
}

fn column(column: &Column) -> v1::SqlColumn {
    let kind = match column.kind {
        CellKind::Text => v1::SqlCellKind::Text,
        CellKind::Integer => v1::SqlCellKind::Integer,
    };
    v1::SqlColumn { name: column.name.clone(), kind: kind.into() }
}

fn row(cells: Vec<Cell>) -> v1::SqlRow {
    v1::SqlRow { cells: cells.into_iter().map(|text| v1::SqlCell { text }).collect() }
}

fn refusal(error: SqlError) -> v1::SqlError {
    let place = error.place.as_ref().map(|place| v1::SqlPlace { line: place.line, column: place.column });
    v1::SqlError {
        failure: Some(v1::Failure::from(&error.failure)),
        code: error.code.into(),
        sqlstate: error.sqlstate.to_owned(),
        place,
    }
}
