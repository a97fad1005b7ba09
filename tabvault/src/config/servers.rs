//! Settings of the processes that serve.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use tabvault_common::secret::Secret;

use super::{AgentTuning, CoordinatorTuning, FileConfig, TlsConfig, check_address, loopback, secret};
use crate::cli::servers::{BeArgs, BrokerServeArgs, FeArgs, StandaloneArgs};
use crate::error::{Error, Result};
use crate::mysql;

/// Most backends of one standalone process: each has threads and memory of its own.
const MAX_BACKENDS: usize = 64;
/// Most MySQL clients at once: each may have a packet in memory.
const MAX_CONNECTIONS: usize = 10_000;

/// `tabvault fe`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeConfig {
    /// Directory for the coordinator's records; required.
    pub data: PathBuf,
    /// Where clients, agents, health and reflection are served.
    pub grpc: SocketAddr,
    /// Where MySQL clients are served.
    pub mysql: SocketAddr,
    /// MySQL clients at once.
    pub mysql_max_connections: usize,
    /// Where `/metrics` and `/healthz` are.
    pub http: SocketAddr,
    /// File with the token that brokers want to hear.
    pub broker_token_file: Option<PathBuf>,
    /// Where `agent.token` and `root.password` are made; `None`: in `data`.
    #[serde(skip)]
    pub secrets: Option<PathBuf>,
    /// What agents must show, from `TABVAULT_AGENT_TOKEN`; `None`: what the file `agent.token` says.
    #[serde(skip)]
    pub agent_token: Option<Secret>,
    /// `root`'s password from now on, from `TABVAULT_ROOT_PASSWORD`.
    #[serde(skip)]
    pub root_password: Option<Secret>,
    /// From `[coordinator]`.
    #[serde(skip)]
    pub tuning: CoordinatorTuning,
    /// From `[tls]`.
    #[serde(skip)]
    pub tls: TlsConfig,
}

impl Default for FeConfig {
    fn default() -> Self {
        Self {
            data: PathBuf::new(),
            grpc: loopback(9020),
            mysql: loopback(9030),
            mysql_max_connections: mysql::Limits::default().connections,
            http: loopback(8030),
            broker_token_file: None,
            secrets: None,
            agent_token: None,
            root_password: None,
            tuning: CoordinatorTuning::default(),
            tls: TlsConfig::default(),
        }
    }
}

impl FeConfig {
    /// What `args` say, and `file` where they say nothing.
    ///
    /// # Errors
    /// What [`FeConfig::validate`] refuses.
    pub fn resolve(args: &FeArgs, file: &FileConfig) -> Result<Self> {
        let mut config = file.fe.clone();
        config.data = args.data.clone().unwrap_or(config.data);
        config.grpc = args.grpc.unwrap_or(config.grpc);
        config.mysql = args.mysql.unwrap_or(config.mysql);
        config.http = args.http.unwrap_or(config.http);
        config.agent_token = secret("TABVAULT_AGENT_TOKEN")?;
        config.root_password = secret("TABVAULT_ROOT_PASSWORD")?;
        config.tuning = file.coordinator.clone();
        config.tls = file.tls.clone().overlay(&args.tls);
        config.validate()?;
        Ok(config)
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the flag and what would be right.
    pub fn validate(&self) -> Result<()> {
        check_data(&self.data)?;
        self.tls.validate()?;
        self.tls.check_listen("--grpc", self.grpc)?;
        self.tls.check_login("--mysql", self.mysql)?;
        check_connections(self.mysql_max_connections)?;
        self.tls.check_listen("--http", self.http)
    }

    /// The file with what agents must show, unless it is given otherwise.
    #[must_use]
    pub fn agent_token_file(&self) -> PathBuf {
        self.secrets.as_ref().unwrap_or(&self.data).join("agent.token")
    }

    /// The file with `root`'s first password, unless it is given otherwise.
    #[must_use]
    pub fn root_password_file(&self) -> PathBuf {
        self.secrets.as_ref().unwrap_or(&self.data).join("root.password")
    }
}

/// `tabvault be`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BeConfig {
    /// Directories for tablets, one per disk; at least one. The first also keeps the agent's state.
    pub data: Vec<PathBuf>,
    /// The coordinator's addresses.
    pub fe: Vec<String>,
    /// Where `/metrics` and `/healthz` are.
    pub http: SocketAddr,
    /// The name shown as Host; empty: the machine's.
    pub host: String,
    /// File with the token that brokers want to hear.
    pub broker_token_file: Option<PathBuf>,
    /// File with the token that the coordinator wants to see: its `agent.token`.
    pub agent_token_file: Option<PathBuf>,
    /// That token itself, from `TABVAULT_AGENT_TOKEN` unless a file is named.
    #[serde(skip)]
    pub agent_token: Option<Secret>,
    /// From `[agent]`.
    #[serde(skip)]
    pub tuning: AgentTuning,
    /// From `[tls]`.
    #[serde(skip)]
    pub tls: TlsConfig,
}

