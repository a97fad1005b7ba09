//! `tabvault be`: an agent with the built-in tablet store.

use std::sync::Arc;

use tabvault_be_agent::agent::{Agent, AgentHandle, AgentStatus};
use tabvault_be_agent::config::{AgentConfig, StorageOpener};
use tabvault_be_agent::store::file::FileTabletStore;
use tabvault_common::failure::{Failure, Kind};

use super::listen::Listener;
use super::options;
use super::signals::Signals;
use crate::config::BeConfig;
use crate::error::Result;
use crate::{http, output, tls};

/// Runs an agent until a signal.
///
/// # Errors
/// It cannot start, or cannot go on.
pub async fn run(config: &BeConfig) -> Result<()> {
    let signals = Signals::watch()?;
    // 1. Start.
    let listener = Listener::bind("--http", config.http).await?;
    let tls = tls::server_only(&config.tls)?;
    // Before the agent, which says once what it is limited to.
    http::record_metrics();
    let agent = Arc::new(start(config).await?);
    let observed = Arc::downgrade(&agent);
    let health = Arc::new(move || Ok(observed.upgrade().map_or_else(String::new, |agent| told(&agent.status()))));
    let mut http = listener.serve(http::routes(health).into(), tls)?;
    output::line(format!("tabvault be is ready: HTTP {}, dials {}", http.address(), config.fe.join(", ")))?;
    // 2. Serve.
    let end = tokio::select! {
        () = signals.first() => Ok(()),
        failure = http.ended() => Err(failure),
    };
    // 3. End.
    if let Some(agent) = Arc::into_inner(agent) {
        agent.shutdown().await;
    }
    http.shutdown().await;
    Ok(end?)
}

/// Makes this process give way to others that want the same cores, with all threads that it starts from now on: on a
/// backend the database comes first, and what it leaves idle is used all the same.
///
/// # Errors
/// `InvalidArgument` for a value that is none of 0 to 19; what the system says.
pub fn give_way(nice: i32) -> std::result::Result<(), Failure> {
    if !(0..=19).contains(&nice) {
        let message = format!("agent.nice = {nice}: give a number from 0 to 19");
        return Err(Failure::fatal(Kind::InvalidArgument, message));
    }
    let present = rustix::process::getpriority_process(None).unwrap_or_default();
    // Whoever started the process may have lowered it further already, and only root may raise it again.
    if present >= nice {
        return Ok(());
    }
    let set = rustix::process::setpriority_process(None, nice);
    set.map_err(|error| Failure::io(format_args!("set the nice value {nice}"), &error.into()))
}

/// Starts an agent in this process. It dials the coordinator for ever.
///
/// # Errors
/// A directory that is used by another process, wrong numbers, or what the disk says.
pub async fn start(config: &BeConfig) -> std::result::Result<AgentHandle, Failure> {
    let connection = tls::brokers(&config.tls, config.broker_token_file.as_deref())?;
    let storage = StorageOpener::from(options(connection));
    let token = match &config.agent_token_file {
        Some(file) => Some(tls::token(file)?),
        None => config.agent_token.clone(),
    };
    let agent = AgentConfig {
        fe: config.fe.clone(),
        // The store holds the directories themselves.
        state_dir: config.data.first().map(|root| root.join("agent")).unwrap_or_default(),
        host: if config.host.is_empty() { machine() } else { config.host.clone() },
        tls: tls::agent(&config.tls),
        token,
        insecure: config.tls.insecure,
        memory_budget: config.tuning.memory_budget,
        parallel_transfers: config.tuning.parallel_transfers,
        settings: config.tuning.settings(),
        heavy_tasks: config.tuning.heavy_tasks,
        light_tasks: config.tuning.light_tasks,
        free_space_watermark: config.tuning.free_space_watermark,
        storage: storage.clone(),
        ..AgentConfig::default()
    };
    agent.validate()?;
    let store = Arc::new(FileTabletStore::open_with(config.data.clone(), storage).await?);
    Agent::start(agent, store.clone(), Some(store)).await
}

/// The machine's name.
fn machine() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// What an agent is attached to, or why not.
#[must_use]
pub fn told(status: &AgentStatus) -> String {
    match (&status.attached_to, &status.last_error) {
        (Some(address), _) => format!("attached to {address}"),
        (None, Some(error)) => format!("not attached: {error}"),
        (None, None) => "not attached yet".to_owned(),
    }
}
