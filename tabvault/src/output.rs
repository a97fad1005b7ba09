//! Results on stdout: tables aligned as MySQL clients print them, or JSON.
//!
//! Whoever reads them may go away at any time (`| head`): that is no error, and nothing is printed any more.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::Value;
use tabvault_common::failure::Failure;
use tabvault_common::view::cells::ResultSet;

use crate::cli::OutputFormat;

/// Prints a result set.
///
/// # Errors
/// That stdout cannot be written to.
pub fn print(format: OutputFormat, set: &ResultSet) -> Result<(), Failure> {
    line(match format {
        OutputFormat::Table => table(set),
        OutputFormat::Json => json(set),
    })
}

/// Prints what was done: a sentence for people, a result set for programs.
///
/// # Errors
/// That stdout cannot be written to.
pub fn done(format: OutputFormat, sentence: &str, set: &ResultSet) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => line(sentence),
        OutputFormat::Json => line(json(set)),
    }
}

/// Prints a line.
///
/// # Errors
/// That stdout cannot be written to.
pub fn line(text: impl AsRef<str>) -> Result<(), Failure> {
    raw(text.as_ref()).and_then(|()| raw("\n"))
}

/// Prints a piece of a line.
///
/// # Errors
/// That stdout cannot be written to.
pub fn raw(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::io("write to stdout", &error)),
    }
}

/// Tells something beside the result, on stderr. Whether anybody reads it is nobody's business.
pub fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// A result set of one row, for commands that are no SHOW.
#[must_use]
pub fn row(cells: Vec<(&'static str, Option<String>)>) -> ResultSet {
    let (columns, row) = cells.into_iter().unzip();
    ResultSet { columns, rows: vec![row] }
}

/// An array of objects whose keys are the columns' names, in their order; cells are texts or null.
#[must_use]
pub fn json(set: &ResultSet) -> String {
    let object = |row: &Vec<Option<String>>| {
        let cells = set.columns.iter().zip(row);
        let cells = cells.map(|(column, cell)| {
            // A `Value` prints itself as JSON.
            format!("{}:{}", Value::from(*column), cell.as_deref().map_or(Value::Null, Value::from))
        });
        format!("{{{}}}", cells.collect::<Vec<_>>().join(","))
    };
    format!("[{}]", set.rows.iter().map(object).collect::<Vec<_>>().join(","))
}

/// A framed table and the number of its rows.
#[must_use]
pub fn table(set: &ResultSet) -> String {
    if set.rows.is_empty() {
        return "Empty set".to_owned();
    }
    let rows: Vec<Vec<String>> =
        set.rows.iter().map(|row| row.iter().map(|cell| shown(cell.as_deref())).collect()).collect();
    let mut widths: Vec<usize> = set.columns.iter().map(|column| column.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut frame = String::from("+");
    for width in &widths {
        frame.extend(std::iter::repeat_n('-', width + 2));
        frame.push('+');
    }
    let mut text = format!("{frame}\n");
    cells(&mut text, &widths, set.columns.iter().copied());
    text.push_str(&frame);
    text.push('\n');
    for row in &rows {
        cells(&mut text, &widths, row.iter().map(String::as_str));
    }
    let noun = if rows.len() == 1 { "row" } else { "rows" };
    // Writing into a text cannot fail.
    let _ = write!(text, "{frame}\n{} {noun} in set", rows.len());
    text
}

fn cells<'a>(text: &mut String, widths: &[usize], row: impl Iterator<Item = &'a str>) {
    text.push('|');
    for (width, cell) in widths.iter().zip(row) {
        let _ = write!(text, " {cell:<width$} |");
    }
    text.push('\n');
}

/// A cell on one line: what would break the frame or the terminal is written as an escape.
fn shown(cell: Option<&str>) -> String {
    let Some(cell) = cell else { return "NULL".to_owned() };
    let mut text = String::with_capacity(cell.len());
    for c in cell.chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

/// Bytes for people, such as `12.3 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// `1 file`, `2 files`, `2 directories`.
#[must_use]
pub fn count(number: u64, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if number == 1 => format!("1 {noun}"),
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_counted_as_many() {
        assert_eq!(count(0, "file"), "0 files");
        assert_eq!(count(1, "directory"), "1 directory");
        assert_eq!(count(2, "directory"), "2 directories");
    }

    #[test]
    fn what_would_break_the_frame_is_escaped() {
        assert_eq!(shown(Some("a\nb\u{1b}[2J\tü")), "a\\nb\\u{1b}[2J\\tü");
        assert_eq!(shown(None), "NULL");
        assert_eq!(shown(Some("")), "");
    }
}
