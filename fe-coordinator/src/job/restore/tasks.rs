//! The tasks of a restore: pure functions of its rows.

use tabvault_common::access::StorageAccess;
use tabvault_common::ids::Epoch;
use tabvault_common::task::{Adopt, CreateTablet, CreateTablets, Download, TabletMapping, Task, TaskBody, TaskKey};

use super::{RestoreJob, Row, RowTablet, Stage};

impl RestoreJob {
    /// The task that a row's present stage asks for, with `repository` as the agents reach it.
    #[must_use]
    pub fn task(&self, row: &Row, epoch: Epoch, repository: StorageAccess) -> Option<Task> {
        let body = match row.stage {
            Stage::Create => {
                TaskBody::CreateTablets(CreateTablets { tablets: row.tablets.iter().map(create).collect() })
            }
            Stage::Created => {
                TaskBody::Download(Download { repository, manifest: row.manifest?, tablets: mappings(row) })
            }
            Stage::Downloaded => TaskBody::Adopt(Adopt { tablets: mappings(row) }),
            Stage::Adopted => return None,
        };
        let key = TaskKey { job: self.head.uuid, task: row.task, attempt: row.attempt };
        Some(Task { key, epoch, body })
    }
}

fn create(tablet: &RowTablet) -> CreateTablet {
    CreateTablet {
        tablet: tablet.target,
        schema_hash: tablet.schema_hash,
        lineage: tablet.lineage,
        reuse_from: tablet.reuse,
    }
}

fn mappings(row: &Row) -> Vec<TabletMapping> {
    let one = |tablet: &RowTablet| TabletMapping {
        source: tablet.source.clone(),
        target: tablet.target,
        schema_hash: tablet.schema_hash,
    };
    row.tablets.iter().map(one).collect()
}
