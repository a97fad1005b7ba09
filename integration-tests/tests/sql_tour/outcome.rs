//! What a statement answered, whichever client asked; and how the golden files tell it.

use std::fmt::Write;

/// What a statement answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done.
    Done {
        /// Rows that it affected.
        affected: u64,
        /// What it told besides.
        notices: Vec<String>,
    },
    /// Rows; none have no columns either, since no client tells them.
    Rows {
        /// Names of the columns.
        columns: Vec<String>,
        /// The cells, with NULL as that word.
        rows: Vec<Vec<String>>,
    },
    /// A page of HELP.
    Page(String),
    /// It was refused: `ERROR code (state): why`.
    Refused(String),
}

/// Rows that are wider are written one cell a line.
const WIDTH: usize = 120;

impl Outcome {
    /// The text of the golden files.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Done { affected, notices } => {
                let notices = notices.iter().fold(String::new(), |told, notice| told + "Note: " + notice + "\n");
                format!("OK, {affected} affected\n{notices}")
            }
            Self::Rows { rows, .. } if rows.is_empty() => "no rows\n".to_owned(),
            Self::Rows { columns, rows } => table(columns, rows).unwrap_or_else(|| list(columns, rows)),
            Self::Page(text) => text.clone(),
            Self::Refused(why) => format!("{why}\n"),
        }
    }
}

/// Columns below each other; none if there are lines within cells or many columns are too wide.
fn table(columns: &[String], rows: &[Vec<String>]) -> Option<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = columns.iter().enumerate().map(|(n, name)| name.chars().count().max(width(n))).collect();
    let whole = widths.iter().map(|width| width + 2).sum::<usize>();
    let lines = rows.iter().flatten().any(|cell| cell.contains('\n'));
    ((whole <= WIDTH + 2 || columns.len() <= 2) && !lines).then(|| {
        std::iter::once(columns).chain(rows.iter().map(Vec::as_slice)).fold(String::new(), |mut told, row| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            told.push_str(line.trim_end());
            told + "\n"
        })
    })
}

fn list(columns: &[String], rows: &[Vec<String>]) -> String {
    let width = columns.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let mut told = String::new();
    for (n, row) in rows.iter().enumerate() {
        writeln!(told, "row {}", n + 1).expect("write to a string");
        for (name, cell) in columns.iter().zip(row) {
            let cell = cell.replace('\n', &format!("\n{:width$}  ", ""));
            told.push_str(format!("{name:>width$}: {cell}").trim_end());
            told.push('\n');
        }
    }
    told
}
