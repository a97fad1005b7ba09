//! What a statement answers.

use std::fmt;

use futures::stream::BoxStream;
use tabvault_common::failure::Failure;
use tabvault_common::view::cells::ResultSet;

/// A cell as text; `None` is NULL.
pub type Cell = Option<String>;

/// How clients may understand a column's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// A string.
    Text,
    /// A decimal integer.
    Integer,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name: for SHOW a contract that client scripts read.
    pub name: String,
    /// What its cells are.
    pub kind: CellKind,
}

/// Rows, produced page by page while the client takes them, so that no answer is held whole.
pub struct Rows {
    /// The columns.
    pub columns: Vec<Column>,
    /// Pages of rows, each row with as many cells as there are columns; after an error none follows.
    pub pages: BoxStream<'static, Result<Vec<Vec<Cell>>, Failure>>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl From<ResultSet> for Rows {
    fn from(set: ResultSet) -> Self {
        let column = |name: &&str| Column { name: (*name).to_owned(), kind: CellKind::Text };
        let columns = set.columns.iter().map(column).collect();
        Self { columns, pages: Box::pin(futures::stream::iter([Ok(set.rows)])) }
    }
}

/// What a statement answers.
#[derive(Debug)]
pub enum Answer {
    /// A result set.
    Rows(Rows),
    /// It is done.
    Done {
        /// Rows affected, as MySQL counts them: files for LOAD and EXPORT, else zero.
        affected: u64,
        /// What the user should know; clients show the first, SHOW WARNINGS all.
        notices: Vec<String>,
    },
}
