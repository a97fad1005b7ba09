//! Labels of loads: given once per database, so that a client that did not hear the answer can ask again without
//! loading twice.
//!
//! # Crash consistency
//! A label is written in the same step as the version that its load makes visible: it is used if and only if the load
//! is visible.

use serde::{Deserialize, Serialize};
use tabvault_common::clock::Time;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::JobUuid;
use tabvault_common::label::Label;

use super::records::Records;
use super::{LocalCatalog, Result, find, keys, locked};

/// Labels that are remembered of a database: those of its newest loads.
const MAX_LABELS: usize = 2000;

/// A label that was used.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Used {
    load: JobUuid,
    since: Time,
}

impl LocalCatalog {
    /// Gives a load that was begun a label, which counts as used once the load is committed. The newest two thousand
    /// labels of a database are remembered.
    ///
    /// # Errors
    /// `AlreadyExists` "Label [l] has already been used"; `Busy` while another load has the label; `NotFound` for the
    /// database.
    pub async fn label_load(&self, load: JobUuid, database: &str, label: &Label) -> Result<()> {
        let (database, label) = (database.to_owned(), label.clone());
        let memory = std::sync::Arc::clone(&self.memory);
        self.look(move |records| {
            let id = find::database(records, &database)?.id;
            if let Some(used) = records.get::<Used>(&keys::load_label(id, label.as_str()))? {
                let message = format!("Label [{label}] has already been used, by load {} at {}", used.load, used.since);
                return Err(Failure::fatal(Kind::AlreadyExists, message));
            }
            locked(&memory).loads.label(load, (id, label.to_string()))
        })
        .await
    }
}

/// The label is used from now on, and the oldest ones beyond what is remembered are not any more.
pub(super) fn used(records: &mut Records, database: u64, label: &str, load: JobUuid, now: Time) -> Result<()> {
    records.put(keys::load_label(database, label), &Used { load, since: now })?;
    let mut all = records.list::<Used>(&keys::load_labels(database))?;
    all.sort_by_key(|(_, used)| used.since);
    for (old, _) in &all[..all.len().saturating_sub(MAX_LABELS)] {
        records.delete(keys::load_label(database, old));
    }
    Ok(())
}

/// Forgets the labels of a database that goes.
pub(super) fn forget(records: &mut Records, database: u64) -> Result<()> {
    for (label, _) in records.list::<Used>(&keys::load_labels(database))? {
        records.delete(keys::load_label(database, &label));
    }
    Ok(())
}
