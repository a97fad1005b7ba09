//! `tabvault standalone`: a coordinator and several agents in one process and one directory.
//!
//! ```text
//! <data>/LOCK          one process per directory
//! <data>/root.password the password that `root` got at the first start
//! <data>/agent.token   what agents show the coordinator
//! <data>/fe            what `tabvault fe --data` takes
//! <data>/be1 … beN     what `tabvault be --data` takes
//! ```
//!
//! The agents dial the coordinator's own port, as they would from another machine. Each calls itself by the name of its
//! directory, so that replicas of a tablet go to different ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use tabvault_be_agent::agent::AgentHandle;
use tabvault_common::durable::{self, DirLock};
use tabvault_common::failure::{Failure, Kind};

use super::fe::{Fe, Sockets};
use super::signals::Signals;
use super::{be, blocking};
use crate::config::StandaloneConfig;
use crate::error::Result;
use crate::output;

/// Backends of a new directory.
const BACKENDS: usize = 3;
/// How long agents may take to attach to the coordinator beside them.
const ATTACH_WITHIN: Duration = Duration::from_secs(30);

/// Runs everything until a signal.
///
/// # Errors
/// It cannot start, or cannot go on.
pub async fn run(config: &StandaloneConfig) -> Result<()> {
    let signals = Signals::watch()?;
    // 1. Start.
    let mut all = Standalone::start(config).await?;
    output::line(format!("tabvault standalone is ready: {}", all.fe().addresses()))?;
    output::note(all.fe().login());
    // 2. Serve.
    let end = tokio::select! {
        () = signals.first() => Ok(()),
        failure = all.ended() => Err(failure),
    };
    // 3. End.
    all.shutdown().await;
    Ok(end?)
}

/// A running coordinator with its agents.
#[derive(Debug)]
pub struct Standalone {
    fe: Fe,
    /// With the numbers of their directories.
    agents: Vec<(usize, AgentHandle)>,
    _lock: DirLock,
}

impl Standalone {
    /// Starts everything in this process; ready when every agent is attached.
    ///
    /// # Errors
    /// What [`Fe::start`] and [`be::start`] fail with; `FailedPrecondition` for fewer backends than there were.
    pub async fn start(config: &StandaloneConfig) -> std::result::Result<Self, Failure> {
        // 1. Sockets first: if they are taken, nothing is written.
        let fe_config = config.fe();
        let sockets = Sockets::bind(&fe_config).await?;
        // 2. The directory, and how many backends it has.
        let (data, wanted) = (config.data.clone(), config.backends);
        let (lock, backends) = blocking(move || {
            durable::create_dir_all(&data)?;
            let lock = durable::lock_dir(&data)?;
            Ok((lock, count(&data, wanted)?))
        })
        .await?;
        // 3. The coordinator, then the agents.
        let fe = Fe::start_on(sockets, &fe_config).await?;
        let mut all = Self { fe, agents: Vec::new(), _lock: lock };
        let address = dialled(all.grpc(), config.tls.cert.is_some());
        match all.start_agents(config, backends, &address).await {
            Ok(()) => Ok(all),
            Err(failure) => {
                all.shutdown().await;
                Err(failure)
            }
        }
    }

    async fn start_agents(
        &mut self,
        config: &StandaloneConfig,
        backends: usize,
        address: &str,
    ) -> std::result::Result<(), Failure> {
        let attached = tokio::time::timeout(ATTACH_WITHIN, self.attach_agents(config, backends, address)).await;
        attached.unwrap_or_else(|_| {
            let mut statuses = self.agents.iter().map(|(number, agent)| (number, agent.status()));
            let missing = statuses.find(|(_, status)| status.attached_to.is_none());
            let told =
                missing.map_or_else(String::new, |(number, status)| format!("be{number}: {}", be::told(&status)));
            let within = ATTACH_WITHIN.as_secs();
            let message = format!("agents did not attach to {address} within {within} seconds: {told}");
            Err(Failure::transient(Kind::TimedOut, message))
        })
    }

