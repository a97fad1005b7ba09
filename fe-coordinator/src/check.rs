//! Checks of requests, before anything is changed: pure functions of the request and of what the catalog and the
//! snapshot say. Nothing here does I/O, knows the time or depends on the order of a hash map.
//!
//! A refusal says what was asked of which object, why that cannot be, and what would be right. Its first words are
//! those that users of Doris and StarRocks search for.

use std::collections::BTreeMap;

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::request::ObjectSelection;

pub mod mapping;
pub mod properties;
pub mod ranges;
pub mod select;
pub mod settings;

#[cfg(test)]
pub(crate) mod samples;

/// The selected objects by table name; a table or partition that is named twice is refused.
fn by_table(objects: &[ObjectSelection]) -> Result<BTreeMap<&str, &ObjectSelection>, Failure> {
    let mut named = BTreeMap::new();
    for object in objects {
        let table = object.table.as_str();
        if named.insert(table, object).is_some() {
            return Err(invalid(format!("Duplicated table: {table}; name it once, with all its partitions")));
        }
        let mut partitions: Vec<&String> = object.partitions.iter().collect();
        partitions.sort_unstable();
        if let Some(twice) = partitions.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(invalid(format!("Duplicated partition: {} of table {table}; name it once", twice[0])));
        }
    }
    Ok(named)
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::fatal(Kind::InvalidArgument, message)
}
