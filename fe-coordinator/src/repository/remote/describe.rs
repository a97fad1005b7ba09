//! SHOW SNAPSHOT with its details: the whole structure of a backup as one JSON text, made piece by piece.
//!
//! The text is
//! `{label, timestamp, database, job, content, backup_type, parent, create_time, finish_time, totals, tables: [{name, key_type,
//! partitions: [{name, version, replication_num, indexes: [{name, schema_hash, tablets: [{id, version, files,
//! bytes}]}]}]}], views: [name]}`. One that may not be as long as that leaves out what comes last and ends in
//! `"truncated": true`; its totals are of all. The meta is verified before the first piece; only its compressed bytes, one of its
//! lines and a few pieces are in memory at a time.

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use serde::Serialize;
use serde_json::{Value, json};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::label::Label;
use tabvault_common::repo::info::Info;
use tabvault_common::repo::meta::{MetaRecord, PartitionMeta};
use tabvault_common::view::SnapshotView;
use tokio::sync::mpsc;

use super::{Repository, Result};

/// Bytes after which a piece is sent.
const PIECE: usize = 64 << 10;
/// Bytes that are kept to end a text that is cut: what is open is closed, and it says that it was cut.
const END: usize = 2 << 10;
/// Pieces that may wait for their reader.
const WAITING: usize = 4;

/// A snapshot and what is in it.
pub struct Description {
    /// The snapshot, with its database.
    pub snapshot: SnapshotView,
    /// The pieces of one JSON text. It is complete only if the stream ends without a failure.
    pub pieces: BoxStream<'static, Result<String>>,
}

impl std::fmt::Debug for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Description").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}

impl Repository {
    /// The whole structure of a snapshot: database, tables, partitions, indexes, tablets with their files, bytes and
    /// version.
    ///
    /// # Errors
    /// As of [`Self::read_info`] and [`Self::read_meta`]; damage inside the meta ends the stream with a failure.
    pub async fn describe(&self, label: &Label, timestamp: &str) -> Result<Description> {
        self.describe_within(label, timestamp, usize::MAX).await
    }

    /// As [`Self::describe`], in at most `limit` bytes, of which a few thousand must be given: what comes last is left
    /// out if need be, and the text says so.
    ///
    /// # Errors
    /// As of [`Self::describe`].
    pub async fn describe_within(&self, label: &Label, timestamp: &str, limit: usize) -> Result<Description> {
        let info = self.read_info(label, timestamp).await?;
        let bytes = self.meta_bytes(&info).await?;
        let snapshot = SnapshotView {
            label: info.label.to_string(),
            timestamp: info.timestamp.to_string(),
            database: Some(info.database.clone()),
            error: None,
        };
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::task::spawn_blocking(move || {
            let mut text = Text { piece: String::new(), sender, left: limit.saturating_sub(END) };
            if let Err(Stop::Failed(failure)) = write(&info, bytes, &mut text) {
                // Nobody listens any more: nobody to tell.
                drop(text.sender.blocking_send(Err(failure)));
            }
        });
        let pieces = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        Ok(Description { snapshot, pieces: pieces.boxed() })
    }
}

/// Why the text ends before its end.
enum Stop {
    Failed(Failure),
    /// Its reader is gone.
    Unwanted,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

struct Text {
    piece: String,
    sender: mpsc::Sender<Result<String>>,
    /// Bytes that may follow before it is cut.
    left: usize,
}

impl Text {
    /// Whether nothing more is to be told.
    fn is_full(&self) -> bool {
        self.left == 0
    }

    fn push(&mut self, text: &str) -> std::result::Result<(), Stop> {
        self.left = self.left.saturating_sub(text.len());
        self.piece.push_str(text);
        if self.piece.len() >= PIECE { self.send() } else { Ok(()) }
    }

    fn json(&mut self, value: &impl Serialize) -> std::result::Result<(), Stop> {
        let text = serde_json::to_string(value)
            .map_err(|error| Failure::fatal(Kind::Internal, format!("describe a snapshot: {error}")))?;
        self.push(&text)
    }

