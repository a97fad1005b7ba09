//! The sending side of one `Write` call.

use async_trait::async_trait;
use bytes::Bytes;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_proto::v1::write_request::Step;
use tabvault_proto::v1::{WriteClose, WriteMode, WriteOpen, WriteOutcome, WriteRequest};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use super::RemoteStorage;
use crate::pieces;
use crate::storage::{ObjectWriter, Result};

/// Pieces on their way to the connection; with HTTP/2's window this bounds a writer's memory.
const AHEAD: usize = 2;

/// Bytes that a writer holds at most: the pieces ahead, one that is encoded, its encoding, and what HTTP/2 has taken.
pub(super) const MEMORY: u64 = ((AHEAD + 3) * pieces::PIECE) as u64;

pub(super) struct RemoteWriter {
    path: String,
    /// Gone once the stream has ended or a step failed.
    steps: Option<mpsc::Sender<WriteRequest>>,
    answer: Option<JoinHandle<Result<WriteOutcome>>>,
}

impl RemoteWriter {
    pub(super) async fn open(
        storage: &RemoteStorage,
        path: &str,
        mode: WriteMode,
        size_hint: Option<u64>,
    ) -> Result<Self> {
        let (index, mut client) = storage.client().await?;
        let (steps, receiver) = mpsc::channel(AHEAD);
        let open = WriteOpen { access: storage.access(), path: path.to_owned(), mode: mode.into(), size_hint };
        let request = storage.request(ReceiverStream::new(receiver));
        let storage = storage.clone();
        let answer = tokio::spawn(async move {
            match client.write(request).await {
                Ok(answer) => Ok(answer.into_inner().outcome()),
                Err(status) => Err(storage.failed(index, true, &status)),
            }
        });
        let mut writer = Self { path: path.to_owned(), steps: Some(steps), answer: Some(answer) };
        writer.step(Step::Open(open)).await?;
        Ok(writer)
    }

    pub(super) async fn send(&mut self, data: Bytes) -> Result<()> {
        for piece in pieces::cut(data) {
            self.step(Step::Data(piece)).await?;
        }
        Ok(())
    }

    /// Ends the stream properly and waits for what became of the object.
    pub(super) async fn finish(&mut self) -> Result<WriteOutcome> {
        self.step(Step::Close(WriteClose {})).await?;
        self.steps = None;
        self.outcome().await
    }

    async fn step(&mut self, step: Step) -> Result<()> {
        // Taken while it is used: a step that is dropped half-way must not be followed by a close.
        let Some(steps) = self.steps.take() else {
            return Err(Failure::fatal(
                Kind::FailedPrecondition,
                format!("write {}: an earlier write to it failed or was dropped", self.path),
            ));
        };
        if steps.send(WriteRequest { step: Some(step) }).await.is_ok() {
            self.steps = Some(steps);
            return Ok(());
        }
        // The call ended before the stream did: its answer says why. Without a close nothing can have been written.
        match self.outcome().await {
            Err(failure) if failure.retry == Retry::OutcomeUnknown => Err(Failure { retry: Retry::Safe, ..failure }),
            Err(failure) => Err(failure),
            Ok(outcome) => Err(surprise(&self.path, outcome)),
        }
    }

    async fn outcome(&mut self) -> Result<WriteOutcome> {
        let Some(answer) = self.answer.take() else {
            return Err(Failure::fatal(Kind::FailedPrecondition, format!("write {}: it has ended", self.path)));
        };
        match answer.await {
            Ok(outcome) => outcome,
            Err(error) => Err(Failure {
                kind: Kind::Internal,
                retry: Retry::OutcomeUnknown,
                message: format!("write {}: the call did not end: {error}", self.path),
            }),
        }
    }
}

/// The failure of a call that ended as it never should.
pub(super) fn surprise(path: &str, outcome: WriteOutcome) -> Failure {
    Failure {
        kind: Kind::Internal,
        retry: Retry::OutcomeUnknown,
        message: format!("write {path}: the broker answered {}", outcome.as_str_name()),
    }
}

#[async_trait]
impl ObjectWriter for RemoteWriter {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.send(data).await
    }

    async fn close(mut self: Box<Self>) -> Result<()> {
        match self.finish().await? {
            WriteOutcome::Written => Ok(()),
            other => Err(surprise(&self.path, other)),
        }
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.steps = None;
        if self.answer.is_none() {
            return Ok(());
        }
        match self.outcome().await {
            // What failed has been removed by the broker already.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
