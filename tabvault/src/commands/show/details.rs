//! One snapshot in detail. Its details may be large, so they are printed as they arrive.

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::view::SnapshotView;

use crate::cli::OutputFormat;
use crate::client::Details;
use crate::error::Result;
use crate::output;

/// Prints the columns Snapshot, Timestamp, Database, Details and Status: below each other for people, as an array of
/// one object for programs.
///
/// # Errors
/// What the storage says, or that stdout cannot be written to.
pub(super) async fn print(format: OutputFormat, mut details: Details) -> Result<()> {
    let (head, tail) = match format {
        OutputFormat::Table | OutputFormat::Vertical => vertical(&details.snapshot),
        OutputFormat::Json => object(&details.snapshot)?,
        OutputFormat::Csv => return csv(details).await,
    };
    output::raw(&head)?;
    while let Some(piece) = details.next().await? {
        if format == OutputFormat::Json {
            output::raw(inside(&quoted(&piece)?))?;
        } else {
            output::raw(&piece)?;
        }
    }
    Ok(output::line(tail)?)
}

/// As a line, for which all of the details are needed.
async fn csv(mut details: Details) -> Result<()> {
    let mut text = String::new();
    while let Some(piece) = details.next().await? {
        text.push_str(&piece);
    }
    let snapshot = &details.snapshot;
    let row = output::row(vec![
        ("Snapshot", Some(snapshot.label.clone())),
        ("Timestamp", Some(snapshot.timestamp.clone())),
        ("Database", snapshot.database.clone()),
        ("Details", Some(text)),
        ("Status", Some(status(snapshot))),
    ]);
    Ok(output::print(OutputFormat::Csv, &row)?)
}

fn status(snapshot: &SnapshotView) -> String {
    snapshot.error.as_ref().map_or_else(|| "OK".to_owned(), |error| format!("ERROR: {error}"))
}

/// What stands before and after the details.
fn vertical(snapshot: &SnapshotView) -> (String, String) {
    let head = format!(
        "*************************** 1. row ***************************\n Snapshot: {}\nTimestamp: {}\n Database: {}\n   \
         Status: {}\n  Details: ",
        snapshot.label,
        snapshot.timestamp,
        snapshot.database.as_deref().unwrap_or("NULL"),
        status(snapshot)
    );
    (head, "\n1 row in set".to_owned())
}

fn object(snapshot: &SnapshotView) -> Result<(String, String)> {
    let head = format!(
        "[{{\"Snapshot\":{},\"Timestamp\":{},\"Database\":{},\"Details\":\"",
        quoted(&snapshot.label)?,
        quoted(&snapshot.timestamp)?,
        snapshot.database.as_deref().map_or_else(|| Ok("null".to_owned()), quoted)?,
    );
    Ok((head, format!("\",\"Status\":{}}}]", quoted(&status(snapshot))?)))
}

fn quoted(text: &str) -> Result<String> {
    let quoted = serde_json::to_string(text);
    Ok(quoted.map_err(|error| Failure::fatal(Kind::Internal, format!("print details: {error}")))?)
}

fn inside(quoted: &str) -> &str {
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(quoted)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn snapshot() -> SnapshotView {
        SnapshotView {
            label: "l".to_owned(),
            timestamp: "2025-07-31-14-02-01-042".to_owned(),
            database: None,
            error: Some("it says \"no\"".to_owned()),
        }
    }

    #[test]
    fn pieces_between_head_and_tail_are_one_json_text() {
        let (head, tail) = object(&snapshot()).unwrap();
        let pieces = ["{\"a\":\"x", "\\\"y\"}"].map(|piece| inside(&quoted(piece).unwrap()).to_owned());
        let text = format!("{head}{}{tail}", pieces.concat());
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read[0]["Details"], "{\"a\":\"x\\\"y\"}");
        assert_eq!(read[0]["Database"], serde_json::Value::Null);
        assert_eq!(read[0]["Status"], "ERROR: it says \"no\"");
    }

    #[test]
    fn for_people_the_columns_stand_below_each_other() {
        let (head, tail) = vertical(&snapshot());
        let text = format!("{head}{{}}{tail}");
        assert!(
            text.ends_with("\n Database: NULL\n   Status: ERROR: it says \"no\"\n  Details: {}\n1 row in set"),
            "{text}"
        );
    }
}
