//! Identities. Numbers are handed out by one cluster and mean nothing in another; UUIDs are unique everywhere, which is
//! why names in a repository are made of UUIDs only.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new random identity.
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map(Self)
            }
        }
    };
}

number_id!(
    /// The number of a job as SHOW prints it: grows with every job of a cluster.
    JobId
);
number_id!(
    /// A task within a job.
    TaskId
);
number_id!(
    /// A database of the catalog.
    DatabaseId
);
number_id!(
    /// A table of the catalog.
    TableId
);
number_id!(
    /// A partition of a table.
    PartitionId
);
number_id!(
    /// A tablet: one bucket of one index of one partition.
    TabletId
);
number_id!(
    /// One copy of a tablet on one backend.
    ReplicaId
);
number_id!(
    /// A backend of the cluster.
    BackendId
);
number_id!(
    /// A version of a partition's data. Every load makes the next one.
    Version
);
number_id!(
    /// The number of a leadership: whoever holds a higher one may write, a lower one is refused.
    Epoch
);
uuid_id!(
    /// A cluster: one coordinator's metadata and the agents that belong to it.
    ClusterId
);
uuid_id!(
    /// A job, unique over all clusters; names the job's objects in a repository.
    JobUuid
);
uuid_id!(
    /// The history of a tablet's contents. A restored tablet starts a new one: equal versions of different lineages say
    /// nothing about equal contents.
    Lineage
);
uuid_id!(
    /// The identity of an agent's data directory; survives restarts.
    AgentUuid
);

impl JobUuid {
    /// The coordinator's own housekeeping. Tablets made under it belong to nobody: they are ordinary ones at once.
    pub const HOUSEKEEPING: Self = Self(Uuid::nil());
}

impl Version {
    /// The version of a partition into which nothing was loaded yet.
    pub const INITIAL: Self = Self(1);

    /// The version that the next load makes.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Fingerprint of an index's columns; a replica made with another one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SchemaHash(pub u32);

impl fmt::Display for SchemaHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a tablet's bytes are, wherever a copy of them lies: two tablets with equal identities hold equal data.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TabletIdentity {
    /// The cluster that numbered the tablet.
    pub cluster: ClusterId,
    /// Its number there.
    pub tablet: TabletId,
    /// The history the version counts in.
    pub lineage: Lineage,
    /// The version within that history.
    pub version: Version,
}
