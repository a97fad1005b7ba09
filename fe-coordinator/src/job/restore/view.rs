//! A restore as people see it.

use tabvault_common::ids::TaskId;
use tabvault_common::view::{JobKind, JobView, MAX_TASKS_SHOWN};

use super::{ADOPTED, DOWNLOADED, RestoreJob, Stage, active};
use crate::job::Throughput;

impl RestoreJob {
    /// The job for SHOW RESTORE; `live` is what running tasks say of themselves.
    #[must_use]
    pub fn view(&self, live: &Throughput) -> JobView {
        let state = self.head.state;
        let row = |task| self.rows.get(task).filter(|row| row.is_active(state));
        let (done, total) = (self.rows.bytes_in(DOWNLOADED) + self.rows.bytes_in(ADOPTED), self.rows.bytes());
        let running = live.done(|task| row(task).is_some_and(|row| row.stage == Stage::Created));
        let bytes_done = (done + running).min(total);
        let failed = self.rows.failed().filter(|row| row.is_active(state));
        let errors = failed.filter_map(|row| row.error.clone().map(|error| (row.task, error)));
        let asking = self.head.asking.last_error().map(|error| (TaskId(0), error.to_owned()));
        let task_errors = asking.into_iter().chain(errors).take(MAX_TASKS_SHOWN);
        let planned = self.plan.as_ref();
        JobView {
            kind: JobKind::Restore,
            id: self.head.id,
            uuid: self.head.uuid,
            label: self.head.label.to_string(),
            repository: self.head.repository.clone(),
            timestamp: Some(match planned {
                Some(plan) => plan.timestamp.to_string(),
                None => self.head.properties.backup_timestamp.clone(),
            }),
            database: self.head.database.clone(),
            state: state.as_str().to_owned(),
            ended: state.is_final(),
            objects: self.objects(),
            create_time: self.head.create_time,
            meta_prepared_time: self.head.meta_prepared_time,
            snapshot_finished_time: self.head.snapshot_finished_time,
            transfer_finished_time: self.head.download_finished_time,
            finished_time: self.head.finished_time,
            progress: live.shown(|task| row(task).is_some()),
            unfinished_tasks: self.rows.first_in(active(state), MAX_TASKS_SHOWN),
            task_errors: if state.is_final() { Vec::new() } else { task_errors.collect() },
            status: self.head.status.clone(),
            timeout_s: self.head.properties.timeout.as_secs(),
            bytes_done,
            bytes_total: total,
            bytes_per_second: live.bytes_per_second(),
            eta_s: live.eta(bytes_done, total, state.is_final()),
            allow_load: self.head.properties.allow_load,
            replication_num: planned.map(|plan| plan.restore.replication_num).or(self.head.properties.replication_num),
        }
    }
}
