//! The built-in catalog: the promises of every catalog, also when it is opened anew before each operation, and what it
//! offers beyond them.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "catalog/common.rs"]
mod common;
#[path = "catalog/ddl.rs"]
mod ddl;
#[path = "catalog/load.rs"]
mod load;
#[path = "catalog/promises.rs"]
mod promises;
#[path = "catalog/ranges.rs"]
mod ranges;
#[path = "catalog/retire.rs"]
mod retire;
#[path = "catalog/rollups.rs"]
mod rollups;
#[path = "catalog/target.rs"]
mod target;
#[path = "catalog/views.rs"]
mod views;
