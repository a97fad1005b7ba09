//! What an incremental backup would share.

use super::{Coordinator, Explanation};
use crate::catalog::Cut;
use crate::check::properties::BackupProperties;
use crate::job::backup::share::share;
use crate::job::backup::{Row, Stage};
use crate::repository::Repository;

impl Coordinator {
    /// The rows with what would be shared, and a notice that says so.
    pub(super) async fn explain_parent(
        &self,
        cut: &Cut,
        repository: &Repository,
        properties: &BackupProperties,
        rows: Vec<Row>,
        explained: &mut Explanation,
    ) -> Vec<Row> {
        if !properties.shares() {
            return rows;
        }
        let chosen = self.inner.asks.choose_parent(repository, &cut.database, properties).await;
        let Some(parent) = explained.take(chosen) else { return rows };
        let Some(info) = parent else {
            let (database, repository) = (&cut.database, repository.name());
            let notice = format!(
                "repository {repository} has no snapshot with data of database {database} that this cluster made: nothing \
                 is shared"
            );
            explained.notices.push(notice);
            return rows;
        };
        let (label, timestamp) = (&info.label, &info.timestamp);
        let meta = match repository.read_meta(&info).await {
            Ok(meta) => meta,
            Err(failure) => {
                explained
                    .notices
                    .push(format!("nothing may be shared with snapshot {label} of {timestamp}: {failure}"));
                return rows;
            }
        };
        let rows = share(cut, self.inner.cluster, rows, &info, &meta);
        let (mut shared, mut bytes) = (0, 0);
        for row in rows.iter().filter(|row| matches!(row.stage, Stage::Uploaded(_))) {
            (shared, bytes) = (shared + row.tablets.len(), bytes + row.bytes());
        }
        let all: usize = rows.iter().map(|row| row.tablets.len()).sum();
        explained.notices.push(format!(
            "{shared} of {all} tablets are as they were in snapshot {label} of {timestamp} and are shared, {bytes} bytes; \
             of the others' files those that it has are not stored again, though they are counted here"
        ));
        rows
    }
}
