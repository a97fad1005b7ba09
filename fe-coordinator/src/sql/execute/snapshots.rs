//! SHOW SNAPSHOT.

use futures::stream::{self, StreamExt, TryStreamExt};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::label::Label;
use tabvault_common::view::SnapshotView;
use tabvault_common::view::cells;

use super::pattern::matches;
use crate::repository::Description;
use crate::sql::answer::{Answer, Cell, Rows};
use crate::sql::error::SqlError;
use crate::sql::session::Session;
use crate::sql::statement::Match;

/// Rows that are made at once.
const PAGE: usize = 1000;

impl Session {
    pub(super) async fn show_snapshots(
        &self,
        repository: &str,
        label: Option<&Match>,
        timestamp: Option<&str>,
    ) -> Result<Answer, SqlError> {
        self.admin().await?;
        let exact: Option<Label> = match label {
            Some(Match::Equals(label)) => Some(label.parse()?),
            Some(Match::Like(_)) | None => None,
        };
        let repository = self.coordinator.repositories().open(repository).await?;
        if let Some(timestamp) = timestamp {
            let Some(label) = exact else {
                let why =
                    "SHOW SNAPSHOT with TIMESTAMP needs the label as well: WHERE SNAPSHOT = '…' AND TIMESTAMP = '…'";
                return Err(Failure::fatal(Kind::InvalidArgument, why).into());
            };
            let limit = self.coordinator.config().max_snapshot_details;
            return Ok(details(repository.describe_within(&label, timestamp, limit).await?));
        }
        let mut views = repository.list_snapshots(exact.as_ref()).await?;
        views.retain(|view| matches(label, &view.label));
        Ok(list(views))
    }
}

fn list(views: Vec<SnapshotView>) -> Answer {
    let columns = Rows::from(cells::snapshots(&[])).columns;
    let pages = stream::iter(views).chunks(PAGE).map(|page| Ok(cells::snapshots(&page).rows));
    Answer::Rows(Rows { columns, pages: Box::pin(pages) })
}

fn details(description: Description) -> Answer {
    let Description { snapshot, pieces } = description;
    let columns = Rows::from(cells::snapshot_details(&snapshot, String::new())).columns;
    let page = async move {
        let details: String = pieces.try_collect().await?;
        Ok::<Vec<Vec<Cell>>, Failure>(cells::snapshot_details(&snapshot, details).rows)
    };
    Answer::Rows(Rows { columns, pages: Box::pin(stream::once(page)) })
}
