//! Flags of the commands that run processes.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::names::{self, HostPort};
use super::{ClientArgs, TlsArgs};

/// `tabvault demo`.
#[derive(Debug, Clone, Default, Args)]
pub struct DemoArgs {
    /// Directory to load [default: some hundred generated files]
    #[arg(long, value_name = "DIR")]
    pub input: Option<PathBuf>,
}

/// `tabvault standalone`.
#[derive(Debug, Clone, Default, Args)]
pub struct StandaloneArgs {
    /// Directory for everything
    #[arg(long, env = "TABVAULT_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Number of backends; may grow from one start to the next [default: 3, or as many as there are]
    #[arg(long, env = "TABVAULT_BACKENDS", value_name = "N")]
    pub backends: Option<usize>,
    /// Address for gRPC [default: 127.0.0.1:9020]
    #[arg(long, env = "TABVAULT_GRPC", value_name = "IP:PORT")]
    pub grpc: Option<SocketAddr>,
    /// Address for MySQL clients [default: 127.0.0.1:9030]
    #[arg(long, env = "TABVAULT_MYSQL", value_name = "IP:PORT")]
    pub mysql: Option<SocketAddr>,
    /// Address for /metrics and /healthz [default: 127.0.0.1:8030]
    #[arg(long, env = "TABVAULT_HTTP", value_name = "IP:PORT")]
    pub http: Option<SocketAddr>,
    /// TLS.
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// `tabvault fe`.
#[derive(Debug, Clone, Default, Args)]
pub struct FeArgs {
    /// Directory for the coordinator's records
    #[arg(long, env = "TABVAULT_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address for gRPC [default: 127.0.0.1:9020]
    #[arg(long, env = "TABVAULT_GRPC", value_name = "IP:PORT")]
    pub grpc: Option<SocketAddr>,
    /// Address for MySQL clients [default: 127.0.0.1:9030]
    #[arg(long, env = "TABVAULT_MYSQL", value_name = "IP:PORT")]
    pub mysql: Option<SocketAddr>,
    /// Address for /metrics and /healthz [default: 127.0.0.1:8030]
    #[arg(long, env = "TABVAULT_HTTP", value_name = "IP:PORT")]
    pub http: Option<SocketAddr>,
    /// TLS.
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// `tabvault be`.
#[derive(Debug, Clone, Default, Args)]
pub struct BeArgs {
    /// Directory for tablets; several for several disks
    #[arg(long, env = "TABVAULT_DATA", value_name = "DIR", value_delimiter = ',')]
    pub data: Vec<PathBuf>,
    /// Addresses of the coordinator [default: http://127.0.0.1:9020]
    #[arg(long, env = "TABVAULT_FE", value_name = "URL", value_delimiter = ',')]
    pub fe: Vec<String>,
    /// Address for /metrics and /healthz [default: 127.0.0.1:8040]
    #[arg(long, env = "TABVAULT_HTTP", value_name = "IP:PORT")]
    pub http: Option<SocketAddr>,
    /// Name shown as Host; replicas of a tablet go to different hosts [default: the machine's name]
    #[arg(long, env = "TABVAULT_HOST", value_name = "NAME")]
    pub host: Option<String>,
    /// File with the coordinator's agent.token; or the token itself in TABVAULT_AGENT_TOKEN
    #[arg(long, env = "TABVAULT_AGENT_TOKEN_FILE", value_name = "FILE")]
    pub agent_token_file: Option<PathBuf>,
    /// TLS.
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// `tabvault broker`.
#[derive(Debug, Clone, Default, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BrokerArgs {
    /// Without one, a broker is run.
    #[command(subcommand)]
    pub command: Option<BrokerCommand>,
    /// How it is run.
    #[command(flatten)]
    pub serve: BrokerServeArgs,
}

/// `tabvault broker` alone.
#[derive(Debug, Clone, Default, Args)]
pub struct BrokerServeArgs {
    /// Address for gRPC [default: 127.0.0.1:8000]
    #[arg(long, env = "TABVAULT_GRPC", value_name = "IP:PORT")]
    pub grpc: Option<SocketAddr>,
    /// TLS.
    #[command(flatten)]
    pub tls: TlsArgs,
}

/// `tabvault broker …`.
#[derive(Debug, Clone, Subcommand)]
pub enum BrokerCommand {
    /// Make a broker process known
    Add {
        /// Name that repositories use; several processes may share it
        name: String,
        /// Where it listens
        #[arg(value_name = "HOST:PORT", value_parser = names::host_port)]
        address: HostPort,
        /// As of every client.
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Forget a broker process
    Drop {
        /// Its name
        name: String,
        /// Where it listens
        #[arg(value_name = "HOST:PORT", value_parser = names::host_port)]
        address: HostPort,
        /// As of every client.
        #[command(flatten)]
        client: ClientArgs,
    },
    /// List broker processes
    List {
        /// As of every client.
        #[command(flatten)]
        client: ClientArgs,
    },
}
