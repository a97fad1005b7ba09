//! What CREATE and ALTER REPOSITORY find out about a place, and the one object they may leave there.
//!
//! # Overview
//! First what is there is read, then the storage is probed as it will be used; only when everything is well is a
//! missing `__repo_info` written.
//!
//! # Consistency
//! `__repo_info` is created by create-if-absent: of several clusters that create one repository at the same time one
//! founds it and the others join it. Where the storage cannot do that, the cluster that is recorded in it owns the
//! repository and any other may only read; two that create it at the same instant are told apart by reading it again,
//! which the storage must answer with what was written last.
//!
//! # Crash consistency
//! A crash, or a job store that fails afterwards, leaves at most an empty repository, which the next CREATE joins. It is
//! not removed, since another cluster may have joined it by then.
//!
//! # Cancellation
//! As after a crash.

use tabvault_broker::probe::probe;
use tabvault_broker::storage::{Created, Storage};
use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind, Retry};
use tabvault_common::ids::ClusterId;
use tabvault_common::repo::layout;
use tabvault_common::repo::repo_info::{Ownership, RepoInfo};
use uuid::Uuid;

use super::remote::read_repo_info;

type Result<T> = std::result::Result<T, Failure>;

/// Who wants a repository to be where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Founding<'a> {
    pub(super) name: &'a str,
    pub(super) read_only: bool,
    pub(super) cluster: ClusterId,
    pub(super) now: Time,
    /// The identity that it must have, if it is known already.
    pub(super) known: Option<Uuid>,
}

/// What is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Founded {
    pub(super) uuid: Uuid,
    pub(super) conditional_writes: bool,
    pub(super) notice: Option<String>,
}

impl Founding<'_> {
    /// Finds the repository at the root of `storage`, or founds it.
    pub(super) async fn find_or_found(self, storage: &dyn Storage) -> Result<Founded> {
        let found = match read_repo_info(storage).await {
            Err(damaged) if damaged.kind == Kind::Corrupt => {
                // A service that says yes to everything is no storage; the probe tells it from a damaged repository.
                probe(storage, "", self.read_only).await?;
                return Err(damaged);
            }
            found => found?,
        };
        if found.is_none() && (self.read_only || self.known.is_some()) {
            // Any web server says that it has no such object: that it can list tells that it is a storage.
            probe(storage, "", true).await?;
        }
        self.refuse_missing(found.as_ref(), storage.location())?;
        let conditional_writes = probe(storage, "", self.read_only).await?.conditional_writes;
        let info = match found {
            Some(info) => info,
            None => {
                let ownership =
                    if conditional_writes { Ownership::ConditionalWrites } else { Ownership::OneCluster(self.cluster) };
                let info = RepoInfo::new(self.name, self.now, ownership);
                write(storage, info).await?
            }
        };
        self.join(&info, conditional_writes, storage.location())
    }

    fn refuse_missing(self, found: Option<&RepoInfo>, location: &str) -> Result<()> {
        let Self { name, known, read_only, .. } = self;
        match (found, known) {
            (None, Some(_)) => Err(Failure::fatal(
                Kind::NotFound,
                format!("Repository {name} does not exist at {location}: there is no {}", layout::repo_info()),
            )),
            (None, None) if read_only => Err(Failure::fatal(
                Kind::NotFound,
                format!(
                    "Repository {name} does not exist at {location}, and READ ONLY does not make it: \
                     check name and location, or leave READ ONLY out"
                ),
            )),
            (Some(info), Some(known)) if info.uuid != known => Err(Failure::fatal(
                Kind::FailedPrecondition,
                format!(
                    "at {location} lies another repository {name} ({}) than the one this cluster knows ({known})",
                    info.uuid
                ),
            )),
            _ => Ok(()),
        }
    }

    fn join(self, info: &RepoInfo, conditional_writes: bool, location: &str) -> Result<Founded> {
        let Self { name, read_only, cluster, .. } = self;
        let refuse = |why: String| Err(Failure::fatal(Kind::FailedPrecondition, why));
        if !read_only {
            match info.ownership {
                Ownership::OneCluster(owner) if owner != cluster => {
                    return refuse(format!(
                        "Repository {name} at {location} belongs to cluster {owner}, because its storage cannot refuse \
                         to create a name twice: create it READ ONLY, or under another name"
                    ));
                }
                Ownership::ConditionalWrites if !conditional_writes => {
                    return refuse(format!(
                        "Repository {name} was made for storage that refuses to create a name twice, and {location} \
                         does not: several clusters could write over each other; create it READ ONLY, or under \
                         another name"
                    ));
                }
                Ownership::OneCluster(_) | Ownership::ConditionalWrites => {}
            }
        }
        let notice = (!read_only && !conditional_writes).then(|| {
            format!(
                "the storage cannot refuse to create a name twice: only this cluster ({cluster}) may write to the \
                 repository, others may use it READ ONLY, and two coordinators of it that lead at the same instant are \
                 not kept apart"
            )
        });
        Ok(Founded { uuid: info.uuid, conditional_writes, notice })
    }
}

/// Writes `info` unless something is there; what is there then.
async fn write(storage: &dyn Storage, info: RepoInfo) -> Result<RepoInfo> {
    let (path, bytes) = (layout::repo_info(), info.encode()?);
    let lost = match info.ownership {
        Ownership::ConditionalWrites => match storage.create(path, bytes).await {
            Ok(Created::New) => return Ok(info),
            Ok(Created::Exists) => None,
            Err(failure) if failure.retry == Retry::OutcomeUnknown => Some(failure),
            Err(failure) => return Err(failure),
        },
        Ownership::OneCluster(_) => {
            storage.put(path, bytes).await?;
            None
        }
    };
    match read_repo_info(storage).await? {
        Some(standing) => Ok(standing),
        None => Err(lost.unwrap_or_else(|| {
            Failure::transient(Kind::Internal, format!("{path} was written, but it cannot be read"))
        })),
    }
}
