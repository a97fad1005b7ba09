//! How the answer of a statement is printed, while it arrives.

use std::time::Duration;

use serde_json::Value;

use crate::cli::OutputFormat;
use crate::error::Result;
use crate::output::{self, Cell, count};

/// Prints the answer of one statement. Only a table is held until it is whole: its columns are as wide as its cells.
#[derive(Debug)]
pub(super) struct Printer {
    format: OutputFormat,
    columns: Option<Vec<String>>,
    held: Vec<Vec<Cell>>,
    printed: usize,
}

impl Printer {
    pub(super) fn new(format: OutputFormat) -> Self {
        Self { format, columns: None, held: Vec::new(), printed: 0 }
    }

    /// Rows come.
    pub(super) fn begin(&mut self, columns: Vec<String>) -> Result<()> {
        (self.held, self.printed) = (Vec::new(), 0);
        match self.format {
            OutputFormat::Table | OutputFormat::Vertical => {}
            OutputFormat::Json => output::raw("[")?,
            OutputFormat::Csv => output::raw(&output::csv_line(&columns)?)?,
        }
        self.columns = Some(columns);
        Ok(())
    }

    pub(super) fn rows(&mut self, rows: Vec<Vec<Cell>>) -> Result<()> {
        let columns = self.columns.as_deref().unwrap_or_default();
        let mut text = String::new();
        for row in &rows {
            self.printed += 1;
            match self.format {
                OutputFormat::Table => {}
                OutputFormat::Vertical => text.push_str(&output::below_each_other(self.printed, columns, row)),
                OutputFormat::Json => {
                    text.push_str(if self.printed == 1 { "" } else { ",\n" });
                    text.push_str(&output::json_object(columns, row));
                }
                OutputFormat::Csv => text.push_str(&output::csv_row(row)?),
            }
        }
        if self.format == OutputFormat::Table {
            self.held.extend(rows);
        }
        Ok(output::raw(&text)?)
    }

    /// The statement has ended well.
    pub(super) fn done(&mut self, affected: u64, notices: &[String], took: Option<Duration>) -> Result<()> {
        let took = took.map_or_else(String::new, |took| format!(" ({:.2} sec)", took.as_secs_f64()));
        let columns = self.columns.take();
        match (self.format, &columns) {
            (OutputFormat::Json, None) => {
                let notices: Value = notices.iter().map(String::as_str).collect();
                output::line(format!("{{\"affected\":{affected},\"notices\":{notices}}}"))?;
            }
            (OutputFormat::Json, Some(_)) => output::line("]")?,
            (OutputFormat::Csv, _) => {}
            (_, None) => output::line(format!("Query OK, {} affected{took}", count(affected, "row")))?,
            (_, Some(_)) if self.printed == 0 => output::line(format!("Empty set{took}"))?,
            (format, Some(columns)) => {
                if format == OutputFormat::Table {
                    output::line(output::framed(columns, &self.held))?;
                }
                output::line(format!("{} in set{took}", count(self.printed as u64, "row")))?;
            }
        }
        if self.format != OutputFormat::Json || columns.is_some() {
            notices.iter().for_each(|notice| output::note(format!("Note: {notice}")));
        }
        self.held = Vec::new();
        Ok(())
    }

    /// The statement has failed: what is printed stays as it is, on a line of its own.
    pub(super) fn broken(&mut self) -> Result<()> {
        if self.columns.take().is_some() && self.format == OutputFormat::Json {
            output::line("")?;
        }
        Ok(())
    }
}
