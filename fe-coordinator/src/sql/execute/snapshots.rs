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
/// Most bytes of Details: what every client takes as one cell.
const MAX_DETAILS: usize = 15 << 20;

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
            return Ok(details(repository.describe(&label, timestamp).await?));
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
        let label = snapshot.label.clone();
        let add = |mut text: String, piece: String| {
            let fits = text.len() + piece.len() <= MAX_DETAILS;
            text.push_str(&piece);
            std::future::ready(if fits { Ok(text) } else { Err(too_long(&label)) })
        };
        let details = pieces.try_fold(String::new(), add).await?;
        Ok::<Vec<Vec<Cell>>, Failure>(cells::snapshot_details(&snapshot, details).rows)
    };
    Answer::Rows(Rows { columns, pages: Box::pin(stream::once(page)) })
}

fn too_long(label: &str) -> Failure {
    let why = format!(
        "the details of snapshot {label} have more than {} MiB, which is too much for one cell: read them with \
         `tabvault snapshot show`, or SHOW SNAPSHOT without TIMESTAMP",
        MAX_DETAILS >> 20
    );
    Failure::fatal(Kind::ResourceExhausted, why)
}
