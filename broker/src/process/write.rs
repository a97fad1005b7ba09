//! The receiving side of one `Write` call.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_proto::failure::from_status;
use tabvault_proto::v1::write_request::Step;
use tabvault_proto::v1::{WriteMode, WriteOpen, WriteOutcome, WriteRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Streaming;

use super::BrokerServer;
use crate::storage::{Created, Result, Storage};

/// What the client does next.
enum Next {
    Data(Bytes),
    Close,
    /// The stream ended: the client gave up.
    End,
}

pub(super) async fn serve(server: &BrokerServer, mut steps: Streaming<WriteRequest>) -> Result<WriteOutcome> {
    let open = match message(&mut steps).await? {
        Some(Step::Open(open)) => open,
        Some(Step::Data(_) | Step::Close(_)) => return Err(out_of_order("the first step of a write is its open")),
        None => return Ok(WriteOutcome::Aborted),
    };
    let _stream = match open.mode() {
        WriteMode::Stream => Some(turn(server, &server.inner.streams).await?),
        WriteMode::Put | WriteMode::Create | WriteMode::Unspecified => None,
    };
    let _turn = turn(server, &server.inner.writes).await?;
    let storage = server.storage(open.access.clone()).await?;
    match open.mode() {
        WriteMode::Put | WriteMode::Create => whole(server, &*storage, &open, &mut steps).await,
        WriteMode::Stream => stream(&storage, &open, &mut steps).await,
        WriteMode::Unspecified => {
            Err(Failure::fatal(Kind::InvalidArgument, "the mode of the write is not one that this broker knows"))
        }
    }
}

async fn turn(server: &BrokerServer, of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    let inner = &server.inner;
    tokio::select! {
        biased;
        permit = of.clone().acquire_owned() => {
            permit.map_err(|_| Failure::transient(Kind::Unreachable, "the broker is shutting down"))
        }
        () = inner.options.clock.sleep(inner.config.patience) => Err(Failure::transient(
            Kind::RateLimited,
            "the broker has as many writes of this kind under way as it allows",
        )),
    }
}

async fn whole(
    server: &BrokerServer,
    storage: &dyn Storage,
    open: &WriteOpen,
    steps: &mut Streaming<WriteRequest>,
) -> Result<WriteOutcome> {
    let limit = server.inner.config.small_object;
    let mut gathered = BytesMut::new();
    loop {
        match next(steps).await? {
            Next::Data(data) if (gathered.len() + data.len()) as u64 > limit => {
                return Err(Failure::fatal(
                    Kind::ResourceExhausted,
                    format!(
                        "write {}: the object is larger than the {limit} bytes that this broker takes whole",
                        open.path
                    ),
                ));
            }
            Next::Data(data) => gathered.extend_from_slice(&data),
            Next::Close => break,
            Next::End => return Ok(WriteOutcome::Aborted),
        }
    }
    if open.mode() == WriteMode::Put {
        return storage.put(&open.path, gathered.freeze()).await.map(|()| WriteOutcome::Written);
    }
    Ok(match storage.create(&open.path, gathered.freeze()).await? {
        Created::New => WriteOutcome::Written,
        Created::Exists => WriteOutcome::Exists,
    })
}

async fn stream(
    storage: &Arc<dyn Storage>,
    open: &WriteOpen,
    steps: &mut Streaming<WriteRequest>,
) -> Result<WriteOutcome> {
    let mut writer = storage.writer(&open.path, open.size_hint).await?;
    let ended = loop {
        match next(steps).await {
            Ok(Next::Data(data)) => {
                if let Err(failure) = writer.write(data).await {
                    break Err(failure);
                }
            }
            Ok(Next::Close) => return writer.close().await.map(|()| WriteOutcome::Written),
            Ok(Next::End) => break Ok(WriteOutcome::Aborted),
            Err(failure) => break Err(failure),
        }
    };
    if let Err(failure) = writer.abort().await {
        tracing::warn!(path = open.path, error = %failure, "abort of a write failed");
    }
    ended
}

async fn next(steps: &mut Streaming<WriteRequest>) -> Result<Next> {
    match message(steps).await? {
        Some(Step::Data(data)) => Ok(Next::Data(data)),
        Some(Step::Close(_)) => Ok(Next::Close),
        Some(Step::Open(_)) => Err(out_of_order("a write is opened once")),
        None => Ok(Next::End),
    }
}

async fn message(steps: &mut Streaming<WriteRequest>) -> Result<Option<Step>> {
    match steps.message().await {
        Ok(Some(message)) => match message.step {
            Some(step) => Ok(Some(step)),
            None => Err(out_of_order("this broker does not know such a step")),
        },
        Ok(None) => Ok(None),
        // The client is gone, and with it whoever could close: nothing will have been written.
        Err(status) => Err(Failure { retry: Retry::Safe, ..from_status(&status) }),
    }
}

fn out_of_order(why: &str) -> Failure {
    Failure::fatal(Kind::InvalidArgument, format!("the steps of the write are out of order: {why}"))
}
