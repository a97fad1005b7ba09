#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use tabvault_common::clock::{ManualClock, Time};
use tabvault_common::ids::{AgentUuid, ClusterId};
use tabvault_proto::session::{Heartbeat, Hello};
use uuid::Uuid;

use super::*;
use crate::agents::Attachment;
use crate::store::MemoryStore;

async fn lead(store: &Arc<MemoryStore>) -> Arc<Agents> {
    let clock = Arc::new(ManualClock::new(Time(0)));
    let epoch = store.lead().await.unwrap();
    Agents::load(store.clone(), clock, ClusterId(Uuid::nil()), epoch, Duration::from_secs(30)).await.unwrap()
}

fn hello(host: &str) -> Hello {
    Hello {
        agent: AgentUuid::random(),
        incarnation: Uuid::new_v4(),
        cluster: None,
        highest_epoch: tabvault_common::ids::Epoch(0),
        backend: None,
        host: host.to_owned(),
        version: "1".to_owned(),
        state: Heartbeat::default(),
    }
}

/// What the agent was told last.
fn told(attachment: &mut Attachment) -> Option<Configuration> {
    let mut last = None;
    while let Ok(message) = attachment.receiver.try_recv() {
        let ToAgent::Configure(configuration) = message else { panic!("{message:?}") };
        last = Some(*configuration);
    }
    last
}

fn bytes(bytes: u64) -> AgentSettings {
    AgentSettings { bytes_per_second: Some(bytes), ..AgentSettings::default() }
}

#[tokio::test]
async fn settings_reach_attached_agents_at_once_and_others_when_they_attach_also_under_the_next_leader() {
    let store = Arc::new(MemoryStore::new());
    let agents = lead(&store).await;
    let (hello_one, hello_other) = (hello("one"), hello("other"));
    let mut one = agents.attach(&hello_one).await.unwrap();
    assert_eq!(told(&mut one), Some(Configuration::default()));
    let other = agents.attach(&hello_other).await.unwrap();
    agents.detach(other.backend, other.number);

    agents.set_all(|_| Ok(bytes(100))).await.unwrap();
    agents.set_agent(other.backend, |_| Ok(bytes(5))).await.unwrap();
    assert_eq!(told(&mut one).unwrap().agent, bytes(100));
    let mut back = agents.attach(&hello_other).await.unwrap();
    assert_eq!(told(&mut back).unwrap().agent, bytes(5));

    let agents = lead(&store).await;
    let mut one = agents.attach(&hello_one).await.unwrap();
    let mut other = agents.attach(&hello_other).await.unwrap();
    assert_eq!((told(&mut one).unwrap().agent, told(&mut other).unwrap().agent), (bytes(100), bytes(5)));
    agents.set_agent(other.backend, |_| Ok(AgentSettings::default())).await.unwrap();
    assert_eq!(told(&mut other).unwrap().agent, bytes(100), "what is taken back leaves what is said of all");
    assert_eq!(told(&mut one), None, "nothing has changed for it");
}

#[tokio::test]
async fn agents_share_what_a_repository_allows_and_shares_follow_their_coming_and_going() {
    let agents = lead(&Arc::new(MemoryStore::new())).await;
    let allowed = RepositorySettings { bytes_per_second: Some(90), requests_per_second: Some(0) };
    agents.limit_repositories([("s3://b/r".to_owned(), allowed)].into());
    let share = |attachment: &mut Attachment| {
        let share = told(attachment)?.repositories.get("s3://b/r").copied()?;
        assert_eq!(share.requests_per_second, None);
        share.bytes_per_second
    };
    let mut one = agents.attach(&hello("one")).await.unwrap();
    assert_eq!(share(&mut one), Some(90));
    let mut two = agents.attach(&hello("two")).await.unwrap();
    let mut three = agents.attach(&hello("three")).await.unwrap();
    assert_eq!([&mut one, &mut two, &mut three].map(share), [Some(30); 3]);
    agents.detach(two.backend, two.number);
    assert_eq!([&mut one, &mut three].map(share), [Some(45); 2]);
    agents.limit_repositories(BTreeMap::new());
    assert_eq!(told(&mut one).unwrap().repositories, BTreeMap::new());
}

#[tokio::test]
async fn a_change_that_is_refused_is_neither_kept_nor_told() {
    let store = Arc::new(MemoryStore::new());
    let agents = lead(&store).await;
    let mut one = agents.attach(&hello("one")).await.unwrap();
    told(&mut one);
    let refuse = |_| Err(Failure::fatal(Kind::InvalidArgument, "no"));
    agents.set_agent(one.backend, refuse).await.unwrap_err();
    agents.set_all(refuse).await.unwrap_err();
    assert_eq!(agents.set_agent(BackendId(77), |_| Ok(bytes(1))).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(told(&mut one), None);
    assert_eq!(lead(&store).await.settings(), (AgentSettings::default(), BTreeMap::new()));
}