    fn send(&mut self) -> std::result::Result<(), Stop> {
        let piece = std::mem::take(&mut self.piece);
        self.sender.blocking_send(Ok(piece)).map_err(|_| Stop::Unwanted)
    }

    /// The fields of an object, left open: without its closing brace.
    fn open_object(&mut self, fields: &Value) -> std::result::Result<(), Stop> {
        let text = fields.to_string();
        self.push(text.strip_suffix('}').unwrap_or(&text))
    }
}

/// What the text is in the middle of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Tables { any: bool },
    Partitions { any: bool },
    Views { any: bool },
}

fn write(info: &Info, bytes: Bytes, text: &mut Text) -> std::result::Result<(), Stop> {
    let mut meta = super::meta::open(bytes, info)?;
    text.open_object(&json!({
        "label": info.label,
        "timestamp": info.timestamp,
        "database": info.database,
        "job": info.job.uuid,
        "backup_type": info.backup_type,
        "parent": info.parent,
        "content": info.content,
        "create_time": info.create_time.text,
        "finish_time": info.finish_time.text,
        "totals": info.totals,
    }))?;
    text.push(",\"tables\":[")?;
    let mut within = Within::Tables { any: false };
    for record in &mut meta {
        if text.is_full() {
            break;
        }
        match record? {
            MetaRecord::Table(def) => {
                let any = leave_table(text, within)?;
                text.push(if any { "," } else { "" })?;
                text.open_object(&json!({ "name": def.name, "key_type": def.key_type.as_str() }))?;
                text.push(",\"partitions\":[")?;
                within = Within::Partitions { any: false };
            }
            MetaRecord::Partition(partition) => {
                text.push(if within == (Within::Partitions { any: true }) { "," } else { "" })?;
                write_partition(text, &partition)?;
                within = Within::Partitions { any: true };
            }
            MetaRecord::View(view) => {
                within = leave_tables(text, within)?;
                text.push(if within == (Within::Views { any: true }) { "," } else { "" })?;
                text.json(&view.name)?;
                within = Within::Views { any: true };
            }
        }
    }
    let cut = text.is_full();
    leave_tables(text, within)?;
    text.push(if cut { "],\"truncated\":true}" } else { "]}" })?;
    text.send()
}

/// Ends the table that the text is in, if any. Whether there was one before.
fn leave_table(text: &mut Text, within: Within) -> std::result::Result<bool, Stop> {
    match within {
        Within::Partitions { .. } => text.push("]}").map(|()| true),
        Within::Tables { any } | Within::Views { any } => Ok(any),
    }
}

/// Ends the list of tables, if the text is in it, and begins that of views.
fn leave_tables(text: &mut Text, within: Within) -> std::result::Result<Within, Stop> {
    if matches!(within, Within::Views { .. }) {
        return Ok(within);
    }
    leave_table(text, within)?;
    text.push("],\"views\":[")?;
    Ok(Within::Views { any: false })
}

fn write_partition(text: &mut Text, partition: &PartitionMeta) -> std::result::Result<(), Stop> {
    text.open_object(&json!({
        "name": partition.def.name,
        "version": partition.visible_version,
        "version_time": partition.version_time.to_string(),
        "replication_num": partition.def.replication_num,
    }))?;
    text.push(",\"indexes\":[")?;
    for (n, index) in partition.indexes.iter().enumerate() {
        if text.is_full() {
            break;
        }
        text.push(if n > 0 { "," } else { "" })?;
        text.open_object(&json!({ "name": index.name, "schema_hash": index.schema_hash }))?;
        text.push(",\"tablets\":[")?;
        for (n, tablet) in index.tablets.iter().enumerate() {
            if text.is_full() {
                break;
            }
            text.push(if n > 0 { "," } else { "" })?;
            text.json(&json!({
                "id": tablet.tablet,
                "version": partition.visible_version,
                "files": tablet.files,
                "bytes": tablet.bytes,
            }))?;
        }
        text.push("]}")?;
    }
    text.push("]}")
}
