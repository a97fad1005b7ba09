//! Why a statement failed, as MySQL clients, the command line and gRPC show it.

use std::fmt;

use tabvault_common::failure::{Failure, Kind};

/// Where a text could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: u32,
    /// The character in its line, from 1.
    pub column: u32,
    /// What stood there. Never the contents of a string: it may be a secret.
    pub found: String,
    /// What could have stood there.
    pub expected: Vec<String>,
}

/// Why a statement failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// What went wrong.
    pub failure: Failure,
    /// MySQL's number of it.
    pub code: u16,
    /// MySQL's SQLSTATE of it.
    pub sqlstate: &'static str,
    /// Where, if the text could not be read.
    pub place: Option<Place>,
}

impl SqlError {
    /// `Unknown database 'd'`.
    #[must_use]
    pub fn unknown_database(name: &str) -> Self {
        let failure = Failure::fatal(Kind::NotFound, format!("Unknown database '{name}'"));
        Self { failure, code: 1049, sqlstate: "42000", place: None }
    }

    /// `Unknown table 't'`.
    #[must_use]
    pub fn unknown_table(name: &str) -> Self {
        let failure = Failure::fatal(Kind::NotFound, format!("Unknown table '{name}'"));
        Self { failure, code: 1146, sqlstate: "42S02", place: None }
    }

    /// A text that cannot be read, for a reason that `message` says.
    #[must_use]
    pub(crate) fn syntax(message: String, place: Option<Place>) -> Self {
        let failure = Failure::fatal(Kind::InvalidArgument, message);
        Self { failure, code: 1064, sqlstate: "42000", place }
    }

    /// A text that cannot be read at `place`.
    #[must_use]
    pub(crate) fn unexpected(place: Place) -> Self {
        let Place { line, column, found, expected } = &place;
        let expected = match expected.as_slice() {
            [] => String::new(),
            [one] => format!(", expected {one}"),
            [some @ .., last] => format!(", expected {} or {last}", some.join(", ")),
        };
        let message = format!("syntax error at line {line}, column {column}: found {found}{expected}");
        Self::syntax(message, Some(place))
    }

    /// The message, and under it the line of `source` that it is about with a caret under the place. For the terminal
    /// of who typed it: the line may hold a secret.
    #[must_use]
    pub fn render(&self, source: &str) -> String {
        let mut text = self.failure.message.clone();
        let line = self.place.as_ref().and_then(|place| {
            let number = usize::try_from(place.line).ok()?.checked_sub(1)?;
            Some((place.column, source.split('\n').nth(number)?.trim_end_matches('\r')))
        });
        if let Some((column, line)) = line {
            let before = usize::try_from(column).unwrap_or(usize::MAX).saturating_sub(1);
            // A tab stays a tab, so that the caret stands under the place whatever the terminal makes of tabs.
            let blank = |c: char| if c == '\t' { '\t' } else { ' ' };
            let gap: String = line.chars().take(before).map(blank).collect();
            text.push_str(&format!("\n{line}\n{gap}^"));
        }
        text
    }
}

impl From<Failure> for SqlError {
    fn from(failure: Failure) -> Self {
        let (code, sqlstate) = match failure.kind {
            Kind::Unauthenticated => (1045, "28000"),
            Kind::PermissionDenied => (1227, "42000"),
            _ => (1105, "HY000"),
        };
        Self { failure, code, sqlstate, place: None }
    }
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        error.failure
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.failure.message)
    }
}

impl std::error::Error for SqlError {}
