//! Everything that can be typed: commands, flags, and the environment variables that stand for them.
//!
//! A flag that is not given is `None` here; [`crate::config`] then asks the configuration file and the defaults.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use self::clients::{
    BackupArgs, CancelArgs, DropArgs, ExportArgs, LoadArgs, RepoArgs, RestoreArgs, ShowArgs, SqlArgs, WatchArgs,
};
use self::servers::{BeArgs, BrokerArgs, DemoArgs, FeArgs, StandaloneArgs};

pub mod clients;
pub mod names;
mod requests;
pub mod servers;

pub(crate) use requests::properties;

/// Backup and restore for databases made of tablets.
#[derive(Debug, Parser)]
#[command(name = "tabvault", version, disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct GlobalArgs {
    /// TOML file with settings; flags and environment variables win over it
    #[arg(long, global = true, env = "TABVAULT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What is logged to stderr, such as `info` or `warn,tabvault_be_agent=debug`
    #[arg(long, global = true, env = "TABVAULT_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How it is logged
    #[arg(long, global = true, env = "TABVAULT_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// An aligned table, or a sentence
    #[default]
    Table,
    /// Lines of a column's name and its cell, or a sentence
    Vertical,
    /// A JSON array of objects whose keys are the columns' names
    Json,
    /// CSV with a line of the columns' names
    Csv,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load, back up, load more, drop, restore and compare, all in a temporary directory
    Demo(DemoArgs),
    /// Run a coordinator and several agents in one process
    Standalone(StandaloneArgs),
    /// Run a coordinator
    Fe(FeArgs),
    /// Run an agent with the built-in tablet store
    Be(BeArgs),
    /// Run a broker, or tell the coordinator about brokers
    Broker(BrokerArgs),
    /// Bring the files of a directory into a table
    Load(LoadArgs),
    /// Write a table's files out as the tree they came from
    Export(ExportArgs),
    /// Drop a table
    Drop(DropArgs),
    /// Create, alter, drop and list repositories
    Repo(RepoArgs),
    /// Back up a database, or some of its tables
    Backup(BackupArgs),
    /// Restore a snapshot, or some of its tables
    Restore(RestoreArgs),
    /// Show jobs, snapshots, tables, backends and more
    Show(ShowArgs),
    /// Follow running jobs
    Watch(WatchArgs),
    /// Cancel the running job of a database
    Cancel(CancelArgs),
    /// Run SQL statements, as MySQL clients take them
    Sql(SqlArgs),
}

/// How processes prove themselves to each other; all files are PEM.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsArgs {
    /// Certificate of this process
    #[arg(long, env = "TABVAULT_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Key of that certificate
    #[arg(long, env = "TABVAULT_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Authority that signed the certificates of peers
    #[arg(long, env = "TABVAULT_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Name in a peer's certificate where it is not the host that is dialled
    #[arg(long, env = "TABVAULT_TLS_DOMAIN", value_name = "NAME")]
    pub tls_domain: Option<String>,
    /// Allow other machines without TLS; credentials then travel in clear
    #[arg(long, env = "TABVAULT_INSECURE", value_parser = FalseyValueParser::new())]
    pub insecure: bool,
}

/// What every client takes.
#[derive(Debug, Clone, Default, Args)]
pub struct ClientArgs {
    /// Addresses of the coordinator [default: http://127.0.0.1:9020]
    #[arg(long, env = "TABVAULT_FE", value_name = "URL", value_delimiter = ',')]
    pub fe: Vec<String>,
    /// How the result is printed [default: table]
    #[arg(long, env = "TABVAULT_OUTPUT")]
    pub output: Option<OutputFormat>,
    /// Who logs in; the password is in TABVAULT_PASSWORD, in a file, or asked for [default: root]
    #[arg(long, env = "TABVAULT_USER", value_name = "NAME")]
    pub user: Option<String>,
    /// File with the password, such as root.password in the directory of a coordinator on this machine
    #[arg(long, env = "TABVAULT_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// TLS.
    #[command(flatten)]
    pub tls: TlsArgs,
}
