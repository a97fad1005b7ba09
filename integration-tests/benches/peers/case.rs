//! What can be measured, and what has to come out.

use std::time::Duration;

use tabvault_integration_tests::bench::data::Kind;
use tabvault_integration_tests::bench::statistics::Bar;

use crate::peer::{Operation, Peer};

/// Numbers of files of the case `files`.
pub(crate) const FILES: [u64; 4] = [1000, 10_000, 100_000, 1_000_000];
/// What an agent may hold, in MiB.
pub(crate) const MEMORY: Bar = Bar::Never(256.0);
/// What a second backup of the same may take of the first one's time, and of its bytes.
pub(crate) const UNCHANGED_TIME: Bar = Bar::AtMost(0.05);
/// See [`UNCHANGED_TIME`].
pub(crate) const UNCHANGED_BYTES: Bar = Bar::Never(0.001);
/// What one more file may cost among very many, of what it costs among fewer, for the same bytes.
pub(crate) const COST_OF_FILES: Bar = Bar::AtMost(1.5);

/// A data set and where it goes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) storage: Storage,
}

/// Where backups go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    /// A directory on the filesystem of the data.
    Local,
    /// Ceph's gateway on this machine.
    S3,
    /// The same, 20 ms away.
    S3Far,
}

impl Storage {
    fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::S3 => "s3",
            Self::S3Far => "s3-20ms",
        }
    }

    pub(crate) fn delay(self) -> Option<Duration> {
        match self {
            Self::Local => None,
            Self::S3 => Some(Duration::ZERO),
            Self::S3Far => Some(Duration::from_millis(20)),
        }
    }
}

impl Case {
    /// All but `files`.
    pub(crate) fn all() -> Vec<Self> {
        let storages = [Storage::Local, Storage::S3, Storage::S3Far];
        let of = |storage| [Kind::Large, Kind::Small, Kind::Mixed].map(|kind| Self { kind, storage });
        storages.into_iter().flat_map(of).collect()
    }

    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.kind.name(), self.storage.name())
    }

    pub(crate) fn peers(&self) -> &'static [Peer] {
        match (self.kind, self.storage) {
            (Kind::Files(_), _) => &[Peer::Cp],
            (_, Storage::Local) => &Peer::ALL,
            (_, Storage::S3 | Storage::S3Far) => &Peer::S3,
        }
    }

    /// How many times as fast as the peer tabvault has to be.
    pub(crate) fn speed(&self, operation: Operation, peer: Peer) -> Option<Bar> {
        use {Operation::*, Peer::*, Storage::*};
        let times = match (self.kind, self.storage, operation, peer) {
            (Kind::Large | Kind::Small, Local, Backup, Tar) => 1.0,
            (Kind::Large, Local, Backup, Restic) => 2.5,
            (Kind::Small, Local, Backup, Restic) => 5.0,
            (Kind::Small, Local, Backup, Rclone) => 3.0,
            (Kind::Large, Local, Restore, Restic) => 2.0,
            (Kind::Small, Local, Restore, Restic) => 4.0,
            (Kind::Small, Local, Restore, Cp) => 1.5,
            (Kind::Small, S3Far, Backup, Rclone) => 20.0,
            _ => return None,
        };
        Some(Bar::AtLeast(times))
    }

    /// How many requests a first backup may make for each that it is allowed, see [`allowed_requests`].
    pub(crate) fn requests(&self) -> Option<Bar> {
        (self.kind == Kind::Small && self.storage == Storage::S3Far).then_some(Bar::Never(1.0))
    }
}

/// Requests that a backup of so many bytes may make.
pub(crate) fn allowed_requests(bytes: u64) -> f64 {
    bytes as f64 / f64::from(32 << 20) + 100.0
}
