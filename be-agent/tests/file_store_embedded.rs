//! The example of a store of one's own keeps the contract, too, and an agent starts with it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use tabvault_be_agent::agent::Agent;
use tabvault_be_agent::config::AgentConfig;

#[path = "../examples/embedded_store.rs"]
#[allow(dead_code)]
mod embedded_store;

#[tokio::test]
async fn the_embedded_store_conforms() {
    let dir = tempfile::tempdir().unwrap();
    embedded_store::check(dir.path()).await.unwrap();
}

#[tokio::test]
async fn an_agent_starts_with_the_embedded_store() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(embedded_store::Engine::open(dir.path()).unwrap());
    // Nobody listens there: the agent dials in the background.
    let fe = vec!["http://127.0.0.1:1".to_owned()];
    let config = AgentConfig { fe, state_dir: dir.path().join("agent"), ..AgentConfig::default() };
    let agent = Agent::start(config, engine, None).await.unwrap();
    assert_eq!(agent.backend_id(), None);
    agent.shutdown().await;
}
