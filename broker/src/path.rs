//! Which paths every storage accepts. Checked before a storage sees them, because each would do something else with
//! the odd ones: OpenDAL trims blanks and drops doubled slashes, a file system climbs up `..`.

use tabvault_common::failure::{Failure, Kind};

use crate::storage::Result;

/// The longest path in bytes: the limit of an S3 key, less room for the root.
const MAX_PATH: usize = 900;

/// Refuses what is not the path of an object, with `Kind::InvalidArgument`.
pub(crate) fn check_object(path: &str) -> Result<()> {
    match fault(path) {
        None => Ok(()),
        Some(why) => Err(Failure::fatal(Kind::InvalidArgument, format!("'{}' is no object path: {why}", shown(path)))),
    }
}

/// Refuses what is neither empty nor the path of a level followed by `/`, with `Kind::InvalidArgument`.
pub(crate) fn check_prefix(prefix: &str) -> Result<()> {
    if prefix.is_empty() {
        return Ok(());
    }
    let why = match prefix.strip_suffix('/') {
        None => Some("it must be empty or end with '/'"),
        Some(level) => fault(level),
    };
    match why {
        None => Ok(()),
        Some(why) => Err(Failure::fatal(Kind::InvalidArgument, format!("'{}' is no prefix: {why}", shown(prefix)))),
    }
}

fn fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.len() > MAX_PATH {
        return Some("it is longer than 900 bytes");
    }
    if path.trim() != path {
        return Some("it begins or ends with a blank");
    }
    if path.chars().any(char::is_control) {
        return Some("it contains a control character");
    }
    path.split('/').find_map(|part| match part {
        "" => Some("it has an empty part"),
        "." | ".." => Some("it has a part '.' or '..'"),
        _ => None,
    })
}

/// Keeps a message readable whatever the path is.
fn shown(path: &str) -> String {
    path.chars().take(200).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn ordinary_and_odd_but_honest_names_pass() {
        for path in ["a", "__ss_x/__info_2025", "a b/c:d", "käse/β", "a..b/.c", "100%/+&=#?"] {
            check_object(path).unwrap();
        }
        check_prefix("").unwrap();
        check_prefix("a/b/").unwrap();
    }

    #[test]
    fn paths_that_storages_would_understand_differently_are_refused() {
        for path in ["", "/a", "a/", "a//b", "../a", "a/./b", " a", "a ", "a\nb", "a\0"] {
            assert_eq!(check_object(path).unwrap_err().kind, Kind::InvalidArgument, "{path:?}");
        }
        for prefix in ["a", "/", "a//", "../"] {
            assert_eq!(check_prefix(prefix).unwrap_err().kind, Kind::InvalidArgument, "{prefix:?}");
        }
    }
}