impl Default for BeConfig {
    fn default() -> Self {
        Self {
            data: Vec::new(),
            fe: vec!["http://127.0.0.1:9020".to_owned()],
            http: loopback(8040),
            host: String::new(),
            broker_token_file: None,
            agent_token_file: None,
            agent_token: None,
            tuning: AgentTuning::default(),
            tls: TlsConfig::default(),
        }
    }
}

impl BeConfig {
    /// What `args` say, and `file` where they say nothing.
    ///
    /// # Errors
    /// What [`BeConfig::validate`] refuses.
    pub fn resolve(args: &BeArgs, file: &FileConfig) -> Result<Self> {
        let mut config = file.be.clone();
        if !args.data.is_empty() {
            config.data.clone_from(&args.data);
        }
        if !args.fe.is_empty() {
            config.fe.clone_from(&args.fe);
        }
        config.http = args.http.unwrap_or(config.http);
        config.host = args.host.clone().unwrap_or(config.host);
        config.agent_token = secret("TABVAULT_AGENT_TOKEN")?;
        // What is said on the command line wins over the environment, and that over the file.
        config.agent_token_file = match (&args.agent_token_file, &config.agent_token) {
            (Some(file), _) => Some(file.clone()),
            (None, Some(_)) => None,
            (None, None) => config.agent_token_file,
        };
        config.tuning = file.agent.clone().beside_a_database();
        config.tls = file.tls.clone().overlay(&args.tls);
        config.validate()?;
        Ok(config)
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the flag and what would be right.
    pub fn validate(&self) -> Result<()> {
        if self.data.is_empty() {
            return check_data(&PathBuf::new());
        }
        self.data.iter().try_for_each(check_data)?;
        if self.fe.is_empty() {
            return Err(Error::Usage("no coordinator is named: give --fe http://127.0.0.1:9020".to_owned()));
        }
        self.fe.iter().try_for_each(|address| check_address(address, self.tls.insecure))?;
        self.tls.validate()?;
        self.tls.check_listen("--http", self.http)
    }
}

/// `tabvault broker`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerConfig {
    /// Where the broker is served.
    pub grpc: SocketAddr,
    /// File with the token that clients must present; without it, whoever can connect is served.
    pub token_file: Option<PathBuf>,
    /// Locations that are served, with all below them; empty: all that this process can reach.
    pub locations: Vec<String>,
    /// From `[tls]`.
    #[serde(skip)]
    pub tls: TlsConfig,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self { grpc: loopback(8000), token_file: None, locations: Vec::new(), tls: TlsConfig::default() }
    }
}

impl BrokerConfig {
    /// What `args` say, and `file` where they say nothing.
    ///
    /// # Errors
    /// What [`BrokerConfig::validate`] refuses.
    pub fn resolve(args: &BrokerServeArgs, file: &FileConfig) -> Result<Self> {
        let mut config = file.broker.clone();
        config.grpc = args.grpc.unwrap_or(config.grpc);
        config.tls = file.tls.clone().overlay(&args.tls);
        config.validate()?;
        Ok(config)
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the flag and what would be right.
    pub fn validate(&self) -> Result<()> {
        self.tls.validate()?;
        self.tls.check_listen("--grpc", self.grpc)
    }
}

/// `tabvault standalone`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StandaloneConfig {
    /// Directory for everything; required.
    pub data: PathBuf,
    /// Number of backends; `None`: as many as there are in `data`, three if it is new.
    pub backends: Option<usize>,
    /// Where clients, agents, health and reflection are served.
    pub grpc: SocketAddr,
    /// Where MySQL clients are served.
    pub mysql: SocketAddr,
    /// MySQL clients at once.
    pub mysql_max_connections: usize,
    /// Where `/metrics` and `/healthz` are.
    pub http: SocketAddr,
    /// File with the token that brokers want to hear.
    pub broker_token_file: Option<PathBuf>,
    /// `root`'s password from now on, from `TABVAULT_ROOT_PASSWORD`.
    #[serde(skip)]
    pub root_password: Option<Secret>,
    /// From `[coordinator]`.
    #[serde(skip)]
    pub coordinator: CoordinatorTuning,
    /// From `[agent]`.
    #[serde(skip)]
    pub agent: AgentTuning,
    /// From `[tls]`.
    #[serde(skip)]
    pub tls: TlsConfig,
}

