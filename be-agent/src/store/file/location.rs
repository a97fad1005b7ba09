//! Where a load reads and an export writes.

use std::path::{Component, Path, PathBuf};

use tabvault_broker::open::{self, Reach};
use tabvault_common::access::StorageAccess;
use tabvault_common::failure::{Failure, Kind};

use crate::store::Result;

/// A directory of this machine, or remote storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// An absolute path, taken verbatim: nothing in it is decoded.
    Local(PathBuf),
    /// Anything else with a scheme; the broker crate says whether it knows it.
    Remote,
}

/// Understands `file:///dir`, `/dir` and `<scheme>://…`.
pub(crate) fn parse(access: &StorageAccess) -> Result<Location> {
    let location = access.location.as_str();
    let Some(path) = access.local_path() else {
        // What is opened as remote storage is not looked at as directories are: see that it is none.
        if matches!(open::reach(access), Ok(Reach::Local)) {
            let message = format!("`{location}` is a directory of this machine: write file:///dir");
            return Err(Failure::fatal(Kind::InvalidArgument, message));
        }
        return Ok(Location::Remote);
    };
    let path = Path::new(path);
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain {
        let message =
            format!("`{location}` is no absolute path without `..`: write /dir, file:///dir or s3://bucket/prefix");
        return Err(Failure::fatal(Kind::InvalidArgument, message));
    }
    // Put together again without double slashes and the one at the end.
    Ok(Location::Local(path.components().collect()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_path_a_file_uri_and_a_bucket_are_told_apart() {
        let at = |location: &str| parse(&StorageAccess::direct(location));
        assert_eq!(at("/a//b/").unwrap(), Location::Local("/a/b".into()));
        assert_eq!(at("file:///a b%20").unwrap(), Location::Local("/a b%20".into()));
        assert_eq!(at("s3://bucket/x").unwrap(), Location::Remote);
        for spelling in ["FILE:///a", " file:///a ", "File:///a/"] {
            assert_eq!(at(spelling).unwrap(), Location::Local("/a".into()), "{spelling}");
        }
        for wrong in ["", "a", "file://a/b", "file:a", "/a/../b", "./a"] {
            assert_eq!(at(wrong).unwrap_err().kind, Kind::InvalidArgument, "{wrong}");
        }
    }
}
