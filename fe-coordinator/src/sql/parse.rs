//! From a text to statements.

use super::error::SqlError;
use super::statement::{Literal, Statement};

/// The statements of a text, parted by `;`; the whole text or nothing.
///
/// # Errors
/// 1064 with the place.
pub fn parse(text: &str) -> Result<Vec<Statement>, SqlError> {
    Prepared::new(text)?.bind(&[])
}

/// A text with `?` in the places of values.
#[derive(Debug, Clone)]
pub struct Prepared {
    parameters: usize,
}

impl Prepared {
    /// Reads the text.
    ///
    /// # Errors
    /// 1064 with the place.
    pub fn new(text: &str) -> Result<Self, SqlError> {
        let _ = text;
        Err(SqlError::syntax("syntax error".to_owned(), None))
    }

    /// The number of `?`.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// The statements with a value in the place of each `?`.
    ///
    /// # Errors
    /// Another number of values than of `?`, or 1064 with the place where a value does not fit.
    pub fn bind(&self, values: &[Literal]) -> Result<Vec<Statement>, SqlError> {
        let _ = values;
        Err(SqlError::syntax("syntax error".to_owned(), None))
    }
}
