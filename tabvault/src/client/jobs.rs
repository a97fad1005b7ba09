//! Backups and restores.

use tabvault_common::failure::Failure;
use tabvault_common::ids::JobId;
use tabvault_common::request::{BackupRequest, CancelRequest, RestoreRequest};
use tabvault_common::view::{JobKind, JobView};
use tabvault_proto::v1::job_service_client::JobServiceClient;
use tabvault_proto::{MAX_MESSAGE_SIZE, v1};
use tonic::Streaming;

use super::{Client, Result, Wire, all};

/// A job that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Its number.
    pub id: JobId,
    /// What the user should know.
    pub notices: Vec<String>,
}

impl From<v1::JobStarted> for Started {
    fn from(wire: v1::JobStarted) -> Self {
        Self { id: JobId(wire.job_id), notices: wire.notices }
    }
}

/// News of jobs, one list after the other.
#[derive(Debug)]
pub struct JobWatch {
    stream: Streaming<v1::JobList>,
    client: Client,
}

impl JobWatch {
    /// The next news; `None` when all chosen jobs have ended. Cancel safe.
    ///
    /// # Errors
    /// `Unreachable` when the connection broke: watch again.
    pub async fn next(&mut self) -> Result<Option<Vec<JobView>>> {
        let news = self.stream.message().await.map_err(|status| self.client.failed(&status))?;
        news.map(|list| all(list.jobs)).transpose()
    }
}

impl Client {
    fn jobs(&self) -> JobServiceClient<Wire> {
        JobServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }

    /// Starts a backup.
    ///
    /// # Errors
    /// The refusals of BACKUP.
    pub async fn backup(&self, request: &BackupRequest) -> Result<Started> {
        let answer = self.jobs().backup(v1::BackupRequest::from(request)).await;
        answer.map(|answer| answer.into_inner().into()).map_err(|status| self.failed(&status))
    }

    /// Starts a restore.
    ///
    /// # Errors
    /// The refusals of RESTORE.
    pub async fn restore(&self, request: &RestoreRequest) -> Result<Started> {
        let answer = self.jobs().restore(v1::RestoreRequest::from(request)).await;
        answer.map(|answer| answer.into_inner().into()).map_err(|status| self.failed(&status))
    }

    /// Cancels the running job of a database and tells its number.
    ///
    /// # Errors
    /// The refusals of CANCEL.
    pub async fn cancel(&self, request: &CancelRequest) -> Result<JobId> {
        let answer = self.jobs().cancel(v1::CancelRequest::from(request)).await;
        answer.map(|answer| JobId(answer.into_inner().job_id)).map_err(|status| self.failed(&status))
    }

    /// The kept jobs of a kind, the newest last.
    ///
    /// # Errors
    /// That the coordinator cannot be reached.
    pub async fn list_jobs(&self, kind: JobKind, database: Option<&str>) -> Result<Vec<JobView>> {
        let kind = v1::JobKind::from(kind).into();
        let request = v1::ListJobsRequest { kind, database: database.map(str::to_owned) };
        let answer = self.jobs().list_jobs(request).await.map_err(|status| self.failed(&status))?;
        all(answer.into_inner().jobs)
    }

    /// Follows one job until it has ended.
    ///
    /// # Errors
    /// `NotFound` if the job is not kept any more.
    pub async fn watch_job(&self, id: JobId) -> Result<JobWatch> {
        self.watch(v1::WatchJobsRequest { job_ids: vec![id.0], database: None }).await
    }

    /// Follows all running jobs, for ever.
    ///
    /// # Errors
    /// That the coordinator cannot be reached.
    pub async fn watch_all(&self, database: Option<&str>) -> Result<JobWatch> {
        self.watch(v1::WatchJobsRequest { job_ids: Vec::new(), database: database.map(str::to_owned) }).await
    }

    async fn watch(&self, request: v1::WatchJobsRequest) -> std::result::Result<JobWatch, Failure> {
        let answer = self.jobs().watch_jobs(request).await.map_err(|status| self.failed(&status))?;
        Ok(JobWatch { stream: answer.into_inner(), client: self.clone() })
    }
}
