//! Results on stdout: tables aligned as MySQL clients print them, rows below each other, JSON or CSV.
//!
//! Whoever reads them may go away at any time (`| head`): that is no error, and nothing is printed any more.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::Value;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::view::cells::ResultSet;

use crate::cli::OutputFormat;

/// A cell as text; `None` is NULL.
pub type Cell = Option<String>;

/// Prints a result set.
///
/// # Errors
/// That stdout cannot be written to.
pub fn print(format: OutputFormat, set: &ResultSet) -> Result<(), Failure> {
    line(match format {
        OutputFormat::Table => table(set),
        OutputFormat::Vertical => vertical(set),
        OutputFormat::Json => json(set),
        OutputFormat::Csv => return raw(&csv(&set.columns, &set.rows)?),
    })
}

/// Prints what was done: a sentence for people, a result set for programs.
///
/// # Errors
/// That stdout cannot be written to.
pub fn done(format: OutputFormat, sentence: &str, set: &ResultSet) -> Result<(), Failure> {
    match format {
        OutputFormat::Table | OutputFormat::Vertical => line(sentence),
        OutputFormat::Json | OutputFormat::Csv => print(format, set),
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
    let objects = set.rows.iter().map(|row| json_object(&set.columns, row));
    format!("[{}]", objects.collect::<Vec<_>>().join(","))
}

/// A row as an object whose keys are the columns' names, in their order; cells are texts or null.
#[must_use]
pub fn json_object(columns: &[impl AsRef<str>], row: &[Cell]) -> String {
    let cells = columns.iter().zip(row).map(|(column, cell)| {
        // A `Value` prints itself as JSON.
        format!("{}:{}", Value::from(column.as_ref()), cell.as_deref().map_or(Value::Null, Value::from))
    });
    format!("{{{}}}", cells.collect::<Vec<_>>().join(","))
}

/// A framed table and the number of its rows.
#[must_use]
pub fn table(set: &ResultSet) -> String {
    if set.rows.is_empty() {
        return "Empty set".to_owned();
    }
    format!("{}\n{} in set", framed(&set.columns, &set.rows), count(set.rows.len() as u64, "row"))
}

/// Rows in a frame, under their columns' names.
#[must_use]
pub fn framed(columns: &[impl AsRef<str>], rows: &[Vec<Cell>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| shown(cell.as_deref())).collect()).collect();
    let mut widths: Vec<usize> = columns.iter().map(|column| column.as_ref().chars().count()).collect();
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
    cells(&mut text, &widths, columns.iter().map(AsRef::as_ref));
    text.push_str(&frame);
    text.push('\n');
    for row in &rows {
        cells(&mut text, &widths, row.iter().map(String::as_str));
    }
    text.push_str(&frame);
    text
}

/// Every row as lines of a column's name and its cell, and the number of rows.
#[must_use]
pub fn vertical(set: &ResultSet) -> String {
    if set.rows.is_empty() {
        return "Empty set".to_owned();
    }
    let rows = set.rows.iter().enumerate().map(|(n, row)| below_each_other(n + 1, &set.columns, row));
    format!("{}{} in set", rows.collect::<String>(), count(set.rows.len() as u64, "row"))
}

/// The row `number`, counted from 1, as lines of a column's name and its cell.
#[must_use]
pub fn below_each_other(number: usize, columns: &[impl AsRef<str>], row: &[Cell]) -> String {
    let widest = columns.iter().map(|column| column.as_ref().chars().count()).max().unwrap_or(0);
    let mut text = format!("*************************** {number}. row ***************************\n");
    for (column, cell) in columns.iter().zip(row) {
        // Lines of a cell stay lines; writing into a text cannot fail.
        let lines = cell.as_deref().map(|cell| cell.split('\n').map(|line| shown(Some(line))).collect::<Vec<_>>());
        let cell = lines.map_or_else(|| shown(None), |lines| lines.join("\n"));
        let _ = writeln!(text, "{:>widest$}: {cell}", column.as_ref());
    }
    text
}

/// The columns' names and the rows as RFC 4180 has it; NULL is an empty field.
///
/// # Errors
/// None that anybody could bring about.
pub fn csv(columns: &[impl AsRef<str>], rows: &[Vec<Cell>]) -> Result<String, Failure> {
    let mut text = csv_line(columns)?;
    for row in rows {
        text.push_str(&csv_row(row)?);
    }
    Ok(text)
}

/// The first line of [`csv()`].
///
/// # Errors
/// As [`csv()`].
pub fn csv_line(columns: &[impl AsRef<str>]) -> Result<String, Failure> {
    csv_record(columns.iter().map(AsRef::as_ref))
}

/// A further line of [`csv()`].
///
/// # Errors
/// As [`csv()`].
pub fn csv_row(row: &[Cell]) -> Result<String, Failure> {
    csv_record(row.iter().map(|cell| cell.as_deref().unwrap_or_default()))
}

fn csv_record<'a>(fields: impl Iterator<Item = &'a str>) -> Result<String, Failure> {
    let failed = |why: String| Failure::fatal(Kind::Internal, format!("write CSV: {why}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields).map_err(|error| failed(error.to_string()))?;
    let bytes = writer.into_inner().map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_counted_as_many() {
        assert_eq!(count(0, "file"), "0 files");
        assert_eq!(count(1, "directory"), "1 directory");
        assert_eq!(count(2, "directory"), "2 directories");
    }

    fn rows() -> (Vec<&'static str>, Vec<Vec<Cell>>) {
        let cell = |text: &str| Some(text.to_owned());
        (vec!["a", "long"], vec![vec![cell("1"), None], vec![cell("x,\"y\"\u{1b}"), cell("two\nlines")]])
    }

    #[test]
    fn rows_stand_below_each_other_with_names_aligned_to_the_right() {
        let (columns, rows) = rows();
        let text: String = rows.iter().enumerate().map(|(n, row)| below_each_other(n + 1, &columns, row)).collect();
        let stars = "*".repeat(27);
        let wanted = format!(
            "{stars} 1. row {stars}\n   a: 1\nlong: NULL\n{stars} 2. row {stars}\n   a: x,\"y\"\\u{{1b}}\nlong: two\nlines\n"
        );
        assert_eq!(text, wanted);
    }

    #[test]
    fn csv_quotes_what_must_be_quoted_and_nothing_else() {
        let (columns, rows) = rows();
        assert_eq!(csv(&columns, &rows).unwrap(), "a,long\n1,\n\"x,\"\"y\"\"\u{1b}\",\"two\nlines\"\n");
    }

    #[test]
    fn what_would_break_the_frame_is_escaped() {
        assert_eq!(shown(Some("a\nb\u{1b}[2J\tü")), "a\\nb\\u{1b}[2J\\tü");
        assert_eq!(shown(None), "NULL");
        assert_eq!(shown(Some("")), "");
    }
}
