//! Between generated messages and domain types, in both directions.
//!
//! # Overview
//! To the wire: `From<&Domain> for v1::Message`, or `From<Domain>` where the domain type is `Copy`; it cannot fail.
//! From the wire: `TryFrom<v1::Message> for Domain`, whose error is a [`Failure`] of [`Kind::InvalidArgument`] that names
//! the field by its path, says what stood there and what is expected, such as
//! ``field `task.key.job` is missing: expected a UUID of 16 bytes``.
//!
//! # Consistency
//! What comes through has every required field, enums that are known, UUIDs and digests of the right length, no zero
//! where numbers are counted from one, and no list longer than [`MAX_ITEMS`]. Whether names exist and values fit
//! together is for those who know the catalog. Views are for people: only their form is checked.

use std::fmt;

use tabvault_common::failure::{Failure, Kind};

pub mod access;
mod failure;
mod ids;
mod report;
mod request;
mod schema;
mod session;
mod task;
pub mod view;

#[cfg(test)]
mod samples;

/// Most items of any one list in a message, so also most tablets of a task.
pub const MAX_ITEMS: usize = 100_000;

/// Where in a message a value stands; shown as `task.upload.tablets[3].identity`.
#[derive(Debug, Clone, Copy)]
struct At<'a> {
    outer: Option<&'a At<'a>>,
    name: &'static str,
    index: Option<usize>,
}

impl<'a> At<'a> {
    fn root(name: &'static str) -> Self {
        Self { outer: None, name, index: None }
    }

    fn field(&'a self, name: &'static str) -> Self {
        Self { outer: Some(self), name, index: None }
    }

    fn item(&'a self, name: &'static str, index: usize) -> Self {
        Self { outer: Some(self), name, index: Some(index) }
    }

    fn missing(&self, expected: &str) -> Failure {
        self.refuse(format_args!("is missing: expected {expected}"))
    }

    fn refuse(&self, why: impl fmt::Display) -> Failure {
        Failure::fatal(Kind::InvalidArgument, format!("field `{self}` {why}"))
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(outer) = self.outer {
            write!(f, "{outer}.")?;
        }
        f.write_str(self.name)?;
        self.index.map_or(Ok(()), |index| write!(f, "[{index}]"))
    }
}

/// A text that must not be empty.
fn text(wire: String, at: At<'_>) -> Result<String, Failure> {
    if wire.is_empty() { Err(at.refuse("is empty: expected a text")) } else { Ok(wire) }
}

/// A text that may be left out but not be empty.
fn optional_text(wire: Option<String>, at: At<'_>) -> Result<Option<String>, Failure> {
    wire.map(|wire| text(wire, at)).transpose()
}

/// A number counted from one.
fn positive<N: Default + PartialEq>(wire: N, at: At<'_>) -> Result<N, Failure> {
    if wire == N::default() { Err(at.refuse("is 0: expected a number from 1 on")) } else { Ok(wire) }
}

/// All items of the list `name` of the message at `at`, each read by `read`.
fn list<W, D>(
    wire: Vec<W>,
    at: At<'_>,
    name: &'static str,
    read: impl Fn(W, At<'_>) -> Result<D, Failure>,
) -> Result<Vec<D>, Failure> {
    if wire.len() > MAX_ITEMS {
        let length = wire.len();
        return Err(at.field(name).refuse(format_args!("has {length} items: expected at most {MAX_ITEMS}")));
    }
    wire.into_iter().enumerate().map(|(index, wire)| read(wire, at.item(name, index))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_every_step_from_the_message_down() {
        let task = At::root("task");
        let upload = task.field("upload");
        let tablet = upload.item("tablets", 3);
        let job = tablet.field("job");
        assert_eq!(
            job.missing("a UUID of 16 bytes"),
            Failure::fatal(
                Kind::InvalidArgument,
                "field `task.upload.tablets[3].job` is missing: expected a UUID of 16 bytes"
            )
        );
    }

    #[test]
    fn a_list_is_read_up_to_its_bound_and_refused_beyond() {
        let at = At::root("task");
        let read = |length| list(vec![1_u64; length], at, "tablets", positive);
        assert_eq!(read(MAX_ITEMS).map(|tablets| tablets.len()), Ok(MAX_ITEMS));
        assert_eq!(
            read(MAX_ITEMS + 1).map_err(|failure| failure.message),
            Err("field `task.tablets` has 100001 items: expected at most 100000".to_owned())
        );
    }
}
