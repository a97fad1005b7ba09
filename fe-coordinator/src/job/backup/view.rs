//! A backup as people see it.

use tabvault_common::ids::TaskId;
use tabvault_common::schema::Partitioning;
use tabvault_common::view::{JobKind, JobView, MAX_TASKS_SHOWN, ObjectView};

use super::{BackupJob, DONE, active};
use crate::catalog::CutTable;
use crate::job::Throughput;

#[cfg(test)]
mod tests;

impl BackupJob {
    /// The job for SHOW BACKUP; `live` is what running tasks say of themselves.
    #[must_use]
    pub fn view(&self, live: &Throughput) -> JobView {
        let state = self.head.state;
        let is_active = |task| self.rows.get(task).is_some_and(|row| row.is_active(state));
        let (done, total) = (self.rows.bytes_in(DONE), self.rows.bytes());
        let progress = live.shown(is_active);
        let running = live.done(is_active);
        let failed = self.rows.failed().filter(|row| row.is_active(state));
        let errors = failed.filter_map(|row| row.error.clone().map(|error| (row.task, error)));
        let asking = self.head.asking.last_error().map(|error| (TaskId(0), error.to_owned()));
        let bytes_done = (done + running).min(total);
        // The one partition of a table that is not partitioned is nobody's choice.
        let partitions = |table: &CutTable| match table.def.partitioning {
            Partitioning::None => Vec::new(),
            Partitioning::Range(_) | Partitioning::List(_) => {
                table.partitions.iter().map(|partition| partition.def.name.clone()).collect()
            }
        };
        let object = |table: &str, partitions| ObjectView { table: table.to_owned(), partitions, alias: None };
        let cut = self.plan.iter().map(|plan| &plan.cut);
        let tables = cut.clone().flat_map(|cut| &cut.tables).map(|table| object(&table.def.name, partitions(table)));
        let views = cut.flat_map(|cut| &cut.views).map(|view| object(&view.name, Vec::new()));
        JobView {
            kind: JobKind::Backup,
            id: self.head.id,
            uuid: self.head.uuid,
            label: self.head.label.to_string(),
            repository: self.head.repository.clone(),
            timestamp: self.head.timestamp.as_ref().map(ToString::to_string),
            database: self.head.database.clone(),
            state: state.as_str().to_owned(),
            ended: state.is_final(),
            objects: tables.chain(views).collect(),
            create_time: self.head.create_time,
            meta_prepared_time: None,
            snapshot_finished_time: self.head.snapshot_finished_time,
            transfer_finished_time: self.head.upload_finished_time,
            finished_time: self.head.finished_time,
            unfinished_tasks: self.rows.first_in(active(state), MAX_TASKS_SHOWN),
            progress,
            task_errors: if state.is_final() {
                Vec::new()
            } else {
                asking.into_iter().chain(errors).take(MAX_TASKS_SHOWN).collect()
            },
            status: self.head.status.clone(),
            timeout_s: self.head.properties.timeout.as_secs(),
            bytes_done,
            bytes_total: total,
            bytes_per_second: live.bytes_per_second(),
            eta_s: live.eta(bytes_done, total, state.is_final()),
            allow_load: false,
            replication_num: None,
        }
    }
}
