//! `tabvault fe`: a coordinator with the built-in catalog.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::FutureExt;
use tabvault_common::clock::SystemClock;
use tabvault_common::failure::{Failure, Kind};
use tabvault_common::secret::Secret;
use tabvault_fe_coordinator::auth::secret_file;
use tabvault_fe_coordinator::auth::users::{Founded, Users};
use tabvault_fe_coordinator::catalog::LocalCatalog;
use tabvault_fe_coordinator::coordinator::{Coordinator, Parts};
use tabvault_fe_coordinator::grpc;
use tabvault_fe_coordinator::store::{JobStore, SharedDb, SledStore};

use super::listen::{Listener, Serving};
use super::signals::Signals;
use super::{blocking, options};
use crate::config::FeConfig;
use crate::error::Result;
use crate::http::{self, Health};
use crate::{mysql, output, tls};

/// Runs a coordinator until a signal.
///
/// # Errors
/// It cannot start, or cannot go on.
pub async fn run(config: &FeConfig) -> Result<()> {
    let signals = Signals::watch()?;
    // 1. Start.
    let mut fe = Fe::start(config).await?;
    output::line(format!("tabvault fe is ready: {}", fe.addresses()))?;
    output::note(fe.login());
    // 2. Serve.
    let end = tokio::select! {
        () = signals.first() => Ok(()),
        failure = fe.ended() => Err(failure),
    };
    // 3. End.
    fe.shutdown().await;
    Ok(end?)
}

/// Its sockets, taken before anything is written.
#[derive(Debug)]
pub struct Sockets {
    grpc: Listener,
    mysql: Listener,
    http: Listener,
}

impl Sockets {
    /// Takes them.
    ///
    /// # Errors
    /// An address that cannot be listened at.
    pub async fn bind(config: &FeConfig) -> std::result::Result<Self, Failure> {
        Ok(Self {
            grpc: Listener::bind("--grpc", config.grpc).await?,
            mysql: Listener::bind("--mysql", config.mysql).await?,
            http: Listener::bind("--http", config.http).await?,
        })
    }
}

/// A running coordinator.
#[derive(Debug)]
pub struct Fe {
    coordinator: Coordinator,
    grpc: Serving,
    mysql: mysql::Serving,
    http: Serving,
    agent_token: Secret,
    root: Founded,
}

impl Fe {
    /// Starts one in this process.
    ///
    /// # Errors
    /// A socket or directory that is used by another process, damaged records, wrong numbers.
    pub async fn start(config: &FeConfig) -> std::result::Result<Self, Failure> {
        Self::start_on(Sockets::bind(config).await?, config).await
    }

    /// As [`Fe::start`], on sockets that are bound already.
    ///
    /// # Errors
    /// As [`Fe::start`].
    pub async fn start_on(sockets: Sockets, config: &FeConfig) -> std::result::Result<Self, Failure> {
        let (grpc_tls, http_tls) = (tls::server(&config.tls)?, tls::server_only(&config.tls)?);
        let mysql_settings = mysql_settings(config)?;
        let brokers = tls::brokers(&config.tls, config.broker_token_file.as_deref())?;
        let coordinator_config = config.tuning.config();
        coordinator_config.validate()?;
        let (dir, clock) = (config.data.clone(), Arc::new(SystemClock));
        let (token, token_file) = (config.agent_token.clone(), config.agent_token_file());
        let (store, catalog, token) = blocking({
            let clock = clock.clone();
            move || {
                let db = SharedDb::open(&dir)?;
                let token = token.map_or_else(|| secret_file::found(&token_file), Ok)?;
                Ok((SledStore::open(&db)?, Arc::new(LocalCatalog::open(&db, clock)?), token))
            }
        })
        .await?;
        let store: Arc<dyn JobStore> = Arc::new(store);
        let users = Arc::new(Users::new(store.clone(), clock.clone(), token.clone())?);
        let parts = Parts {
            store,
            catalog: catalog.clone(),
            local: Some(catalog),
            opener: Arc::new(options(brokers.clone())),
            brokers,
            clock,
            authorizer: users.clone(),
            users: Some(users.clone()),
        };
        let coordinator = Coordinator::start(coordinator_config, parts).await?;
        let root = users.found_root(&config.root_password_file(), config.root_password.as_ref()).await?;
        let grpc = sockets.grpc.serve(grpc::routes(&coordinator).await?, grpc_tls)?;
        let mysql = mysql::serve(sockets.mysql, coordinator.clone(), mysql_settings);
        let http = sockets.http.serve(http::routes(health(coordinator.clone())).into(), http_tls)?;
        Ok(Self { coordinator, grpc, mysql, http, agent_token: token, root })
    }

    /// The coordinator.
    #[must_use]
    pub fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// What agents of this coordinator must show.
    #[must_use]
    pub fn agent_token(&self) -> &Secret {
        &self.agent_token
    }

    /// How users learn `root`'s password: a sentence for whoever starts the process.
    #[must_use]
    pub fn login(&self) -> String {
        match &self.root.password_file {
            Some(file) => format!("log in as root with --password-file {}", file.display()),
            None => "log in with the password that was set".to_owned(),
        }
    }

    /// Where gRPC is served.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.grpc.address()
    }

    /// Where MySQL clients are served.
    #[must_use]
    pub fn mysql(&self) -> SocketAddr {
        self.mysql.address()
    }

    /// Where it can be reached, as the ready line says it.
    #[must_use]
    pub fn addresses(&self) -> String {
        format!("gRPC {}, MySQL {}, HTTP {}", self.grpc(), self.mysql(), self.http())
    }

    /// Where `/metrics` and `/healthz` are.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http.address()
    }

    /// Returns when it cannot go on, with the reason. Cancel safe.
    pub async fn ended(&mut self) -> Failure {
        tokio::select! {
            () = self.coordinator.stopped() => {
                Failure::fatal(Kind::Stale, "this coordinator does not lead any more: another one has taken over")
            }
            failure = self.grpc.ended() => failure,
            failure = self.mysql.ended() => failure,
            failure = self.http.ended() => failure,
        }
    }

    /// Stops leading, ends what is under way, and lets go of the directory. Jobs go on at the next start.
    pub async fn shutdown(self) {
        self.coordinator.shutdown();
        tokio::join!(self.grpc.shutdown(), self.mysql.shutdown(), self.http.shutdown());
    }
}

fn mysql_settings(config: &FeConfig) -> std::result::Result<mysql::Settings, Failure> {
    Ok(mysql::Settings {
        limits: mysql::Limits { connections: config.mysql_max_connections, ..mysql::Limits::default() },
        tls: tls::mysql(&config.tls)?,
        insecure: config.tls.insecure,
    })
}

fn health(coordinator: Coordinator) -> Health {
    Arc::new(move || match coordinator.stopped().now_or_never() {
        None => Ok("the coordinator leads".to_owned()),
        Some(()) => Err("the coordinator does not lead".to_owned()),
    })
}
