//! Which snapshots there are, and finding one by what its user typed.

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::label::{Label, SnapshotTimestamp};
use tabvault_common::repo::info::{Info, SnapshotObject};
use tabvault_common::repo::layout;
use tabvault_common::view::SnapshotView;

use super::commit::Standing;
use super::{Repository, Result};

/// Infos that are read at the same time: what bounds memory and requests of a listing.
const READS_AT_ONCE: usize = 8;
/// Timestamps that are named when the one asked for does not exist.
const TIMESTAMPS_NAMED: usize = 5;
/// Infos that are read to find them, so that many tombstones do not make a refusal slow.
const INFOS_LOOKED_AT: usize = 25;

impl Repository {
    /// Whether the label is in use: some info under it is no tombstone. A damaged info counts.
    ///
    /// # Errors
    /// What the storage says.
    pub async fn label_exists(&self, label: &Label) -> Result<bool> {
        let timestamps = self.timestamps(label).await.map_err(|failure| self.doing("list snapshots of", failure))?;
        let names = timestamps.into_iter().map(|timestamp| (label.clone(), timestamp));
        let mut views = self.views(stream::iter(names.map(Ok)).boxed());
        Ok(views.try_next().await.map_err(|failure| self.doing("read snapshots of", failure))?.is_some())
    }

    /// The snapshots of the repository or of one label, by label and timestamp. Tombstones are left out; what is
    /// damaged or too new is there with its error.
    ///
    /// # Errors
    /// What the storage says.
    pub async fn list_snapshots(&self, label: Option<&Label>) -> Result<Vec<SnapshotView>> {
        let labels = match label {
            Some(label) => vec![label.clone()],
            None => self.labels().await.map_err(|failure| self.doing("list snapshots of", failure))?,
        };
        let names = stream::iter(labels)
            .map(async |label| {
                let timestamps = self.timestamps(&label).await?;
                Ok::<_, Failure>(stream::iter(
                    timestamps.into_iter().map(move |timestamp| Ok((label.clone(), timestamp))),
                ))
            })
            .buffer_unordered(READS_AT_ONCE)
            .try_flatten();
        let mut views: Vec<SnapshotView> = self
            .views(names.boxed())
            .try_collect()
            .await
            .map_err(|failure| self.doing("read snapshots of", failure))?;
        views.sort_by(|a, b| (&a.label, &a.timestamp).cmp(&(&b.label, &b.timestamp)));
        Ok(views)
    }

    /// The info of a snapshot, by a timestamp as its user typed it, with or without milliseconds.
    ///
    /// # Errors
    /// `NotFound` "Failed to get info of snapshot 'L' because: …. Maybe specified wrong backup timestamp", naming up
    /// to five that exist; `InvalidArgument` when several snapshots were made within the second; `Corrupt` naming the
    /// damaged object; else what the storage says.
    pub async fn read_info(&self, label: &Label, timestamp: &str) -> Result<Info> {
        let refused =
            |failure: Failure| failure.context(format_args!("Failed to get info of snapshot '{label}' because"));
        let known = self.timestamps(label).await.map_err(refused)?;
        let mut found: Option<(SnapshotTimestamp, Standing)> = None;
        for candidate in known.iter().filter(|known| known.matches(timestamp)) {
            let standing = match self.standing(&layout::info(label, candidate)).await.map_err(refused)? {
                None | Some(Standing::Object(SnapshotObject::Tombstone(_))) => continue,
                Some(standing) => standing,
            };
            if let Some((first, _)) = &found {
                let message = format!("'{timestamp}' may be {first} or {candidate}; give it with milliseconds");
                return Err(refused(Failure::fatal(Kind::InvalidArgument, message)));
            }
            found = Some((candidate.clone(), standing));
        }
        match found.map(|(_, standing)| standing) {
            Some(Standing::Object(SnapshotObject::Snapshot(info))) => Ok(info),
            Some(Standing::Damaged(failure)) => Err(refused(failure)),
            Some(Standing::Object(SnapshotObject::Tombstone(_))) | None => {
                let exist = self.some_that_exist(label, known).await.map_err(refused)?;
                let because =
                    format!("it has no timestamp '{timestamp}', {exist}. Maybe specified wrong backup timestamp");
                Err(refused(Failure::fatal(Kind::NotFound, because)))
            }
        }
    }

    /// The labels that have a directory, sorted.
    pub(super) async fn labels(&self) -> Result<Vec<Label>> {
        let mut labels = Vec::new();
        let mut level = self.storage.list_level("").await?;
        while let Some(path) = level.try_next().await? {
            labels.extend(layout::parse_snapshot_dir(&path).filter(|_| path.ends_with('/')));
        }
        labels.sort();
        Ok(labels)
    }

    /// The timestamps under a label, tombstones included, sorted.
    pub(super) async fn timestamps(&self, label: &Label) -> Result<Vec<SnapshotTimestamp>> {
        let mut timestamps = Vec::new();
        let mut level = self.storage.list_level(&layout::snapshot_dir(label)).await?;
        while let Some(path) = level.try_next().await? {
            timestamps.extend(layout::parse_info(&path).map(|(_, timestamp)| timestamp));
        }
        timestamps.sort();
        Ok(timestamps)
    }

    /// What is shown of these, in no particular order.
    fn views<'a>(
        &'a self,
        names: BoxStream<'a, Result<(Label, SnapshotTimestamp)>>,
    ) -> BoxStream<'a, Result<SnapshotView>> {
        names
            .map_ok(async |(label, timestamp)| self.view(&label, &timestamp).await)
            .try_buffer_unordered(READS_AT_ONCE)
            .try_filter_map(async |view| Ok(view))
            .boxed()
    }

    async fn view(&self, label: &Label, timestamp: &SnapshotTimestamp) -> Result<Option<SnapshotView>> {
        let shown = |database: Option<String>, error: Option<String>| {
            let (label, timestamp) = (label.to_string(), timestamp.to_string());
            Ok(Some(SnapshotView { label, timestamp, database, error }))
        };
        match self.standing(&layout::info(label, timestamp)).await {
            Ok(None | Some(Standing::Object(SnapshotObject::Tombstone(_)))) => Ok(None),
            Ok(Some(Standing::Object(SnapshotObject::Snapshot(info)))) => shown(Some(info.database), None),
            Ok(Some(Standing::Damaged(failure))) => shown(None, Some(failure.message)),
            Err(failure) if failure.kind == Kind::Unsupported => shown(None, Some(failure.message)),
            Err(failure) => Err(failure),
        }
    }

    async fn some_that_exist(&self, label: &Label, known: Vec<SnapshotTimestamp>) -> Result<String> {
        let mut exist = Vec::new();
        for timestamp in known.into_iter().rev().take(INFOS_LOOKED_AT) {
            if self.view(label, &timestamp).await?.is_some() {
                exist.push(timestamp.to_string());
            }
            if exist.len() == TIMESTAMPS_NAMED {
                break;
            }
        }
        Ok(if exist.is_empty() {
            "there is no such snapshot in the repository".to_owned()
        } else {
            format!("it has {}", exist.join(", "))
        })
    }
}
