//! What an index says of one path.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tabvault_common::digest::{Digest, Hasher};
use tabvault_common::ids::Version;

use super::path::{RawBytes, TreePath};

/// The directory of the data files, in a snapshot and in a tablet.
pub(crate) const FILES: &str = "files";

/// One line of an index.
///
/// Owners, access control lists and extended attributes are not kept, holes in files become zeros, and hard links
/// become files of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Entry {
    /// A regular file.
    File {
        /// Where it is in the tree.
        path: TreePath,
        /// Permissions.
        mode: Mode,
        /// When it was last written; a source that does not say gives none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mtime: Option<Mtime>,
        /// Size in bytes.
        size: u64,
        /// Digest of its bytes.
        digest: Digest,
        /// The data file that holds its bytes.
        data: DataName,
    },
    /// A symbolic link.
    Symlink {
        /// Where it is in the tree.
        path: TreePath,
        /// When it was made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mtime: Option<Mtime>,
        /// What it points to, verbatim.
        target: RawBytes,
    },
    /// A directory, empty or not: its permissions must survive, too.
    Directory {
        /// Where it is in the tree.
        path: TreePath,
        /// Permissions.
        mode: Mode,
        /// When a name in it last changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mtime: Option<Mtime>,
        /// Nothing was in it when it was loaded. What is in it is mostly in other tablets, so that this one tablet
        /// cannot tell otherwise.
        #[serde(default, skip_serializing_if = "is_false")]
        empty: bool,
    },
    /// The path is visible no longer: a load put something else than a directory at a path above it. Stands only in
    /// the index of a load, never in that of a snapshot.
    Gone {
        /// Where it was in the tree.
        path: TreePath,
    },
}

impl Entry {
    /// A file of which the bytes, and with them all but the path, are still to come.
    pub(crate) fn to_copy(path: TreePath, mode: Mode, size: u64) -> Self {
        let data = DataName { version: Version::INITIAL, number: 0 };
        Self::File { path, mode, mtime: None, size, digest: Digest::of(b""), data }
    }

    /// Where it is in the tree.
    pub(crate) fn path(&self) -> &TreePath {
        match self {
            Self::File { path, .. }
            | Self::Symlink { path, .. }
            | Self::Directory { path, .. }
            | Self::Gone { path } => path,
        }
    }

    /// Size of a regular file, 0 of anything else.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Symlink { .. } | Self::Directory { .. } | Self::Gone { .. } => 0,
        }
    }

    /// Whether people would count it as a file: regular files and symbolic links.
    pub(crate) fn counts(&self) -> bool {
        matches!(self, Self::File { .. } | Self::Symlink { .. })
    }

    /// Takes what replicas must agree on into `hasher`: everything but the name of the data file.
    pub(crate) fn hash_into(&self, hasher: &mut Hasher) {
        let mut bytes = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        bytes(self.path().as_bytes());
        let attributes = |mode: &Mode, mtime: &Option<Mtime>| {
            let mtime = mtime.map(|mtime| mtime.to_string()).unwrap_or_default();
            format!("{} {mtime}", mode.0)
        };
        match self {
            Self::File { mode, mtime, size, digest, .. } => {
                bytes(b"file");
                bytes(attributes(mode, mtime).as_bytes());
                bytes(&size.to_le_bytes());
                bytes(digest.as_bytes());
            }
            Self::Symlink { mtime, target, .. } => {
                bytes(b"symlink");
                bytes(attributes(&Mode(0), mtime).as_bytes());
                bytes(&target.0);
            }
            Self::Directory { mode, mtime, empty, .. } => {
                bytes(if *empty { b"empty directory" } else { b"directory" });
                bytes(attributes(mode, mtime).as_bytes());
            }
            Self::Gone { .. } => bytes(b"gone"),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Permission bits, set-user-id, set-group-id and sticky included; spelt in octal, as `chmod` takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode(pub(crate) u32);

impl Mode {
    /// The permission bits of a `st_mode`.
    pub(crate) fn of(st_mode: u32) -> Self {
        Self(st_mode & 0o7777)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let mode = u32::from_str_radix(s, 8).map(Self).ok().filter(|mode| mode.0 <= 0o7777 && mode.to_string() == s);
        mode.ok_or_else(|| format!("`{s}` is no mode: expected four octal digits"))
    }
}

/// A moment with nanoseconds; spelt as decimal seconds since 1970, as `touch -d @…` takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mtime {
    /// Whole seconds, rounded down.
    pub(crate) seconds: i64,
    /// Nanoseconds after that, below 1,000,000,000.
    pub(crate) nanos: u32,
}

impl fmt::Display for Mtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos);
        let sign = if total < 0 { "-" } else { "" };
        let total = total.unsigned_abs();
        write!(f, "{sign}{}.{:09}", total / 1_000_000_000, total % 1_000_000_000)
    }
}

