//! How hard a backup tries to make bytes fewer.

use serde::{Deserialize, Serialize};

/// The `compression` property of a backup. What does not shrink is stored verbatim whatever the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// zstd level 1.
    Fastest,
    /// zstd level 3.
    #[default]
    Balanced,
    /// zstd level 12.
    Best,
    /// Everything verbatim.
    None,
}

impl Compression {
    /// The zstd level, or `None` for verbatim.
    #[must_use]
    pub fn level(self) -> Option<i32> {
        match self {
            Self::Fastest => Some(1),
            Self::Balanced => Some(3),
            Self::Best => Some(12),
            Self::None => None,
        }
    }

    /// The property's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fastest => "fastest",
            Self::Balanced => "balanced",
            Self::Best => "best",
            Self::None => "none",
        }
    }

    /// The setting spelt `s` (any case), if there is one.
    #[must_use]
    pub fn parse(s: &str) -> Option<Self> {
        [Self::Fastest, Self::Balanced, Self::Best, Self::None].into_iter().find(|c| c.as_str().eq_ignore_ascii_case(s))
    }
}
