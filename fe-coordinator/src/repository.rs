//! Repositories: which ones this cluster knows, and everything a coordinator does inside one.
//!
//! # Overview
//! | module | what it is |
//! |---|---|
//! | [`registry`] | CREATE, ALTER, DROP and SHOW REPOSITORY: the mapping of names to places, kept in the job store |
//! | [`remote`] | one opened repository: intents, infos, tombstones, metas, and what people are shown of them |
//! | [`health`] | the periodic check whose last finding SHOW REPOSITORIES tells |
//!
//! # Consistency
//! The mapping belongs to one cluster, the repository to all clusters that have a mapping to it. Dropping a mapping
//! changes nothing in the repository.
//!
//! # Crash consistency
//! A mapping is stored after the repository stands, so a mapping never leads nowhere. A crash in between leaves an
//! empty repository without a mapping; the next CREATE REPOSITORY finds and joins it.
//!
//! # Cancellation
//! Every operation may be dropped and asked again: those that write look at what stands there first.

mod founding;
pub mod health;
mod place;
mod record;
pub mod registry;
pub mod remote;
mod settings;

pub(crate) use place::check_name;
pub use record::RepositoryRecord;
pub use registry::{OpenStorage, Repositories};
pub use remote::{Description, InfoWrite, Protection, Repository, TombstoneWrite};
