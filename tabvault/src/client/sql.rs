//! SQL over gRPC.

use std::fmt;

use tabvault_common::failure::{Failure, Kind};
use tabvault_proto::v1;
use tabvault_proto::v1::execute_response::Part as Wired;
use tabvault_proto::v1::sql_service_client::SqlServiceClient;
use tonic::Streaming;

use super::{Client, Result, Wire};
use crate::output::Cell;

/// Largest page that is taken, in bytes: a page is small, but one cell, such as the details of a snapshot, need not be.
const MAX_PAGE: usize = 512 << 20;

/// What statements answer, part by part.
#[derive(Debug)]
pub struct Execution {
    stream: Streaming<v1::ExecuteResponse>,
    client: Client,
    ended: bool,
}

/// A part of the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The names of the columns of the rows that come.
    Columns(Vec<String>),
    /// Rows, with as many cells as there are columns.
    Rows(Vec<Vec<Cell>>),
    /// A statement has ended well.
    Done {
        /// Rows affected, as MySQL counts them.
        affected: u64,
        /// What the user should know.
        notices: Vec<String>,
    },
    /// A statement has failed; no further one is run.
    Refused(Refusal),
    /// The text has ended, in this database.
    End(Option<String>),
}

/// Why a statement failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What went wrong.
    pub failure: Failure,
    /// MySQL's number of the error.
    pub code: u32,
    /// MySQL's SQLSTATE of it.
    pub sqlstate: String,
    /// Line and character, from 1, where the text could not be read.
    pub place: Option<(usize, usize)>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERROR {} ({}): {}", self.code, self.sqlstate, self.failure)
    }
}

impl Execution {
    /// The next part; `None` after [`Part::End`]. Cancel safe.
    ///
    /// # Errors
    /// That the connection broke: what was begun may have happened.
    pub async fn next(&mut self) -> Result<Option<Part>> {
        while let Some(answer) = self.stream.message().await.map_err(|status| self.client.failed(&status))? {
            // A part of a later version says nothing to this one.
            let Some(part) = answer.part else { continue };
            let part = part_of(part)?;
            self.ended |= matches!(part, Part::End(_));
            return Ok(Some(part));
        }
        if self.ended {
            return Ok(None);
        }
        let why = format!("{} ended its answer too early: the statement may have happened", self.client.address);
        Err(Failure { kind: Kind::Unreachable, retry: tabvault_common::failure::Retry::OutcomeUnknown, message: why })
    }
}

fn part_of(part: Wired) -> Result<Part> {
    Ok(match part {
        Wired::Header(header) => Part::Columns(header.columns.into_iter().map(|column| column.name).collect()),
        Wired::Page(page) => {
            let cells = |row: v1::SqlRow| row.cells.into_iter().map(|cell| cell.text).collect();
            Part::Rows(page.rows.into_iter().map(cells).collect())
        }
        Wired::Done(done) => Part::Done { affected: done.affected, notices: done.notices },
        Wired::Error(error) => {
            let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
            Part::Refused(Refusal {
                failure: error.failure.unwrap_or_default().try_into()?,
                code: error.code,
                sqlstate: error.sqlstate,
                place: error.place.map(|place| (number(place.line), number(place.column))),
            })
        }
        Wired::End(end) => Part::End(end.database),
    })
}

impl Client {
    fn sql(&self) -> SqlServiceClient<Wire> {
        SqlServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_PAGE)
    }

    /// Runs the statements of a text in order, until one fails.
    ///
    /// # Errors
    /// That the coordinator cannot be reached, or who calls is not known there.
    pub async fn execute(&self, sql: &str, database: Option<&str>) -> Result<Execution> {
        let request = v1::ExecuteRequest { sql: sql.to_owned(), database: database.map(str::to_owned) };
        let answer = self.sql().execute(request).await.map_err(|status| self.failed(&status))?;
        Ok(Execution { stream: answer.into_inner(), client: self.clone(), ended: false })
    }
}
