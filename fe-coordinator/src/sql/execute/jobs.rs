//! BACKUP, RESTORE and CANCEL; SHOW BACKUP and SHOW RESTORE; EXPLAIN.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::request::{BackupRequest, CancelRequest, ObjectSelection, RestoreRequest, Selection};
use tabvault_common::view::cells::{self, ResultSet};
use tabvault_common::view::{JobKind, JobView};

use super::pattern::matches;
use super::{done, noted, table, text};
use crate::coordinator::{Explanation, Work};
use crate::sql::answer::{Answer, Rows};
use crate::sql::error::SqlError;
use crate::sql::session::Session;
use crate::sql::statement::{Backup, Match, Restore};

impl Session {
    pub(super) async fn backup(&self, backup: &Backup) -> Result<Answer, SqlError> {
        self.admin().await?;
        let request = self.backup_request(backup)?;
        match self.coordinator.backup(request.clone()).await {
            Ok(started) => Ok(noted(started.notices)),
            Err(failure) => Err(self.unknown_in_backup(&request, failure).await),
        }
    }

    pub(super) async fn explain_backup(&self, backup: &Backup) -> Result<Answer, SqlError> {
        self.admin().await?;
        let request = self.backup_request(backup)?;
        let explained = self.coordinator.explain_backup(&request).await;
        Ok(explain(&request.database, &request.label, &request.repository, &explained))
    }

    fn backup_request(&self, backup: &Backup) -> Result<BackupRequest, SqlError> {
        Ok(BackupRequest {
            database: self.meant(backup.database.as_deref())?.to_owned(),
            label: backup.label.clone(),
            repository: backup.repository.clone(),
            selection: backup.selection.clone(),
            properties: backup.properties.clone(),
        })
    }

    /// Gives a refusal MySQL's number where a database or table is what was not found.
    async fn unknown_in_backup(&self, request: &BackupRequest, failure: Failure) -> SqlError {
        if failure.kind != Kind::NotFound || self.coordinator.repositories().open(&request.repository).await.is_err() {
            return failure.into();
        }
        let objects = match &request.selection {
            Selection::All => &[][..],
            Selection::Only(objects) | Selection::Except(objects) => objects,
        };
        let tables: Vec<&str> = objects.iter().map(|object: &ObjectSelection| object.table.as_str()).collect();
        self.unknown(failure, &request.database, &tables).await
    }

    pub(super) async fn restore(&self, restore: &Restore) -> Result<Answer, SqlError> {
        self.admin().await?;
        let request = self.restore_request(restore)?;
        Ok(noted(self.coordinator.restore(request).await?.notices))
    }

    pub(super) async fn explain_restore(&self, restore: &Restore) -> Result<Answer, SqlError> {
        self.admin().await?;
        let request = self.restore_request(restore)?;
        let explained = self.coordinator.explain_restore(&request).await;
        let into = request.into.as_ref().unwrap_or(&request.database);
        Ok(explain(into, &request.label, &request.repository, &explained))
    }

    /// What stands before the label is the database that is restored into, and DATABASE the one that the snapshot was
    /// taken of: with it a snapshot of another is refused.
    fn restore_request(&self, restore: &Restore) -> Result<RestoreRequest, SqlError> {
        let (database, into) = match (&restore.source, &restore.into, &restore.database) {
            (None, _, named) => (self.meant(named.as_deref())?.to_owned(), None),
            (Some(_), Some(into), Some(named)) if into != named => {
                let why = format!(
                    "RESTORE goes into one database: {named} stands before the label and {into} after AS; leave one out"
                );
                return Err(Failure::fatal(Kind::InvalidArgument, why).into());
            }
            (Some(source), into, named) => {
                let into = into.as_ref().or(named.as_ref()).unwrap_or(source);
                (source.clone(), Some(into.clone()))
            }
        };
        Ok(RestoreRequest {
            database,
            into,
            label: restore.label.clone(),
            repository: restore.repository.clone(),
            selection: restore.selection.clone(),
            properties: restore.properties.clone(),
        })
    }

