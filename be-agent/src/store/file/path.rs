//! Paths of users' files: any bytes, kept exactly, and spelt so that they fit into a line of JSON.
//!
//! A path in an index is the path itself, except that every byte which is not part of valid UTF-8, which belongs to a
//! control character, or which is `%` or `\`, is written as `%` and two upper-case hexadecimal digits. So nearly every
//! path reads as it is, and in bash `printf '%b' "${p//%/\\x}"` gives back the bytes of all of them.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest path and longest link target in bytes: what Linux itself allows.
const MAX_PATH: usize = 4096;

/// Any bytes, spelt for an index: the target of a symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawBytes(pub(crate) Vec<u8>);

/// A path within a tree: relative, at least one part, no empty part, no `.` or `..`, no NUL.
///
/// Ordered part by part, so that whatever lies in a directory follows it at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TreePath(Vec<u8>);

/// Why bytes are no path within a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no path within a tree: {reason}", escape(path))]
pub(crate) struct NotAPath {
    path: Vec<u8>,
    reason: &'static str,
}

impl TreePath {
    /// Checks `path`.
    pub(crate) fn new(path: Vec<u8>) -> Result<Self, NotAPath> {
        let reason = if path.is_empty() {
            "it is empty"
        } else if path.len() > MAX_PATH {
            "it is longer than 4096 bytes"
        } else if path.first() == Some(&b'/') {
            "it is absolute"
        } else if path.contains(&0) {
            "it contains a NUL"
        } else if path.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b"..")) {
            "a part of it is empty, `.` or `..`"
        } else {
            return Ok(Self(path));
        };
        Err(NotAPath { path, reason })
    }

    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path for the operating system.
    pub(crate) fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The paths of the directories it lies in, from the innermost out.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let slash = rest.iter().rposition(|byte| *byte == b'/')?;
            rest = rest.get(..slash)?;
            Some(rest)
        })
    }

    /// Whether it lies, however deep, in the directory `directory`.
    pub(crate) fn is_beneath(&self, directory: &[u8]) -> bool {
        self.0.strip_prefix(directory).is_some_and(|rest| rest.first() == Some(&b'/'))
    }

    /// The directory it lies in (empty: the tree itself) and its name there.
    pub(crate) fn split(&self) -> (&[u8], &[u8]) {
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (self.0.get(..slash).unwrap_or_default(), self.0.get(slash + 1..).unwrap_or_default()),
            None => (&[], &self.0),
        }
    }

    /// The same path seen from the directory `directory`, which may be empty, further up.
    pub(crate) fn within(&self, directory: &str) -> Result<Self, NotAPath> {
        if directory.is_empty() {
            return Ok(self.clone());
        }
        let mut path = directory.as_bytes().to_vec();
        path.push(b'/');
        path.extend_from_slice(&self.0);
        Self::new(path)
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        // No path contains a NUL, so the separator can sort before every other byte.
        let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        self.0.iter().map(key).cmp(other.0.iter().map(key))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

/// The spelling of any bytes in an index and in messages.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '%' || c == '\\' {
                let mut utf8 = [0; 4];
                escape_bytes(c.encode_utf8(&mut utf8).as_bytes(), &mut text);
            } else {
                text.push(c);
            }
        }
        escape_bytes(chunk.invalid(), &mut text);
    }
    text
}

fn escape_bytes(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        // Writing into a string cannot fail.
        let _ = write!(text, "%{byte:02X}");
    }
}

/// The bytes that `text` spells; `None` if [`escape`] would never have spelt them so.
pub(crate) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after.get(2..)?;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    (escape(&bytes) == text).then_some(bytes)
}

impl Serialize for RawBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&escape(&self.0))
    }
}

impl<'de> Deserialize<'de> for RawBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = unescape(&text).filter(|bytes| !bytes.is_empty() && bytes.len() <= MAX_PATH && !bytes.contains(&0));
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom(format!("`{text}` does not spell a link's target")))
    }
}

impl Serialize for TreePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&escape(&self.0))
    }
}

impl<'de> Deserialize<'de> for TreePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes =
            unescape(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` does not spell a path")))?;
        Self::new(bytes).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_names_read_as_they_are_and_odd_ones_are_escaped() {
        assert_eq!(escape("größe/日本 -x".as_bytes()), "größe/日本 -x");
        assert_eq!(escape(b"a\nb\xFFc%d\\e\x7F"), "a%0Ab%FFc%25d%5Ce%7F");
        assert_eq!(escape("\u{85}".as_bytes()), "%C2%85");
    }

    #[test]
    fn a_spelling_that_is_never_written_is_refused() {
        for text in ["%4", "%zz", "%41", "%0a", "a\\b", "%+1", "\n"] {
            assert_eq!(unescape(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_path_that_leaves_the_tree_is_refused() {
        for path in ["", "/a", "a//b", "a/", "..", "a/../b", "./a", "a\0b"] {
            assert!(TreePath::new(path.into()).is_err(), "{path:?}");
        }
        assert!(TreePath::new(b"...".to_vec()).is_ok());
    }

    #[test]
    fn what_lies_in_a_directory_follows_it_at_once() {
        let mut paths: Vec<TreePath> =
            ["a-b", "a/b", "a", "a.c", "a/b/c"].iter().map(|p| TreePath::new((*p).into()).unwrap()).collect();
        paths.sort();
        let text: Vec<String> = paths.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["a", "a/b", "a/b/c", "a-b", "a.c"]);
    }

    #[test]
    fn ancestors_are_named_from_the_inside_out() {
        let path = TreePath::new(b"a/b/c".to_vec()).unwrap();
        assert_eq!(path.ancestors().collect::<Vec<_>>(), [b"a/b".as_slice(), b"a"]);
        assert_eq!(path.split(), (b"a/b".as_slice(), b"c".as_slice()));
        assert!(path.is_beneath(b"a") && !path.is_beneath(b"a/b/c") && !path.is_beneath(b"a/"));
    }

    proptest! {
        #[test]
        fn every_byte_string_survives_its_spelling(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(unescape(&escape(&bytes)), Some(bytes));
        }
    }
}
