#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use tabvault_common::clock::{ManualClock, Time};
use tabvault_common::failure::Kind;
use tabvault_common::ids::{AgentUuid, BackendId, ClusterId, Epoch};
use tabvault_proto::session::{Heartbeat, Hello};
use uuid::Uuid;

use crate::agents::Agents;
use crate::agents::identity::{self, Standing};
use crate::store::{JobStore, MemoryStore};

async fn load(store: &Arc<MemoryStore>, epoch: Epoch) -> Arc<Agents> {
    let clock = Arc::new(ManualClock::new(Time(0)));
    Agents::load(store.clone(), clock, ClusterId(Uuid::nil()), epoch, Duration::from_secs(30)).await.unwrap()
}

fn hello(host: &str) -> Hello {
    Hello {
        agent: AgentUuid::random(),
        incarnation: Uuid::new_v4(),
        cluster: None,
        highest_epoch: Epoch(0),
        backend: None,
        host: host.to_owned(),
        version: "1".to_owned(),
        state: Heartbeat::default(),
    }
}

fn takers(agents: &Agents) -> Vec<BackendId> {
    agents.room().into_iter().map(|room| room.backend).collect()
}

#[tokio::test]
async fn a_backend_that_leaves_takes_no_replicas_also_under_the_next_leader() {
    let store = Arc::new(MemoryStore::new());
    let agents = load(&store, store.lead().await.unwrap()).await;
    let (one, other) = (hello("one"), hello("other"));
    let (leaving, staying) = (agents.attach(&one).await.unwrap().backend, agents.attach(&other).await.unwrap().backend);
    agents.leave(leaving).await.unwrap();
    assert_eq!(takers(&agents), [staying]);
    assert_eq!(agents.leaving(), [], "whoever asked may still be refused");
    agents.decided(leaving);
    assert_eq!(agents.leaving(), [leaving]);
    assert!(agents.show()[0].error.as_ref().unwrap().contains("it is being decommissioned"));

    let agents = load(&store, store.lead().await.unwrap()).await;
    // Nobody waits for it.
    agents.attach(&other).await.unwrap();
    agents.gathered().await;
    // A new process of it is let in: it has to remove its tablets.
    let again = Hello { incarnation: Uuid::new_v4(), ..one };
    assert_eq!(agents.attach(&again).await.unwrap().backend, leaving);
    assert_eq!((takers(&agents), agents.leaving()), (vec![staying], vec![leaving]));
    agents.waits_for(leaving, "for a reason".to_owned());
    assert_eq!(agents.show()[0].error.as_deref(), Some("it is being decommissioned: for a reason"));
    agents.stay(leaving).await.unwrap();
    assert_eq!(takers(&agents), [leaving, staying]);
}

#[tokio::test]
async fn a_backend_that_is_forgotten_leaves_its_number_to_nobody() {
    let store = Arc::new(MemoryStore::new());
    let agents = load(&store, store.lead().await.unwrap()).await;
    let gone = hello("gone");
    let backend = agents.attach(&gone).await.unwrap().backend;
    agents.leave(backend).await.unwrap();
    agents.forget_backend(backend).await.unwrap();
    assert!(agents.show().is_empty());

    let agents = load(&store, store.lead().await.unwrap()).await;
    assert!(agents.show().is_empty());
    agents.gathered().await;
    let refused = agents.attach(&gone).await.unwrap_err();
    assert_eq!(refused.kind, Kind::FailedPrecondition);
    assert!(refused.message.starts_with(&format!("backend {backend} was decommissioned: ")), "{refused}");
    let new = agents.attach(&hello("gone")).await.unwrap().backend;
    assert_eq!(new, BackendId(backend.0 + 1));
    assert_eq!(agents.leave(backend).await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn a_backend_that_is_gone_stays_gone_whoever_still_decides_about_it() {
    let store = Arc::new(MemoryStore::new());
    let agents = load(&store, store.lead().await.unwrap()).await;
    let gone = hello("gone");
    let backend = agents.attach(&gone).await.unwrap().backend;
    agents.leave(backend).await.unwrap();
    agents.forget_backend(backend).await.unwrap();
    let refused = agents.stay(backend).await.unwrap_err();
    assert_eq!(refused.kind, Kind::NotFound, "{refused}");
    assert!(refused.message.starts_with(&format!("Unknown backend '{backend}'")), "{refused}");
    let leaving = identity::stand(&*store, agents.epoch(), backend, Standing::Leaving).await;
    assert_eq!(leaving.unwrap_err().kind, Kind::NotFound);
    agents.forget_backend(backend).await.unwrap();

    let agents = load(&store, store.lead().await.unwrap()).await;
    assert!(agents.show().is_empty());
    assert_eq!(agents.attach(&gone).await.unwrap_err().kind, Kind::FailedPrecondition);
}