    pub(super) async fn cancel(
        &self,
        kind: JobKind,
        database: Option<&str>,
        label: Option<&Match>,
    ) -> Result<Answer, SqlError> {
        self.admin().await?;
        let database = self.meant(database)?;
        let by = &self.who.user;
        let request = |label: Option<String>| CancelRequest { kind, database: database.to_owned(), label };
        let Some(Match::Like(_)) = label else {
            let label = match label {
                Some(Match::Equals(label)) => Some(label.clone()),
                Some(Match::Like(_)) | None => None,
            };
            self.coordinator.cancel(&request(label), by).await?;
            return Ok(done());
        };
        let running: Vec<Arc<JobView>> = self.coordinator.jobs(Some(kind), Some(database));
        let fits = |job: &&Arc<JobView>| !job.ended && matches(label, &job.label);
        let mut cancelled = 0;
        let mut refused = None;
        for job in running.iter().filter(fits) {
            match self.coordinator.cancel(&request(Some(job.label.clone())), by).await {
                Ok(_) => cancelled += 1,
                // It may have ended in between.
                Err(failure) => refused = Some(failure),
            }
        }
        match refused {
            Some(failure) if cancelled == 0 => Err(failure.into()),
            None if cancelled == 0 => {
                let kind = match kind {
                    JobKind::Backup => "backup",
                    JobKind::Restore => "restore",
                };
                let why = format!("No {kind} job is currently running in database {database} with such a label");
                Err(Failure::fatal(Kind::NotFound, why).into())
            }
            _ => Ok(done()),
        }
    }

    pub(super) async fn show_backup(&self, database: Option<&str>, label: Option<&Match>) -> Result<Answer, SqlError> {
        self.admin().await?;
        let jobs = self.jobs(JobKind::Backup, database, label).await?;
        Ok(one_by_one(jobs, cells::backups))
    }

    pub(super) async fn show_restore(
        &self,
        brief: bool,
        database: Option<&str>,
        label: Option<&Match>,
    ) -> Result<Answer, SqlError> {
        self.admin().await?;
        let jobs = self.jobs(JobKind::Restore, database, label).await?;
        Ok(one_by_one(jobs, move |jobs| cells::restores(jobs, brief)))
    }

    async fn jobs(
        &self,
        kind: JobKind,
        database: Option<&str>,
        label: Option<&Match>,
    ) -> Result<Vec<Arc<JobView>>, SqlError> {
        let database = self.meant(database)?;
        let mut jobs = self.coordinator.jobs(Some(kind), Some(database));
        // A database that was dropped since, or that a restore is about to make, still has its jobs.
        if jobs.is_empty() {
            self.known_database(database).await?;
        }
        jobs.retain(|job| matches(label, &job.label));
        Ok(jobs)
    }
}

/// A row per job, made while the client takes them: a job may be about many tables.
fn one_by_one(jobs: Vec<Arc<JobView>>, set: impl Fn(&[JobView]) -> ResultSet + Send + 'static) -> Answer {
    let rows = Rows::from(set(&[]));
    let pages = stream::iter(jobs).map(move |job| Ok(set(std::slice::from_ref(&*job)).rows));
    Answer::Rows(Rows { pages: Box::pin(pages), ..rows })
}

/// Most backends that are named.
const MAX_BACKENDS: usize = 100;

fn explain(database: &str, label: &str, repository: &str, explained: &Explanation) -> Answer {
    let mut rows = vec![
        ("Accepted", explained.refusals.is_empty().to_string()),
        ("Database", database.to_owned()),
        ("Snapshot", label.to_owned()),
        ("Repository", repository.to_owned()),
    ];
    rows.extend(explained.refusals.iter().map(|refusal| ("Refusal", refusal.message.clone())));
    rows.extend(explained.notices.iter().map(|notice| ("Notice", notice.clone())));
    if let Some(work) = &explained.work {
        let Work { tables, partitions, tablets, files, bytes, packed_files, packs, objects, requests } = *work;
        let numbers = [
            ("Tables", tables),
            ("Partitions", partitions),
            ("Tablets", tablets),
            ("Files", files),
            ("Bytes", bytes),
            ("PackedFiles", packed_files),
            ("Packs", packs),
            ("Objects", objects),
            ("Requests", requests),
        ];
        rows.extend(numbers.map(|(item, number)| (item, number.to_string())));
        let backends: Vec<String> = explained.backends.iter().take(MAX_BACKENDS).map(ToString::to_string).collect();
        rows.push(("Backends", backends.join(", ")));
    }
    table(&["Item", "Value"], rows.into_iter().map(|(item, value)| vec![text(item), Some(value)]).collect())
}