impl Default for StandaloneConfig {
    fn default() -> Self {
        Self {
            data: PathBuf::new(),
            backends: None,
            grpc: loopback(9020),
            mysql: loopback(9030),
            mysql_max_connections: mysql::Limits::default().connections,
            http: loopback(8030),
            broker_token_file: None,
            root_password: None,
            coordinator: CoordinatorTuning::default(),
            agent: AgentTuning::default(),
            tls: TlsConfig::default(),
        }
    }
}

impl StandaloneConfig {
    /// What `args` say, and `file` where they say nothing.
    ///
    /// # Errors
    /// What [`StandaloneConfig::validate`] refuses.
    pub fn resolve(args: &StandaloneArgs, file: &FileConfig) -> Result<Self> {
        let mut config = file.standalone.clone();
        config.data = args.data.clone().unwrap_or(config.data);
        config.backends = args.backends.or(config.backends);
        config.grpc = args.grpc.unwrap_or(config.grpc);
        config.mysql = args.mysql.unwrap_or(config.mysql);
        config.http = args.http.unwrap_or(config.http);
        config.root_password = secret("TABVAULT_ROOT_PASSWORD")?;
        config.coordinator = file.coordinator.clone();
        config.agent = file.agent.clone();
        config.tls = file.tls.clone().overlay(&args.tls);
        config.validate()?;
        Ok(config)
    }

    /// Refuses what cannot work.
    ///
    /// # Errors
    /// Names the flag and what would be right.
    pub fn validate(&self) -> Result<()> {
        check_data(&self.data)?;
        if let Some(backends) = self.backends.filter(|backends| !(1..=MAX_BACKENDS).contains(backends)) {
            return Err(Error::Usage(format!("--backends {backends}: give a number from 1 to {MAX_BACKENDS}")));
        }
        self.tls.validate()?;
        if self.tls.cert.is_some() && self.tls.ca.is_none() {
            return Err(Error::Usage(
                "the agents need --tls-ca beside --tls-cert to know the coordinator by".to_owned(),
            ));
        }
        self.tls.check_listen("--grpc", self.grpc)?;
        self.tls.check_login("--mysql", self.mysql)?;
        check_connections(self.mysql_max_connections)?;
        self.tls.check_listen("--http", self.http)
    }

    /// The coordinator's part.
    #[must_use]
    pub fn fe(&self) -> FeConfig {
        FeConfig {
            data: self.data.join("fe"),
            grpc: self.grpc,
            mysql: self.mysql,
            mysql_max_connections: self.mysql_max_connections,
            http: self.http,
            broker_token_file: self.broker_token_file.clone(),
            secrets: Some(self.data.clone()),
            agent_token: None,
            root_password: self.root_password.clone(),
            tuning: self.coordinator.clone(),
            tls: self.tls.clone(),
        }
    }

    /// The part of backend `number`, counted from 1, of the coordinator that listens at `fe` and wants to see `token`.
    #[must_use]
    pub fn be(&self, number: usize, fe: String, token: Secret) -> BeConfig {
        BeConfig {
            data: vec![self.data.join(format!("be{number}"))],
            fe: vec![fe],
            host: format!("be{number}"),
            broker_token_file: self.broker_token_file.clone(),
            agent_token: Some(token),
            tuning: self.agent.clone(),
            tls: self.tls.clone(),
            ..BeConfig::default()
        }
    }
}

fn check_connections(most: usize) -> Result<()> {
    if !(1..=MAX_CONNECTIONS).contains(&most) {
        let message = format!("mysql_max_connections = {most}: give a number from 1 to {MAX_CONNECTIONS}");
        return Err(Error::Usage(message));
    }
    Ok(())
}

#[expect(clippy::ptr_arg, reason = "it is passed to iterators over PathBuf")]
fn check_data(data: &PathBuf) -> Result<()> {
    if data.as_os_str().is_empty() {
        return Err(Error::Usage("no directory is named: give --data DIR".to_owned()));
    }
    Ok(())
}
