//! BACKUP, RESTORE, CANCEL, DROP REPOSITORY: what changes jobs, from the request to the stored job.

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{JobId, JobUuid};
use tabvault_common::label::Label;
use tabvault_common::request::{BackupRequest, CancelRequest, RestoreRequest};
use tabvault_common::view::{JobKind, JobView};

use super::{Coordinator, JobStarted, new_job};
use crate::check::properties::{BackupProperties, RestoreProperties};
use crate::job::any::Job;
use crate::job::backup::BackupJob;
use crate::job::restore::RestoreJob;
use crate::records::{Claim, Request};

impl Coordinator {
    /// BACKUP: checks the request, claims label and database, and starts the job.
    ///
    /// # Errors
    /// The refusals of BACKUP; nothing is left of a refused request.
    pub async fn backup(&self, request: BackupRequest) -> Result<JobStarted, Failure> {
        let properties = BackupProperties::parse(&request.properties)?;
        let label: Label = request.label.parse()?;
        let repository = self.inner.repositories.open(&request.repository).await?;
        repository.writable()?;
        self.check_slot(&request.database).await?;
        self.inner.asks.cut(&request).await?;
        let (uuid, cluster, now) = (JobUuid::random(), self.inner.cluster, self.inner.clock.now());
        self.inner.asks.look(uuid, &repository, &label, &request.database, &properties).await?;
        let asked = Request::Backup(request.clone());
        let head = move |id| new_job::backup(id, uuid, cluster, &request, label.clone(), properties.clone(), now);
        let build = move |id| Job::Backup(Box::new(BackupJob::new(head(id))));
        self.create(asked, build, Vec::new()).await
    }

    /// RESTORE: checks the request against the snapshot and the tables, claims the database, and starts the job.
    ///
    /// # Errors
    /// The refusals of RESTORE; nothing is left of a refused request.
    pub async fn restore(&self, request: RestoreRequest) -> Result<JobStarted, Failure> {
        let properties = RestoreProperties::parse(&request.properties)?;
        let label: Label = request.label.parse()?;
        let into = request.into.clone().unwrap_or_else(|| request.database.clone());
        self.check_slot(&into).await?;
        let (_, plan) = self.inner.asks.map(&request, &properties).await?;
        let (uuid, cluster, now) = (JobUuid::random(), self.inner.cluster, self.inner.clock.now());
        let asked = Request::Restore(request.clone());
        let head = move |id| new_job::restore(id, uuid, cluster, &request, label.clone(), properties.clone(), now);
        let build = move |id| Job::Restore(Box::new(RestoreJob::new(head(id))));
        self.create(asked, build, plan.notices).await
    }

    /// Answers a busy database before anything expensive is looked at; the claim itself decides.
    pub(super) async fn check_slot(&self, database: &str) -> Result<(), Failure> {
        let busy = self.inner.records.occupant(database).await?;
        busy.map_or(Ok(()), |holder| Err(self.slot_taken(database, holder)))
    }

    /// Stores a job and runs it, also when the caller goes away in between: a stored job that nobody runs would occupy
    /// its database until the next leadership.
    async fn create(
        &self,
        request: Request,
        build: impl Fn(JobId) -> Job + Send + Sync + 'static,
        notices: Vec<String>,
    ) -> Result<JobStarted, Failure> {
        let this = self.clone();
        self.to_the_end(async move { this.store_and_run(&request, &build, notices).await }).await
    }

    async fn store_and_run(
        &self,
        request: &Request,
        build: &(impl Fn(JobId) -> Job + Send + Sync),
        notices: Vec<String>,
    ) -> Result<JobStarted, Failure> {
        let _starting = self.inner.starting.read().await;
        // It may have been dropped since the statement looked.
        self.inner.repositories.open(request.repository()).await?;
        match self.inner.records.create(request, build).await? {
            (Claim::Stored, Some(job)) => {
                let started = JobStarted { id: job.id(), uuid: job.uuid(), notices };
                self.run(job);
                Ok(started)
            }
            (Claim::SlotTaken(holder), _) => Err(self.slot_taken(build(holder).database(), holder)),
            (Claim::LabelTaken(holder), _) => {
                let job = build(holder);
                let label = job.label();
                let why =
                    format!("Snapshot with name '{label}' already exist in repository: job {holder} is making it");
                Err(Failure::fatal(Kind::AlreadyExists, why))
            }
            (Claim::Stored, None) => Err(Failure::fatal(Kind::Internal, "a job was stored and not given back")),
        }
    }

