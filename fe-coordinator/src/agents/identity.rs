//! Which backend an agent stands for: remembered by the coordinator under the identity of the agent's data directory.
//!
//! # Crash consistency
//! The number is stored before the agent is welcomed. The incarnation is stored only after every running job knows of
//! it, so that a coordinator that dies in between tells them again.

use serde::{Deserialize, Serialize};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{AgentUuid, BackendId, Epoch};
use tabvault_common::settings::AgentSettings;
use tabvault_proto::session::Hello;
use uuid::Uuid;

use crate::store::{Committed, JobStore, Transaction};

const PREFIX: &str = "backend/";
const PAGE: usize = 256;

/// The first number that the coordinator gives away itself, as Doris does.
const FIRST: u64 = 10_001;

/// What is remembered of a backend, for ever: a number is given once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct BackendRecord {
    pub(super) agent: AgentUuid,
    incarnation: Option<Uuid>,
    pub(super) host: String,
    #[serde(default)]
    pub(super) standing: Standing,
    #[serde(default)]
    pub(super) settings: AgentSettings,
}

/// Whether a backend is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// It takes replicas.
    #[default]
    Serving,
    /// It is decommissioned and takes none; what it has is being removed.
    Leaving,
    /// Only its number and its agent's identity are left of it.
    Gone,
}

fn key(id: BackendId) -> String {
    format!("{PREFIX}{:020}", id.0)
}

/// All backends that were ever attached, those included that are gone.
pub(super) async fn all(store: &dyn JobStore) -> Result<Vec<(BackendId, BackendRecord)>, Failure> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.scan(PREFIX, after.as_deref(), PAGE).await?;
        for (key, value) in &page {
            let id = key.strip_prefix(PREFIX).and_then(|id| id.parse().ok()).map(BackendId);
            let record = serde_json::from_slice(value).ok();
            let (Some(id), Some(record)) = (id, record) else {
                return Err(Failure::fatal(Kind::Corrupt, format!("the record {key} is not one of a backend")));
            };
            found.push((id, record));
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE => after = Some(last.clone()),
            _ => return Ok(found),
        }
    }
}

/// The backend of an agent, and whether the agent is another process than the one remembered.
pub(super) async fn admit(store: &dyn JobStore, epoch: Epoch, hello: &Hello) -> Result<(BackendId, bool), Failure> {
    loop {
        let known = all(store).await?;
        if let Some((id, record)) = known.iter().find(|(_, record)| record.agent == hello.agent) {
            if record.standing == Standing::Gone {
                let why = format!(
                    "backend {id} was decommissioned: to come back as a new backend, its agent {} needs an empty data \
                     directory",
                    hello.agent
                );
                return Err(Failure::fatal(Kind::FailedPrecondition, why));
            }
            if hello.backend.is_some_and(|given| given != *id) {
                let why = format!("the agent {} is known as backend {id} and says another number", hello.agent);
                return Err(Failure::fatal(Kind::FailedPrecondition, why));
            }
            return Ok((*id, record.incarnation != Some(hello.incarnation)));
        }
        let last = known.iter().map(|(id, _)| id.0).max().unwrap_or(FIRST - 1);
        let id = hello.backend.unwrap_or(BackendId(last + 1));
        if let Some((_, other)) = known.iter().find(|(known, _)| *known == id) {
            let why = format!("backend {id} is agent {}, not {}", other.agent, hello.agent);
            return Err(Failure::fatal(Kind::AlreadyExists, why));
        }
        // Not remembered yet as this process: the caller does that after the jobs know of it.
        let (agent, host) = (hello.agent, hello.host.clone());
        let (standing, settings) = (Standing::Serving, AgentSettings::default());
        let record = BackendRecord { agent, incarnation: None, host, standing, settings };
        let transaction =
            Transaction { expect: vec![(key(id), None)], put: vec![(key(id), encode(&record)?)], delete: Vec::new() };
        if store.commit(epoch, transaction).await? == Committed::Done {
            return Ok((id, true));
        }
    }
}

/// Remembers the process that now stands for a backend.
pub(super) async fn remember(store: &dyn JobStore, epoch: Epoch, id: BackendId, hello: &Hello) -> Result<(), Failure> {
    change(store, epoch, id, |record| {
        record.incarnation = Some(hello.incarnation);
        record.host.clone_from(&hello.host);
        Ok(())
    })
    .await
    .map(drop)
}

/// Changes what is set for a backend's agent, and answers with what it is then.
pub(super) async fn set(
    store: &dyn JobStore,
    epoch: Epoch,
    id: BackendId,
    how: impl Fn(AgentSettings) -> Result<AgentSettings, Failure> + Send + Sync,
) -> Result<AgentSettings, Failure> {
    let record = change(store, epoch, id, |record| {
        record.settings = how(record.settings)?;
        Ok(())
    });
    Ok(record.await?.settings)
}

/// Remembers what is to become of a backend. One that is gone stays gone, whoever else still decides about it.
///
/// # Errors
/// `NotFound` "Unknown backend 'n'", also for one that is gone and is to be anything else.
pub(super) async fn stand(
    store: &dyn JobStore,
    epoch: Epoch,
    id: BackendId,
    standing: Standing,
) -> Result<(), Failure> {
    change(store, epoch, id, |record| {
        if record.standing == Standing::Gone && standing != Standing::Gone {
            let why = format!("Unknown backend '{id}': it was decommissioned and is forgotten");
            return Err(Failure::fatal(Kind::NotFound, why));
        }
        record.standing = standing;
        Ok(())
    })
    .await
    .map(drop)
}

async fn change(
    store: &dyn JobStore,
    epoch: Epoch,
    id: BackendId,
    change: impl Fn(&mut BackendRecord) -> Result<(), Failure> + Send + Sync,
) -> Result<BackendRecord, Failure> {
    loop {
        let Some(before) = store.get(&key(id)).await? else {
            return Err(Failure::fatal(Kind::NotFound, format!("Unknown backend '{id}'")));
        };
        let mut record: BackendRecord = serde_json::from_slice(&before).map_err(|error| {
            Failure::fatal(Kind::Corrupt, format!("the record {} is not one of a backend: {error}", key(id)))
        })?;
        change(&mut record)?;
        let (expect, put) = (vec![(key(id), Some(before))], vec![(key(id), encode(&record)?)]);
        let transaction = Transaction { expect, put, delete: Vec::new() };
        if store.commit(epoch, transaction).await? == Committed::Done {
            return Ok(record);
        }
    }
}

fn encode(record: &BackendRecord) -> Result<bytes::Bytes, Failure> {
    let text = serde_json::to_vec(record).map_err(|error| Failure::fatal(Kind::Internal, error.to_string()))?;
    Ok(text.into())
}
