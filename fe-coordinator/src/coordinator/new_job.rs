//! Heads of jobs that are accepted just now.

use std::collections::BTreeSet;

use tabvault_common::clock::Time;
use tabvault_common::ids::{ClusterId, JobId, JobUuid};
use tabvault_common::label::Label;
use tabvault_common::request::{BackupRequest, RestoreRequest};
use tabvault_common::view::{BackupState, RestoreState};

use crate::check::properties::{BackupProperties, RestoreProperties};
use crate::job::{Asking, backup, restore};

pub(super) fn backup(
    id: JobId,
    uuid: JobUuid,
    cluster: ClusterId,
    request: &BackupRequest,
    label: Label,
    properties: BackupProperties,
    now: Time,
) -> backup::Head {
    backup::Head {
        id,
        uuid,
        cluster,
        database: request.database.clone(),
        slot: 0,
        label,
        repository: request.repository.clone(),
        properties,
        state: BackupState::Pending,
        create_time: now,
        snapshot_finished_time: None,
        upload_finished_time: None,
        finished_time: None,
        chosen: false,
        parent: None,
        planned: false,
        next_task: 1,
        retaking: Vec::new(),
        retakes: 0,
        silent: BTreeSet::new(),
        meta: None,
        timestamp: None,
        cancelling: None,
        status: None,
        unclean: false,
        asking: Asking::default(),
    }
}

pub(super) fn restore(
    id: JobId,
    uuid: JobUuid,
    cluster: ClusterId,
    request: &RestoreRequest,
    label: Label,
    properties: RestoreProperties,
    now: Time,
) -> restore::Head {
    restore::Head {
        id,
        uuid,
        cluster,
        source_database: request.database.clone(),
        database: request.into.clone().unwrap_or_else(|| request.database.clone()),
        slot: 0,
        label,
        repository: request.repository.clone(),
        properties,
        state: RestoreState::Pending,
        create_time: now,
        meta_prepared_time: None,
        snapshot_finished_time: None,
        download_finished_time: None,
        finished_time: None,
        planned: false,
        publishing: false,
        cancelling: None,
        status: None,
        asking: Asking::default(),
    }
}