impl FromStr for Mtime {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (sign, digits) = s.strip_prefix('-').map_or((1, s), |rest| (-1, rest));
            let (seconds, nanos) = digits.split_once('.')?;
            let total =
                i128::from(seconds.parse::<u64>().ok()?) * 1_000_000_000 + i128::from(nanos.parse::<u32>().ok()?);
            let total = sign * total;
            let mtime = Self {
                seconds: i64::try_from(total.div_euclid(1_000_000_000)).ok()?,
                nanos: u32::try_from(total.rem_euclid(1_000_000_000)).ok()?,
            };
            (mtime.to_string() == s).then_some(mtime)
        };
        parse().ok_or_else(|| format!("`{s}` is no moment: expected seconds and nine decimals"))
    }
}

/// The name of a data file, unique within a tablet's history and never given twice: `files/<version>-<group>/<number>`,
/// where the version is that of the load which brought the bytes, and 64 numbers make a group. A file that did not change
/// keeps it in later snapshots.
///
/// Groups are for the filesystem: to make or link a file, ext4 looks through a block of its directory name by name, twice,
/// and lets nobody else into the directory meanwhile. In small directories a link takes a third of the time, a new file half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DataName {
    /// The load's version.
    pub(crate) version: Version,
    /// Counted within the load.
    pub(crate) number: u64,
}

impl DataName {
    const PER_GROUP: u64 = 64;

    /// The directory in its name.
    pub(crate) fn group(self) -> String {
        format!("{FILES}/{}-{}", self.version, self.number / Self::PER_GROUP)
    }

    /// The directories of all names of one version with numbers up to `last`.
    pub(crate) fn groups(version: Version, last: u64) -> impl Iterator<Item = String> {
        (0..=last / Self::PER_GROUP).map(move |group| Self { version, number: group * Self::PER_GROUP }.group())
    }

    /// Whether a name could have the directory `path` in it.
    pub(crate) fn could_be_in(path: &str) -> bool {
        let group = path.rsplit_once('-').and_then(|(_, group)| group.parse::<u64>().ok());
        let number = group.and_then(|group| group.checked_mul(Self::PER_GROUP));
        path == FILES || number.is_some_and(|number| format!("{path}/{number}").parse::<Self>().is_ok())
    }
}

impl fmt::Display for DataName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group(), self.number)
    }
}

impl FromStr for DataName {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (group, number) = s.strip_prefix(FILES)?.strip_prefix('/')?.split_once('/')?;
            let (version, _) = group.split_once('-')?;
            let name = Self { version: Version(version.parse().ok()?), number: number.parse().ok()? };
            (name.to_string() == s).then_some(name)
        };
        parse().ok_or_else(|| format!("`{s}` names no data file: expected `{FILES}/<version>-<group>/<number>`"))
    }
}

macro_rules! spelt_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

spelt_as_text!(Mode);
spelt_as_text!(Mtime);
spelt_as_text!(DataName);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_readable_line() {
        let entry = Entry::File {
            path: TreePath::new(b"dir/a\nb".to_vec()).unwrap(),
            mode: Mode(0o644),
            mtime: Some(Mtime { seconds: 1_700_000_000, nanos: 5 }),
            size: 3,
            digest: Digest::of(b"abc"),
            data: DataName { version: Version(3), number: 150 },
        };
        let line = serde_json::to_string(&entry).unwrap();
        let expected = concat!(
            r#"{"kind":"file","path":"dir/a%0Ab","mode":"0644","mtime":"1700000000.000000005","size":3,"#,
            r#""digest":"6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85","data":"files/3-2/150"}"#
        );
        assert_eq!(line, expected);
        assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), entry);
    }

    #[test]
    fn moments_before_1970_are_decimal_numbers_too() {
        let mtime = Mtime { seconds: -6, nanos: 500_000_000 };
        assert_eq!(mtime.to_string(), "-5.500000000");
        assert_eq!("-5.500000000".parse(), Ok(mtime));
        assert!("-0.000000000".parse::<Mtime>().is_err());
        assert!("1.5".parse::<Mtime>().is_err());
    }

    #[test]
    fn a_data_file_name_that_could_lead_elsewhere_is_refused() {
        let wrong =
            ["files/../1-0/1", "files/1-0/1/x", "/files/1-0/1", "files/01-0/1", "1-0/1", "files/1-0/+1", "files/1-1"];
        for name in wrong.into_iter().chain(["files/1-1/1", "files/1-0/64", "files/1-0/01", "files//1-0/1"]) {
            assert!(name.parse::<DataName>().is_err(), "{name}");
        }
        assert_eq!("files/1-1/64".parse(), Ok(DataName { version: Version(1), number: 64 }));
    }

    #[test]
    fn a_directory_of_data_files_is_known_from_others() {
        for dir in ["files", "files/1-0", "files/12-3"] {
            assert!(DataName::could_be_in(dir), "{dir}");
        }
        for dir in
            ["", "files/", "files/1", "files/1-", "files/01-0", "files/1-0/0", "files/1-18446744073709551615", "x"]
        {
            assert!(!DataName::could_be_in(dir), "{dir}");
        }
        let name = DataName { version: Version(3), number: 130 };
        assert_eq!(name.group(), "files/3-2");
        assert_eq!(DataName::groups(Version(3), 128).collect::<Vec<_>>(), ["files/3-0", "files/3-1", "files/3-2"]);
    }
}
