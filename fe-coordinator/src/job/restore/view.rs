//! A restore as people see it.

use tabvault_common::ids::TaskId;
use tabvault_common::view::{JobKind, JobView, MAX_TASKS_SHOWN};

use super::{RestoreJob, Row, Stage};
use crate::job::Throughput;

impl RestoreJob {
    /// The job for SHOW RESTORE; `live` is what running tasks say of themselves.
    #[must_use]
    pub fn view(&self, live: &Throughput) -> JobView {
        let state = self.head.state;
        let active = || self.rows.values().filter(|row| row.is_active(state));
        let local = |row: &&Row| matches!(row.stage, Stage::Downloaded | Stage::Adopted);
        let done: u64 = self.rows.values().filter(local).map(Row::bytes).sum();
        let total: u64 = self.rows.values().map(Row::bytes).sum();
        let rows: Vec<TaskId> = active().map(|row| row.task).collect();
        let running = live.done(active().filter(|row| row.stage == Stage::Created).map(|row| &row.task));
        let bytes_done = (done + running).min(total);
        let errors = active().filter_map(|row| row.error.clone().map(|error| (row.task, error)));
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
            progress: live.shown(&rows),
            unfinished_tasks: rows.into_iter().take(MAX_TASKS_SHOWN).collect(),
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