    /// One after another, so that backends get their numbers in the order of their names.
    async fn attach_agents(
        &mut self,
        config: &StandaloneConfig,
        backends: usize,
        address: &str,
    ) -> std::result::Result<(), Failure> {
        for number in 1..=backends {
            let token = self.fe.agent_token().clone();
            let agent = be::start(&config.be(number, address.to_owned(), token)).await?;
            if self.fe.coordinator().agents().was_decommissioned(agent.status().agent).await? {
                let dir = config.data.join(format!("be{number}"));
                tracing::info!(dir = %dir.display(), "backend was decommissioned: its directory may be deleted");
                agent.shutdown().await;
                continue;
            }
            self.agents.push((number, agent));
            if let Some((_, agent)) = self.agents.last() {
                agent.wait_attached().await?;
            }
        }
        Ok(())
    }

    /// The coordinator.
    #[must_use]
    pub fn fe(&self) -> &Fe {
        &self.fe
    }

    /// Where gRPC is served.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.fe.grpc()
    }

    /// Where `/metrics` and `/healthz` are.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.fe.http()
    }

    /// Returns when it cannot go on, with the reason. Cancel safe.
    pub async fn ended(&mut self) -> Failure {
        self.fe.ended().await
    }

    /// Stops the agents, then the coordinator. Jobs go on at the next start.
    pub async fn shutdown(self) {
        join_all(self.agents.into_iter().map(|(_, agent)| agent.shutdown())).await;
        self.fe.shutdown().await;
    }
}

/// How many backends to start: `wanted`, or as many as there are. Blocks.
fn count(data: &Path, wanted: Option<usize>) -> std::result::Result<usize, Failure> {
    let failed = |error: std::io::Error| Failure::io(format_args!("list {}", data.display()), &error);
    let mut there = 0;
    for entry in std::fs::read_dir(data).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("be")).and_then(|number| number.parse().ok());
        there = there.max(number.unwrap_or(0));
    }
    match wanted {
        None if there == 0 => Ok(BACKENDS),
        None => Ok(there),
        Some(wanted) if wanted < there => {
            let message = format!(
                "--backends {wanted}: {} has {there} backends, whose tablets would be missing: give at least {there}, or \
                 decommission a backend and delete its directory",
                data.display()
            );
            Err(Failure::fatal(Kind::FailedPrecondition, message))
        }
        Some(wanted) => Ok(wanted),
    }
}

/// The address under which this machine reaches its own socket.
fn dialled(socket: SocketAddr, tls: bool) -> String {
    let ip = match socket.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{}", SocketAddr::new(ip, socket.port()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn backends_grow_and_never_shrink() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(count(data.path(), None).unwrap(), 3);
        assert_eq!(count(data.path(), Some(1)).unwrap(), 1);
        for name in ["be1", "be2", "be4", "fe", "best", "LOCK"] {
            std::fs::create_dir(data.path().join(name)).unwrap();
        }
        assert_eq!(count(data.path(), None).unwrap(), 4);
        assert_eq!(count(data.path(), Some(6)).unwrap(), 6);
        let refusal = count(data.path(), Some(3)).unwrap_err();
        assert_eq!(refusal.kind, Kind::FailedPrecondition);
        assert!(refusal.message.contains("has 4 backends"), "{refusal}");
        assert!(refusal.message.contains("give at least 4"), "{refusal}");
    }

    #[test]
    fn agents_dial_the_socket_itself_and_loopback_where_it_is_every_address() {
        let dial = |socket: &str, tls| dialled(socket.parse().unwrap(), tls);
        assert_eq!(dial("127.0.0.1:9020", false), "http://127.0.0.1:9020");
        assert_eq!(dial("0.0.0.0:9020", true), "https://127.0.0.1:9020");
        assert_eq!(dial("[::]:9020", false), "http://[::1]:9020");
        assert_eq!(dial("10.0.0.7:9020", true), "https://10.0.0.7:9020");
    }
}
