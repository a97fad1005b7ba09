//! ALTER SYSTEM DECOMMISSION BACKEND: taking a backend out of the cluster.
//!
//! # Overview
//! The backend is marked, then its replicas leave the catalog, then its agent removes their files, then it is forgotten.
//! One that is dead is forgotten at once. Replicas are not copied: what leaves is covered by replicas elsewhere, and
//! tables have one fewer from then on. A restore of a backup makes as many as it is told.
//!
//! # Crash consistency
//! The mark is durable first. What a crash interrupts the housekeeping of the next leadership goes on with, and
//! SHOW BACKENDS says what it waits for; asking again ends it or takes the mark away.

use tabvault_common::failure::{Failure, Kind};
use tabvault_common::ids::BackendId;

use super::Coordinator;
use crate::agents::Agents;
use crate::catalog::{Catalog, Retired};

impl Coordinator {
    /// ALTER SYSTEM DECOMMISSION BACKEND. Answers when the backend's replicas have left the catalog, with what the user
    /// should know.
    ///
    /// # Errors
    /// `NotFound` "Unknown backend 'n'"; `Busy` while a job, a load or an export needs it; `FailedPrecondition` where it
    /// has the only complete replica of a tablet; `Unsupported` where an embedding cluster's own frontend places
    /// replicas. Refused, the backend takes replicas again and has all that it had, unless the message says how many
    /// have left: where there are many, they leave in several steps, and what came to need the backend in between stops
    /// the next one.
    pub async fn decommission(&self, backend: BackendId) -> Result<Vec<String>, Failure> {
        let this = self.clone();
        self.to_the_end(async move { this.take_out(backend).await }).await
    }

    async fn take_out(&self, backend: BackendId) -> Result<Vec<String>, Failure> {
        let agents = self.agents();
        agents.gathered().await;
        // Marked first: whoever places a replica from now on looks elsewhere.
        agents.leave(backend).await?;
        let retired = match self.check_unneeded(backend) {
            Ok(()) => retire(agents, &*self.inner.catalog, backend).await,
            Err(needed) => Err(needed),
        };
        let retired = match retired {
            Ok(retired) => retired,
            Err(refused) => {
                agents.stay(backend).await?;
                return Err(refused);
            }
        };
        agents.decided(backend);
        let mut notices = Vec::new();
        if retired.replicas > 0 {
            let tables: Vec<&str> = retired.tables.iter().map(String::as_str).collect();
            notices.push(format!(
                "{} replicas have left the catalog and are not copied elsewhere; tables that have fewer now: {}",
                retired.replicas,
                tables.join(", ")
            ));
        }
        if agents.is_dead(backend) {
            forget(agents, &*self.inner.catalog, backend).await?;
            notices.push(format!("backend {backend} does not answer and is forgotten"));
        } else {
            notices.push(format!(
                "backend {backend} is forgotten when its agent has removed its tablets, or does not answer any more; SHOW \
                 BACKENDS lists it until then"
            ));
        }
        self.inner.chores.due.notify_one();
        Ok(notices)
    }

    fn check_unneeded(&self, backend: BackendId) -> Result<(), Failure> {
        let job = self.running().values().find(|job| job.needs(backend)).map(|job| job.id);
        let who = match job {
            Some(job) => format!("job {job} needs it"),
            None if self.agents().is_busy(backend) => "a load or an export needs it".to_owned(),
            None => return Ok(()),
        };
        let why = format!("backend {backend} cannot be decommissioned: {who}; wait for its end");
        Err(Failure::transient(Kind::Busy, why))
    }
}

/// Takes what is on the backend out of the catalog.
pub(crate) async fn retire(agents: &Agents, catalog: &dyn Catalog, backend: BackendId) -> Result<Retired, Failure> {
    let others: Vec<BackendId> = agents.room().into_iter().map(|room| room.backend).collect();
    catalog.retire(backend, &others).await
}

/// Forgets a backend that nothing needs.
pub(crate) async fn forget(agents: &Agents, catalog: &dyn Catalog, backend: BackendId) -> Result<(), Failure> {
    agents.forget_backend(backend).await?;
    // After the mark: what is on the list of a backend that is gone nobody looks at.
    catalog.forget(backend).await
}
