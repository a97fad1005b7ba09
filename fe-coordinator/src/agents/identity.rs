//! Which backend an agent stands for: remembered by the coordinator under the identity of the agent's data directory.
//!
//! # Crash consistency
//! The number is stored before the agent is welcomed. The incarnation is stored only after every running job knows of
//! it, so that a coordinator that dies in between tells them again.

use serde::{Deserialize, Serialize};
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::{AgentUuid, BackendId, Epoch};
use tabvault_proto::session::Hello;
use uuid::Uuid;

use crate::store::{Committed, JobStore, Transaction};

const PREFIX: &str = "backend/";
const PAGE: usize = 256;

/// The first number that the coordinator gives away itself, as Doris does.
const FIRST: u64 = 10_001;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct BackendRecord {
    agent: AgentUuid,
    incarnation: Option<Uuid>,
    pub(super) host: String,
}

fn key(id: BackendId) -> String {
    format!("{PREFIX}{:020}", id.0)
}

/// All backends that were ever attached.
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
        let record = BackendRecord { agent: hello.agent, incarnation: None, host: hello.host.clone() };
        let transaction =
            Transaction { expect: vec![(key(id), None)], put: vec![(key(id), encode(&record)?)], delete: Vec::new() };
        if store.commit(epoch, transaction).await? == Committed::Done {
            return Ok((id, true));
        }
    }
}

/// Remembers the process that now stands for a backend.
pub(super) async fn remember(store: &dyn JobStore, epoch: Epoch, id: BackendId, hello: &Hello) -> Result<(), Failure> {
    let record = BackendRecord { agent: hello.agent, incarnation: Some(hello.incarnation), host: hello.host.clone() };
    let put = vec![(key(id), encode(&record)?)];
    store.commit(epoch, Transaction { put, ..Transaction::default() }).await.map(|_| ())
}

fn encode(record: &BackendRecord) -> Result<bytes::Bytes, Failure> {
    let text = serde_json::to_vec(record).map_err(|error| Failure::fatal(Kind::Internal, error.to_string()))?;
    Ok(text.into())
}
