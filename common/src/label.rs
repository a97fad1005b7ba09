//! Names that people give: labels of snapshots, and the timestamps that tell a label's snapshots apart.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::failure::{Failure, Kind};

/// The name of a snapshot: `^[-_A-Za-z0-9:]{1,128}$`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// The label's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Label {
    type Error = Failure;

    fn try_from(s: String) -> Result<Self, Failure> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':');
        if (1..=128).contains(&s.len()) && s.chars().all(fits) {
            Ok(Self(s))
        } else {
            let shown: String = s.chars().take(140).collect();
            Err(Failure::fatal(
                Kind::InvalidArgument,
                format!("Label format error. regex: ^[-_A-Za-z0-9:]{{1,128}}$, label: {shown}"),
            ))
        }
    }
}

impl FromStr for Label {
    type Err = Failure;

    fn from_str(s: &str) -> Result<Self, Failure> {
        s.to_owned().try_into()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When a snapshot was committed, as part of its name: `yyyy-MM-dd-HH-mm-ss-SSS` in UTC. It orders the snapshots of a
/// label and tells them apart; nothing is decided by comparing it with a clock.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotTimestamp(String);

impl SnapshotTimestamp {
    /// The timestamp of the moment `time`.
    #[must_use]
    pub fn at(time: Time) -> Self {
        Self(time.dashed())
    }

    /// The text, always with milliseconds.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `given`, which may leave out the milliseconds as users of Doris type it, means this timestamp.
    #[must_use]
    pub fn matches(&self, given: &str) -> bool {
        self.0 == given || (given.len() == 19 && self.0.starts_with(given))
    }
}

impl TryFrom<String> for SnapshotTimestamp {
    type Error = Failure;

    fn try_from(s: String) -> Result<Self, Failure> {
        let groups: Vec<&str> = s.split('-').collect();
        let widths = [4, 2, 2, 2, 2, 2, 3];
        let fits = |(group, width): (&&str, usize)| group.len() == width && group.bytes().all(|b| b.is_ascii_digit());
        if groups.len() == widths.len() && groups.iter().zip(widths).all(fits) {
            Ok(Self(s))
        } else {
            let shown: String = s.chars().take(80).collect();
            Err(Failure::fatal(
                Kind::InvalidArgument,
                format!("`{shown}` is not a timestamp: expected yyyy-MM-dd-HH-mm-ss-SSS"),
            ))
        }
    }
}

impl FromStr for SnapshotTimestamp {
    type Err = Failure;

    fn from_str(s: &str) -> Result<Self, Failure> {
        s.to_owned().try_into()
    }
}

impl From<SnapshotTimestamp> for String {
    fn from(timestamp: SnapshotTimestamp) -> Self {
        timestamp.0
    }
}

impl fmt::Display for SnapshotTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_letters_digits_and_three_signs() {
        assert!("snap_2025-07-31:1".parse::<Label>().is_ok());
        for bad in ["", "a/b", "a b", "ä", &"x".repeat(129)] {
            let refusal = bad.parse::<Label>().expect_err("a bad label is refused");
            assert!(refusal.message.starts_with("Label format error. regex: ^[-_A-Za-z0-9:]{1,128}$"));
        }
    }

    #[test]
    fn a_timestamp_may_be_given_without_milliseconds() {
        let at = SnapshotTimestamp::at(Time(1_753_970_521_042));
        assert_eq!(at.as_str(), "2025-07-31-14-02-01-042");
        assert!(at.matches("2025-07-31-14-02-01"));
        assert!(at.matches("2025-07-31-14-02-01-042"));
        assert!(!at.matches("2025-07-31"));
        assert!("2025-07-31-14-02-01".parse::<SnapshotTimestamp>().is_err());
    }
}
