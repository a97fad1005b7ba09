//! `JobService`: backups and restores.

use std::pin::Pin;
use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt};
use tabvault_common::failure::Failure;
use tabvault_common::ids::JobId;
use tabvault_common::request::{BackupRequest, CancelRequest, RestoreRequest};
use tabvault_common::view::{JobKind, JobView};
use tabvault_proto::v1;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};

use super::door::admin;
use super::refused;
use crate::auth::{Identity, Privilege};
use crate::coordinator::{Coordinator, JobStarted};

#[derive(Debug)]
pub(super) struct Jobs(pub(super) Coordinator);

type Views = Pin<Box<dyn Stream<Item = Result<v1::JobList, Status>> + Send>>;

/// Whoever cancels without having said who he is, where everybody is let in.
const CLIENT: &str = "a client";

#[tonic::async_trait]
impl v1::job_service_server::JobService for Jobs {
    type WatchJobsStream = Views;

    async fn backup(&self, request: Request<v1::BackupRequest>) -> Result<Response<v1::JobStarted>, Status> {
        admin(&self.0, &request).await?;
        let request = BackupRequest::try_from(request.into_inner()).map_err(refused)?;
        self.0.backup(request).await.map(started).map_err(refused)
    }

    async fn restore(&self, request: Request<v1::RestoreRequest>) -> Result<Response<v1::JobStarted>, Status> {
        admin(&self.0, &request).await?;
        let request = RestoreRequest::try_from(request.into_inner()).map_err(refused)?;
        self.0.restore(request).await.map(started).map_err(refused)
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Result<Response<v1::CancelResponse>, Status> {
        let who = admin(&self.0, &request).await?;
        let request = CancelRequest::try_from(request.into_inner()).map_err(refused)?;
        let by = if who.user.is_empty() { CLIENT } else { &who.user };
        let id = self.0.cancel(&request, by).await.map_err(refused)?;
        Ok(Response::new(v1::CancelResponse { job_id: id.0 }))
    }

    async fn list_jobs(&self, request: Request<v1::ListJobsRequest>) -> Result<Response<v1::JobList>, Status> {
        admin(&self.0, &request).await?;
        let request = request.into_inner();
        let kind = match request.kind() {
            v1::JobKind::Unspecified => None,
            kind @ (v1::JobKind::Backup | v1::JobKind::Restore) => Some(JobKind::try_from(kind).map_err(refused)?),
        };
        Ok(Response::new(list(&self.0.jobs(kind, request.database.as_deref()))))
    }

    async fn watch_jobs(&self, request: Request<v1::WatchJobsRequest>) -> Result<Response<Views>, Status> {
        let who = admin(&self.0, &request).await?;
        let request = request.into_inner();
        if request.job_ids.is_empty() {
            return Ok(Response::new(self.watch_all(who, request.database)));
        }
        let mut streams = Vec::new();
        for id in request.job_ids {
            streams.push(self.watch_one(JobId(id)).map_err(refused)?);
        }
        let views = stream::select_all(streams).map(|view| Ok(list(&[view])));
        Ok(Response::new(Box::pin(views)))
    }
}

impl Jobs {
    /// The job's views until and with the final one.
    fn watch_one(&self, id: JobId) -> Result<Pin<Box<dyn Stream<Item = Arc<JobView>> + Send>>, Failure> {
        if let Some(watch) = self.0.watch(id) {
            return Ok(Box::pin(until_ended(watch)));
        }
        match self.0.job(id) {
            Some(view) => Ok(Box::pin(stream::iter([view]))),
            None => {
                let why = format!("job {id} does not exist, or is older than the jobs that are kept");
                Err(Failure::fatal(tabvault_common::failure::Kind::NotFound, why))
            }
        }
    }

    /// All that run, now and again, for as long as `who` may see them.
    fn watch_all(&self, who: Identity, database: Option<String>) -> Views {
        let coordinator = self.0.clone();
        let again = stream::try_unfold(true, move |first| {
            let (coordinator, who, database) = (coordinator.clone(), who.clone(), database.clone());
            async move {
                if !first {
                    coordinator.inner().clock.sleep(REFRESH).await;
                    // Nothing else ends this stream when the privilege is revoked or the user dropped.
                    coordinator.authorizer().authorize(&who, &Privilege::Admin).await.map_err(refused)?;
                }
                let running: Vec<_> =
                    coordinator.jobs(None, database.as_deref()).into_iter().filter(|view| !view.ended).collect();
                Ok(Some((list(&running), false)))
            }
        });
        Box::pin(again)
    }
}

/// How often a watch over all jobs shows them.
const REFRESH: std::time::Duration = std::time::Duration::from_millis(500);

fn until_ended(watch: watch::Receiver<Arc<JobView>>) -> impl Stream<Item = Arc<JobView>> + Send {
    WatchStream::new(watch).scan(false, |ended, view| {
        let item = (!*ended).then(|| view.clone());
        *ended = view.ended;
        std::future::ready(item)
    })
}

fn list(views: &[Arc<JobView>]) -> v1::JobList {
    v1::JobList { jobs: views.iter().map(|view| v1::Job::from(&**view)).collect() }
}

fn started(job: JobStarted) -> Response<v1::JobStarted> {
    Response::new(v1::JobStarted { job_id: job.id.0, job: Some(job.uuid.into()), notices: job.notices })
}
