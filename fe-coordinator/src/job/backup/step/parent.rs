//! What becomes of the choice of a parent.

use tabvault_common::ids::TaskId;

use super::Draft;
use crate::job::{Ask, Parent};

impl Draft<'_> {
    pub(super) fn on_parent(&mut self, parent: Parent) {
        match parent {
            // The intent is written again, without it.
            Parent::Gone => {
                self.head.parent_gone = true;
                self.ask(Ask::WriteIntent);
            }
            Parent::Shared(rows) => {
                let old: Vec<TaskId> = self.job.rows.values().map(|row| row.task).collect();
                old.into_iter().for_each(|task| self.remove(task));
                self.head.next_task = rows.iter().map(|row| row.task.0 + 1).max().unwrap_or(1);
                rows.into_iter().for_each(|row| self.put(row));
                self.begin_snapshoting();
            }
        }
    }
}
