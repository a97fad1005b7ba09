//! `AgentService`: one stream per agent.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, JobUuid};
use tabvault_common::task::{TaskKey, TaskReport};
use tabvault_proto::session::{Heartbeat, Hello, JobEnded, Welcome};
use tabvault_proto::v1;
use tabvault_proto::v1::agent_message::Message as Up;
use tabvault_proto::v1::coordinator_message::Message as Down;
use tonic::{Request, Response, Status, Streaming};

use super::refused;
use crate::agents::{Attachment, ToAgent};
use crate::coordinator::Coordinator;

#[derive(Debug)]
pub(super) struct Attach(pub(super) Coordinator);

type Downstream = Pin<Box<dyn Stream<Item = Result<v1::CoordinatorMessage, Status>> + Send>>;

#[tonic::async_trait]
impl v1::agent_service_server::AgentService for Attach {
    type AttachStream = Downstream;

    async fn attach(&self, request: Request<Streaming<v1::AgentMessage>>) -> Result<Response<Downstream>, Status> {
        let mut up = request.into_inner();
        let first = up.message().await?.and_then(|message| message.message);
        let Some(Up::Hello(hello)) = first else {
            let why = "an agent's first message must be Hello";
            return Err(refused(Failure::fatal(Kind::InvalidArgument, why)));
        };
        let hello = Hello::try_from(hello).map_err(refused)?;
        let attachment = self.0.agents().attach(&hello).await.map_err(refused)?;
        let (backend, number) = (attachment.backend, attachment.number);
        let welcome = v1::CoordinatorMessage {
            message: Some(Down::Welcome(v1::Welcome::from(Welcome {
                cluster: self.0.cluster(),
                epoch: self.0.agents().epoch(),
                backend,
                heartbeat_interval: self.0.inner().config.heartbeat,
            }))),
        };
        let coordinator = self.0.clone();
        tokio::spawn(async move {
            let stopped = coordinator.clone();
            tokio::select! {
                () = listen(&coordinator, backend, up, hello.state.leftovers) => {}
                () = stopped.stopped() => {}
            }
            coordinator.agents().detach(backend, number);
            tracing::info!(%backend, "agent detached");
        });
        let stop = self.0.clone();
        let down = futures::stream::once(async move { Ok(welcome) })
            .chain(downward(attachment))
            .take_until(async move { stop.stopped().await });
        Ok(Response::new(Box::pin(down)))
    }
}

fn downward(attachment: Attachment) -> impl Stream<Item = Result<v1::CoordinatorMessage, Status>> + Send {
    futures::stream::unfold(attachment, |mut attachment| async move {
        let message = match attachment.receiver.recv().await? {
            ToAgent::Task(task) => Down::Task(v1::Task::from(&*task)),
            ToAgent::Acknowledge(key) => Down::Acknowledge(v1::TaskKey::from(key)),
            ToAgent::Configure(configuration) => Down::Configure(v1::Configure::from(&*configuration)),
            ToAgent::JobEnded(job, end) => Down::JobEnded(v1::JobEnded::from(JobEnded { job, end })),
        };
        Some((Ok(v1::CoordinatorMessage { message: Some(message) }), attachment))
    })
}

/// Takes what the agent says until its stream ends.
async fn listen(
    coordinator: &Coordinator,
    backend: BackendId,
    mut up: Streaming<v1::AgentMessage>,
    leftovers: Vec<JobUuid>,
) {
    answer_leftovers(coordinator, backend, leftovers).await;
    loop {
        let message = match up.message().await {
            Ok(Some(message)) => message.message,
            Ok(None) => return,
            Err(status) => {
                tracing::debug!(%backend, "the agent's stream broke: {}", status.message());
                return;
            }
        };
        if let Err(failure) = take(coordinator, backend, message).await {
            tracing::warn!(%backend, kind = failure.kind.as_str(), "an agent's message makes no sense: {failure}");
        }
    }
}

async fn take(coordinator: &Coordinator, backend: BackendId, message: Option<Up>) -> Result<(), Failure> {
    let agents = coordinator.agents();
    match message {
        Some(Up::Heartbeat(beat)) => {
            let mut beat = Heartbeat::try_from(beat)?;
            let leftovers = std::mem::take(&mut beat.leftovers);
            agents.heartbeat(backend, beat);
            answer_leftovers(coordinator, backend, leftovers).await;
        }
        Some(Up::Report(report)) => {
            let key = report.key.clone().map(TaskKey::try_from).transpose()?;
            match (TaskReport::try_from(report), key) {
                (Ok(report), _) => agents.reported(backend, report).await,
                // Unreadable, but of a known task: it failed, and must not be sent for ever.
                (Err(failure), Some(key)) => agents.reported(backend, TaskReport { key, outcome: Err(failure) }).await,
                (Err(failure), None) => return Err(failure),
            }
        }
        Some(Up::Progress(progress)) => agents.progress(progress.try_into()?),
        // A second Hello says nothing new; an unknown message comes from a newer agent.
        Some(Up::Hello(_)) | None => {}
    }
    Ok(())
}

/// Tells the agent which of the jobs it has leftovers of have ended.
async fn answer_leftovers(coordinator: &Coordinator, backend: BackendId, jobs: Vec<JobUuid>) {
    for job in jobs {
        match coordinator.ended_job(job).await {
            Ok(Some(end)) => coordinator.agents().tell_ended(backend, job, end),
            Ok(None) => {}
            Err(failure) => tracing::warn!(%job, "cannot tell whether a job has ended: {failure}"),
        }
    }
}
