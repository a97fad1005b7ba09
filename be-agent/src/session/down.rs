//! What the coordinator says.

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{BackendId, ClusterId, JobUuid};
use tabvault_common::settings::Configuration;
use tabvault_common::task::{JobEnd, Task, TaskKey, TaskReport};
use tabvault_proto::failure::from_status;
use tabvault_proto::v1;
use tabvault_proto::v1::coordinator_message::Message;
use tokio::sync::mpsc;
use tonic::Streaming;

use super::{Session, required};

impl Session {
    /// Handles messages in their order until the stream ends; says why. Nothing here waits for a task, so that an end
    /// of a job is heard however much work there is.
    pub(super) async fn listen(
        &self,
        mut down: Streaming<v1::CoordinatorMessage>,
        up: &mpsc::Sender<v1::AgentMessage>,
        cluster: ClusterId,
        backend: BackendId,
    ) -> Failure {
        loop {
            let message = match down.message().await {
                Ok(Some(message)) => message.message,
                Ok(None) => return Failure::transient(Kind::Unreachable, "the coordinator has ended the stream"),
                Err(status) => return from_status(&status).context("the stream to the coordinator broke"),
            };
            let handled = match message {
                Some(Message::Task(task)) => self.take(task, up, cluster, backend).await,
                Some(Message::Acknowledge(key)) => {
                    TaskKey::try_from(key).map(|key| self.worker.results.acknowledge(&key))
                }
                Some(Message::JobEnded(ended)) => self.end(ended),
                Some(Message::Configure(configure)) => self.configure(configure),
                Some(Message::Welcome(_)) => {
                    Err(Failure::fatal(Kind::InvalidArgument, "the coordinator said welcome twice"))
                }
                None => {
                    tracing::warn!("ignored a message of a kind that this version does not know");
                    Ok(())
                }
            };
            if let Err(failure) = handled {
                return failure;
            }
        }
    }

    async fn take(
        &self,
        wire: v1::Task,
        up: &mpsc::Sender<v1::AgentMessage>,
        cluster: ClusterId,
        backend: BackendId,
    ) -> Result<(), Failure> {
        let key = TaskKey::try_from(wire.key.clone().unwrap_or_default())?;
        let task = match Task::try_from(wire) {
            Ok(task) => task,
            Err(failure) => {
                self.worker.results.store(TaskReport { key, outcome: Err(failure) });
                return Ok(());
            }
        };
        let seen = self.state.now().highest_epoch;
        if task.epoch < seen {
            let message = format!("task {key} is of epoch {}, epoch {seen} was seen before", task.epoch);
            let report = TaskReport { key, outcome: Err(Failure::fatal(Kind::Stale, message)) };
            // Said once: a stale coordinator need not remember it, and a new one has not asked.
            let message = v1::agent_message::Message::Report((&report).into());
            let _ = up.try_send(v1::AgentMessage { message: Some(message) });
            return Ok(());
        }
        if task.epoch > seen {
            self.accept(cluster, task.epoch, backend).await?;
        }
        self.worker.submit(task);
        Ok(())
    }

    fn configure(&self, configure: v1::Configure) -> Result<(), Failure> {
        self.shared.storage.throttle().configure(Configuration::try_from(configure)?);
        Ok(())
    }

    fn end(&self, ended: v1::JobEnded) -> Result<(), Failure> {
        let job: JobUuid = required(ended.job)?;
        self.worker.end(job, if ended.published { JobEnd::Published } else { JobEnd::Discarded });
        Ok(())
    }
}