    /// CANCEL: answers when the wish is stored, with the job's number.
    ///
    /// # Errors
    /// `No backup job is currently running`, or `Job with label L can not be cancelled. state: S`.
    pub async fn cancel(&self, request: &CancelRequest, by: &str) -> Result<JobId, Failure> {
        let fits = |view: &JobView| {
            view.kind == request.kind
                && view.database == request.database
                && request.label.as_ref().is_none_or(|label| *label == view.label)
        };
        // The newest: an earlier one may still wait for a repository to take its tombstone.
        let found = self.running().values().rev().find(|job| fits(&job.view()) && !job.view().ended).cloned();
        if let Some(job) = found
            && (job.cancel(by).await || job.view().ended)
        {
            return Ok(job.id);
        } else if self.inner.stop.is_cancelled() {
            let why = "the coordinator stops: cancel again when one leads";
            return Err(Failure::transient(Kind::Cancelled, why));
        }
        if let Some(label) = &request.label
            && let Some(view) = self.jobs(Some(request.kind), None).iter().rev().find(|view| fits(view))
        {
            let why = format!("Job with label {label} can not be cancelled. state: {}", view.state);
            return Err(Failure::fatal(Kind::FailedPrecondition, why));
        }
        let kind = match request.kind {
            JobKind::Backup => "backup",
            JobKind::Restore => "restore",
        };
        Err(Failure::fatal(Kind::NotFound, format!("No {kind} job is currently running")))
    }

    /// DROP REPOSITORY.
    ///
    /// # Errors
    /// `Repository X does not exist`; `Backup or restore job is running on this repository. Can not drop it`.
    pub async fn drop_repository(&self, name: &str) -> Result<(), Failure> {
        let _turn = self.inner.settings.lock().await;
        {
            let _none_starts = self.inner.starting.write().await;
            let busy = self.running().values().any(|job| job.view().repository == name && !job.view().ended);
            self.inner.repositories.drop_repository(name, busy).await?;
        }
        // It is gone whatever becomes of this; whoever changes a setting next tells it again.
        if let Err(failure) = self.limit_repositories().await {
            tracing::warn!(error = %failure, "tell agents that nothing limits a dropped repository any more");
        }
        Ok(())
    }

    fn slot_taken(&self, database: &str, holder: JobId) -> Failure {
        let why = match self.inner.config.jobs_per_database {
            1 => format!(
                "Can only run one backup or restore job of a database at same time: job {holder} is running on database \
                 {database}"
            ),
            most => format!(
                "Can only run {most} backup or restore jobs of a database at same time: job {holder} and others are \
                 running on database {database}; wait for one to end, or raise max_jobs_per_database"
            ),
        };
        Failure::fatal(Kind::Busy, why)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use tabvault_common::clock::ManualClock;
    use tabvault_common::request::CreateRepositoryRequest;

    use super::*;
    use crate::coordinator::samples::coordinator;
    use crate::job::backup::Head;
    use crate::job::samples;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn no_job_begins_on_a_repository_that_was_dropped_since_its_statement_looked() {
        let dir = tempfile::tempdir().unwrap();
        let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::new(samples::START)));
        let coordinator = coordinator(store, dir.path(), clock).await;
        let repository = CreateRepositoryRequest {
            name: "repo".into(),
            location: "memory://requests".into(),
            properties: Default::default(),
            broker: None,
            read_only: false,
        };
        coordinator.repositories().create(repository).await.unwrap();
        let asked = Request::Backup(samples::backup_request());
        let head = Head { repository: "repo".into(), ..samples::backup_head() };
        let build = move |id| Job::Backup(Box::new(BackupJob::new(Head { id, ..head.clone() })));

        let (created, dropped) = tokio::join!(
            coordinator.create(asked.clone(), build.clone(), Vec::new()),
            coordinator.drop_repository("repo")
        );
        assert_ne!(created.is_ok(), dropped.is_ok(), "one of them came first: {created:?}, {dropped:?}");
        if dropped.is_err() {
            let wish = CancelRequest { kind: JobKind::Backup, database: "shop".into(), label: None };
            coordinator.cancel(&wish, "root").await.unwrap();
            coordinator.drop_repository("repo").await.unwrap();
        }
        let refused = coordinator.create(asked, build, Vec::new()).await.unwrap_err();
        assert_eq!((refused.kind, &*refused.message), (Kind::NotFound, "Repository repo does not exist"));
        assert_eq!(coordinator.inner.records.occupant("shop").await.unwrap(), None);
    }
}
